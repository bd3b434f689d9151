"""Memory that is used again: where arrays live that go from one word to another.

Fresh memory costs a page fault every 4 kB, a tenth of a training step. A step asks for the same blocks as the one
before and gives all of them back, so they are cut out of a region that is kept: the first free range that is large
enough, and ranges that are given back grow together with their free neighbours. What a region has never handed out
takes no memory, so it can be large from the start.
"""

import math
import mmap
import threading
from bisect import bisect_left
from typing import Any

import numpy as np

from npswin.types import Array

SMALLEST = 1 << 16  # bytes; the C library does well with smaller blocks
_REGION = 1 << 28  # bytes of a region, which is larger where a block is
# Blocks begin at a line of the caches, and no two neighbours at the same place of a page: such ones, read side by side,
# would compete for the same few places in the first cache.
_PAGE, _STAGGER = 4096, 832


class _Region:
    """A piece of address space, and the ranges of it that are free, by address."""

    def __init__(self, size: int) -> None:
        memory = mmap.mmap(-1, size)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)  # fewer pages to look up
        self.bytes = np.frombuffer(memory, np.uint8)
        self.starts, self.sizes = [0], [size]

    def take(self, size: int) -> int | None:
        """The start of `size` bytes that were free, if there are so many in one piece."""
        for place, free in enumerate(self.sizes):
            if free >= size:
                start = self.starts[place]
                if free == size:
                    del self.starts[place], self.sizes[place]
                else:
                    self.starts[place], self.sizes[place] = start + size, free - size
                return start
        return None

    def give(self, start: int, size: int) -> None:
        """Take back what `take` handed out."""
        place = bisect_left(self.starts, start)
        if place < len(self.starts) and start + size == self.starts[place]:
            size += self.sizes[place]
            del self.starts[place], self.sizes[place]
        if place and self.starts[place - 1] + self.sizes[place - 1] == start:
            self.sizes[place - 1] += size
        else:
            self.starts.insert(place, start)
            self.sizes.insert(place, size)


_regions: list[_Region] = []
_lock = threading.RLock()  # which a thread may hold already: a garbage collection can come in between


def _take(size: int) -> tuple[_Region, int]:
    for region in _regions:
        start = region.take(size)
        if start is not None:
            return region, start
    region = _Region(max(_REGION, size))
    _regions.append(region)
    return region, region.take(size) or 0


class Lease:
    """A block while an array, or a view of it, lives there: the array's `base` keeps this object alive.

    Args:
        size: bytes.
    """

    def __init__(self, size: int) -> None:
        self.size = -(-size // _PAGE) * _PAGE + _STAGGER
        with _lock:
            self.region, self.start = _take(self.size)
        self.__array_interface__: dict[str, Any] = self.region.bytes[self.start :][:size].__array_interface__

    def __del__(self) -> None:
        with _lock:
            self.region.give(self.start, self.size)


def empty(shape: int | tuple[int, ...], dtype: Any) -> Array:
    """`numpy.empty`, out of memory that was used before where there is some."""
    size = (shape if isinstance(shape, int) else math.prod(shape)) * np.dtype(dtype).itemsize
    return np.empty(shape, dtype) if size < SMALLEST else np.asarray(Lease(size)).view(dtype).reshape(shape)
