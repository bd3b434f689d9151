"""Initial parameters of layers."""

import numpy as np
import pytest

from npswin import layers
from npswin.layers.layer import truncated_normal


def test_patch_embed_layer_norm_biases_and_tables_start_as_in_the_official_code():
    rng = np.random.default_rng(0)
    embed = layers.PatchEmbed(4, 3, 96, rng, dtype="float64").params
    for name in ("proj.weight", "proj.bias"):  # a convolution: uniform within ±1/√fan_in, fan_in = 3·4·4
        assert 0.95 < np.abs(embed[name]).max() * np.sqrt(48) <= 1
        assert abs(embed[name].mean()) < 0.02
    block = layers.SwinTransformerBlock(32, 8, 7, rng, dtype="float64").params
    np.testing.assert_array_equal(block["norm1.weight"], 1)
    assert not any(value.any() for name, value in block.items() if name.endswith("bias"))
    table = layers.PositionEmbed(32, (14, 14), rng, 0.0, "float64").params["absolute_pos_embed"]
    for values in (block["attn.relative_position_bias_table"], block["attn.qkv.weight"], table):
        assert values.std() == pytest.approx(0.02, rel=0.05)


def test_truncated_normal_has_the_papers_deviation_and_stays_within_the_bound():
    values = truncated_normal(np.random.default_rng(0), (200, 200))
    assert abs(values.std() - 0.02) < 2e-4
    wide = truncated_normal(np.random.default_rng(0), (200, 200), std=2.0)
    assert np.abs(wide).max() <= 2.0
    assert np.abs(wide).max() > 1.99
