"""Rounding to bfloat16, and the layouts of what products read."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from npswin.backends.cpu.simd.bfloat16 import LANES, NUMBERS, pair_rows, round_rows, round_transposed
from npswin.backends.cpu.tile.bfloat16_weights import pairs_per_row, rounded_transpose, rounded_weight
from tests.backends.cpu.pairs import Flat, as_pair_rows, as_rows, needs_vectors, numbers, rounded
from tests.backends.cpu.settings import cpu_settings
from tests.ops.drawn import SEEDS
from tests.thorough import examples

pytestmark = needs_vectors
UNTOUCHED = -7

# float32 bits, and those of the bfloat16 that the processor makes of them
SPECIAL = [
    *((0x00000000, 0x0000), (0x80000000, 0x8000)),  # zeros
    *((0x3F800000, 0x3F80), (0x3F807FFF, 0x3F80), (0x3F808001, 0x3F81)),  # 1, and below and above half a step more
    *((0x3F808000, 0x3F80), (0x3F818000, 0x3F82), (0xBF818000, 0xBF82)),  # ties go to even
    *((0x3FFFFFFF, 0x4000), (0x7F7FFFFF, 0x7F80), (0xFF7F8000, 0xFF80)),  # into the next power of two, to infinity
    *((0x7F800000, 0x7F80), (0xFF800000, 0xFF80)),  # infinities
    *((0x7FC00000, 0x7FC0), (0xFFC12345, 0xFFC1), (0x7F800001, 0x7FC0)),  # NaN, the last one signaling
    *((0x00800000, 0x0080), (0x007FFFFF, 0x0000), (0x807FFFFF, 0x8000)),  # the smallest normal, subnormal numbers
]


def to_whole_vectors(pairs):
    return np.pad(pairs, ((0, 0), (0, -pairs.shape[1] % LANES)))


def test_the_definition_rounds_special_values():
    given_bits, expected = np.array(SPECIAL, np.uint32).T
    assert rounded(given_bits.view(np.float32)).tolist() == expected.tolist()
    assert numbers(np.array([0x3F81, 0xFF80], np.uint16)).tolist() == [1 + 2**-7, -np.inf]


@pytest.mark.parametrize("layout", [round_rows, pair_rows, round_transposed])
def test_special_values_in_each_lane(layout):
    bits, expected = np.array(SPECIAL, np.uint32).T
    for shift in range(len(SPECIAL)):
        x = np.resize(np.roll(bits, shift), (NUMBERS, NUMBERS)).view(np.float32)
        rounded_bits = np.resize(np.roll(expected, shift), (NUMBERS, NUMBERS)).astype(np.uint16)
        out = np.zeros((NUMBERS, NUMBERS) if layout is pair_rows else (NUMBERS, LANES), np.int32)
        layout(NUMBERS, NUMBERS, (x.reshape(-1), 0, NUMBERS), (out.reshape(-1), 0, out.shape[1]))
        if layout is pair_rows:
            np.testing.assert_array_equal(out[:LANES], as_pair_rows(rounded_bits))
        else:
            np.testing.assert_array_equal(out, as_rows(rounded_bits if layout is round_rows else rounded_bits.T))


@settings(max_examples=examples(60))
@given(SEEDS, st.integers(1, 70), st.integers(1, 300), st.integers(0, 20), st.integers(0, 20), st.integers(0, 2))
@example(0, NUMBERS, NUMBERS, 0, 0, 0)
@example(0, NUMBERS + 1, LANES, 3, 0, 1)
@example(0, NUMBERS + 3, 300, 0, 0, 0)
def test_rows_columns_and_pair_rows(seed, rows, columns, offset, gap, gap_vectors):
    x = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    whole = np.ascontiguousarray(x[:, : columns - columns % LANES])
    for layout, matrix, expected in (
        (round_rows, x, to_whole_vectors(as_rows(rounded(x)))),
        (round_transposed, x, to_whole_vectors(as_rows(np.ascontiguousarray(rounded(x).T)))),
        (pair_rows, whole, as_pair_rows(rounded(whole))),
    ):
        wanted = Flat(expected, offset, gap_vectors * LANES, UNTOUCHED)
        out = np.full_like(wanted.array, UNTOUCHED)
        layout(*matrix.shape, Flat(matrix, offset, gap, np.nan).place, (out, offset, wanted.row))
        np.testing.assert_array_equal(out, wanted.array)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("outputs", "inputs"), [(1, 1), (5, 300), (300, 5), (96, 256), (256, 96), (67, 131)])
def test_a_weight_and_its_transpose(threads, outputs, inputs):
    weight = np.random.default_rng(0).standard_normal((outputs, inputs)).astype(np.float32)
    with cpu_settings(threads):
        straight = rounded_weight(weight.reshape(-1), inputs).reshape(outputs, -1)
        transposed = rounded_transpose(weight.reshape(-1), inputs).reshape(inputs, -1)
    for pairs, matrix in ((straight, weight), (transposed, np.ascontiguousarray(weight.T))):
        expected = as_rows(rounded(matrix))
        np.testing.assert_array_equal(pairs[:, : expected.shape[1]], expected)


def test_rows_of_weights_are_whole_lines_that_do_not_crowd():
    assert [pairs_per_row(numbers) for numbers in (1, 32, 33, 96, 768, 1536)] == [16, 16, 32, 48, 400, 784]
