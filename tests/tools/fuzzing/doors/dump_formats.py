"""The formats of a dump, written and read independently of npswin."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping

import numpy as np

from tests.tools.fuzzing.safetensors import decoded, join_safetensors
from tests.tools.fuzzing.workspace import Files


def written(kind: str, arrays: Mapping[str, np.ndarray]) -> Files:
    """The files of a dump of one format: safetensors, npz, npy or raw."""
    stream = io.BytesIO()
    if kind == "safetensors":
        codes = {"float64": "F64", "float32": "F32"}
        tensors = {name: (codes[one.dtype.name], list(one.shape), one.tobytes()) for name, one in arrays.items()}
        return {"d.safetensors": join_safetensors(tensors, {})}
    if kind == "npz":
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
        return {"d.npz": stream.getvalue()}
    if kind == "raw":
        listed = {name: {"shape": list(one.shape), "dtype": one.dtype.name} for name, one in arrays.items()}
        contents: Files = {f"{name}.bin": one.tobytes() for name, one in arrays.items()}
        return {"shapes.json": json.dumps(listed).encode(), **contents}
    files: Files = {}
    for name, array in arrays.items():
        stream = io.BytesIO()
        np.save(stream, array)
        files[f"{name}.npy"] = stream.getvalue()
    return files


def decoded_npy(content: bytes | str) -> np.ndarray:
    """The array of an .npy file."""
    assert isinstance(content, bytes)
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def _decoded_member(files: Files, name: str) -> np.ndarray:
    content = files["d.npz"]
    assert isinstance(content, bytes)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return decoded_npy(archive.read(f"{name}.npy"))


def _decoded_raw(files: Files, name: str) -> np.ndarray:
    listed, content = files["shapes.json"], files[f"{name}.bin"]
    assert isinstance(listed, bytes)
    assert isinstance(content, bytes)
    entry = json.loads(listed)[name]
    if entry["dtype"] in ("bfloat16", "BF16"):
        return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])
    codes = {"F": "float", "I": "int", "U": "uint"}
    dtype = entry["dtype"] if entry["dtype"].islower() else codes[entry["dtype"][0]] + entry["dtype"][1:]
    return np.frombuffer(content, np.dtype(dtype).newbyteorder("<")).reshape(entry["shape"])


# By format, what reads a tensor by its name from a dump's files.
DECODERS: dict[str, Callable[[Files, str], np.ndarray]] = {
    "safetensors": lambda files, name: decoded(files["d.safetensors"])[name],  # type: ignore[arg-type]
    "npz": _decoded_member,
    "npy": lambda files, name: decoded_npy(files[f"{name}.npy"]),
    "raw": lambda files, name: (_decoded_raw if f"{name}.bin" in files else DECODERS["npy"])(files, name),
}
