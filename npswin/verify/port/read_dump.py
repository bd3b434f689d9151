"""Reads a dump from a safetensors file, a .npz file, or a folder of .npy or raw files.

The files may be damaged: every size is checked before it is used, nothing is read with pickle, and a damaged tensor is
reported without losing the others.
"""

import json
import math
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from functools import partial
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.port.candidate import Candidate, CandidateError, DumpedTensor
from npswin.weights import TensorFile, WeightFileError
from npswin.weights.tensor_file import dtype_name

RAW_DTYPES = {
    **{name: f"<{np.dtype(name).str[1:]}" for name in ("float64", "float32", "float16", "int64", "int32", "uint8")},
    "bfloat16": "<u2",
}
LIST = "shapes.json"
LIST_FORM = '{"NAME": {"shape": [2, 3], "dtype": "float32"}, ...}'
LONGEST_LIST = 16 * 2**20  # bytes
LONGEST_NPY_HEADER = 10_000  # bytes


def read_candidate(path: str | PathLike[str], shapes: Mapping[str, tuple[int, ...]]) -> Candidate:
    """Read the tensors that a port dumped.

    Args:
        path: a safetensors or .npz file, or a folder: NAME.npy, or NAME.bin with their list `shapes.json`; gradients as
            "grad/NAME", in a folder therefore in its subfolder grad.
        shapes: of the key's tensors by name; other tensors are not read.

    Returns:
        The tensors.

    Raises:
        CandidateError: there is no such file, it has none of these formats, or no name is one of the key's.
    """
    path = Path(path)
    if path.is_dir():
        found = _folder(path)
    elif not path.exists():
        raise CandidateError(f"{path}: no such file or folder")
    elif path.suffix == ".npz":
        found = _npz(path, shapes)
    else:
        found = _safetensors(path)
    return Candidate(found, shapes, str(path))


def _safetensors(path: Path) -> dict[str, DumpedTensor]:
    try:
        file = TensorFile(path)
    except (WeightFileError, OSError) as error:
        raise CandidateError(
            f"{error}\n(a dump is a safetensors or .npz file, or a folder of .npy or .bin files)"
        ) from error

    def reader(name: str) -> Callable[[], Array]:
        def read() -> Array:
            try:
                return file[name]
            except (WeightFileError, OSError) as error:
                raise CandidateError(str(error)) from error

        return read

    return {
        name: DumpedTensor(shape, dtype_name(file.dtype_codes[name]), reader(name))
        for name, shape in file.shapes.items()
    }


def _npz(path: Path, names: Collection[str]) -> dict[str, DumpedTensor]:
    found = {}
    try:
        archive = zipfile.ZipFile(path)
        for member in archive.namelist():
            name = member.removesuffix(".npy")
            if name != member and name in names:
                found[name] = _npy(f"{path}: {member}", partial(archive.open, member))
            elif name != member:
                found[name] = _unreadable("the key has no such tensor")
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise CandidateError(f"{path}: no .npz file, or a damaged one ({error})") from error
    return found


def _npy(origin: str, open_file: Callable[[], Any]) -> DumpedTensor:
    """A .npy stream; its header is read now, its numbers when `read` is called."""
    try:
        with open_file() as file:
            shape, _, dtype = _npy_header(file)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        return _unreadable(f"{origin}: no .npy file, or a damaged one ({error})")
    if dtype.kind not in "fiub":
        return _unreadable(f"{origin}: has dtype {dtype}, expected numbers")

    def read() -> Array:
        try:
            with open_file() as file:
                shape, fortran, dtype = _npy_header(file)
                expected = math.prod(shape) * dtype.itemsize
                data = file.read(expected + 1)
        except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
            raise CandidateError(f"{origin}: damaged ({error})") from error
        if len(data) != expected:
            raise CandidateError(
                f"{origin}: {_byte_count(len(data), expected)} of numbers, expected {expected} by its header"
            )
        return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")

    return DumpedTensor(shape, dtype.name, read)


def _npy_header(file: Any) -> tuple[tuple[int, ...], bool, Any]:
    """Shape, whether in Fortran order, and dtype; the header's length is checked before it is read."""
    version = np.lib.format.read_magic(file)
    size = 2 if version == (1, 0) else 4
    length = file.read(size)
    if int.from_bytes(length, "little") > LONGEST_NPY_HEADER:
        raise ValueError(f"its header has {int.from_bytes(length, 'little')} bytes")
    header = BytesIO(length + file.read(int.from_bytes(length, "little")))
    reader = np.lib.format.read_array_header_1_0 if size == 2 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(header)
    if any(side < 0 for side in shape):
        raise ValueError(f"its shape is {shape}")
    return shape, fortran, dtype


def _unreadable(text: str) -> DumpedTensor:
    """A tensor whose `read` raises a CandidateError with this message."""

    def read() -> Array:
        raise CandidateError(text)

    return DumpedTensor((), "float32", read)


def _folder(path: Path) -> dict[str, DumpedTensor]:
    found = {}
    for file in sorted(file for file in path.rglob("*.npy") if file.is_file()):
        name = file.relative_to(path).with_suffix("").as_posix() if file.suffix == ".npy" else file.name
        found[name] = _npy(str(file), _opener(file))
    if (path / LIST).exists():
        found |= _raw(path, path / LIST)
    if not found:
        raise CandidateError(f"{path}: holds no .npy file, and no {LIST} that lists raw .bin files")
    return found


def _opener(file: Path) -> Callable[[], Any]:
    return lambda: open(file, "rb")


def _raw(path: Path, listed: Path) -> dict[str, DumpedTensor]:
    try:
        if listed.stat().st_size > LONGEST_LIST:
            raise CandidateError(f"{listed}: more than {LONGEST_LIST} bytes")
        entries = json.loads(listed.read_text(encoding="utf-8"))
        entries = dict(entries.items())
    except (OSError, UnicodeDecodeError, RecursionError, ValueError, AttributeError) as error:
        if isinstance(error, CandidateError):
            raise
        raise CandidateError(f"{listed}: expected {LIST_FORM} ({error!r})") from error
    return {name: _raw_tensor(path, name, entry) for name, entry in entries.items()}


def _raw_tensor(path: Path, name: str, entry: Any) -> DumpedTensor:
    try:
        shape, dtype = tuple(entry["shape"]), dtype_name(str(entry["dtype"]))
    except (LookupError, TypeError, ValueError):
        return _unreadable(f"{LIST}: expected {LIST_FORM}, {name} is {str(entry)[:80]}")
    file = path / f"{name}.bin"
    if "\0" in name or not file.resolve().is_relative_to(path.resolve()):
        return _unreadable(f"{LIST}: {name} lies outside the folder")
    if dtype not in RAW_DTYPES:
        return _unreadable(f"{LIST}: {name} has dtype {dtype!r}, expected one of {', '.join(RAW_DTYPES)}")
    if len(shape) > 32 or not all(type(side) is int and 0 <= side < 2**40 for side in shape):
        return _unreadable(f"{LIST}: {name} has shape {list(shape)}, expected integers")
    expected = math.prod(shape) * np.dtype(RAW_DTYPES[dtype]).itemsize

    def read() -> Array:
        try:
            if not file.is_file():
                raise CandidateError(f"{file}: no such file")
            size = file.stat().st_size
            if size != expected:
                raise CandidateError(
                    f"{file}: {size} bytes, expected {expected}, as {LIST} lists {list(shape)} of {dtype}"
                )
            array = np.fromfile(file, RAW_DTYPES[dtype]).reshape(shape)
        except OSError as error:
            raise CandidateError(f"{file}: {error.strerror or error}") from error
        if dtype == "bfloat16":
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array

    return DumpedTensor(shape, dtype, read)


def _byte_count(found: int, expected: int) -> str:
    return f"more than {expected} bytes" if found > expected else f"{found} bytes"
