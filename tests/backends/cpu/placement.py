"""Where NumPy's arrays are in memory, decided by a test."""

import math
from contextlib import ExitStack, contextmanager
from unittest import mock

import numpy as np

from npswin.backends.cpu.machine import memory

_LINE = 64
_SIZE = 1 << 28  # bytes; pages that are not touched take no memory


@contextmanager
def arrays_apart(gap, descending=False):
    """`np.empty`, `zeros`, `ones`, `full` and the backend's pool put arrays one after another, so many bytes apart.

    Args:
        gap: bytes between two arrays, a multiple of 64.
        descending: each before the one that was made before it.

    Yields:
        a function that copies an array to there.
    """
    arena, end = np.zeros(_SIZE, np.uint8), 0

    def place(shape, dtype=float, order="C"):
        nonlocal end
        size = -(-math.prod(np.atleast_1d(shape)) * np.dtype(dtype).itemsize // _LINE) * _LINE
        start = _SIZE - end - size if descending else end
        end += size + gap
        assert end <= _SIZE
        return np.ndarray(shape, dtype, arena, start, order=order)

    def full(shape, fill, dtype=None):
        array = place(shape, np.asarray(fill).dtype if dtype is None else dtype)
        array[...] = fill
        return array

    patches = {
        "empty": place,
        "zeros": lambda shape, dtype=float: full(shape, 0, dtype),
        "ones": lambda shape, dtype=float: full(shape, 1, dtype),
        "full": full,
    }
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(memory, "SMALLEST", _SIZE))
        for name, function in patches.items():
            stack.enter_context(mock.patch.object(np, name, function))
        yield lambda array: full(array.shape, array, array.dtype)


def moved(value, copy):
    """An argument with its arrays copied by a function, in lists and dictionaries too."""
    if isinstance(value, np.ndarray):
        return copy(value)
    if isinstance(value, list):
        return [moved(item, copy) for item in value]
    if isinstance(value, dict):
        return {name: moved(item, copy) for name, item in value.items()}
    return value
