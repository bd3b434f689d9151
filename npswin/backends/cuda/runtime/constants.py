"""Small arrays of constants: computed on the CPU, copied to a GPU when they are first used there, and cached."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from npswin.devices import cupy, to_gpu


class Constants(list[Any]):
    """Those that a recording reads.

    Attributes:
        are_complete: whether recording has begun, during which no constant can be copied.
    """

    are_complete = False


_recordings: list[Constants] = []


@lru_cache(maxsize=512)
def _cached(gpu: int, make: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    if any(recording.are_complete for recording in _recordings):
        raise RuntimeError(f"{make.__name__} of {args} is first used in the middle of a recording")
    return to_gpu(make(*args))


def constant(make: Callable[..., Any], *args: Any) -> Any:
    """What a function returns for these arguments, on the current GPU.

    Args:
        make: returns an array of NumPy's; the same one for the same arguments.
        *args: what can be a key of a dictionary.

    Raises:
        RuntimeError: it would have to be copied while a CUDA graph is recorded.
    """
    found = _cached(cupy().cuda.runtime.getDevice(), make, args)
    for recording in _recordings:
        recording.append(found)
    return found


@contextmanager
def collect_constants() -> Iterator[Constants]:
    """Within this context, the constants that are used are collected in a list.

    A CUDA graph reads them at their addresses, so its owner has to keep a reference to each.
    """
    recording = Constants()
    _recordings.append(recording)
    try:
        yield recording
    finally:
        _recordings[:] = [other for other in _recordings if other is not recording]
