"""safetensors files, written and read independently of npswin and of the package safetensors."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

CODES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
    "U8": 1, "BOOL": 1, "F8_E4M3": 1, "C64": 8,
}  # fmt: skip
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8",
    "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
MOST_AXES = 64 if int(np.__version__.partition(".")[0]) > 1 else 32  # that NumPy can give an array


@lru_cache(maxsize=64)
def split_safetensors(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the bytes after it."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length], object_pairs_hook=_distinct)
    if not isinstance(header, dict):
        raise ValueError("no header")
    return header, data[8 + length :]


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name is there twice")
    return dict(pairs)


def join_safetensors(tensors: Mapping[str, tuple[str, list[int], bytes]], metadata: Mapping[str, str]) -> bytes:
    """A file of tensors, each with its dtype's code, shape and bytes."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, (dtype, shape, numbers) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(numbers)]}
        end += len(numbers)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(numbers for _, _, numbers in tensors.values())


def decoded(data: bytes) -> dict[str, np.ndarray]:
    """The tensors of a file, those of 16 bits as float32."""
    header, body = split_safetensors(data)
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] not in (*_DTYPES, "BF16"):
            continue
        part = body[slice(*entry["data_offsets"])]
        if entry["dtype"] == "BF16":
            array = (np.frombuffer(part, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            array = np.frombuffer(part, _DTYPES[entry["dtype"]])
        shape = entry["shape"] if len(entry["shape"]) <= MOST_AXES else (array.size,)
        tensors[name] = (array.astype(np.float32) if entry["dtype"] == "F16" else array).reshape(shape)
    return tensors


def has_checksum(content: bytes | str | None) -> bool:
    """Whether a file has the checksum that npswin writes."""
    try:
        return isinstance(content, bytes) and "npswin_sha256" in split_safetensors(content)[0]["__metadata__"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def without_checksum(content: bytes | str) -> bytes:
    """A file of npswin, as another program would write it."""
    assert isinstance(content, bytes)
    header, body = split_safetensors(content)
    metadata = {name: text for name, text in header["__metadata__"].items() if name != "npswin_sha256"}
    tensors = {
        name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
        for name, entry in header.items()
        if name != "__metadata__"
    }
    return join_safetensors(tensors, metadata)
