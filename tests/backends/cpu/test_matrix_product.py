"""The matrix product that compiled ops consist of."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from npswin.backends.cpu.machine.processor import ONE_VECTOR_ROWS, TILE_ROWS, vector_lanes
from npswin.backends.cpu.simd.matrix_product import product
from npswin.backends.cpu.simd.micro_kernel import FROM_BIAS, FROM_MATRIX, FROM_OUTPUT, FROM_ZERO
from tests.ops.drawn import SEEDS
from tests.thorough import examples

STARTS = (FROM_ZERO, FROM_OUTPUT, FROM_BIAS, FROM_MATRIX)


class Flat:
    """A flat array that contains a matrix of integers, whose products and sums are exact, and NaN around it."""

    def __init__(self, rng, rows, columns, offset, gap, dtype):
        self.offset, self.stride = offset, columns + gap
        self.array = np.full(offset + rows * self.stride + 67, np.nan, dtype)
        self.matrix = np.lib.stride_tricks.as_strided(
            self.array[offset:], (rows, columns), (self.stride * self.array.itemsize, self.array.itemsize)
        )
        self.matrix[...] = rng.integers(-9, 10, size=(rows, columns))


@pytest.mark.parametrize("by_row", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=examples(150))
@given(
    SEEDS,
    st.integers(1, 2 * TILE_ROWS + 5),
    st.one_of(st.integers(1, 2 * vector_lanes(4)), st.integers(1, 5 * vector_lanes(4))),
    st.one_of(st.integers(0, 3), st.integers(0, 200)),
    st.sampled_from(STARTS),
    st.tuples(*[st.integers(0, 20)] * 4),
    st.tuples(*[st.integers(0, 20)] * 3),
)
@example(0, TILE_ROWS, 2 * vector_lanes(4), 0, FROM_ZERO, (0, 0, 0, 0), (0, 0, 0))
@example(0, TILE_ROWS + 1, vector_lanes(4) - 1, 0, FROM_BIAS, (1, 2, 3, 4), (0, 0, 0))
@example(0, ONE_VECTOR_ROWS + TILE_ROWS + 5, vector_lanes(4), 3, FROM_MATRIX, (0, 0, 0, 5), (0, 0, 2))
def test_the_product_equals_numpy(by_row, dtype, seed, rows, columns, depth, start, offsets, gaps):
    rng = np.random.default_rng(seed)
    left = Flat(rng, *((rows, depth) if by_row else (depth, rows)), offsets[0], gaps[0], dtype)
    right = Flat(rng, depth, columns, offsets[1], gaps[1], dtype)
    out = Flat(rng, rows, columns, offsets[2], gaps[2], dtype)
    bias = Flat(rng, 1, rows, offsets[3], 0, dtype)
    if start == FROM_MATRIX:  # laid out as the result
        bias = Flat(rng, rows, columns, offsets[3], gaps[2], dtype)
    a = left.matrix if by_row else left.matrix.T
    begin = {
        FROM_ZERO: 0,
        FROM_OUTPUT: out.matrix.copy(),
        FROM_BIAS: bias.matrix[0][:, None],
        FROM_MATRIX: bias.matrix,
    }[start]
    expected = out.array.copy()
    np.lib.stride_tricks.as_strided(expected[out.offset :], out.matrix.shape, out.matrix.strides)[...] = (
        begin + a @ right.matrix
    )
    product(
        *(rows, columns, depth),
        (left.array, left.offset, left.stride if by_row else 1, 1 if by_row else left.stride),
        (right.array, right.offset, right.stride),
        (out.array, out.offset, out.stride),
        *(start, (bias.array, bias.offset)),
    )
    np.testing.assert_array_equal(out.array, expected)  # the NaN around it is still there
