"""Reads PyTorch's files, which are pickles, by PyTorch's own restricted reader: no code of the file is run.

`torch.load(..., weights_only=True)` makes tensors, numbers, text, lists and dictionaries, and refuses every other class
or function that a file names. Many files name harmless ones beside the weights: the settings of a training run
(CfgNode, Namespace), a scheduler, a logger's buffers. Each of those is replaced by an empty `Ignored`, so that
neither its code is imported nor its function called.
"""

import contextlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from npswin.files import open_regular, shortened, shown_path
from npswin.types import Array
from npswin.weights.file_kinds import PICKLE
from npswin.weights.files import WeightFileError
from npswin.weights.plain_pickle import as_pytorch_file
from npswin.weights.pytorch_refusals import describe_refusal
from npswin.weights.reading import CountingFile, Progress
from npswin.weights.stand_ins import add_stand_in, stand_in

INSTALL = "pip install 'npswin[convert]'"
LOWEST_VERSION = (2, 6)  # before it, weights_only=True could be made to run code
MOST_IGNORED = 100  # classes that are replaced in a file


def read_pytorch_file(path: Path, kind: str, progress: Progress) -> tuple[Any, list[str]]:
    """What a PyTorch file holds, with tensors of PyTorch or NumPy in it, and the classes that were replaced.

    Args:
        path: of the file.
        kind: PYTORCH, or PICKLE for one that `pickle.dump` wrote, as for detectron2.
        progress: told how many bytes are read.

    Raises:
        WeightFileError: PyTorch is missing or too old, or it refuses the file.
    """
    torch = _import_torch(path)
    stand_ins: dict[str, Any] = {name: stand_in() for name in _other_classes(torch, path)}
    while True:
        try:
            with _opened(path, kind, progress) as source, _allowed(torch, stand_ins), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return torch.load(source, map_location="cpu", weights_only=True), list(stand_ins)
        except WeightFileError:
            raise
        except MemoryError as error:
            raise WeightFileError(f"{shown_path(path)}: too little memory to read it") from error
        except Exception as error:  # torch raises what pickle, zipfile and C++ raise
            if len(stand_ins) >= MOST_IGNORED or not add_stand_in(str(error), stand_ins):
                raise WeightFileError(f"{shown_path(path)}: {describe_refusal(path, kind, error)}") from error


def _other_classes(torch: Any, path: Path) -> list[str]:
    """The classes that a file names and the safe reader refuses, as far as PyTorch lists them: of zip files."""
    try:
        with _allowed(torch, {}):
            return list(torch.serialization.get_unsafe_globals_in_checkpoint(path))[:MOST_IGNORED]
    except Exception:  # whatever is wrong with the file is told when it is read
        return []


@contextlib.contextmanager
def _opened(path: Path, kind: str, progress: Progress) -> Iterator[Any]:
    with open_regular(path, WeightFileError) as file:
        counted = CountingFile(file, os.fstat(file.fileno()).st_size, progress)
        if kind != PICKLE:
            yield counted
            return
        data = as_pytorch_file(counted.read(), path, progress)
    yield CountingFile(io.BytesIO(data), len(data), progress)


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of PyTorch or an array of NumPy, with numbers."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiub"
    return hasattr(value, "detach") and hasattr(value, "untyped_storage") and not value.is_complex()


def to_numpy(tensor: Any) -> Array:
    """A tensor's numbers; bfloat16 and other types that NumPy lacks as float32, which holds them exactly."""
    if isinstance(tensor, np.ndarray):
        return tensor
    dense = tensor.detach().cpu()
    dense = dense.dequantize() if dense.is_quantized else dense.to_dense() if dense.is_sparse else dense
    try:
        return dense.resolve_neg().numpy()
    except TypeError:
        return dense.float().numpy()


def _import_torch(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise WeightFileError(
            f"{shown_path(path)}: PyTorch reads its own files, and is not installed: {INSTALL} installs it"
        ) from error
    version = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if version < LOWEST_VERSION:
        wanted = ".".join(map(str, LOWEST_VERSION))
        raise WeightFileError(
            f"{shown_path(path)}: PyTorch {torch.__version__} is installed, and before {wanted} a file could run code "
            f"as it is read: {INSTALL} installs a newer one"
        )
    return torch


@contextlib.contextmanager
def _allowed(torch: Any, stand_ins: dict[str, Any]) -> Iterator[None]:
    """Let the reader make NumPy's arrays and storages, and replace other classes."""
    types = {type(np.dtype(code)) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")}
    makers: tuple[Any, ...] = (
        np.zeros(1).__reduce__()[0],
        np.float32(0).__reduce__()[0],
        np.zeros(1).__reduce_ex__(5)[0],
    )
    named = [
        (np.ndarray, "numpy.ndarray"),
        (np.dtype, "numpy.dtype"),
        *[(one, f"{one.__module__}.{one.__qualname__}") for one in types],
        *[
            (one, f"numpy.{core}.{one.__module__.rpartition('.')[2]}.{one.__name__}")
            for one in makers
            for core in ("core", "_core")  # before NumPy 2, and since
        ],
        (_encoded, "_codecs.encode"),
        (lambda data: torch.load(io.BytesIO(data), map_location="cpu", weights_only=True), _STORAGE),
        *[(one, name) for name, one in stand_ins.items()],
        *[(one, f"builtins.{name}") for name, one in stand_ins.items() if "." not in name],
    ]
    with torch.serialization.safe_globals(named):
        yield


_STORAGE = "torch.storage._load_from_bytes"


def _encoded(text: str, encoding: str = "utf-8") -> bytes:
    """Bytes, which old pickles hold as text in latin1."""
    if encoding not in ("latin1", "utf-8"):
        raise ValueError(f"bytes as text in {shortened(encoding)}")
    return text.encode(encoding)
