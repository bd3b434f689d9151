"""A kernel's work, shared among threads.

A kernel lets go of Python's lock while it runs, so ordinary Python threads are all it takes. Unlike the threading
layers of compilers they do not spin while they wait, may be used from several threads at once, and behave the
same on every platform. A queue wakes them in some ten microseconds; `concurrent.futures` takes forty.

The work is cut into as many contiguous parts as there are threads, before it starts: the same number of threads gives
the same sums, to the bit.
"""

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numba
import numpy as np

from npswin.types import Array

_thread_count: int = numba.config.NUMBA_NUM_THREADS
_own = threading.local()
_jobs: SimpleQueue[Any] = SimpleQueue()
_workers = 0


def _forget_workers() -> None:
    """A fork takes the queue along, but not the threads."""
    global _jobs, _workers
    _jobs, _workers = SimpleQueue(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def set_thread_count(count: int) -> None:
    """How many threads a kernel uses from now on; NUMBA_NUM_THREADS, or all cores, at first."""
    global _thread_count
    _thread_count = count


def thread_count() -> int:
    """How many threads a kernel uses."""
    return _thread_count


def _work(jobs: "SimpleQueue[Any]") -> None:
    while True:
        done, kernel, *rest = jobs.get()
        try:
            _run_part(kernel, *rest)
        except BaseException as error:
            done.put(error)
        else:
            done.put(None)
        del kernel, rest  # they hold the caller's arrays


def _scratch(size: int, dtype: Any) -> Array:
    """The calling thread's working memory: fresh memory for each call would cost a page fault every 4 kB."""
    kept = _own.__dict__.get(dtype)
    if kept is None or len(kept) < size:
        raw = np.zeros(size + 64, dtype)
        first = -raw.ctypes.data % 64 // raw.itemsize
        kept = _own.__dict__[dtype] = raw[first : first + size]
    return kept


def _run_part(
    kernel: Callable[..., None], first: int, stop: int, part: int, size: int, dtype: Any, args: tuple[Any, ...]
) -> None:
    kernel(first, stop, part, _scratch(size, dtype), *args)


def run_parallel(kernel: Callable[..., None], count: int, scratch_size: int, dtype: Any, *args: Any) -> None:
    """kernel(first, stop, part, scratch, *args) for consecutive parts of range(count), one a thread.

    Args:
        kernel: writes its results into arrays among `args`.
        count: pieces of work.
        scratch_size: numbers of working memory that a thread needs.
        dtype: of the working memory.
        *args: passed on.
    """
    global _workers
    if count == 0:
        return
    parts = min(_thread_count, count)
    while _workers < parts - 1:
        threading.Thread(target=_work, args=(_jobs,), name="npswin", daemon=True).start()
        _workers += 1
    done: SimpleQueue[Any] = SimpleQueue()
    for part in range(1, parts):
        first, stop = count * part // parts, count * (part + 1) // parts
        _jobs.put((done, kernel, first, stop, part, scratch_size, dtype, args))
    try:
        _run_part(kernel, 0, count // parts, 0, scratch_size, dtype, args)
    finally:
        errors = [done.get() for _ in range(1, parts)]
    for error in errors:
        if error is not None:
            raise error
