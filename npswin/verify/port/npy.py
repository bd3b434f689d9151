"""Reads .npy files and streams, whose header is checked before anything is allocated."""

import math
import os
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from typing import IO, Any

import numpy as np

from npswin.checks import shown
from npswin.files import FileError, open_regular, read_exactly, shortened, shown_path
from npswin.types import Array

LONGEST_HEADER = 10_000  # bytes
MOST_AXES = 32
LONGEST_AXIS = 2**40
_READERS = {
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
    (3, 0): (4, np.lib.format.read_array_header_2_0),  # version 3 has UTF-8 names of fields, which are not read here
}


@dataclass(frozen=True)
class NpyHeader:
    """What a .npy file says before its numbers.

    Attributes:
        shape: of the array.
        is_fortran: whether the first axis varies fastest.
        dtype: a float, an integer or a boolean.
        size: bytes of the header, with all that comes before it.
    """

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]
    size: int

    @property
    def data_size(self) -> int:
        """Bytes of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy(path: str | PathLike[str], error: type[FileError], at_most: int) -> Array:
    """The array in a .npy file.

    Args:
        path: a regular file.
        error: raised where it is not a .npy file of numbers, has another size than its header says, or is larger.
        at_most: bytes.
    """
    with open_regular(path, error) as file:
        size = os.fstat(file.fileno()).st_size
        if size > at_most:
            raise error(f"{shown_path(path)}: has {size} bytes, expected at most {at_most}")
        header = read_header(file, size, path, error)
        return read_numbers(file, header, path, error)


def read_header(stream: IO[bytes], size: int, path: str | PathLike[str], error: type[FileError]) -> NpyHeader:
    """Read the header at the beginning of a stream.

    Args:
        stream: a .npy file.
        size: bytes of the whole stream, which have to be those that the header says.
        path: of the file, for messages.
        error: raised where it is not the header of an array of numbers.
    """
    try:
        version = np.lib.format.read_magic(stream)
        length_size, reader = _READERS[version]
        prefix = stream.read(length_size)
        length = int.from_bytes(prefix, "little")
        if length > LONGEST_HEADER:
            raise ValueError(f"its header has {length} bytes")
        shape, is_fortran, dtype = reader(BytesIO(prefix + stream.read(length)))
    except Exception as problem:  # NumPy evaluates the header as Python's tokens, and zipfile inflates it
        raise error(f"{shown_path(path)}: no .npy file, or a damaged one ({_reason(problem)})") from problem
    if dtype.kind not in "fiub":
        raise error(f"{shown_path(path)}: has dtype {shortened(str(dtype))}, expected numbers")
    if len(shape) > MOST_AXES or not all(type(side) is int and 0 <= side < LONGEST_AXIS for side in shape):
        raise error(f"{shown_path(path)}: has shape {shown(shape)}, expected at most {MOST_AXES} integers of 0 or more")
    header = NpyHeader(shape, bool(is_fortran), dtype, 8 + length_size + length)
    if size - header.size != header.data_size:
        raise error(
            f"{shown_path(path)}: {size - header.size} bytes of numbers, expected {header.data_size} by its header"
        )
    return header


def read_numbers(stream: IO[bytes], header: NpyHeader, path: str | PathLike[str], error: type[FileError]) -> Array:
    """The array behind a header; see `read_header`."""
    try:
        data = read_exactly(stream, header.data_size, path, error)
    except FileError:
        raise
    except Exception as problem:  # zipfile inflates it
        raise error(f"{shown_path(path)}: damaged ({_reason(problem)})") from problem
    return np.frombuffer(data, header.dtype).reshape(header.shape, order="F" if header.is_fortran else "C")


def _reason(problem: Exception) -> str:
    return shortened(f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__)
