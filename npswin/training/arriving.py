"""Numbers on their way from a GPU."""

from collections import deque
from typing import Any

import numpy as np

from npswin.devices import cupy
from npswin.training.feed import pinned

_under_way: deque[tuple[Any, Any]] = deque()  # memory is not given back while the GPU may write to it


class Arriving:
    """A number that the GPU will have computed, and sends when it has.

    `float()` waits for that, but not for what the GPU is asked for afterwards: reading the array itself would.

    Args:
        array: without axes, on the GPU.
    """

    def __init__(self, array: Any) -> None:
        self._array, self._here = array, pinned((), array.dtype)
        array.get(out=self._here, blocking=False)
        self._sent = cupy().cuda.Event(disable_timing=True)
        self._sent.record(cupy().cuda.get_current_stream())
        _under_way.append((self._sent, self._here))
        while _under_way and _under_way[0][0].done:
            _under_way.popleft()

    def __float__(self) -> float:
        self._sent.synchronize()
        return float(np.float64(self._here))
