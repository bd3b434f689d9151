"""A kernel's work, shared among threads.

Kernels release the GIL while they run, so ordinary Python threads suffice. A thread polls for the next job for half
a millisecond, see `npswin.backends.cpu.machine.job_board`; after that it sleeps, and waking it takes some thirty
microseconds. Between two ops of a large model Python takes two or three hundred, since kernels leave nothing of it in
the caches. A thread that finds the others busy with another thread's job runs its own job alone.

The work is cut into contiguous parts before it starts, a few for each thread. Which thread computes a part does not
change its result: the same number of threads gives bitwise identical sums.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any

import numba
import numpy as np
from numba import types
from numba._dispatcher import compute_fingerprint  # of the types of values, in a fraction of a microsecond

from npswin.backends.cpu.machine.compilation import without_garbage_collection
from npswin.backends.cpu.machine.flat_array import FlatArray, kernel_type
from npswin.backends.cpu.machine.job_board import (
    BUSY,
    COMING,
    JOB,
    launch,
    make_job_board,
    poll_and_run_parts,
    replay,
)
from npswin.backends.cpu.machine.kernel_parts import part_address
from npswin.backends.cpu.machine.memory import use_pool
from npswin.backends.cpu.machine.packed_arguments import PackedArguments, layout, word_count
from npswin.backends.cpu.machine.processor import round_up
from npswin.backends.cpu.machine.recording import Job, Recording
from npswin.backends.cpu.machine.working_memory import LINE, WorkingMemory
from npswin.checks import check_integer
from npswin.types import Array

PARTS_PER_THREAD = 4  # parts for each thread, so that one whose core is slow leaves some to the others
_POLLING_SPINS = 16_000  # pauses of some 30 ns
# What `launch` takes.
_LAUNCH = FlatArray(types.int64), types.boolean, types.intp, types.intp, PackedArguments(), FlatArray(types.int64)
_NOT_KEPT = np.empty(0, np.int64)

_thread_count: int = numba.config.NUMBA_NUM_THREADS
_compiled_kernels: dict[Any, tuple[int, Array, Any]] = {}


class _Team:
    """Threads that run the jobs posted on their board.

    Args:
        size: how many, including the thread that posts jobs.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.board = make_job_board(size * PARTS_PER_THREAD, size)
        self.started = 1
        self.ended = False
        self.owners: dict[int, int] = {}  # thread identifier by index
        self.sleeping: deque[SimpleQueue[None]] = deque()

    def call(self, count: int) -> None:
        """Start or wake threads until `count` of them poll the board, if the system has that many.

        The job is announced first. A thread that is about to sleep and is not yet in `sleeping` reads that.
        """
        self.board[COMING] = self.board[JOB] + 1
        with suppress(RuntimeError):  # the system starts no more threads: the others do the work
            while self.started < count:  # an interrupt may come between the two lines: see `_work`
                threading.Thread(target=self._work, args=(self.started,), name="npswin", daemon=True).start()
                self.started += 1
        polling = self.started - 1 - len(self.sleeping)
        with suppress(IndexError, ValueError):  # another thread has just woken them
            for _ in range(min(count - 1 - polling, len(self.sleeping))):
                wake_up = self.sleeping[-1]
                wake_up.put(None)
                self.sleeping.remove(wake_up)

    def end(self) -> None:
        """Stop the threads, each when it finds nothing more to do. The caller of a running job finishes it alone."""
        self.ended = True
        with suppress(IndexError):
            while True:
                self.sleeping.pop().put(None)

    def _work(self, index: int) -> None:
        identifier, wake_up = threading.get_ident(), SimpleQueue[None]()
        if self.owners.setdefault(index, identifier) != identifier:
            return  # two threads of one index would share working memory
        while not self.ended:
            poll_and_run_parts(self.board, index, _POLLING_SPINS if _thread_count <= _cores() else 0)
            self.sleeping.append(wake_up)
            poll_and_run_parts(self.board, index, 0)  # what was announced before this thread could be woken
            if not self.ended:
                wake_up.get()


class _ThreadLocal(threading.local):
    """What each calling thread has for itself."""

    recording: Recording | None = None

    def __init__(self) -> None:
        self.working_memory = WorkingMemory()


_team, _local, _setting = _Team(_thread_count), _ThreadLocal(), threading.Lock()


def _replace_team_after_fork() -> None:
    """A forked process has a copy of the board and of the lock, which may be taken, but none of the threads."""
    global _team, _setting
    _team, _setting = _Team(_thread_count), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_replace_team_after_fork)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_thread_count(count: int) -> None:
    """How many threads a kernel uses from now on; NUMBA_NUM_THREADS, or all cores, at first.

    Raises:
        ValueError: not a whole number of at least 1.
    """
    global _thread_count, _team
    count = check_integer("count", count, 1)
    with _setting:
        if count != _thread_count:
            before, _thread_count = _team, count
            _team = _Team(_thread_count)
            before.end()


def thread_count() -> int:
    """How many threads a kernel uses."""
    return _thread_count


def part_count(count: int, threads: int, parts_per_thread: int = PARTS_PER_THREAD) -> int:
    """Into how many parts `run_parallel` cuts so many pieces of work."""
    return min(count, threads * parts_per_thread if threads > 1 else 1)


def _compiled(kernel: Any, dtype: Any, args: tuple[Any, ...]) -> tuple[int, Array, Any]:
    """A kernel's part function for arguments of these types, the layout of its job, and `launch`."""
    scratch, own = FlatArray(numba.from_dtype(np.dtype(dtype))), kernel_type(numba.typeof(args))
    kinds = types.intp, types.intp, types.intp, scratch, *own.types
    kernel.compile(kinds)
    launch.compile(_LAUNCH)
    job = layout(types.Tuple((types.intp, types.intp, scratch, types.intp, own)))
    return part_address(kernel.overloads[kinds]), job, launch.overloads[_LAUNCH].entry_point


def run_parallel(
    kernel: Any,
    count: int,
    scratch_size: int,
    dtype: Any,
    *args: Any,
    threads: int | None = None,
    parts_per_thread: int = PARTS_PER_THREAD,
) -> None:
    """kernel(first, stop, part, scratch, *args) for consecutive parts of range(count).

    Args:
        kernel: compiled; writes its results into arrays among `args`.
        count: pieces of work.
        scratch_size: elements of working memory that a part needs.
        dtype: of the working memory.
        *args: passed on.
        threads: what `thread_count` said when arrays were made that have a piece for each part; it may change.
        parts_per_thread: 1 where a part begins with work that is the same for all.

    Raises:
        RuntimeError: a part raised an exception.
    """
    if count == 0:
        return
    key = kernel, dtype, compute_fingerprint(args)
    compiled = _compiled_kernels.get(key)
    if compiled is None:
        with without_garbage_collection():
            compiled = _compiled_kernels[key] = _compiled(kernel, dtype, args)
    function, job_layout, launch_job = compiled
    team = _team
    parts = part_count(count, threads or team.size, parts_per_thread)
    scratch_size = round_up(scratch_size, LINE)  # each thread's begins with a line of the caches
    recording = _local.recording
    working_memory = _local.working_memory if recording is None else recording.working_memory
    scratch = working_memory.take(team.size * scratch_size, dtype)
    kept = _NOT_KEPT
    if recording is not None:
        kept = np.empty(word_count(job_layout), np.int64)
        recording.add(Job(kernel.__name__, function, kept, parts), team.size, (scratch, args))
    job = count, parts, scratch, scratch_size, args
    alone = parts == 1 or team.size == 1 or parts > team.size * PARTS_PER_THREAD
    try:
        if not alone and not team.board[BUSY]:
            team.call(min(parts, team.size))
        succeeded = launch_job(team.board, alone, function, parts, (job_layout, job), kept)
    finally:
        if not alone:
            team.board[COMING] = team.board[JOB]  # an interrupt may have come before the job was posted
    if not succeeded:
        raise RuntimeError(f"{kernel.__name__}: a part of it raised an exception")


@contextmanager
def recorded(recording: Recording) -> Iterator[None]:
    """Within the block, the jobs of this thread are recorded, with the recording's memory."""
    before, _local.recording = _local.recording, recording
    try:
        with use_pool(recording.pool):
            yield
    finally:
        _local.recording = before


def refuse_recording(what: str) -> None:
    """For an op that decides by an array's numbers what it computes.

    Raises:
        ValueError: jobs of this thread are recorded.
    """
    if _local.recording is not None:
        raise ValueError(f"function: {what} depends on its numbers, and cannot be captured")


def run_again(jobs: Array, most_parts: int, threads: int) -> int:
    """Run recorded jobs; returns how many went well, the first that did not being the last one.

    Args:
        jobs: as `Recording.table` has them.
        most_parts: of one of them.
        threads: how many have working memory.
    """
    team = _team
    alone = most_parts == 1 or team.size == 1 or most_parts > team.size * PARTS_PER_THREAD or team.size > threads
    try:
        if not alone and not team.board[BUSY]:
            team.call(min(most_parts, team.size))
        return int(replay(team.board, alone, jobs))
    finally:
        if not alone:
            team.board[COMING] = team.board[JOB]
