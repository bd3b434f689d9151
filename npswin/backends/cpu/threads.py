"""A kernel's work, shared among threads.

A kernel lets go of Python's lock while it runs, so ordinary Python threads are all it takes. Unlike Numba's own
threading layers they do not spin while they wait, may be used from several threads at once, and behave the same on
every platform.

The work is cut into as many contiguous parts as there are threads, before it starts: the same number of threads gives
the same sums, to the bit.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

from npswin.types import Array

_thread_count = numba.config.NUMBA_NUM_THREADS
_own = threading.local()
_pool: ThreadPoolExecutor | None = None


def _forget_pool() -> None:
    """A fork takes the pool along, but not its threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def set_thread_count(count: int) -> None:
    """How many threads a kernel uses from now on; NUMBA_NUM_THREADS, or all cores, at first."""
    global _thread_count, _pool
    if count != _thread_count:
        _thread_count = count
        _forget_pool()


def thread_count() -> int:
    """How many threads a kernel uses."""
    return _thread_count


def _scratch(size: int, dtype: Any) -> Array:
    """The calling thread's working memory: fresh memory for each call would cost a page fault every 4 kB."""
    arrays = _own.__dict__
    name = np.dtype(dtype).name
    if name not in arrays or len(arrays[name]) < size:
        raw = np.zeros(size + 64, dtype)
        first = -raw.ctypes.data % 64 // raw.itemsize
        arrays[name] = raw[first : first + size]
    return arrays[name]


def _part(kernel: Callable[..., None], first: int, stop: int, part: int, size: int, dtype: Any, args: Any) -> None:
    kernel(first, stop, part, _scratch(size, dtype), *args)


def run_parallel(kernel: Callable[..., None], count: int, scratch_size: int, dtype: Any, *args: Any) -> None:
    """kernel(first, stop, part, scratch, *args) for consecutive parts of range(count).

    Args:
        kernel: writes its results into arrays among `args`.
        count: pieces of work.
        scratch_size: numbers of working memory that a thread needs.
        dtype: of the working memory.
        *args: passed on.
    """
    global _pool
    parts = min(_thread_count, count)
    if parts <= 1:
        _part(kernel, 0, count, 0, scratch_size, dtype, args)
        return
    if _pool is None:
        _pool = ThreadPoolExecutor(_thread_count, "npswin")
    bounds = [count * part // parts for part in range(parts + 1)]
    others = [
        _pool.submit(_part, kernel, bounds[part], bounds[part + 1], part, scratch_size, dtype, args)
        for part in range(1, parts)
    ]
    try:
        _part(kernel, 0, bounds[1], 0, scratch_size, dtype, args)
    finally:
        for other in others:
            other.result()
