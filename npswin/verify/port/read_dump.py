"""Reads a dump from a safetensors file, a .npz file, or a folder of .npy or raw files.

The files may be damaged, or made to do damage: every size is checked before it is used, only regular files are opened,
nothing is read with pickle, and a damaged tensor is reported without losing the others.
"""

import math
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np

from npswin.checks import shown
from npswin.files import FileError, open_regular, read_exactly, read_json, shortened, shown_path, system_error
from npswin.types import Array
from npswin.verify.port.archive import open_archive
from npswin.verify.port.candidate import Candidate, CandidateError, DumpedTensor
from npswin.verify.port.module_names import KnownNames
from npswin.verify.port.npy import LONGEST_AXIS, MOST_AXES, NpyHeader, read_header, read_numbers
from npswin.weights import TensorFile, WeightFileError
from npswin.weights.tensor_file import dtype_name

RAW_DTYPES = {
    **{name: f"<{np.dtype(name).str[1:]}" for name in ("float64", "float32", "float16", "int64", "int32", "uint8")},
    "bfloat16": "<u2",
}
LIST = "shapes.json"
LIST_FORM = '{"NAME": {"shape": [2, 3], "dtype": "float32"}, ...}'
LONGEST_LIST = 8 * 2**20  # bytes
MOST_LISTS = 100  # of raw files, one in a folder
MOST_TENSORS = 65_536  # of a dump; a model of a thousand layers has fewer
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # NumPy's; others inflate a read without a bound


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
    with opened_dump(path, KnownNames(shapes)) as found:
        return Candidate(found, shapes, shown_path(path))


@contextmanager
def opened_dump(path: str | PathLike[str], names: Container[str]) -> Iterator[dict[str, DumpedTensor]]:
    """The tensors of a dump by name, which can be read within the `with` block.

    Args:
        path: as in `read_candidate`.
        names: of the tensors that are to be read; others may be listed as unreadable.

    Raises:
        CandidateError: there is no such file, or it has none of the formats.
    """
    path = Path(path)
    with ExitStack() as open_files:
        if os.path.isdir(path):
            yield _folder(path, names)
        elif not os.path.exists(path):
            raise CandidateError(f"{shown_path(path)}: no such file or folder")
        elif path.suffix == ".npz":
            yield _npz(path, names, open_files)
        else:
            yield _safetensors(path)


def _safetensors(path: Path) -> dict[str, DumpedTensor]:
    try:
        file = TensorFile(path)
    except (WeightFileError, OSError) as error:
        raise CandidateError(
            f"{error}\n(a dump is a safetensors or .npz file, or a folder of .npy or .bin files)"
        ) from error
    _check_count(path, len(file))

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


def _check_count(path: Path, count: int) -> None:
    if count > MOST_TENSORS:
        raise CandidateError(f"{shown_path(path)}: has {count} tensors, expected at most {MOST_TENSORS}")


def _npz(path: Path, names: Container[str], open_files: ExitStack) -> dict[str, DumpedTensor]:
    archive = open_archive(path, open_files)
    members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
    _check_count(path, len(members))
    counts = Counter(member.filename for member in members)
    found = {}
    for member in members:
        name, origin = member.filename.removesuffix(".npy"), f"{shown_path(path)}: {shortened(member.filename)}"
        if name not in names:
            found[name] = _UNKNOWN
        elif counts[member.filename] > 1:
            found[name] = _unreadable(f"{origin}: is there {counts[member.filename]} times")
        elif member.compress_type not in COMPRESSIONS:
            found[name] = _unreadable(f"{origin}: is compressed in a way that NumPy does not write")
        else:
            found[name] = _npy(origin, partial(archive.open, member), member.file_size)
    return found


def _npy(origin: str, open_stream: Callable[[], IO[bytes]], size: int | None = None) -> DumpedTensor:
    """A .npy stream; its header is read now, its numbers when `read` is called.

    Args:
        origin: for messages.
        open_stream: opens it.
        size: its bytes, for a stream that is not a file.
    """

    @contextmanager
    def opened() -> Iterator[tuple[IO[bytes], NpyHeader]]:
        try:
            stream = open_stream()
        except FileError:
            raise
        except Exception as error:  # zipfile raises what struct and codecs raise, too
            raise CandidateError(f"{origin}: damaged ({shortened(str(error))})") from error
        with stream:
            length = os.fstat(stream.fileno()).st_size if size is None else size
            yield stream, read_header(stream, length, origin, CandidateError)

    def read() -> Array:
        with opened() as (stream, header):
            return read_numbers(stream, header, origin, CandidateError)

    try:
        with opened() as (_, header):
            return DumpedTensor(header.shape, header.dtype.name, read)
    except CandidateError as error:
        return _unreadable(str(error))


def _unreadable(text: str) -> DumpedTensor:
    """A tensor whose `read` raises a CandidateError with this message."""

    def read() -> Array:
        raise CandidateError(text)

    return DumpedTensor((), "float32", read)


_UNKNOWN = _unreadable("the key has no such tensor")


def _folder(path: Path, names: Container[str]) -> dict[str, DumpedTensor]:
    found = {}
    npy_names, lists = _names_in(path)
    for name in npy_names:
        file = path / f"{name}.npy"
        found[name] = _npy(shown_path(file), partial(open_regular, file, CandidateError)) if name in names else _UNKNOWN
    if len(lists) > MOST_LISTS:
        raise CandidateError(f"{shown_path(path)}: has {len(lists)} files {LIST}, expected at most {MOST_LISTS}")
    for folder in lists:
        for name, tensor in _raw(path, folder, names).items():
            found[name] = _unreadable(f"is in {LIST} and a .npy file as well") if name in found else tensor
    if not found:
        raise CandidateError(f"{shown_path(path)}: holds no .npy file, and no {LIST} that lists raw .bin files")
    return found


def _names_in(path: Path) -> tuple[list[str], list[str]]:
    """The paths of all .npy files in a folder, without the suffix, and the folders with a list of raw files.

    They may be any kind of file. The path of a subfolder ends with a slash.
    """
    names, lists = list[str](), list[str]()
    folders, entries = [""], 0
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(path / folder) as listing:
                for entry in listing:
                    entries += 1
                    _check_count(path, entries)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{folder}{entry.name}/")
                    if entry.name.endswith(".npy"):
                        names.append(f"{folder}{entry.name}".removesuffix(".npy"))
                    if entry.name == LIST:
                        lists.append(folder)
        except OSError as error:
            raise system_error(CandidateError, path / folder, error) from error
    return sorted(names), sorted(lists)


def _raw(path: Path, folder: str, names: Container[str]) -> dict[str, DumpedTensor]:
    """The raw tensors that the list in a subfolder names; their names begin with the subfolder's."""
    listed = path / folder / LIST
    entries = read_json(listed, CandidateError, LONGEST_LIST)
    if not isinstance(entries, dict):
        raise CandidateError(f"{shown_path(listed)}: expected {LIST_FORM}, got {shown(entries)}")
    _check_count(listed, len(entries))
    return {
        folder + name: _raw_tensor(path / folder, name, entry) if folder + name in names else _UNKNOWN
        for name, entry in entries.items()
    }


def _raw_tensor(path: Path, name: str, entry: Any) -> DumpedTensor:
    shape, dtype = (entry.get("shape"), entry.get("dtype")) if isinstance(entry, dict) else (None, None)
    if not isinstance(shape, list) or not isinstance(dtype, str):
        return _unreadable(f"{LIST}: expected {LIST_FORM}, {shortened(name)} is {shown(entry)}")
    dtype = dtype_name(dtype)
    if not _is_inside(path, f"{name}.bin"):
        return _unreadable(f"{LIST}: {shortened(name)} lies outside the folder")
    if dtype not in RAW_DTYPES:
        return _unreadable(
            f"{LIST}: {shortened(name)} has dtype {shown(dtype)}, expected one of {', '.join(RAW_DTYPES)}"
        )
    if len(shape) > MOST_AXES or not all(type(side) is int and 0 <= side < LONGEST_AXIS for side in shape):
        return _unreadable(f"{LIST}: {shortened(name)} has shape {shown(shape)}, expected integers")
    file = path / f"{name}.bin"
    expected = math.prod(shape) * np.dtype(RAW_DTYPES[dtype]).itemsize

    def read() -> Array:
        with open_regular(file, CandidateError) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size != expected:
                raise CandidateError(
                    f"{shown_path(file)}: {size} bytes, expected {expected}, as {LIST} lists {shape} of {dtype}"
                )
            array = np.frombuffer(read_exactly(stream, size, file, CandidateError), RAW_DTYPES[dtype]).reshape(shape)
        if dtype == "bfloat16":
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array

    return DumpedTensor(tuple(shape), dtype, read)


def _is_inside(folder: Path, name: str) -> bool:
    """Whether a path in a folder, with all links followed, is still in it."""
    try:
        return Path(os.path.realpath(folder / name)).is_relative_to(os.path.realpath(folder))
    except (OSError, ValueError):  # a null byte, or a name that the system cannot encode
        return False
