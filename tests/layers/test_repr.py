"""What `repr` shows of layers and of the model."""

import numpy as np
import pytest

from npswin.layers import LayerNorm, Linear, MeanPool, Mlp, PositionEmbed, WindowAttention
from tests.models.tiny import tiny

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (MeanPool(), "MeanPool()"),
        (LayerNorm(4), "LayerNorm(weight (4,), bias (4,))"),
        (Linear(4, 3, RNG, bias=False), "Linear(weight (3, 4))"),
        (PositionEmbed(4, None, RNG, 0.1), "PositionEmbed(grid=None, drop=0.1)"),
        (PositionEmbed(4, (2, 3), RNG, 0.0), "PositionEmbed(grid=(2, 3), drop=0.0, absolute_pos_embed (1, 6, 4))"),
    ],
)
def test_a_layer_without_sub_layers_is_one_line(layer, text):
    assert repr(layer) == text


def test_sub_layers_are_indented():
    lines = [
        "Mlp(",
        "  drop=0.0",
        "  (fc1): Linear(weight (8, 4), bias (8,))",
        "  (fc2): Linear(weight (4, 8), bias (4,))",
        ")",
    ]
    assert repr(Mlp(4, 8, RNG)).splitlines() == lines


def test_attention_shows_its_window_and_its_own_parameter():
    first, own, *_ = repr(WindowAttention(4, 2, 3, RNG, shift_size=1, attn_drop=0.2)).splitlines()
    assert first == "WindowAttention("
    assert own == (
        "  num_heads=2, window_size=3, shift_size=1, attn_drop=0.2, proj_drop=0.0, relative_position_bias_table (25, 2)"
    )


def test_the_model_counts_its_parameters_and_names_layers_as_its_parameters_do():
    model = tiny(drop_path_rate=0.5, ape=True)
    lines = repr(model).splitlines()
    count = sum(param.size for param in model.params.values())
    assert lines[0] == "SwinTransformer("
    assert lines[1] == f"  img_size=16, in_chans=3, num_classes=3, dtype='float64', {count:,} parameters"
    assert lines[2] == "  SwinBackbone("
    assert "    PositionEmbed(grid=(8, 8), drop=0.0, absolute_pos_embed (1, 64, 4))" in lines
    block = lines.index("    (layers.0.blocks.1): SwinTransformerBlock(")
    assert lines[block + 1] == "      drop_path=0.25"
    assert lines[block + 3] == "      (attn): WindowAttention("
    assert lines[-2:] == ["  (head): Linear(weight (3, 8), bias (3,))", ")"]
