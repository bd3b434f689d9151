"""How threads find the parts of a job, without the GIL.

The ops of a small model take tens of microseconds. Waking a thread takes as long, and so does acquiring the GIL while
another thread holds it. So a thread that has just worked polls a board for a while, in compiled code, and takes parts
of a job as soon as one is posted there; so does the thread that posts it. There are several parts for each thread: it
begins with its own, and then takes others that no thread has begun, since a core may be slower than its neighbour, by
design or because another process uses it. Which thread computes a part varies; what a part is and what it writes does
not.

**The board** is an array of integers: whether it is in use, the number of the last job and of the announced one, how
many parts it has, how many of them are done and how many failed, which function to call, how many threads there are,
and for each part its state: 2·job while it is free, 2·job + 1 once it is taken. A thread that reads all that and then
succeeds in changing 2·job to 2·job + 1 has read the values of an unfinished job, namely this one.

**A job** is the address of a kernel's part function and all its arguments, which stay on the stack of the thread that
posted it until all parts are done.
"""

import os
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from npswin.backends.cpu.machine.compilation import cached, inner_function, shared_function
from npswin.backends.cpu.machine.flat_array import address_of_data, elements_at, view
from npswin.backends.cpu.machine.kernel_parts import PART_FUNCTION
from npswin.backends.cpu.machine.processor import ARCHITECTURE
from npswin.types import Array

# Indices into the board: what is written once a job, what each part changes, and the parts' states, each in cache lines
# of their own.
JOB, COMING, BUSY, _PARTS, _FUNCTION, _PAYLOAD, _THREADS, _DONE, _FAILED, _TURNS = 0, 1, 2, 3, 4, 5, 6, 8, 9, 16
# Pauses, of some 30 ns on x86: how many until a waiting thread yields its core, and how many for which it waits for a
# job that was announced, since an interrupt may have kept it from being posted.
_WAITING_SPINS, _ANNOUNCED_SPINS = 4000, 100_000


def _place(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.gep(address_of_data(context, builder, signature.args[0], args[0]), [args[1]])


@intrinsic
def _read(typingctx: Any, board: Any, place: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_place(context, builder, signature, args), "seq_cst", 8)

    return types.intp(board, types.intp), codegen


@intrinsic
def _write(typingctx: Any, board: Any, place: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[2], _place(context, builder, signature, args), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(board, types.intp, types.intp), codegen


@intrinsic
def _add(typingctx: Any, board: Any, place: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.atomic_rmw("add", _place(context, builder, signature, args), args[2], "seq_cst")
        return context.get_dummy_value()

    return types.void(board, types.intp, types.intp), codegen


@intrinsic
def _exchange(typingctx: Any, board: Any, place: Any, old: Any, new: Any) -> Any:
    """Write `new` if `old` is there; returns whether it was."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _place(context, builder, signature, args)
        return builder.extract_value(builder.cmpxchg(place, args[2], args[3], "seq_cst", "seq_cst"), 1)

    return types.boolean(board, types.intp, types.intp, types.intp), codegen


def _call_without_arguments(builder: Any, name: str, returned: Any) -> None:
    builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(returned, []), name), [])


@intrinsic
def _pause(typingctx: Any) -> Any:
    """Spend a moment without disturbing the other thread of the core."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if ARCHITECTURE in ("x86_64", "i686"):
            _call_without_arguments(builder, "llvm.x86.sse2.pause", ir.VoidType())
        else:
            builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _let_others_run(typingctx: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _call_without_arguments(builder, "sched_yield" if os.name == "posix" else "SwitchToThread", ir.IntType(32))
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _run(typingctx: Any, function: Any, payload: Any, part: Any, own: Any) -> Any:
    """Call a kernel's part function; returns 1 if it failed, else 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = builder.inttoptr(args[0], PART_FUNCTION.as_pointer())
        return builder.call(function, [builder.inttoptr(args[1], PART_FUNCTION.args[0]), args[2], args[3]])

    return types.intp(types.intp, types.intp, types.intp, types.intp), codegen


@inner_function
def _take_parts(board: Array, job: int, own: int) -> None:
    """Run parts of a job until all are taken, if it is still the last one."""
    parts, function, payload = _read(board, _PARTS), _read(board, _FUNCTION), _read(board, _PAYLOAD)
    first = own * parts // board[_THREADS]
    for step in range(parts):
        part = (first + step) % parts
        if _exchange(board, _TURNS + part, 2 * job, 2 * job + 1):
            _add(board, _FAILED, _run(function, payload, part, own))
            _add(board, _DONE, 1)


@cached
def poll_and_run_parts(board: Array, own: int, spins: int) -> None:
    """Take parts of jobs as they are posted, until for so many pauses there was none, and none is announced.

    Args:
        board: where they are posted.
        own: the thread's number; the one that posts jobs is 0.
        spins: pauses.
    """
    done = idle = 0
    while idle <= spins or (idle <= _ANNOUNCED_SPINS and _read(board, COMING) > done):
        job = _read(board, JOB)
        if job == done:
            idle += 1
            if idle <= _WAITING_SPINS:
                _pause()
            else:
                _let_others_run()
        else:
            _take_parts(board, job, own)
            done, idle = job, 0


def make_job_board(parts: int, threads: int) -> Array:
    """A board for jobs of so many parts at most, and so many threads; it begins with a line of the caches."""
    raw = np.zeros(_TURNS + parts + 8, np.int64)
    board = raw[-raw.ctypes.data % 64 // 8 :][: _TURNS + parts]
    board[_THREADS] = threads
    return board


@cached
def launch(board: Array, alone: bool, function: int, parts: int, arguments: Any, kept: Array) -> bool:
    """Post a job, take parts of it, and wait for the others'; or do all of it, where the board is another thread's.

    Nothing interrupts compiled code, so the board is never left taken.

    Args:
        board: of a team of threads, large enough.
        alone: whether to do all of it in any case.
        function: the address of a kernel's part function, see `npswin.backends.cpu.machine.kernel_parts`.
        parts: into how many parts the work is cut.
        arguments: `PackedArguments`.
        kept: as long as the arguments' words, which are copied into it for `replay`; or empty.

    Returns:
        Whether all went well.
    """
    words = elements_at(arguments.address, 0, kept.size, kept)
    for i in range(kept.size):
        kept[i] = words[i]
    return _run_parts(board, alone, function, arguments.address, parts)


@shared_function
def _run_parts(board: Array, alone: bool, function: int, payload: int, parts: int) -> bool:
    """Run a job, whose arguments are at the address `payload`."""
    if alone or not _exchange(board, BUSY, 0, 1):
        failed = 0
        for part in range(parts):
            failed += _run(function, payload, part, 0)
        return failed == 0
    job = _read(board, JOB) + 1
    _write(board, _DONE, 0)
    _write(board, _FAILED, 0)
    _write(board, _FUNCTION, function)
    _write(board, _PAYLOAD, payload)
    _write(board, _PARTS, parts)
    for part in range(parts):
        _write(board, _TURNS + part, 2 * job)
    _write(board, JOB, job)
    _take_parts(board, job, 0)
    waited = 0
    while _read(board, _DONE) < parts:
        waited += 1
        if waited < _WAITING_SPINS:
            _pause()
        else:
            _let_others_run()
    succeeded = _read(board, _FAILED) == 0
    _write(board, BUSY, 0)
    return succeeded


@cached
def replay(board: Array, alone: bool, jobs: Array) -> int:
    """Run jobs that were kept, one after the other.

    All are announced at once, so that the other threads poll between them.

    Args:
        board: of a team of threads, large enough.
        alone: whether to do all of it in any case.
        jobs: for each the address of a function, that of its arguments, and the number of parts.

    Returns:
        How many went well; the first that did not ends it.
    """
    board, count = view(board, 0, board.size), jobs.size // 3
    if not alone:
        shared = 0
        for i in range(count):
            shared += jobs[3 * i + 2] > 1
        _write(board, COMING, _read(board, JOB) + shared)
    for i in range(count):
        parts = jobs[3 * i + 2]
        if not _run_parts(board, alone or parts == 1, jobs[3 * i], jobs[3 * i + 1], parts):
            return i
    return count
