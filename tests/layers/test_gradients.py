"""Every layer's backward pass, compared with central differences of its forward pass."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin import layers
from tests.gradient_errors import gradcheck_and_record
from tests.layers.drawn import draw_params
from tests.ops.drawn import SEEDS, SIDES, normal
from tests.thorough import examples

CENTRAL_TOLERANCE = 5e-8
BIASES = st.sampled_from(["per_head", "shared", "full", "none"])
RATES = st.sampled_from([0.0, 0.4])


def check(layer, x, seed):
    """Check gradients along every coordinate, or along directions where a tensor is large."""
    draw_params(layer, seed)
    gradcheck_and_record(type(layer).__name__, layer, x, tolerance=CENTRAL_TOLERANCE, max_coordinates=48, directions=3)


@st.composite
def attention_arguments(draw):
    """The map's shape, and arguments that WindowAttention and the block share."""
    num_heads, window_size = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    head_dim = draw(st.sampled_from([None, 1, 3]))
    dim = draw(st.integers(1, 2)) * num_heads if head_dim is None else draw(st.integers(2, 4))
    shape = (draw(st.integers(1, 2)), draw(SIDES), draw(SIDES), dim)
    arguments = {
        "num_heads": num_heads,
        "window_size": window_size,
        "shift_size": draw(st.integers(0, window_size - 1)),
        "head_dim": head_dim,
        "position_bias": draw(BIASES),
        "qkv_bias": draw(st.booleans()),
        "mask_value": draw(st.sampled_from([-100.0, float("-inf")])),
        "attn_drop": draw(RATES),
    }
    return shape, arguments


@given(SEEDS, st.lists(SIDES, max_size=2), SIDES, SIDES, st.booleans())
def test_linear(seed, lead, columns, rows, bias):
    layer = layers.Linear(columns, rows, np.random.default_rng(seed), bias=bias, dtype="float64")
    check(layer, normal(seed, *lead, columns), seed)


@given(SEEDS, st.lists(SIDES, max_size=2), st.integers(3, 8))
def test_layer_norm(seed, lead, channels):
    check(layers.LayerNorm(channels, "float64"), normal(seed, *lead, channels), seed)


@given(SEEDS, st.integers(1, 2), st.integers(2, 4), st.integers(2, 4), st.integers(1, 5), st.booleans())
def test_batch_norm(seed, batch, height, width, channels, frozen):
    layer = layers.BatchNorm2d(channels, "float64", frozen)
    layer.buffers["running_mean"][...] = normal(seed, channels)
    layer.buffers["running_var"][...] = 0.1 + normal(seed + 1, channels) ** 2
    check(layer, normal(seed, batch, height, width, channels), seed)


@given(SEEDS, st.lists(SIDES, max_size=2), SIDES, SIDES, RATES)
def test_mlp(seed, lead, channels, hidden, drop):
    layer = layers.Mlp(channels, hidden, np.random.default_rng(seed), drop=drop, dtype="float64")
    check(layer, normal(seed, *lead, channels), seed)


@settings(max_examples=examples(60))
@given(SEEDS, attention_arguments(), RATES)
def test_window_attention(seed, drawn, proj_drop):
    shape, arguments = drawn
    rng = np.random.default_rng(seed)
    layer = layers.WindowAttention(shape[-1], rng=rng, proj_drop=proj_drop, dtype="float64", **arguments)
    check(layer, normal(seed, *shape), seed)


@settings(max_examples=examples(60))
@given(SEEDS, attention_arguments(), RATES, RATES)
def test_swin_transformer_block(seed, drawn, drop, drop_path):
    shape, arguments = drawn
    arguments["head_dim"] = arguments["head_dim"] or 2
    dim = shape[-1] + 2  # two channels would normalize to ±1 and have almost no gradient
    layer = layers.SwinTransformerBlock(
        dim,
        rng=np.random.default_rng(seed),
        mlp_ratio=1.5,
        drop=drop,
        drop_path=drop_path,
        dtype="float64",
        **arguments,
    )
    check(layer, normal(seed, *shape[:-1], dim), seed)


@given(SEEDS, st.integers(1, 2), st.integers(1, 3), SIDES, SIDES, st.integers(1, 4), st.integers(3, 5), st.booleans())
def test_patch_embed(seed, batch, in_chans, height, width, patch_size, dim, norm):
    rng = np.random.default_rng(seed)
    layer = layers.PatchEmbed(patch_size, in_chans, dim, rng, norm=norm, dtype="float64")
    check(layer, normal(seed, batch, in_chans, height, width), seed)


@given(SEEDS, st.integers(1, 2), SIDES, SIDES, st.integers(1, 3), st.booleans(), st.booleans())
def test_patch_merging(seed, batch, height, width, dim, norm, bias):
    layer = layers.PatchMerging(dim, np.random.default_rng(seed), norm=norm, bias=bias, dtype="float64")
    check(layer, normal(seed, batch, height, width, dim), seed)


@given(SEEDS, SIDES, SIDES, SIDES, SIDES)
def test_mean_pool(seed, batch, height, width, channels):
    check(layers.MeanPool(), normal(seed, batch, height, width, channels), seed)


@given(SEEDS, st.integers(1, 2), SIDES, SIDES, st.one_of(st.none(), st.tuples(SIDES, SIDES)), RATES)
def test_position_embed(seed, batch, height, width, grid, drop):
    layer = layers.PositionEmbed(2, grid, np.random.default_rng(seed), drop, "float64")
    check(layer, normal(seed, batch, height, width, 2), seed)
