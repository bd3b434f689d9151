"""Numerical limits of ops: large numbers, cancellation, dtypes, cached results."""

import numpy as np
import pytest

from npswin import ops
from npswin.ops.window_attention import AttentionSpec
from npswin.ops.windows import shift_mask
from tests.ops.drawn import normal


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_of_large_numbers(dtype):
    p, _ = ops.softmax_forward(np.array([[1e4, 1e4, -1e4], [-1e4, -np.inf, -1e4]], dtype))
    np.testing.assert_allclose(p, [[0.5, 0.5, 0], [0.5, 0, 0.5]])


def test_layer_norm_far_from_zero():
    # σ² as ⟨x²⟩ − ⟨x⟩² would lose all digits here: x² is 10⁸, σ² is 1, and float32 has 7 digits.
    x = 1e4 + normal(0, 3, 256)
    ones, zeros = np.ones(256), np.zeros(256)
    exact, _ = ops.layer_norm_forward(x.astype("float32").astype("float64"), ones, zeros)
    y, _ = ops.layer_norm_forward(*(array.astype("float32") for array in (x, ones, zeros)))
    np.testing.assert_allclose(y, exact, atol=2e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_masks_have_the_requested_dtype_and_mean_one(dtype):
    mask = ops.draw_mask(np.random.default_rng(0), (200, 200), 0.3, dtype)
    assert mask.dtype == dtype
    assert set(np.unique(mask)) == {0, np.dtype(dtype).type(1) / np.dtype(dtype).type(0.7)}
    assert mask.mean() == pytest.approx(1, abs=0.02)


def test_the_mask_value_of_window_attention_is_minus_hundred_by_default():
    assert AttentionSpec(num_heads=1, window_size=2).mask_value == -100.0


def test_shift_masks_are_cached_by_all_their_arguments():
    base = (7, 6, 3, 1, -100.0, "float64")
    others = [
        (6, 7, 3, 1, -100.0, "float64"),
        (7, 6, 4, 1, -100.0, "float64"),
        (7, 6, 3, 2, -100.0, "float64"),
        (7, 6, 3, 1, float("-inf"), "float64"),
        (7, 6, 3, 1, -100.0, "float32"),
    ]
    for arguments in [base, *others, base]:
        found, fresh = shift_mask(*arguments), shift_mask.__wrapped__(*arguments)
        assert found.dtype == fresh.dtype
        np.testing.assert_array_equal(found, fresh)


def test_a_cached_shift_mask_is_read_only():
    with pytest.raises(ValueError, match="read-only"):
        shift_mask(7, 6, 3, 1, -100.0, "float64")[...] = 0
