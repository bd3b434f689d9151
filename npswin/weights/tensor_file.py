"""A safetensors file from which single tensors are read, without reading the whole file."""

import json
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from npswin.deprecation import renamed_attribute
from npswin.types import Array
from npswin.weights.files import WeightFileError, decode_tensor, describe_bad_file

MAX_HEADER_BYTES = 16 * 2**20  # a model of a thousand layers needs less than one mebibyte


class TensorFile(Mapping[str, Array]):
    """The tensors of a safetensors file by name, each read from the file on access.

    Args:
        path: the file. It must not change while the object is used.

    Attributes:
        shapes: of each tensor.
        dtype_codes: the format's name of each tensor's dtype, such as "BF16".
        metadata: text by name.

    Raises:
        WeightFileError: it is not safetensors, is cut short or damaged, or its header has more than 16 MiB; on access,
            the tensor has a dtype that NumPy lacks.
        OSError: it cannot be read.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        import safetensors

        self.path = Path(path)
        with open(self.path, "rb") as file:
            start = file.read(9)
            length = int.from_bytes(start[:8], "little")
            if len(start) == 9 and start[8:] == b"{" and length > MAX_HEADER_BYTES:
                raise WeightFileError(
                    f"{path}: its header claims {length} bytes, expected at most {MAX_HEADER_BYTES}: damaged or hostile"
                )
            try:
                with safetensors.safe_open(self.path, framework="numpy"):
                    pass  # checks all dtypes, shapes and offsets against the file's size
            except safetensors.SafetensorError as error:
                raise WeightFileError(f"{path}: {describe_bad_file(self.path, start)} ({error})") from error
            file.seek(8)
            header: dict[str, Any] = json.loads(file.read(length))
        self.metadata: dict[str, str] = header.pop("__metadata__", None) or {}
        self.shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
        self.dtype_codes = {name: str(entry["dtype"]) for name, entry in header.items()}
        self._offsets = {name: entry["data_offsets"] for name, entry in header.items()}
        self._data_start = 8 + length

    codes = renamed_attribute("codes", "dtype_codes")

    def __getitem__(self, name: str) -> Array:
        start, end = self._offsets[name]
        with open(self.path, "rb") as file:
            file.seek(self._data_start + start)
            data = file.read(end - start)
        try:
            return decode_tensor(name, {"dtype": self.dtype_codes[name], "shape": self.shapes[name], "data": data})
        except ValueError as error:
            raise WeightFileError(f"{self.path}: {error}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def dtype_name(code: str) -> str:
    """NumPy's name of a safetensors dtype, "bfloat16" for "BF16"; NumPy's own names stay unchanged."""
    if code != code.upper():
        return code
    if code == "BF16":
        return "bfloat16"
    kind = {"F": "float", "I": "int", "U": "uint"}.get(code[:1], "")
    return f"{kind}{code[1:]}" if kind and code[1:].isdigit() else code.lower()
