"""A safetensors file read a tensor at a time: whatever its size, no more is in memory than was asked for."""

import json
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from npswin.types import Array
from npswin.weights.files import WeightFileError, decode_tensor, diagnosis

LONGEST_HEADER = 16 * 2**20  # bytes; a model of a thousand layers needs less than one mebibyte


class TensorFile(Mapping[str, Array]):
    """The tensors of a safetensors file by name, each read when it is asked for.

    Args:
        path: the file. It must not change while it is read from.

    Attributes:
        shapes: of each tensor.
        codes: the format's name of each tensor's dtype, such as "BF16".
        metadata: text by name.

    Raises:
        WeightFileError: it is not safetensors, is cut short or damaged, or its header is absurdly long; later, when a
            tensor of a dtype is asked for that NumPy lacks.
        OSError: it cannot be read.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        import safetensors

        self.path = Path(path)
        with open(self.path, "rb") as file:
            start = file.read(9)
            length = int.from_bytes(start[:8], "little")
            if len(start) == 9 and start[8:] == b"{" and length > LONGEST_HEADER:
                raise WeightFileError(
                    f"{path}: its header claims {length} bytes, expected at most {LONGEST_HEADER}: damaged, or hostile"
                )
            try:
                with safetensors.safe_open(self.path, framework="numpy"):
                    pass  # it checks every dtype, shape and place against the file's size
            except safetensors.SafetensorError as error:
                raise WeightFileError(f"{path}: {diagnosis(self.path, start)} ({error})") from error
            file.seek(8)
            header: dict[str, Any] = json.loads(file.read(length))
        self.metadata: dict[str, str] = header.pop("__metadata__", None) or {}
        self.shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
        self.codes = {name: str(entry["dtype"]) for name, entry in header.items()}
        self._places = {name: entry["data_offsets"] for name, entry in header.items()}
        self._begin = 8 + length

    def __getitem__(self, name: str) -> Array:
        start, end = self._places[name]
        with open(self.path, "rb") as file:
            file.seek(self._begin + start)
            data = file.read(end - start)
        try:
            return decode_tensor(name, {"dtype": self.codes[name], "shape": self.shapes[name], "data": data})
        except ValueError as error:
            raise WeightFileError(f"{self.path}: {error}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def dtype_name(code: str) -> str:
    """The usual name of a safetensors dtype, "bfloat16" for "BF16"; a name that is usual already stays."""
    if code != code.upper():
        return code
    if code == "BF16":
        return "bfloat16"
    kind = {"F": "float", "I": "int", "U": "uint"}.get(code[:1], "")
    return f"{kind}{code[1:]}" if kind and code[1:].isdigit() else code.lower()
