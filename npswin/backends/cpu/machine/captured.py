"""A function of arrays in the computer's memory, recorded once and then run without Python."""

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakSet

import numpy as np

from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.recording import Recording
from npswin.backends.cpu.machine.threads import recorded, run_again
from npswin.backends.cpu.machine.working_memory import WorkingMemory
from npswin.checks import describe
from npswin.devices import is_array, on_gpu
from npswin.types import Array

_OUTSIDE = (
    "function: it computes something outside the cpu backend's kernels, such as with NumPy, or an op that the backend "
    "lacks, and cannot be captured"
)


class Captured:
    """The list of all jobs of the cpu backend that a function starts.

    A small model's kernels take some tens of microseconds each, and Python as long from one to the next. The list is
    run by one call of compiled code. It owns memory for the function's inputs, its result and everything in between.

        infer = npswin.capture(model, images)
        logits = infer(images)                # of the same shape and dtype, as often as needed

    The jobs read and write arrays at their addresses: parameters may be changed in place, and the next call uses the
    new values, but not those of arrays that took their place. Python numbers are constants in them. The work is cut for
    the number of threads at the time of the recording: after a change of that number results keep their bits, and only
    a new recording makes use of more threads. Python threads that call it at the same time take turns.

    Nothing but kernels is recorded. So the recording is compared with the function, on the examples and on other
    numbers, after everything that it should compute was overwritten: what was computed in another way shows.

    Args:
        function: of arrays; returns an array.
        *examples: arrays such as it is to be called with.

    Raises:
        ValueError: an example is no array, or the function computes something by other means than these kernels.
    """

    def __init__(self, function: Callable[..., Any], *examples: Any) -> None:
        for place, example in enumerate(examples):
            if not is_array(example):
                raise ValueError(f"examples: number {place} is a {type(example).__name__}, expected an array")
        self._inputs = [np.array(example, order="C") for example in examples]
        self._lock = threading.Lock()
        earlier, _ = self._record(function, examples, WorkingMemory())  # compiles, and takes the tables that are kept
        self._recording, self._result = self._record(function, examples, earlier.working_memory)
        self._jobs = self._recording.table()
        self._most_parts = max((job.parts for job in self._recording.jobs), default=1)
        for arrays, number in ((examples, np.nan), ([_other_numbers(example) for example in examples], 1e3)):
            wanted = function(*(array.copy() for array in arrays))
            self._recording.overwrite(number, earlier)
            found = self(*arrays)
            if found.shape != wanted.shape or found.tobytes() != wanted.tobytes():
                raise ValueError(_OUTSIDE)
        _all_captured.add(self)

    def _record(
        self, function: Callable[..., Any], examples: Sequence[Array], working_memory: WorkingMemory
    ) -> tuple[Recording, Array]:
        recording = Recording(working_memory)
        for own, example in zip(self._inputs, examples, strict=True):
            own[...] = example
        with recorded(recording):
            result = function(*self._inputs)
        if not is_array(result):
            raise ValueError(f"function: returned {describe(result)}, expected an array")
        if not recording.refers_to(result):
            raise ValueError(_OUTSIDE)
        return recording, result

    def __call__(self, *arrays: Any) -> Any:
        """The function's result, a new array.

        Args:
            *arrays: of the examples' shapes and dtypes.

        Raises:
            ValueError: another number of arrays, another shape or dtype, or not in the computer's memory.
            RuntimeError: a kernel failed.
        """
        if len(arrays) != len(self._inputs):
            raise ValueError(f"got {len(arrays)} arrays, expected {len(self._inputs)}")
        for place, (own, given) in enumerate(zip(self._inputs, arrays, strict=True)):
            if not is_array(given) or on_gpu(given) or given.shape != own.shape or given.dtype != own.dtype:
                got = f"{getattr(given, 'dtype', type(given).__name__)} of shape {getattr(given, 'shape', ())}"
                where = " in the computer's memory" if on_gpu(given) else ""
                raise ValueError(f"array {place}: got {got}, expected {own.dtype} of shape {own.shape}{where}")
        result = pooled_empty(self._result.shape, self._result.dtype)
        with self._lock:
            for own, given in zip(self._inputs, arrays, strict=True):
                own[...] = given
            done = run_again(self._jobs, self._most_parts, self._recording.threads)
            if done < len(self._recording.jobs):
                raise RuntimeError(f"{self._recording.jobs[done].kernel}: a part of it raised an exception")
            result[...] = self._result
        return result


def _other_numbers(array: Array) -> Array:
    """Of the same shape and dtype."""
    other = np.flip(array)
    if array.dtype.kind == "f":  # any number will do
        other = other + np.random.default_rng(0).standard_normal(array.shape).astype(array.dtype)
    return other


_all_captured: WeakSet[Captured] = WeakSet()


def _release_after_fork() -> None:
    """A forked process has copies of the locks, which may be taken, but none of the threads that took them."""
    for captured in _all_captured:
        captured._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_after_fork)
