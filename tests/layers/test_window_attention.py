"""The layer WindowAttention."""

import numpy as np
import pytest

from npswin import layers, ops
from tests.layers.drawn import draw_params
from tests.ops.drawn import normal


def test_window_attention_drops_probabilities_and_projections():
    x = normal(0, 8, 8, 8, 16)
    for rates, nonzero in (
        ({"attn_drop": 0.5}, 0.5),
        ({"proj_drop": 0.25}, 0.75),
        ({"attn_drop": 0.5, "proj_drop": 0.25}, 0.375),
    ):
        # With one token a window, a dropped probability makes the token zero.
        layer = layers.WindowAttention(16, 16, 1, np.random.default_rng(0), dtype="float64", **rates)
        layer.params["proj.weight"][...] = np.eye(16)
        y = layer.forward(x, np.random.default_rng(1))[0]
        assert (y != 0).mean() == pytest.approx(nonzero, abs=0.02)


@pytest.mark.parametrize("position_bias", ["per_head", "shared", "full", "none"])
@pytest.mark.parametrize("shift_size", [0, 1])
def test_probabilities_of_window_attention_are_those_of_its_forward_pass(position_bias, shift_size):
    rng = np.random.default_rng(0)
    layer = layers.WindowAttention(4, 2, 3, rng, shift_size=shift_size, position_bias=position_bias, dtype="float64")
    x = normal(0, 2, 5, 4, 4)
    draw_params(layer, 1)
    probabilities, grid = layer.probabilities(x)
    assert grid == (2, 2)
    assert probabilities.shape == (2, 4, 2, 9, 9)
    windows, _ = ops.window_partition_forward(x, 3, shift_size)
    values = layer.children["qkv"](windows)[..., 8:].reshape(2, 4, 9, 2, 2)
    attended = np.einsum("bwhij,bwjhd->bwihd", probabilities, values).reshape(8, 9, 4)
    expected, _ = ops.window_reverse_forward(layer.children["proj"](attended), (5, 4), 3, shift_size)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-12, atol=1e-14)


def test_window_attention_adds_the_mask_value():
    arguments = {"dim": 4, "num_heads": 1, "window_size": 2, "rng": np.random.default_rng(0), "shift_size": 1}
    x = normal(0, 1, 4, 4, 4)
    for given, leak in (({}, np.exp(-100)), ({"mask_value": -50.0}, np.exp(-50)), ({"mask_value": -np.inf}, 0.0)):
        layer = layers.WindowAttention(**arguments, dtype="float64", **given)
        for value in layer.params.values():
            value[...] = 0  # all scores are equal up to the mask
        corner = layer.probabilities(x)[0][0, -1, 0]  # the last window: four tokens that are not adjacent on the map
        np.testing.assert_allclose(corner, np.where(np.eye(4), 1, leak), rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 0}, "num_heads: got 0"),
        ({"head_dim": 0}, "head_dim: got 0"),
        ({"num_heads": 3}, "num_heads: got 3, expected a divisor of the width 4"),
        ({"position_bias": "both"}, "position_bias: got 'both'"),
        ({"shift_size": 3}, "shift_size: got 3, expected an integer of at least 0 and at most 2"),
        ({"window_size": 0}, "window_size: got 0"),
        ({"attn_drop": 1.0}, "attn_drop: got 1.0"),
    ],
)
def test_errors_of_window_attention_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        layers.WindowAttention(
            **{"dim": 4, "num_heads": 2, "window_size": 3, "rng": np.random.default_rng(0), **arguments}
        )
