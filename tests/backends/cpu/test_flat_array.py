"""Arrays as compiled code sees them, and the arguments of kernels as they come from Python."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba.core.errors import TypingError

from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import elements_at, fill, stack_memory, view
from npswin.backends.cpu.machine.threads import run_parallel

DTYPES = [np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_]
FLOAT32 = np.dtype(np.float32)


class Inner(NamedTuple):
    values: np.ndarray
    factor: float


class Outer(NamedTuple):
    count: int
    inner: Inner
    flag: bool


@kernel
def read_arguments(first, stop, part, scratch, outer, pair, single, out):
    inner = outer.inner
    for i in range(outer.count):
        out[3 * i] = inner.values[i] * inner.factor
        out[3 * i + 1] = pair[0][i] * pair[1]
        out[3 * i + 2] = single
    sizes = view(out, 3 * outer.count, 3)
    sizes[0], sizes[1], sizes[2] = outer.flag, inner.values.size, out.size


@given(
    st.integers(0, 5),
    st.floats(-10, 10),
    st.floats(-10, 10, width=32),
    st.integers(-(2**40), 2**40),
    st.booleans(),
    st.sampled_from(DTYPES),
)
def test_kernels_read_arrays_and_numbers_in_nested_tuples(count, double, single, integer, flag, dtype):
    values, others, out = np.arange(count).astype(dtype), np.arange(count) - 2.0, np.zeros(3 * count + 3)
    outer = Outer(count, Inner(values, double), flag)
    run_parallel(read_arguments, 1, 0, FLOAT32, outer, (others, integer), np.float32(single), out)
    columns = [values.astype(np.float64) * double, others * integer, np.full(count, single)]
    np.testing.assert_array_equal(out[:-3], np.stack(columns, axis=1).reshape(-1))
    assert out[-3:].tolist() == [flag, count, 3 * count + 3]


@kernel
def double_each(first, stop, part, scratch, x):
    for i in range(x.size):
        x[i] *= 2


@pytest.mark.parametrize(
    "argument",
    [
        *(np.zeros((2, 2)), np.zeros(4)[::2], np.zeros(()), 1j, np.int32(1), (np.zeros((1, 1)),)),
        *(np.zeros(2, np.complex64), np.zeros(2, "M8[s]")),
    ],
    ids=[
        *("matrix", "strided", "scalar", "complex", "int32", "in_a_tuple"),
        *("complex64", "times"),
    ],
)
def test_what_is_no_flat_array_and_no_number_is_refused(argument):
    with pytest.raises((TypeError, ValueError)):
        run_parallel(double_each, 1, 0, FLOAT32, argument)


def test_the_memory_is_the_array_s_own():
    x = np.arange(4.0)
    run_parallel(double_each, 1, 0, FLOAT32, x[1:3])
    assert x.tolist() == [0, 2, 4, 3]


@kernel
def through_memory(first, stop, part, scratch, x, start, count, out):
    memory = stack_memory(count * x.itemsize)
    copy, source = elements_at(memory, 0, count, x), view(x, start, count)
    for i in range(count):
        copy[i] = source[i]
    for i in range(count):
        out[i] = elements_at(memory, i, 1, x)[0]
    fill(view(out, count, out.size - count), 1)


@given(st.data(), st.sampled_from(DTYPES))
def test_parts_of_arrays_and_memory_on_the_stack(data, dtype):
    x = data.draw(arrays(dtype, st.integers(1, 50)))
    start = data.draw(st.integers(0, len(x) - 1))
    count = data.draw(st.integers(0, len(x) - start))
    out = np.zeros(count + 3, dtype)
    run_parallel(through_memory, 1, 0, FLOAT32, x, start, count, out)
    np.testing.assert_array_equal(out[:count], x[start : start + count])
    np.testing.assert_array_equal(out[count:], np.ones(3, dtype))


@kernel
def between_two_elements(first, stop, part, scratch, x):
    view(x, 0.5, 1)[0] = 1


def test_a_part_begins_at_an_element():
    with pytest.raises(TypingError):
        run_parallel(between_two_elements, 1, 0, FLOAT32, np.zeros(3))
