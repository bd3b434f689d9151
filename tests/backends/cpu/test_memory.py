"""The backend's memory pool: memory is reused only after its arrays are gone, and results do not depend on it."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import accumulate, pairwise
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin.backends import cpu
from npswin.backends.cpu.machine import memory, working_memory
from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.memory import pooled_empty
from tests import thorough
from tests.backends.comparison import arguments, as_bytes, call_op
from tests.backends.cpu.settings import IMPLEMENTED
from tests.backends.op_cases import DRAWING, OPS
from tests.thorough import some

SIZES = st.integers(0, 40_000)  # numbers in an array; small arrays are not pooled
STEPS = st.lists(st.tuples(st.sampled_from(["take", "view", "drop"]), SIZES), min_size=1, max_size=60)


def play(steps, seed=0):
    """Allocate arrays, replace some by views, drop some; assert that the numbers of the others never change."""
    held = []
    for number, (step, size) in enumerate(steps):
        if step == "take":
            array = pooled_empty((2, size), np.float32)
            assert array.shape == (2, size)
            assert array.dtype == np.float32
            assert array.flags.c_contiguous
            assert array.flags.writeable
            array[...] = 1000 * seed + number
            held.append((array, 1000 * seed + number))
        elif held:
            array, value = held.pop(size % len(held))
            if step == "view":
                held.append((array.reshape(-1)[1::3], value))  # the array itself is dropped
        for array, value in held:
            assert (array == value).all()


@given(STEPS)
def test_live_arrays_do_not_share_memory(steps):
    play(steps)


@given(st.lists(STEPS, min_size=3, max_size=3))
def test_live_arrays_of_several_threads_do_not_share_memory(plays):
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(play, plays, range(3)))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 100)), min_size=1, max_size=60))
def test_ranges_are_free_or_taken_and_adjacent_free_ranges_are_merged(steps):
    size = 400
    region, held = memory._Region(size), []
    for take, number in steps:
        if take:
            fits = any(free >= number for _, free in region.free)
            start = region.take(number)
            assert (start is not None) == fits
            if start is not None:
                held.append((start, number))
        elif held:
            region.give(*held.pop(number % len(held)))
        free = region.free
        assert free == sorted(free)
        assert all(start + length < after for (start, length), (after, _) in pairwise(free))
        assert [start for start, length in sorted(free + held) if length] == _starts(free + held, size)


def _starts(ranges, size):
    """The starts of ranges, in order; asserts that they cover 0 … size without gaps."""
    ends = [0, *accumulate(length for _, length in sorted(ranges))]
    assert ends[-1] == size
    return ends[:-1]


def test_repeating_a_step_takes_no_more_memory():
    def step():
        first, second = pooled_empty((500, 500), np.float32), pooled_empty((300, 300), np.float32)
        del first
        third = pooled_empty((400, 400), np.float32)
        return [array.ctypes.data for array in (second, third)]

    addresses = step()
    assert all(step() == addresses for _ in range(3))
    assert all(address % 64 == 0 for address in addresses)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (3, 0, 2), (2, 3, 5)])
@pytest.mark.parametrize("writeable", [True, False])
def test_flat_arrays_have_the_numbers_in_order(shape, order, writeable):
    array = np.array(np.random.default_rng(0).standard_normal(shape), order=order)
    array.flags.writeable = writeable
    numbers, row = array.ravel().tolist(), flat(array)
    assert row.shape == (array.size,)
    assert row.flags.c_contiguous
    assert row.flags.writeable
    assert row.size == 0 or np.shares_memory(row, array) or order == "F"
    del array  # the flat array keeps its memory alive
    reused = [np.full(shape, 9.0) for _ in range(50)]
    assert row.tolist() == numbers, len(reused)


class Arena:
    """NumPy, but new arrays are allocated side by side with gaps of some bytes; arrays and gaps are filled with NaN."""

    memory = np.zeros(1 << 24, np.uint8)

    def __init__(self, gap):
        self.gap, self.used, self.ends = gap, 0, []

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype=np.float64):
        start = -(-self.used // 16) * 16
        end = start + int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.used = end + self.gap
        self.ends.append(end)
        self.memory[start : self.used] = 255
        return self.memory[start:end].view(dtype).reshape(shape)

    def gaps_are_untouched(self):
        """Whether nothing was written between the arrays."""
        return all((self.memory[end : end + self.gap] == 255).all() for end in self.ends)

    def full(self, shape, value, dtype=np.float64):
        array = self.empty(shape, dtype)
        array[...] = value
        return array

    def zeros(self, shape, dtype=np.float64):
        return self.full(shape, 0, dtype)

    def empty_like(self, array):
        return self.empty(array.shape, array.dtype)

    def zeros_like(self, array):
        return self.zeros(array.shape, array.dtype)

    def placed(self, value):
        """An argument with its arrays in the arena."""
        if isinstance(value, np.ndarray):
            return self.full(value.shape, value, value.dtype)
        if isinstance(value, list):
            return [self.placed(item) for item in value]
        return {name: self.placed(item) for name, item in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("dtype", some([np.float32, np.float64], {np.float32}))
@pytest.mark.parametrize("op", sorted(set(IMPLEMENTED) - DRAWING))
@settings(max_examples=200 if thorough.enabled else 15)
@given(st.data())
def test_results_depend_neither_on_addresses_nor_on_what_memory_contained(op, dtype, data):
    case = OPS[op](data.draw, False)
    args, kwargs = arguments(case.args, dtype), arguments(case.kwargs, dtype)

    def results(place):
        dy = lambda y: place(np.cos(np.arange(np.size(y), dtype=dtype)).reshape(np.shape(y)))  # noqa: E731
        return as_bytes(call_op(cpu, op, place(args), place(kwargs), dy))

    anywhere = results(lambda value: arguments(value, dtype))
    modules = [
        module for name, module in sys.modules.items() if name.startswith(cpu.__name__) and hasattr(module, "np")
    ]
    modules.remove(working_memory)  # it outlives the call, as do the regions of `memory`
    for gap in (0, 16, 4096):
        arena = Arena(gap)
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(memory._shared, "smallest", arena.memory.size))
            for module in modules:
                stack.enter_context(mock.patch.object(module, "np", arena))
            assert results(arena.placed) == anywhere
        assert arena.gaps_are_untouched()


def test_a_program_that_holds_arrays_ends_without_messages():
    program = """
import numpy as np
from npswin.backends.cpu.machine.memory import pooled_empty
class Late:
    array = pooled_empty(1 << 17, np.float32)[5:]
late = Late()
late.itself = late
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stderr == ""
