"""Reads safetensors files: the header when a file is opened, each tensor when it is asked for."""

import errno
import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from npswin.checks import check_path
from npswin.deprecation import renamed_attribute
from npswin.files import open_regular, parse_json, read_exactly, shortened, shown_path, system_error
from npswin.types import Array
from npswin.weights import file_kinds
from npswin.weights.file_kinds import IF_DOWNLOADED
from npswin.weights.files import (
    CHECKSUM,
    DTYPES,
    MAX_HEADER_BYTES,
    MAX_TENSORS,
    NO_CHECKSUM,
    WeightFileError,
    with_checksum,
)

_CHUNK = 2**20  # bytes that are read at a time for the checksum


class TensorFile(Mapping[str, Array]):
    """The tensors of a safetensors file by name, each read from the file on access.

    float16 and bfloat16 become float32, which holds them exactly. A file from `save_tensors` is read once when it is
    opened, in order to compare its checksum.

    Args:
        path: the file. It must not change while the object is used.

    Attributes:
        shapes: of each tensor.
        dtype_codes: the format's name of each tensor's dtype, such as "BF16".
        metadata: text by name, without the checksum.
        checksum: the file's, or None where it has none.

    Raises:
        WeightFileError: it is not safetensors, is cut short or damaged, its header has more than 16 MiB or 65,536
            tensors, or it cannot be opened; then it is an OSError as well, such as FileNotFoundError. On access: the
            tensor has a dtype that NumPy lacks, or memory does not suffice.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = check_path("path", path, WeightFileError)
        if os.path.isdir(self.path):
            is_folder = IsADirectoryError(errno.EISDIR, file_kinds.describe_folder(self.path))
            raise system_error(WeightFileError, self.path, is_folder)
        with open_regular(self.path, WeightFileError) as file:
            head, header = _read_header(file, self.path)
            self.metadata: dict[str, str] = header.pop("__metadata__", None) or {}
            self.checksum = checksum = self.metadata.pop(CHECKSUM, None)
            if near := [name for name in self.metadata if _is_nearly_the_checksums_name(name)]:
                raise WeightFileError(f"{shown_path(path)}: damaged: its metadata has {near[0]!r} for {CHECKSUM!r}")
            if checksum is not None and _checksum(file, with_checksum(head, NO_CHECKSUM, checksum)) != checksum:
                reason = f"its bytes do not give the checksum in its header, {CHECKSUM}"
                hint = "restore it from a copy; a program that changes tensors has to remove the checksum"
                raise WeightFileError(f"{shown_path(path)}: damaged: {reason}; {hint}")
        self.shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
        self.dtype_codes = {name: str(entry["dtype"]) for name, entry in header.items()}
        self._starts = {name: len(head) + entry["data_offsets"][0] for name, entry in header.items()}

    codes = renamed_attribute("codes", "dtype_codes")

    def __getitem__(self, name: str) -> Array:
        code, shape = self.dtype_codes[name], self.shapes[name]
        origin = f"{shown_path(self.path)}: tensor {shortened(repr(name))}"
        if code != "BF16" and code not in DTYPES:
            expected = ", ".join(("BF16", *DTYPES))
            raise WeightFileError(f"{origin} has dtype {code}, which NumPy lacks; expected one of {expected}")
        count = math.prod(shape)
        try:
            with open_regular(self.path, WeightFileError) as file:
                file.seek(self._starts[name])
                numbers = np.fromfile(file, DTYPES.get(code, "<u2"), count)
            if code == "BF16":  # the upper half of a float32
                numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
            numbers = numbers.astype(np.float32) if code == "F16" else numbers
        except OSError as error:
            raise system_error(WeightFileError, self.path, error) from error
        except MemoryError as error:
            raise WeightFileError(f"{origin}: too little memory for its {count} numbers") from error
        try:
            return numbers.reshape(shape)
        except ValueError as error:
            reason = "the file has changed" if len(numbers) < count else str(error)
            raise WeightFileError(f"{origin} cannot have shape {shortened(str(shape))} ({reason})") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def load_tensors(path: str | PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """Read all tensors of a safetensors file; see `TensorFile`, which reads single ones.

    Args:
        path: the file.

    Returns:
        The tensors by name, in the order of their names, and the header's metadata.

    Raises:
        WeightFileError: as `TensorFile`.
    """
    file = TensorFile(path)
    return {name: file[name] for name in sorted(file)}, file.metadata


def dtype_name(code: str) -> str:
    """NumPy's name of a safetensors dtype, "bfloat16" for "BF16"; NumPy's own names stay unchanged."""
    if code != code.upper():
        return code
    if code == "BF16":
        return "bfloat16"
    kind = {"F": "float", "I": "int", "U": "uint"}.get(code[:1], "")
    return f"{kind}{code[1:]}" if kind and code[1:].isdigit() else code.lower()


def _read_header(file: BinaryIO, path: Path) -> tuple[bytes, dict[str, Any]]:
    """The bytes before the tensors, and the header; all dtypes, shapes and offsets fit the file's size."""
    import safetensors

    size = os.fstat(file.fileno()).st_size
    start = read_exactly(file, min(size, 9), path, WeightFileError)
    length = int.from_bytes(start[:8], "little")
    if len(start) < 9 or start[8:] != b"{":
        start += read_exactly(file, min(size, file_kinds.START_BYTES) - len(start), path, WeightFileError)
        raise WeightFileError(f"{shown_path(path)}: {file_kinds.describe(path, start, size)}")
    if length > MAX_HEADER_BYTES:
        raise WeightFileError(
            f"{shown_path(path)}: its header claims {length} bytes, expected at most {MAX_HEADER_BYTES}: damaged"
        )
    if 8 + length > size:
        raise WeightFileError(
            f"{shown_path(path)}: cut short or damaged: its header has {length} bytes, the file {size}; {IF_DOWNLOADED}"
        )
    text = start[8:] + read_exactly(file, length - 1, path, WeightFileError)
    header = parse_json(text, path, WeightFileError)
    if len(header) > MAX_TENSORS:
        raise WeightFileError(f"{shown_path(path)}: names {len(header)} tensors, expected at most {MAX_TENSORS}")
    try:
        with safetensors.safe_open(path, framework="numpy"):
            pass  # compares everything in the header with the file's size
    except safetensors.SafetensorError as error:
        raise WeightFileError(
            f"{shown_path(path)}: cut short or damaged ({shortened(str(error))}); {IF_DOWNLOADED}"
        ) from error
    except OSError as error:
        raise system_error(WeightFileError, path, error) from error
    return start[:8] + text, header


def _checksum(file: BinaryIO, head: bytes) -> str:
    """SHA-256 of the head and the rest of the file."""
    checksum = hashlib.sha256(head)
    while chunk := file.read(_CHUNK):
        checksum.update(chunk)
    return checksum.hexdigest()


def _is_nearly_the_checksums_name(name: str) -> bool:
    """Whether one or two characters are other ones: without this, damage to the name would switch the check off."""
    return len(name) == len(CHECKSUM) and sum(a != b for a, b in zip(name, CHECKSUM, strict=True)) in (1, 2)
