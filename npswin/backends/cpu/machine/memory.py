"""A memory pool for the arrays that are passed between ops.

Fresh memory costs a page fault every 4 kB, a tenth of a training step. A step asks for the same blocks as the one
before and gives all of them back, so they are cut out of a region that is kept: the first free range that is large
enough, and ranges that are given back grow together with their free neighbours. Pages of the
region that were never used take no memory, so it can be large from the start.
"""

import math
import mmap
import os
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from npswin.types import Array

SMALLEST = 1 << 16  # bytes; the C library does well with smaller blocks
_REGION = 1 << 28  # bytes of a region, which is larger where a block is
# Blocks begin at a line of the caches, and no two neighbours at the same place of a page: such ones, read side by side,
# would compete for the same few places in the L1 cache.
_PAGE, _STAGGER = 4096, 832


def _map(size: int) -> mmap.mmap:
    """Zeros that belong to this process alone: a forked one has its own copy."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a system without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)  # fewer pages to look up
    return memory


class _Region:
    """A piece of address space, and the ranges of it that are free: (start, size), by address."""

    def __init__(self, size: int) -> None:
        self.bytes = np.frombuffer(_map(size), np.uint8)
        self.free = [(0, size)]

    def take(self, size: int) -> int | None:
        """The start of `size` bytes that were free, if there are so many in one piece."""
        for place, (start, free) in enumerate(self.free):
            if free >= size:
                self.free[place : place + 1] = [(start + size, free - size)] if free > size else []
                return start
        return None

    def give(self, start: int, size: int) -> None:
        """Take back what `take` handed out."""
        first = last = bisect_left(self.free, (start, 0))
        if last < len(self.free) and start + size == self.free[last][0]:
            size += self.free[last][1]
            last += 1
        if first and sum(self.free[first - 1]) == start:
            first -= 1
            start, size = self.free[first][0], self.free[first][1] + size
        self.free[first:last] = [(start, size)]


class Pool:
    """Blocks that are handed out and given back.

    Args:
        smallest: bytes of the smallest block that is worth handing out.
    """

    def __init__(self, smallest: int) -> None:
        self.smallest = smallest
        self.regions: list[_Region] = []
        self.lock = threading.Lock()
        # Blocks of leases that ended, given back at the next `take`. `__del__` may run anywhere, within `take` too, so
        # it takes no lock.
        self.returned: deque[tuple[_Region, int, int]] = deque()

    def take(self, size: int) -> tuple[_Region, int]:
        """A region, and where in it the block starts.

        Raises:
            OSError: there is no memory left.
        """
        with self.lock:
            while self.returned:
                region, start, length = self.returned.popleft()
                region.give(start, length)
            for region in self.regions:
                found = region.take(size)
                if found is not None:
                    return region, found
            # too small, and idle
            self.regions = [region for region in self.regions if region.free != [(0, region.bytes.size)]]
            region = _Region(max(_REGION, size))
            self.regions.append(region)
            return region, region.take(size) or 0

    def part(self, address: int, size: int) -> Array | None:
        """The bytes at this address, if they are in one of the regions."""
        for region in self.regions:
            start = address - region.bytes.__array_interface__["data"][0]
            if 0 <= start <= region.bytes.size - size:
                return region.bytes[start : start + size]
        return None


_shared = Pool(SMALLEST)


class _ThreadLocal(threading.local):
    """The pool that this thread takes blocks from."""

    pool = _shared


_local = _ThreadLocal()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_shared.lock.acquire, after_in_parent=_shared.lock.release, after_in_child=_shared.lock.release
    )


class Lease:
    """A block while an array, or a view of it, lives there: the array's `base` keeps this object alive.

    Args:
        pool: whose block.
        size: bytes.

    Raises:
        OSError: there is no memory left.
    """

    def __init__(self, pool: Pool, size: int) -> None:
        self.pool, self.size = pool, -(-size // _PAGE) * _PAGE + _STAGGER
        self.region, self.start = pool.take(self.size)
        self.__array_interface__: dict[str, Any] = self.region.bytes[self.start :][:size].__array_interface__

    def __del__(self) -> None:
        if hasattr(self, "start"):
            self.pool.returned.append((self.region, self.start, self.size))


@contextmanager
def use_pool(pool: Pool) -> Iterator[None]:
    """Within the block, this thread takes its memory from another pool."""
    before, _local.pool = _local.pool, pool
    try:
        yield
    finally:
        _local.pool = before


def pooled_empty(shape: int | tuple[int, ...], dtype: Any) -> Array:
    """`numpy.empty`, out of memory that was used before where there is some."""
    size = (shape if isinstance(shape, int) else math.prod(shape)) * np.dtype(dtype).itemsize
    pool = _local.pool
    if size >= pool.smallest:
        with suppress(OSError):  # then NumPy's own memory, or its error
            return np.asarray(Lease(pool, size)).view(dtype).reshape(shape)
    return np.empty(shape, dtype)


def pooled_zeros(shape: int | tuple[int, ...], dtype: Any) -> Array:
    """`numpy.zeros`, out of memory that was used before where there is some."""
    array = pooled_empty(shape, dtype)
    array.fill(0)
    return array
