"""plain_shift: attention with the cyclic shift and its mask equals attention in shifted windows."""

import numpy as np
import pytest
from hypothesis import given, settings

from npswin import ops
from npswin.ops.windows import count_windows
from npswin.verify.plain_shift import (
    count_plain_windows,
    plain_window_attention_backward,
    plain_window_attention_forward,
    window_table,
)
from tests.ops.drawn import normal, window_attention_inputs, window_cases
from tests.thorough import examples


@settings(max_examples=examples(150))
@given(window_cases())
def test_both_computations_agree_forward_and_backward(case):
    arrays, arguments = window_attention_inputs(case)
    y, cache = ops.window_attention_forward(*arrays, **arguments)
    plain_y, plain_cache = plain_window_attention_forward(
        *arrays,
        num_heads=case["num_heads"],
        window_size=case["window_size"],
        shift_size=case["shift"] if "shift" in case else case["shift_size"],
    )
    np.testing.assert_allclose(y, plain_y, rtol=1e-10, atol=1e-12)

    dy = normal(case["seed"] + 1, *y.shape)
    gradients, plain = ops.window_attention_backward(dy, cache), plain_window_attention_backward(dy, plain_cache)
    for gradient, other in zip(gradients, plain, strict=True):
        assert (gradient is None) == (other is None)
        if gradient is not None:
            np.testing.assert_allclose(gradient, other, rtol=1e-9, atol=1e-11 * (1 + np.abs(other).max()))


@pytest.mark.parametrize(("side", "plain", "efficient"), [(56, 81, 64), (28, 25, 16), (14, 9, 4)])
def test_window_counts_are_the_papers(side, plain, efficient):
    # Section 3.2: (⌈h/M⌉ + 1) × (⌈w/M⌉ + 1) windows rather than ⌈h/M⌉ × ⌈w/M⌉; 2×2 becomes 3×3, 2.25 times as many.
    assert count_plain_windows(side, side, 7, 3) == plain
    assert count_windows(side, side, 7) == efficient


def test_the_table_has_both_computations():
    assert "| 3 | 14×14 | 9 | 4 | 2.25 |" in window_table()
    assert "| 4 | 7×7 | 1 | 1 | 1.00 |" in window_table()
