"""Reads PyTorch's files, which are pickles, by PyTorch's own restricted reader: no code of the file is run.

`torch.load(..., weights_only=True)` makes tensors, numbers, text, lists and dictionaries, and refuses every other class
or function that a file names. Many files name harmless ones beside the weights: the settings of a training run
(CfgNode, Namespace), a scheduler, a logger's buffers. Each of those is replaced by an empty `Ignored`, so that
neither its code is imported nor its function called.
"""

import contextlib
import io
import itertools
import os
import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from npswin.files import open_regular, shortened, shown_path
from npswin.types import Array
from npswin.weights.file_kinds import PICKLE
from npswin.weights.files import WeightFileError
from npswin.weights.plain_pickle import as_pytorch_file
from npswin.weights.reading import CountingFile, Progress

INSTALL = "pip install 'npswin[convert]'"
LOWEST_VERSION = (2, 6)  # before it, weights_only=True could be made to run code
MOST_IGNORED = 100  # classes that are replaced in a file

_REFUSED = re.compile(r"Unsupported global: GLOBAL (\S+) was not an allowed global")
_WRONG_KIND = re.compile(
    r"Can only (SETITEMS?|append|extend) .*but got <class '(?:npswin\.weights\.pytorch_file\.)?([^']+)'>"
)
_NUMBERS = itertools.count()
_CUT_SHORT = ("central directory", "EOF", "Ran out of input", "unexpected pos", "truncated", "unpack requires a buffer")
_BLOCKED = re.compile(r"unsupported GLOBAL (\S+) whose module \S+ is blocked")


class Ignored:
    """Stands for an object of another class than those of tensors; of what it is made, its attributes are kept.

    Attributes:
        state: the object's attributes by name, where the file has them.
    """

    state: Any = None

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class IgnoredDict(Ignored):
    """For a kind of dictionary: the reader puts items into a true one only."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return OrderedDict()


class IgnoredList(Ignored):
    """For a kind of list."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return []


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
    stand_ins: dict[str, Any] = {name: _stand_in(Ignored) for name in _other_classes(torch, path)}
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
            if len(stand_ins) >= MOST_IGNORED or not _stand_in_for(str(error), stand_ins):
                raise WeightFileError(f"{shown_path(path)}: {_refusal(path, error)}") from error


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
        yield as_pytorch_file(counted.read(), path) if kind == PICKLE else counted


def _stand_in_for(message: str, stand_ins: dict[str, Any]) -> bool:
    """Add or change a stand-in for what the safe reader's message is about; whether that was possible."""
    if (refused := _REFUSED.search(message)) and refused[1] not in stand_ins:
        stand_ins[refused[1]] = _stand_in(Ignored)
        return True
    if wrong := _WRONG_KIND.search(message):
        for name, stand_in in stand_ins.items():
            if stand_in.__qualname__ == wrong[2] and stand_in.__base__ is Ignored:
                stand_ins[name] = _stand_in(IgnoredDict if wrong[1].startswith("SETITEM") else IgnoredList)
                return True
    return False


def _stand_in(kind: type[Ignored]) -> Any:
    """A class of its own for each class of the file, so that the reader's message shows which one it is about."""
    number = next(_NUMBERS)
    return type(f"Ignored{number}", (kind,), {"__qualname__": f"Ignored{number}"})


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
        *[(stand_in, name) for name, stand_in in stand_ins.items()],
        *[(stand_in, f"builtins.{name}") for name, stand_in in stand_ins.items() if "." not in name],
    ]
    with torch.serialization.safe_globals(named):
        yield


_STORAGE = "torch.storage._load_from_bytes"


def _encoded(text: str, encoding: str = "utf-8") -> bytes:
    """Bytes, which old pickles hold as text in latin1."""
    if encoding not in ("latin1", "utf-8"):
        raise ValueError(f"bytes as text in {shortened(encoding)}")
    return text.encode(encoding)


def _refusal(path: Path, error: Exception) -> str:
    """Why PyTorch does not read a file, and what can be done safely."""
    text = str(error)
    if blocked := _BLOCKED.search(text):
        return (
            f"names {shortened(blocked[1])}, which no file of weights needs: it would run a program on this computer. "
            "Delete it, and take the weights from another place"
        )
    if "TorchScript" in text:
        return (
            "a TorchScript program, with its weights in it. If you trust who made it, since it is a program, two lines "
            "take the weights out:\n\n"
            f"    import torch; from safetensors.torch import save_file\n"
            f"    s = torch.jit.load({str(path)!r}, map_location='cpu').state_dict(); "
            f"save_file({{k: v.contiguous() for k, v in s.items()}}, {str(path.with_suffix('.safetensors'))!r})\n\n"
        )
    if any(words in text for words in _CUT_SHORT):
        return f"cut short or damaged, PyTorch cannot read it: download it again ({_reason(text)})"
    return (
        f"PyTorch's safe reader does not read it ({_reason(text) or type(error).__name__}). A pickle "
        "can run any code, so only if you trust who made it, two lines write a file that holds nothing but tensors:\n\n"
        "    import torch; s = torch.load("
        f"{str(path)!r}, map_location='cpu', weights_only=False); s = s.get('model', s.get('state_dict', s))\n"
        "    from safetensors.torch import save_file; "
        f"save_file({{k: v.contiguous() for k, v in s.items()}}, {str(path.with_suffix('.safetensors'))!r})\n\n"
    )


def _reason(text: str) -> str:
    """The line of PyTorch's message that has the reason; the others are advice."""
    found = re.search(r"WeightsUnpickler error: (.+)", text)
    return shortened(found[1] if found else text.strip().split("\n")[0])
