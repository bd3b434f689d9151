"""The backend's memory: what is used again is free, and what is somebody's stays as it is."""

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
from npswin.backends.cpu.machine import memory, threads
from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.memory import empty
from tests.backends.comparison import IMPLEMENTED, arguments, bits, called
from tests.backends.op_cases import DRAWING, OPS

SIZES = st.integers(0, 40_000)  # numbers; small ones and ones that are worth keeping
STEPS = st.lists(st.tuples(st.sampled_from(["take", "view", "drop"]), SIZES), min_size=1, max_size=60)


def play(steps, seed=0):
    """Takes arrays, keeps views of some, drops some; fails where an array's numbers change in between."""
    held = []
    for number, (step, size) in enumerate(steps):
        if step == "take":
            array = empty((2, size), np.float32)
            assert array.shape == (2, size)
            assert array.dtype == np.float32
            assert array.flags.c_contiguous
            assert array.flags.writeable
            array[...] = 1000 * seed + number
            held.append((array, 1000 * seed + number))
        elif held:
            array, value = held.pop(size % len(held))
            if step == "view":
                held.append((array.reshape(-1)[1::3], value))  # of the array itself nothing is left
        for array, value in held:
            assert (array == value).all()


@given(STEPS)
def test_arrays_that_live_do_not_share_memory(steps):
    play(steps)


@given(st.lists(STEPS, min_size=3, max_size=3))
def test_nor_do_those_of_several_threads(plays):
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(play, plays, range(3)))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 100)), min_size=1, max_size=60))
def test_ranges_are_free_or_handed_out_and_free_neighbours_are_one(steps):
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
    """Where ranges start that cover 0 … size side by side, in order; fails where these do not."""
    ends = [0, *accumulate(length for _, length in sorted(ranges))]
    assert ends[-1] == size
    return ends[:-1]


def test_a_step_that_is_done_again_takes_no_more_memory():
    def step():
        first, second = empty((500, 500), np.float32), empty((300, 300), np.float32)
        del first
        third = empty((400, 400), np.float32)
        return [array.ctypes.data for array in (second, third)]

    places = step()
    assert all(step() == places for _ in range(3))
    assert all(place % 64 == 0 for place in places)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (3, 0, 2), (2, 3, 5)])
@pytest.mark.parametrize("writeable", [True, False])
def test_flat_arrays_hold_the_numbers_in_order(shape, order, writeable):
    array = np.array(np.random.default_rng(0).standard_normal(shape), order=order)
    array.flags.writeable = writeable
    numbers, row = array.ravel().tolist(), flat(array)
    assert row.shape == (array.size,)
    assert row.flags.c_contiguous
    assert row.flags.writeable
    assert row.size == 0 or np.shares_memory(row, array) or order == "F"
    del array  # the flat one keeps what it is made of
    reused = [np.full(shape, 9.0) for _ in range(50)]
    assert row.tolist() == numbers, len(reused)


class Row:
    """NumPy, but new arrays lie in a row, some bytes apart, and are full of NaN, like what lies between them."""

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

    def is_whole(self):
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
        """An argument with its arrays in the row."""
        if isinstance(value, np.ndarray):
            return self.full(value.shape, value, value.dtype)
        if isinstance(value, list):
            return [self.placed(item) for item in value]
        return {name: self.placed(item) for name, item in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", sorted(set(IMPLEMENTED) - DRAWING))
@settings(max_examples=200)
@given(st.data())
def test_results_do_not_depend_on_where_arrays_lie_nor_on_what_was_there(op, dtype, data):
    case = OPS[op](data.draw, False)
    args, kwargs = arguments(case.args, dtype), arguments(case.kwargs, dtype)

    def results(place):
        dy = lambda y: place(np.cos(np.arange(np.size(y), dtype=dtype)).reshape(np.shape(y)))  # noqa: E731
        return bits(called(cpu, op, place(args), place(kwargs), dy))

    anywhere = results(lambda value: arguments(value, dtype))
    modules = [
        module for name, module in sys.modules.items() if name.startswith(cpu.__name__) and hasattr(module, "np")
    ]
    modules.remove(threads)  # whose memory outlives the call, as do the regions of `memory`
    for gap in (0, 16, 4096):
        row = Row(gap)
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(memory, "SMALLEST", row.memory.size))
            for module in modules:
                stack.enter_context(mock.patch.object(module, "np", row))
            assert results(row.placed) == anywhere
        assert row.is_whole()


def test_a_program_ends_quietly_while_it_holds_arrays():
    program = """
import numpy as np
from npswin.backends.cpu.machine.memory import empty
class Late:
    array = empty(1 << 17, np.float32)[5:]
late = Late()
late.itself = late
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stderr == ""
