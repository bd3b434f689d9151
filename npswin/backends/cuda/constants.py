"""Small arrays of constants: computed on the CPU, copied to a GPU when they are first needed there, and kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from npswin.devices import cupy, to_gpu

_recordings: list[list[Any]] = []


@lru_cache(maxsize=512)
def _kept(gpu: int, make: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return to_gpu(make(*args))


def constant(make: Callable[..., Any], *args: Any) -> Any:
    """What a function returns for these arguments, on the current GPU.

    Args:
        make: returns an array of NumPy's; the same one for the same arguments.
        *args: what can be a key of a dictionary.
    """
    found = _kept(cupy().cuda.runtime.getDevice(), make, args)
    for recording in _recordings:
        recording.append(found)
    return found


@contextmanager
def kept_for_recording() -> Iterator[list[Any]]:
    """Within this context, the constants that are asked for come into a list.

    A CUDA graph reads them wherever they were; whoever has the graph has to keep them from being forgotten.
    """
    recording: list[Any] = []
    _recordings.append(recording)
    try:
        yield recording
    finally:
        _recordings.remove(recording)
