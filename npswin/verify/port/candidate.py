"""What a port dumped: safetensors, .npz, or a folder of .npy or raw files; any subset, any dtype, nothing trusted."""

import json
import math
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import accumulate
from operator import mul
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT, holds
from npswin.weights import TensorFile, WeightFileError
from npswin.weights.tensor_file import dtype_name

PRECISIONS = ("float64", "float32", "float16", "bfloat16")  # from fine to coarse
RAW_DTYPES = {
    **{name: f"<{np.dtype(name).str[1:]}" for name in ("float64", "float32", "float16", "int64", "int32", "uint8")},
    "bfloat16": "<u2",
}
LIST = "shapes.json"
LIST_FORM = '{"NAME": {"shape": [2, 3], "dtype": "float32"}, ...}'
LONGEST_LIST = 16 * 2**20  # bytes
LONGEST_NPY_HEADER = 10_000  # bytes
MUCH_LARGER = 8  # a tensor of so many times the key's size is not even read


class CandidateError(ValueError):
    """A dump that cannot be read; the message names the file and what is wrong in it."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of a dump, not yet read."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Array]


def shown(text: str, most: int = 80) -> str:
    """Foreign text for a terminal: short, and nothing in it but what can be printed."""
    text = text if len(text) <= most else f"{text[:most]}..."
    return "".join(letter if letter.isprintable() or letter == "\n" else f"\\x{ord(letter):02x}" for letter in text)


def in_memory(array: Array) -> Tensor:
    """A tensor that is there already; ml_dtypes' bfloat16 among its dtypes."""
    return Tensor(array.shape, array.dtype.name, lambda: array)


class Candidate:
    """The tensors that a port dumped, under the key's names.

    Attributes:
        tensors: by name, in the key's shape, float64 or float32.
        misshapen: those whose shape cannot be the key's: as dumped.
        unreadable: by name what is wrong with a tensor that could not be read.
        unknown: names that the key does not have.
        stored: by name the coarsest precision that a tensor's numbers fit into.
    """

    def __init__(self, found: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], origin: str) -> None:
        self.tensors: dict[str, Array] = {}
        self.misshapen: dict[str, Array] = {}
        self.unreadable: dict[str, str] = {}
        self.stored: dict[str, str] = {}
        self.unknown = [shown(name) for name in found if name not in shapes]
        if not set(found) & set(shapes):
            names = ", ".join(map(shown, list(found)[:3])) or "nothing"
            forward = [name for name in shapes if not name.startswith(GRADIENT)]
            wanted = ", ".join(forward[-3:])
            prefix = _prefix(found, shapes)
            hint = f'; do they all begin with "{shown(prefix)}"?' if prefix else ""
            raise CandidateError(
                f"{origin}: no tensor of the key's names; found {names}; the key has such as {wanted}{hint}"
            )
        for name, shape in shapes.items():
            if name in found:
                self._take(name, found[name], shape)

    def _take(self, name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
        fits = regroups(tensor.shape, shape)
        if not fits and math.prod(tensor.shape) > MUCH_LARGER * max(math.prod(shape), 1):
            self.unreadable[name] = f"has shape {_text(tensor.shape)}, the key {_text(shape)}"
            return
        try:
            array = tensor.read()
        except (CandidateError, ValueError, TypeError, OverflowError, MemoryError, OSError) as error:
            self.unreadable[name] = shown(str(error), 400)
            return
        if array.dtype.kind in "OSUVcMm" and array.dtype.name != "bfloat16":
            self.unreadable[name] = f"holds {shown(str(array.dtype))}, which are no real numbers"
            return
        if not np.issubdtype(array.dtype, np.floating):
            array = array.astype(np.float64)
        self.stored[name] = _precision(array, tensor.dtype)
        if array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float32 if array.dtype.itemsize < 4 else np.float64)
        if fits:
            self.tensors[name] = array.reshape(shape)
        else:
            self.misshapen[name] = array


def _prefix(found: Collection[str], shapes: Collection[str]) -> str:
    """What stands before the key's names in the names of a dump, if it is there."""
    for name in found:
        for start in range(1, len(name)):
            if name[start - 1] in "./" and name[start:] in shapes:
                return name[:start]
    return ""


def regroups(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether two shapes are the same numbers in the same order, with neighbouring axes joined: (B·nW, N, C) for
    (B, nW, N, C), (B, H·W, C) for (B, H, W, C)."""
    if math.prod(shape) != math.prod(wanted):
        return False
    one, other = set(accumulate(shape, mul)), set(accumulate(wanted, mul))
    return one - {1} <= other or other - {1} <= one


def read_candidate(path: str | PathLike[str], shapes: Mapping[str, tuple[int, ...]]) -> Candidate:
    """Read what a port dumped.

    Args:
        path: a safetensors or .npz file, or a folder: NAME.npy, or NAME.bin with their list `shapes.json`; gradients as
            "grad/NAME", in a folder therefore in its subfolder grad.
        shapes: of the key's tensors by name; what the key does not have is not read.

    Returns:
        The tensors.

    Raises:
        CandidateError: there is no such file, it is none of these, or not one name is the key's.
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


def _safetensors(path: Path) -> dict[str, Tensor]:
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

    codes = file.dtype_codes
    return {name: Tensor(shape, dtype_name(codes[name]), reader(name)) for name, shape in file.shapes.items()}


def _npz(path: Path, names: Collection[str]) -> dict[str, Tensor]:
    found = {}
    try:
        archive = zipfile.ZipFile(path)
        for member in archive.namelist():
            name = member.removesuffix(".npy")
            if name != member and name in names:
                found[name] = _npy(f"{path}: {member}", partial(archive.open, member))
            elif name != member:
                found[name] = _broken("the key does not have it")
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise CandidateError(f"{path}: no .npz file, or a damaged one ({error})") from error
    return found


def _npy(origin: str, open_file: Callable[[], Any]) -> Tensor:
    """A .npy stream; its header is read now, its numbers when they are asked for."""
    try:
        with open_file() as file:
            shape, _, dtype = _npy_header(file)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        return _broken(f"{origin}: no .npy file, or a damaged one ({error})")
    if dtype.kind not in "fiub":
        return _broken(f"{origin}: holds {dtype}, expected numbers")

    def read() -> Array:
        try:
            with open_file() as file:
                shape, fortran, dtype = _npy_header(file)
                expected = math.prod(shape) * dtype.itemsize
                data = file.read(expected + 1)
        except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
            raise CandidateError(f"{origin}: damaged ({error})") from error
        if len(data) != expected:
            raise CandidateError(f"{origin}: {_amount(len(data), expected)} of numbers, its header says {expected}")
        return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")

    return Tensor(shape, dtype.name, read)


def _npy_header(file: Any) -> tuple[tuple[int, ...], bool, Any]:
    """Shape, order and dtype; the header's length is looked at before it is read."""
    version = np.lib.format.read_magic(file)
    size = 2 if version == (1, 0) else 4
    length = file.read(size)
    if int.from_bytes(length, "little") > LONGEST_NPY_HEADER:
        raise ValueError(f"its header claims {int.from_bytes(length, 'little')} bytes")
    header = BytesIO(length + file.read(int.from_bytes(length, "little")))
    reader = np.lib.format.read_array_header_1_0 if size == 2 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(header)
    if any(side < 0 for side in shape):
        raise ValueError(f"its shape is {shape}")
    return shape, fortran, dtype


def _broken(text: str) -> Tensor:
    def read() -> Array:
        raise CandidateError(text)

    return Tensor((), "float32", read)


def _folder(path: Path) -> dict[str, Tensor]:
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


def _raw(path: Path, listed: Path) -> dict[str, Tensor]:
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


def _raw_tensor(path: Path, name: str, entry: Any) -> Tensor:
    try:
        shape, dtype = tuple(entry["shape"]), dtype_name(str(entry["dtype"]))
    except (LookupError, TypeError, ValueError):
        return _broken(f"{LIST}: expected {LIST_FORM}, {name} is {str(entry)[:80]}")
    file = path / f"{name}.bin"
    if "\0" in name or not file.resolve().is_relative_to(path.resolve()):
        return _broken(f"{LIST}: {name} lies outside the folder")
    if dtype not in RAW_DTYPES:
        return _broken(f"{LIST}: {name} has dtype {dtype!r}, expected one of {', '.join(RAW_DTYPES)}")
    if len(shape) > 32 or not all(type(side) is int and 0 <= side < 2**40 for side in shape):
        return _broken(f"{LIST}: {name} has shape {list(shape)}, expected integers")
    expected = math.prod(shape) * np.dtype(RAW_DTYPES[dtype]).itemsize

    def read() -> Array:
        try:
            if not file.is_file():
                raise CandidateError(f"{file}: no such file")
            size = file.stat().st_size
            if size != expected:
                raise CandidateError(f"{file}: {size} bytes, {LIST} says {list(shape)} of {dtype}, {expected} bytes")
            array = np.fromfile(file, RAW_DTYPES[dtype]).reshape(shape)
        except OSError as error:
            raise CandidateError(f"{file}: {error.strerror or error}") from error
        if dtype == "bfloat16":
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array

    return Tensor(shape, dtype, read)


def _amount(found: int, expected: int) -> str:
    return f"more than {expected} bytes" if found > expected else f"{found} bytes"


def _text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def _precision(array: Array, dtype: str) -> str:
    """The coarsest precision that holds all of these numbers exactly; of two that are equally coarse, the dtype's."""
    order = [dtype] if dtype in ("float16", "bfloat16") else []
    return next(name for name in [*order, *PRECISIONS[::-1], "float64"] if holds(name, array))
