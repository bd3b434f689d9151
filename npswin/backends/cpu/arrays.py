"""Arrays as kernels take them, and the memory for those that live from one word to another."""

import threading
from typing import Any

import numpy as np

from npswin.types import Array


class _Writable:
    """A read-only array's memory without the mark: a kernel is compiled once for each type of array, mark included."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def flat(array: Array) -> Array:
    """One axis, contiguous, as kernels take it; a copy only where it has to be. For what is only read."""
    row = np.require(array, requirements=("C", "A")).reshape(-1)
    return row if row.flags.writeable else np.asarray(_Writable(row))


def flat_or(array: Array | None, length: int, like: Array, fill: float = 0.0) -> Array:
    """`flat(array)`, or `length` times the same number where there is no array."""
    return np.full(length, fill, like.dtype) if array is None else flat(array)


def flat_or_none(array: Array | None, like: Array) -> Array:
    """`flat(array)`, or an empty array where there is none: kernels know by its size."""
    return flat_or(array, 0, like)


class _Memory:
    """Blocks of memory that were used and are free again.

    Fresh memory costs a page fault every 4 kB, a tenth of a training step of a small model. A free block is used again
    for anything of at least five sixths of its size. Free blocks are let go, oldest first, where they and the memory in
    use would together exceed what was once in use at a time.
    """

    SMALLEST = 1 << 16  # bytes; the C library keeps smaller ones itself

    def __init__(self) -> None:
        self.free: list[Array] = []
        self.used = self.most_used = 0
        self.lock = threading.RLock()

    def take(self, size: int) -> Array:
        with self.lock:
            fitting = [place for place, block in enumerate(self.free) if size <= block.size <= 1.2 * size]
            if fitting:
                block = self.free.pop(min(fitting, key=lambda place: self.free[place].size))
            else:
                while self.free and self.used + sum(block.size for block in self.free) + size > self.most_used:
                    del self.free[0]
                block = np.empty(size, np.uint8)
            self.used += block.size
            self.most_used = max(self.most_used, self.used)
        return block

    def give(self, block: Array) -> None:
        with self.lock:  # which this thread may hold already: a garbage collection can come in between
            self.used -= block.size
            self.free.append(block)


_memory = _Memory()


class _Lease:
    """A block while an array, or a view of it, lives there: the array's `base` keeps this object alive."""

    def __init__(self, size: int) -> None:
        self.block = _memory.take(size)
        self.__array_interface__ = self.block.__array_interface__

    def __del__(self) -> None:
        _memory.give(self.block)


def empty(shape: int | tuple[int, ...], dtype: Any) -> Array:
    """`numpy.empty`, out of memory that was used before where there is some."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size < _Memory.SMALLEST:
        return np.empty(shape, dtype)
    return np.asarray(_Lease(size))[:size].view(dtype).reshape(shape)
