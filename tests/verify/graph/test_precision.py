"""Arithmetic of 16 and 32 bits, and random rounding."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.verify.graph import UNIT_ROUNDOFF, Arithmetic, is_representable_in
from npswin.verify.graph.precision import rounded

NUMBERS = st.lists(st.floats(width=32, allow_nan=True), min_size=1, max_size=20)


@given(NUMBERS)
def test_bfloat16_is_that_of_ml_dtypes(numbers):
    array = np.array(numbers, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = array.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(rounded(array, "bfloat16"), expected)


@given(NUMBERS, st.sampled_from(["float16", "bfloat16", "float32", "float64"]))
def test_rounded_numbers_are_exact_in_the_precision(numbers, precision):
    array = np.array(numbers, np.float32)
    assert is_representable_in(precision, rounded(array, precision))


def test_numbers_that_a_precision_does_not_represent():
    third = np.array([1 / 3])
    assert [name for name in UNIT_ROUNDOFF if is_representable_in(name, third)] == ["float64"]
    assert is_representable_in("bfloat16", np.array([1.5, np.inf]))
    assert not is_representable_in("float16", np.array([1e6]))


@pytest.mark.parametrize("precision", list(UNIT_ROUNDOFF))
def test_random_roundings_have_the_size_of_the_unit_roundoff(precision):
    ones = np.ones(20000)
    noisy = Arithmetic(precision, 0).store(ones, product=True).astype(np.float64)
    unit = UNIT_ROUNDOFF[precision]
    assert 0.3 * unit < np.sqrt(np.mean((noisy - 1) ** 2)) < 1.5 * unit
    assert abs(np.mean(noisy - 1)) < 0.35 * unit


def test_shapes_and_integers_do_not_change():
    arithmetic = Arithmetic("bfloat16")
    assert arithmetic.store(np.float64(1.001)).shape == ()
    labels = np.array([1, 2])
    assert arithmetic.load(labels) is labels
