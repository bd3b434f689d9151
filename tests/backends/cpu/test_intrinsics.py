"""Vectors as values: every operation equals NumPy's, lane by lane."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from npswin.backends.cpu.machine.compilation import inner_function
from npswin.backends.cpu.machine.processor import vector_lanes
from npswin.backends.cpu.simd.elementary_functions import exp, normal_cdf, normal_cdf_and_gelu_derivative
from npswin.backends.cpu.simd.intrinsics import (
    broadcast,
    if_less,
    lane,
    lanes_of,
    load,
    store,
    sum_lanes,
    with_lane,
)

DTYPES = [np.float32, np.float64]
OFFSET = 3  # so that no vector is aligned


@inner_function
def _operate(a, b, number, out):
    x, y, lanes = load(a, OFFSET), load(b, OFFSET), lanes_of(a)
    results = (x + y, x - y, x * y, x / y, x + number, number - x, if_less(x, y, x, number), broadcast(number))
    for place, result in enumerate(results):
        store(out, OFFSET + place * lanes, result)
    return lanes, lane(x, 1), sum_lanes(x)


@inner_function
def _of_vectors(a, out):
    x, lanes = load(a, 0), lanes_of(a)
    cdf, slope = normal_cdf_and_gelu_derivative(x)
    results = (exp(x), normal_cdf(x), cdf, slope, with_lane(x, 1, a[0]))
    for place, result in enumerate(results):
        store(out, place * lanes, result)


@inner_function
def _of_numbers(a, out):
    for i in range(a.size):
        cdf, slope = normal_cdf_and_gelu_derivative(a[i])
        results = (exp(a[i]), normal_cdf(a[i]), cdf, slope, a[0] if i == 1 else a[i])
        for place, result in enumerate(results):
            out[place * a.size + i] = result


def numbers(dtype, size):
    width = 8 * np.dtype(dtype).itemsize
    wanted = st.floats(-1e6, 1e6, width=width, allow_subnormal=False) | st.sampled_from([np.nan, np.inf, -np.inf])
    return arrays(dtype, size, elements=wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@given(st.data())
def test_operations_equal_numpy(dtype, data):
    lanes = vector_lanes(np.dtype(dtype).itemsize)
    a, b = (data.draw(numbers(dtype, lanes)) for _ in range(2))
    number = data.draw(numbers(dtype, 1))[0]
    padded = [np.concatenate([np.full(OFFSET, 9, dtype), x, np.full(2, 9, dtype)]) for x in (a, b)]
    out = np.full(OFFSET + 8 * lanes + 2, -5, dtype)
    found = _operate(*padded, number, out)
    with np.errstate(all="ignore"):
        wanted = [a + b, a - b, a * b, a / b, a + number, number - a, np.where(a < b, a, number)]
        wanted.append(np.full(lanes, number))
        np.testing.assert_array_equal(out[OFFSET:-2].reshape(8, lanes), wanted)
        total = a
        while len(total) > 1:
            total = total[: len(total) // 2] + total[len(total) // 2 :]
        np.testing.assert_equal(found[2], total[0])
    assert found[0] == lanes
    np.testing.assert_equal(found[1], a[1])
    assert (out[:OFFSET] == -5).all()
    assert (out[-2:] == -5).all()


@pytest.mark.parametrize("dtype", DTYPES)
@given(st.data())
def test_functions_of_a_vector_equal_those_of_its_numbers(dtype, data):
    a = data.draw(numbers(dtype, vector_lanes(np.dtype(dtype).itemsize)))
    a = np.where(a > 80, 80, a).astype(dtype)  # exp is for x up to 88
    vectors, each = np.empty((5, a.size), dtype), np.empty((5, a.size), dtype)
    _of_vectors(a, vectors.reshape(-1))
    _of_numbers(a, each.reshape(-1))
    np.testing.assert_allclose(vectors, each, rtol=4 * np.finfo(dtype).eps, atol=0)
