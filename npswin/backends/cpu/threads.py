"""A kernel's work, shared among threads.

A kernel lets go of Python's lock while it runs, so ordinary Python threads are all it takes. They watch for a tenth of
a millisecond for the next job, see `npswin.backends.cpu.jobs`; after that they sleep, and it takes some thirty
microseconds to wake them. A thread that finds the others busy with another thread's job does its own alone.

The work is cut into contiguous parts before it starts, a few for each thread: the same number of threads gives the same
sums, to the bit, whoever computes them.
"""

import os
import threading
from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import numba
import numpy as np
from numba._dispatcher import compute_fingerprint  # of the types of values, in a fraction of a microsecond

from npswin.backends.cpu.host import round_up
from npswin.backends.cpu.jobs import BUSY, COMING, JOB, launch, make_board, serve
from npswin.types import Array

PARTS_EACH = 4  # parts for each thread, so that one whose core is slow leaves some to the others
_WATCHING_SPINS = 4000
_LINE = 64  # bytes of a line of the caches

_thread_count: int = numba.config.NUMBA_NUM_THREADS
_addresses: dict[Any, int] = {}


class _Team:
    """Threads that work for whoever has a job on their board.

    Args:
        size: how many, with the one that holds it.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.board = make_board(size * PARTS_EACH, size)
        self.started = 1
        self.ended = False
        self.owners: dict[int, int] = {}  # which thread has a number
        self.sleeping: deque[SimpleQueue[None]] = deque()

    def call(self, count: int) -> None:
        """Have so many threads watch the board, or on their way to it, if so many can be had.

        The job is announced first. A thread that is about to fall asleep and is not yet among the sleeping sees that.
        """
        self.board[COMING] = self.board[JOB] + 1
        with suppress(RuntimeError):  # the system gives no more threads: those that are there do the work
            while self.started < count:  # an interrupt may come between the two lines: see `_work`
                threading.Thread(target=self._work, args=(self.started,), name="npswin", daemon=True).start()
                self.started += 1
        watching = self.started - 1 - len(self.sleeping)
        with suppress(IndexError, ValueError):  # another thread has just rung them
            for _ in range(min(count - 1 - watching, len(self.sleeping))):
                bell = self.sleeping[-1]
                bell.put(None)
                self.sleeping.remove(bell)

    def end(self) -> None:
        """Let the threads end, each when it finds nothing more to do. Who still has a job does the rest alone."""
        self.ended = True
        with suppress(IndexError):
            while True:
                self.sleeping.pop().put(None)

    def _work(self, own: int) -> None:
        me, bell = threading.get_ident(), SimpleQueue[None]()
        if self.owners.setdefault(own, me) != me:
            return  # two with the same working memory would overwrite each other's
        while not self.ended:
            serve(self.board, own, _WATCHING_SPINS if _thread_count <= _cores() else 0)
            self.sleeping.append(bell)
            serve(self.board, own, 0)  # what was announced before the bell could be rung
            if not self.ended:
                bell.get()


class _Own(threading.local):
    """What each calling thread has to itself."""

    def __init__(self) -> None:
        self.scratch: dict[Any, Array] = {}

    def take_scratch(self, size: int, dtype: Any) -> Array:
        """Working memory: fresh memory for each call would cost a page fault every 4 kB."""
        kept = self.scratch.get(dtype)
        if kept is None or len(kept) < size:
            raw = np.zeros(size + _LINE, dtype)
            first = -raw.ctypes.data % _LINE // raw.itemsize
            kept = self.scratch[dtype] = raw[first : first + size]
        return kept


_team, _own, _setting = _Team(_thread_count), _Own(), threading.Lock()


def _forget_team() -> None:
    """A fork takes the board along, but not the threads."""
    global _team
    _team = _Team(_thread_count)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_team)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_thread_count(count: int) -> None:
    """How many threads a kernel uses from now on; NUMBA_NUM_THREADS, or all cores, at first.

    Raises:
        ValueError: not a whole number of at least 1.
    """
    global _thread_count, _team
    if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
        raise ValueError(f"count: got {count!r}, expected an integer of at least 1")
    with _setting:
        if count != _thread_count:
            before, _thread_count = _team, int(count)
            _team = _Team(_thread_count)
            before.end()


def thread_count() -> int:
    """How many threads a kernel uses."""
    return _thread_count


def part_count(count: int, threads: int, each: int = PARTS_EACH) -> int:
    """Into how many parts `run_parallel` cuts so many pieces of work."""
    return min(count, threads * each if threads > 1 else 1)


def _address(kernel: Any, dtype: Any, args: tuple[Any, ...]) -> int:
    """Where a kernel's code for arguments of these types is."""
    kinds = tuple(numba.typeof(arg) for arg in (0, 0, 0, np.empty(0, dtype), *args))
    kernel.compile(kinds)
    compiled = kernel.overloads[kinds]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


def run_parallel(
    kernel: Any,
    count: int,
    scratch_size: int,
    dtype: Any,
    *args: Any,
    threads: int | None = None,
    each: int = PARTS_EACH,
) -> None:
    """kernel(first, stop, part, scratch, *args) for consecutive parts of range(count).

    Args:
        kernel: compiled; writes its results into arrays among `args`.
        count: pieces of work.
        scratch_size: numbers of working memory that a part needs.
        dtype: of the working memory.
        *args: passed on.
        threads: what `thread_count` said when arrays were made that have a piece for each part; it may change.
        each: parts for each thread; 1 where a part begins with work that is the same for all.

    Raises:
        RuntimeError: a part failed.
    """
    if count == 0:
        return
    key = kernel, dtype, compute_fingerprint(args)
    address = _addresses.get(key)
    if address is None:
        address = _addresses[key] = _address(kernel, dtype, args)
    team = _team
    parts = part_count(count, threads or team.size, each)
    scratch_size = round_up(scratch_size, _LINE)
    job = address, count, parts, _own.take_scratch(team.size * scratch_size, dtype), scratch_size, args
    alone = parts == 1 or team.size == 1 or parts > team.size * PARTS_EACH
    try:
        if not alone and not team.board[BUSY]:
            team.call(min(parts, team.size))
        succeeded = launch(team.board, alone, *job)
    finally:
        if not alone:
            team.board[COMING] = team.board[JOB]  # an interrupt may have come before the job was posted
    if not succeeded:
        raise RuntimeError(f"{kernel.__name__}: a part of it failed; is there enough memory?")
