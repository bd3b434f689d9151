"""Tensors in safetensors files, which are read completely and written atomically.

The format: 8 bytes with the header's length, a JSON header with each tensor's dtype, shape and byte offsets, then the
tensors' bytes. Unlike a pickle, it contains no code.
"""

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from npswin.files import FileError, write_atomically
from npswin.types import Array

_DTYPES = {
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
_CODES = {np.dtype(dtype): code for code, dtype in _DTYPES.items()}
_PICKLE_SUFFIXES = (".pth", ".pt", ".bin", ".pkl", ".ckpt")


class WeightFileError(FileError):
    """A weight file that cannot be used; the message has its path and the reason."""


def save_tensors(
    path: str | PathLike[str], tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to a safetensors file. The same tensors and metadata give the same bytes.

    Args:
        path: the file, replaced if it exists.
        tensors: arrays of floats (16, 32, 64 bits), integers or booleans, by name.
        metadata: text by name, for the file's header.

    Raises:
        ValueError: the format cannot store a tensor or an entry of the metadata; the message names it.
        OSError: the file could not be written; see `write_atomically`.
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted((metadata or {}).items()))}
    for key, text in header["__metadata__"].items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise ValueError(f"metadata: got {key!r}: {text!r}, expected text by name")
    arrays, end = [], 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (-np.asarray(item[1]).itemsize, item[0])):
        array = np.asarray(tensor)
        code = _CODES.get(array.dtype.newbyteorder("<"))
        if code is None or name == "__metadata__":
            raise ValueError(f"tensors: cannot save {name!r} of dtype {array.dtype}")
        start, end = end, end + array.nbytes
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [start, end]}
        arrays.append(array.astype(array.dtype.newbyteorder("<"), copy=False))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)

    def write(file: BinaryIO) -> None:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays:
            file.write(array.tobytes())

    write_atomically(path, write)


def load_tensors(path: str | PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """Read a safetensors file.

    Args:
        path: the file.

    Returns:
        The tensors by name, float16 and bfloat16 as float32 (which holds them exactly), and the header's metadata.

    Raises:
        WeightFileError: the file is not safetensors, is cut short or damaged, or has a dtype that NumPy lacks.
        OSError: the file cannot be read; FileNotFoundError where there is none.
    """
    import safetensors

    path = Path(path)
    content = path.read_bytes()
    try:
        entries = sorted(safetensors.deserialize(content), key=lambda entry: entry[0])
    except safetensors.SafetensorError as error:
        raise WeightFileError(f"{path}: {describe_bad_file(path, content)} ({error})") from error
    try:
        tensors = {name: decode_tensor(name, entry) for name, entry in entries}
    except ValueError as error:
        raise WeightFileError(f"{path}: {error}") from error
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return tensors, header.get("__metadata__") or {}


def decode_tensor(name: str, entry: dict[str, Any]) -> Array:
    """One tensor from its entry's "dtype", "shape" and "data"; a ValueError where NumPy lacks the dtype."""
    code, data, shape = entry["dtype"], entry["data"], entry["shape"]
    if code == "BF16":  # the upper half of a float32
        bits = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(shape)
    if code not in _DTYPES:
        raise ValueError(f"tensor {name!r} has dtype {code}, which NumPy lacks; expected one of {', '.join(_DTYPES)}")
    array = np.frombuffer(data, _DTYPES[code])
    return (array.astype(np.float32) if code == "F16" else array).reshape(shape)


def describe_bad_file(path: Path, content: bytes) -> str:
    """The kind of a file that safetensors cannot read, from its name and first bytes, for an error message."""
    looks_like_safetensors = content[8:9] == b"{"
    if not looks_like_safetensors and (content[:4] == b"PK\x03\x04" or path.suffix.lower() in _PICKLE_SUFFIXES):
        converted = str(path.with_suffix(".safetensors"))
        return (
            "a PyTorch pickle. Pickles are never read here, since they can run any code. Where PyTorch is installed, "
            "two lines of Python convert it:\n\n"
            "    import torch; from safetensors.torch import save_file\n"
            f"    s = torch.load({str(path)!r}, map_location='cpu', weights_only=True); "
            f"save_file({{k: v.contiguous() for k, v in s.get('model', s).items()}}, {converted!r})\n\n"
        )
    if looks_like_safetensors:
        return "a safetensors file that is cut short or damaged"
    return "not a safetensors file"
