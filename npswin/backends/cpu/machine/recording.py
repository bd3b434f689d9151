"""The jobs of a function, recorded while it runs: see `npswin.backends.cpu.machine.captured`.

A job refers to arrays by their addresses. A recording has a memory pool and working memory of its own, which nobody
else gets as long as it lives, and holds all other arrays that its jobs refer to.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cpu.machine.array_list import addresses_of
from npswin.backends.cpu.machine.memory import Pool
from npswin.backends.cpu.machine.working_memory import WorkingMemory
from npswin.types import Array


class Job(NamedTuple):
    """A job as `job_board.launch` keeps it.

    Attributes:
        kernel: its name.
        function: the address of its part function.
        words: the function's arguments, see `npswin.backends.cpu.machine.packed_arguments`.
        parts: how many.
    """

    kernel: str
    function: int
    words: Array
    parts: int


class _Place(NamedTuple):
    """Where in memory an array of a job is."""

    address: int
    size: int
    dtype: Any


class Recording:
    """What is recorded; `threads.recorded` makes `threads.run_parallel` call `add`.

    Args:
        working_memory: that no other jobs use.

    Attributes:
        pool: of the arrays that are made meanwhile.
        jobs: in order.
        threads: with how many the jobs were run, the smallest number if it changed.
    """

    def __init__(self, working_memory: WorkingMemory) -> None:
        self.pool, self.working_memory = Pool(smallest=1), working_memory
        self.jobs: list[Job] = []
        self.threads = 0
        self._arrays: dict[_Place, Array | None] = {}  # by first use; None for those in the pool

    def add(self, job: Job, threads: int, args: tuple[Any, ...]) -> None:
        """Note a job that is about to run, and that `launch` keeps.

        Args:
            job: its words are still empty.
            threads: how many have working memory.
            args: the working memory, and the arguments of the kernel.
        """
        self.threads = min(self.threads or threads, threads)
        for array in _arrays(args):
            place = _Place(array.__array_interface__["data"][0], array.nbytes, array.dtype)
            if array.size and place not in self._arrays:
                in_pool = self.pool.part(place.address, place.size) is not None
                self._arrays[place] = None if in_pool else array
        self.jobs.append(job)

    def table(self) -> Array:
        """The jobs as `job_board.replay` takes them."""
        places = addresses_of([job.words for job in self.jobs])
        rows = [(job.function, place, job.parts) for job, place in zip(self.jobs, places, strict=True)]
        return np.array(rows, np.int64).reshape(-1)

    def refers_to(self, array: Array) -> bool:
        """Whether an array lies within one that a job refers to."""
        steps = [(length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True)]
        start = array.__array_interface__["data"][0]
        first, stop = start + sum(min(step, 0) for step in steps), start + sum(max(step, 0) for step in steps)
        return any(place.address <= first and stop < place.address + place.size for place in self._arrays)

    def overwrite(self, number: float, earlier: "Recording") -> None:
        """Give all arrays that were not there before, and the working memory, another content.

        Args:
            number: what is written into arrays of floating-point numbers; the others get zeros.
            earlier: of the same function. An array that both refer to was there before: a parameter, an input, a table.
        """
        for place, array in reversed(self._arrays.items()):  # what an array is first used for is written last
            if place not in earlier._arrays or array is None:
                memory: Any = self.pool.part(place.address, place.size) if array is None else array
                _fill(memory.view(place.dtype), number)
        for array in self.working_memory.arrays.values():
            _fill(array, number)


def _fill(array: Array, number: float) -> None:
    array[...] = number if array.dtype.kind == "f" else 0


def _arrays(args: tuple[Any, ...]) -> Iterator[Array]:
    """The arrays in tuples of tuples."""
    for arg in args:
        if isinstance(arg, tuple):
            yield from _arrays(arg)
        elif isinstance(arg, np.ndarray):
            yield arg
