"""Tensors in safetensors files, written atomically and with a checksum.

The format: 8 bytes with the header's length, a JSON header with each tensor's dtype, shape and byte offsets, then the
tensors' bytes. Unlike a pickle, it contains no code. `tensor_file.py` reads it.
"""

import hashlib
import json
from collections.abc import Mapping
from os import PathLike
from typing import Any, BinaryIO

import numpy as np

from npswin.checks import check_array, check_callable, check_instance, check_path, dtype_name, shown
from npswin.files import FileError, shortened, write_atomically
from npswin.types import Array
from npswin.weights.reading import Progress, no_progress

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}
CODES = {np.dtype(dtype): code for code, dtype in DTYPES.items()}

MAX_HEADER_BYTES = 16 * 2**20  # a model of a thousand layers needs less than one mebibyte
MAX_TENSORS = 2**16

# The name in the metadata of the checksum: SHA-256 of the whole file, in which the checksum itself is zeros.
CHECKSUM = "npswin_sha256"
NO_CHECKSUM = "0" * 64


class WeightFileError(FileError):
    """A weight file that cannot be used; the message has its path and the reason."""


def save_tensors(
    path: str | PathLike[str],
    tensors: Mapping[str, Array],
    metadata: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
) -> str:
    """Write tensors to a safetensors file, with a checksum. The same tensors and metadata give the same bytes.

    Args:
        path: the file, replaced if it exists.
        tensors: arrays of floats (16, 32, 64 bits), integers or booleans, by name.
        metadata: text by name, for the file's header. A checksum in it is replaced.
        progress: called with the name of the work, how many tensors are done, and how many there are.

    Returns:
        The checksum.

    Raises:
        ValueError: the format cannot store a tensor or an entry of the metadata; the message names it.
        OSError: the file could not be written; see `write_atomically`.
    """
    path, progress = check_path("path", path), check_callable("progress", progress)
    texts = _checked_metadata({} if metadata is None else metadata)
    header: dict[str, Any] = {"__metadata__": dict(sorted({**texts, CHECKSUM: NO_CHECKSUM}.items()))}
    arrays, end = [], 0
    named = _checked_arrays(tensors)
    for name, array in sorted(named.items(), key=lambda item: (-item[1].itemsize, item[0])):
        code = CODES.get(array.dtype.newbyteorder("<"))
        if code is None or name == "__metadata__":
            raise ValueError(f"tensors: cannot save {shortened(repr(name))} of dtype {dtype_name(array.dtype)}")
        start, end = end, end + array.nbytes
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [start, end]}
        arrays.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")))
    try:
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"tensors, metadata: a name or a text is not Unicode ({error.reason})") from error
    if len(text) > MAX_HEADER_BYTES or len(header) > MAX_TENSORS:
        got = f"got {len(header) - 1} tensors with {len(text)} bytes of names and metadata"
        raise ValueError(f"tensors, metadata: {got}, expected at most {MAX_TENSORS} and {MAX_HEADER_BYTES}")
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    checksum = hashlib.sha256(head)
    for done, array in enumerate(arrays):
        checksum.update(array.data)
        progress("checksum", done + 1, len(arrays))

    def write(file: BinaryIO) -> None:
        file.write(with_checksum(head, checksum.hexdigest(), NO_CHECKSUM))
        for done, array in enumerate(arrays):
            file.write(array.data)
            progress("writing", done + 1, len(arrays))

    write_atomically(path, write)
    return checksum.hexdigest()


def _checked_metadata(metadata: Any) -> dict[str, str]:
    for key, text in check_instance("metadata", metadata, Mapping, "text by name").items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise ValueError(f"metadata: got {shown(key)}: {shown(text)}, expected text by name")
    return dict(metadata)


def _checked_arrays(tensors: Any) -> dict[str, Array]:
    arrays = {}
    for name, tensor in check_instance("tensors", tensors, Mapping, "arrays by name").items():
        if not isinstance(name, str):
            raise ValueError(f"tensors: got the name {shown(name)}, expected text")
        is_number = isinstance(tensor, np.generic)  # NumPy's, an array without axes
        arrays[name] = np.asarray(tensor) if is_number else check_array(f"tensors[{shown(name)}]", tensor)
    return arrays


def with_checksum(head: bytes, checksum: str, in_place_of: str) -> bytes:
    """The file's bytes before its tensors, with one checksum in place of another."""
    entry = f'"{CHECKSUM}":"{{}}"'  # text in JSON has no quotes without a backslash: only the entry itself can match
    return head.replace(entry.format(in_place_of).encode(), entry.format(checksum).encode(), 1)
