"""Working memory of kernels, which is kept from call to call."""

from typing import Any

import numpy as np

from npswin.types import Array

LINE = 64  # bytes of a line of the caches; the memory begins with a line


class WorkingMemory:
    """An array for each dtype; fresh memory for each call would cost a page fault every 4 kB.

    Attributes:
        arrays: by dtype, of the largest size that was taken.
    """

    def __init__(self) -> None:
        self.arrays: dict[Any, Array] = {}

    def take(self, size: int, dtype: Any) -> Array:
        """At least so many elements, with any content."""
        array = self.arrays.get(dtype)
        if array is None or len(array) < size:
            raw = np.zeros(size + LINE, dtype)
            first = -raw.ctypes.data % LINE // raw.itemsize
            array = self.arrays[dtype] = raw[first : first + size]
        return array
