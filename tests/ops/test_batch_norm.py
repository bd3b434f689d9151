"""Batch normalization of a batch in parts is that of the whole batch; and its numerical limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin import ops
from npswin.ops.batch_norm import merge_moments
from tests.ops.drawn import SEEDS, SIDES, normal


@given(SEEDS, st.integers(2, 30), SIDES, st.lists(st.integers(0, 30), max_size=4))
def test_a_batch_in_parts_gives_what_the_whole_batch_gives(seed, pixels, channels, cuts):
    """Parts of different sizes, empty ones among them."""
    x, dy = 3 + normal(seed, pixels, channels), normal(seed + 1, pixels, channels)
    weight, bias = normal(seed, 2, channels)
    whole = ops.batch_norm_moments(x)
    y, cache = ops.batch_norm_forward(x, weight, bias, whole.mean, whole.variance)
    dx, dweight, dbias = ops.batch_norm_backward(dy, cache)

    parts, dparts = (np.split(array, np.minimum(sorted(cuts), pixels)) for array in (x, dy))
    count, mean, variance = merge_moments([ops.batch_norm_moments(part) for part in parts])
    sums = [ops.batch_norm_backward_sums(*pair, mean, variance) for pair in zip(dparts, parts, strict=True)]
    dy_sum, dy_xhat_sum = np.sum(sums, axis=0)
    means = dy_sum / count, dy_xhat_sum / count

    assert count == whole.pixel_count == pixels
    np.testing.assert_allclose(mean, whole.mean, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(variance, whole.variance, rtol=1e-12)
    y_parts = [ops.batch_norm_forward(part, weight, bias, mean, variance)[0] for part in parts]
    # divided by the deviation, which may be small by chance
    rounding = 1e-13 / np.sqrt(variance.min())
    np.testing.assert_allclose(np.concatenate(y_parts), y, rtol=0, atol=rounding)
    np.testing.assert_allclose(dy_sum, dbias, rtol=0, atol=1e-13)
    np.testing.assert_allclose(dy_xhat_sum, dweight, rtol=0, atol=100 * rounding)
    dx_parts = [
        ops.batch_norm_backward_input(dpart, part, weight, mean, variance, *means)
        for dpart, part in zip(dparts, parts, strict=True)
    ]
    np.testing.assert_allclose(np.concatenate(dx_parts), dx, rtol=0, atol=100 * rounding / np.sqrt(variance.min()))


def test_it_is_the_formula():
    x, weight, bias = 3 + 2 * normal(0, 4, 5, 3), normal(1, 3), normal(2, 3)
    moments = ops.batch_norm_moments(x)
    assert moments.pixel_count == 20
    np.testing.assert_allclose(moments.mean, x.mean(axis=(0, 1)), rtol=1e-14)
    np.testing.assert_allclose(moments.variance, x.var(axis=(0, 1)), rtol=1e-13)
    y, _ = ops.batch_norm_forward(x, weight, bias, moments.mean, moments.variance, eps=0.5)
    expected = (x - moments.mean) / np.sqrt(moments.variance + 0.5) * weight + bias
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=1e-14)


def test_moments_of_nothing_are_zeros_and_change_nothing():
    nothing, some = (ops.batch_norm_moments(normal(0, pixels, 3)) for pixels in (0, 5))
    assert nothing.pixel_count == 0
    for found, expected in zip(merge_moments([nothing, some, nothing]), some, strict=True):
        np.testing.assert_array_equal(found, expected)
    for found, expected in zip(merge_moments([nothing, nothing]), nothing, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("parts", [1, 4])
def test_variance_far_from_zero(parts):
    # σ² as ⟨x²⟩ − ⟨x⟩² would lose all digits here: x² is 10⁸, σ² is 1, and float32 has 7 digits.
    x = (1e4 + normal(0, 400, 3)).astype("float32")
    exact = ops.batch_norm_moments(x.astype("float64"))
    found = merge_moments([ops.batch_norm_moments(part) for part in np.split(x, parts)])
    assert found.variance.dtype == np.float32
    # means are rounded to multiples of 2⁻¹⁰; those of the parts differ from the whole's by about 0.1
    np.testing.assert_allclose(found.variance, exact.variance, rtol=1e-3)


def test_constants_have_no_derivative_by_x():
    x, ones, zeros = normal(0, 6, 3), np.ones(3), np.zeros(3)
    _, cache = ops.batch_norm_forward(x, 2 * ones, zeros, zeros, ones, eps=0.0, constant=True)
    np.testing.assert_array_equal(ops.batch_norm_backward(x, cache)[0], 2 * x)
