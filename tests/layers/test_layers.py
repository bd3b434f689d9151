"""Every layer: its gradients against central differences, its inference against its forward pass, its errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin import layers, ops
from npswin.layers.layer import truncated_normal
from tests.ops.drawn import SEEDS, SIDES, normal
from tests.reached import checked

CENTRAL_TOLERANCE = 5e-8
BIASES = st.sampled_from(["per_head", "shared", "full", "none"])
RATES = st.sampled_from([0.0, 0.4])


def draw_params(layer, seed):
    """Numbers of deviation 1/2 for every parameter, so that no bias is zero and no term vanishes."""
    rng = np.random.default_rng(seed)
    for value in layer.params.values():
        value[...] = 0.5 * rng.standard_normal(value.shape)
    return layer


def check(layer, x, seed):
    """Gradients along every coordinate, or along directions where a tensor is large."""
    draw_params(layer, seed)
    checked(type(layer).__name__, layer, x, tolerance=CENTRAL_TOLERANCE, max_coordinates=48, directions=3)


@st.composite
def attention_arguments(draw):
    """Arguments that WindowAttention and the block share, and the map's shape."""
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


class TestGradients:
    @given(SEEDS, st.lists(SIDES, max_size=2), SIDES, SIDES, st.booleans())
    def test_linear(self, seed, lead, columns, rows, bias):
        layer = layers.Linear(columns, rows, np.random.default_rng(seed), bias=bias, dtype="float64")
        check(layer, normal(seed, *lead, columns), seed)

    @given(SEEDS, st.lists(SIDES, max_size=2), st.integers(3, 8))
    def test_layer_norm(self, seed, lead, channels):
        check(layers.LayerNorm(channels, "float64"), normal(seed, *lead, channels), seed)

    @given(SEEDS, st.lists(SIDES, max_size=2), SIDES, SIDES, RATES)
    def test_mlp(self, seed, lead, channels, hidden, drop):
        layer = layers.Mlp(channels, hidden, np.random.default_rng(seed), drop=drop, dtype="float64")
        check(layer, normal(seed, *lead, channels), seed)

    @settings(max_examples=60)
    @given(SEEDS, attention_arguments(), RATES)
    def test_window_attention(self, seed, drawn, proj_drop):
        shape, arguments = drawn
        rng = np.random.default_rng(seed)
        layer = layers.WindowAttention(shape[-1], rng=rng, proj_drop=proj_drop, dtype="float64", **arguments)
        check(layer, normal(seed, *shape), seed)

    @settings(max_examples=60)
    @given(SEEDS, attention_arguments(), RATES, RATES)
    def test_block(self, seed, drawn, drop, drop_path):
        shape, arguments = drawn
        arguments["head_dim"] = arguments["head_dim"] or 2
        dim = shape[-1] + 2  # two channels would normalize to ±1 and have no gradient to speak of
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

    @given(
        SEEDS, st.integers(1, 2), st.integers(1, 3), SIDES, SIDES, st.integers(1, 4), st.integers(3, 5), st.booleans()
    )
    def test_patch_embed(self, seed, batch, in_chans, height, width, patch_size, dim, norm):
        rng = np.random.default_rng(seed)
        layer = layers.PatchEmbed(patch_size, in_chans, dim, rng, norm=norm, dtype="float64")
        check(layer, normal(seed, batch, in_chans, height, width), seed)

    @given(SEEDS, st.integers(1, 2), SIDES, SIDES, st.integers(1, 3), st.booleans(), st.booleans())
    def test_patch_merging(self, seed, batch, height, width, dim, norm, bias):
        layer = layers.PatchMerging(dim, np.random.default_rng(seed), norm=norm, bias=bias, dtype="float64")
        check(layer, normal(seed, batch, height, width, dim), seed)

    @given(SEEDS, SIDES, SIDES, SIDES, SIDES)
    def test_mean_pool(self, seed, batch, height, width, channels):
        check(layers.MeanPool(), normal(seed, batch, height, width, channels), seed)

    @given(SEEDS, st.integers(1, 2), SIDES, SIDES, st.one_of(st.none(), st.tuples(SIDES, SIDES)), RATES)
    def test_position_embed(self, seed, batch, height, width, grid, drop):
        layer = layers.PositionEmbed(2, grid, np.random.default_rng(seed), drop, "float64")
        check(layer, normal(seed, batch, height, width, 2), seed)


def make(name, dtype="float64", **more):
    """One of each layer, and an input for it."""
    rng = np.random.default_rng(0)
    made = {
        "Linear": lambda: (layers.Linear(4, 3, rng, dtype=dtype), (2, 5, 4)),
        "LayerNorm": lambda: (layers.LayerNorm(4, dtype), (2, 5, 4)),
        "Mlp": lambda: (layers.Mlp(4, 6, rng, dtype=dtype, **more), (2, 5, 4)),
        "WindowAttention": lambda: (
            layers.WindowAttention(4, 2, 3, rng, shift_size=1, dtype=dtype, **more),
            (2, 5, 4, 4),
        ),
        "SwinTransformerBlock": lambda: (
            layers.SwinTransformerBlock(4, 2, 3, rng, shift_size=1, dtype=dtype, **more),
            (2, 5, 4, 4),
        ),
        "PatchEmbed": lambda: (layers.PatchEmbed(2, 3, 4, rng, dtype=dtype), (2, 3, 5, 4)),
        "PatchMerging": lambda: (layers.PatchMerging(4, rng, dtype=dtype), (2, 5, 4, 4)),
        "MeanPool": lambda: (layers.MeanPool(), (2, 5, 4, 4)),
        "PositionEmbed": lambda: (
            layers.PositionEmbed(4, (2, 3), rng, **{"drop": 0.0, **more}, dtype=dtype),
            (2, 5, 4, 4),
        ),
    }
    layer, shape = made[name]()
    return draw_params(layer, 1), normal(2, *shape).astype(dtype)


LAYERS = [
    "Linear",
    "LayerNorm",
    "Mlp",
    "WindowAttention",
    "SwinTransformerBlock",
    "PatchEmbed",
    "PatchMerging",
    "MeanPool",
    "PositionEmbed",
]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
class TestEveryLayer:
    def test_inference_is_the_forward_pass(self, name, dtype):
        layer, x = make(name, dtype)
        np.testing.assert_array_equal(layer(x), layer.forward(x)[0])

    def test_dtype_is_kept(self, name, dtype):
        layer, x = make(name, dtype)
        y, cache = layer.forward(x)
        dx = layer.backward(y, cache)
        assert {y.dtype, dx.dtype, *(g.dtype for g in layer.grads.values())} == {np.dtype(dtype)}

    def test_backward_adds_and_zero_grad_clears(self, name, dtype):
        layer, x = make(name, dtype)
        y, cache = layer.forward(x)
        layer.backward(y, cache)
        once = {key: grad.copy() for key, grad in layer.grads.items()}
        layer.backward(y, cache)
        for key, grad in layer.grads.items():
            np.testing.assert_allclose(grad, 2 * once[key], rtol=1e-6)
        layer.zero_grad()
        assert not any(grad.any() for grad in layer.grads.values())

    def test_nothing_given_is_changed(self, name, dtype):
        layer, x = make(name, dtype)
        params = {key: value.copy() for key, value in layer.params.items()}
        given_x = x.copy()
        y, cache = layer.forward(x)
        dy = normal(3, *y.shape).astype(dtype)
        given_dy = dy.copy()
        layer.backward(dy, cache)
        np.testing.assert_array_equal(x, given_x)
        np.testing.assert_array_equal(dy, given_dy)
        for key, value in layer.params.items():
            np.testing.assert_array_equal(value, params[key])

    def test_two_forward_passes_before_the_backward_passes(self, name, dtype):
        layer, x = make(name, dtype)
        other = x[::-1].copy() + 1
        y, cache = layer.forward(x)
        expected = layer.backward(np.ones_like(y), cache)
        _, cache = layer.forward(x)
        other_y, other_cache = layer.forward(other)
        layer.backward(np.ones_like(other_y), other_cache)
        np.testing.assert_array_equal(layer.backward(np.ones_like(y), cache), expected)


@pytest.mark.parametrize("name", LAYERS)
def test_bad_input_is_named(name):
    layer, x = make(name)
    bad = [x[..., :0], x[0, 0, 0], x.tolist()]
    if name != "MeanPool":
        bad += [x[:, :-1] if name == "PatchEmbed" else x[..., :1], x.astype("float32"), x.astype(int)]
    for wrong in bad:
        for call in (layer, layer.forward):
            with pytest.raises(ValueError, match=rf"^{name}: x (has|is) .*, expected "):
                call(wrong)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("Mlp", {"drop": 0.5}),
        ("WindowAttention", {"attn_drop": 0.5}),
        ("WindowAttention", {"proj_drop": 0.5}),
        ("SwinTransformerBlock", {"drop_path": 0.5}),
        ("PositionEmbed", {"drop": 0.5}),
    ],
)
def test_dropping_needs_a_generator_and_is_reproducible(name, more):
    layer, x = make(name, **more)
    for wrong in (None, 3):
        with pytest.raises(ValueError, match=f"rng: got {wrong}, expected a numpy.random.Generator"):
            layer.forward(x, wrong)
    first, second, other = (layer.forward(x, np.random.default_rng(seed))[0] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()
    assert (layer(x) != first).any()


def test_the_mlp_drops_hidden_and_output_channels():
    layer = layers.Mlp(32, 32, np.random.default_rng(0), drop=0.25, dtype="float64")
    layer.params["fc2.weight"][...] = np.eye(32)
    x = normal(0, 400, 32)
    kept = (layer.forward(x, np.random.default_rng(1))[0] != 0).mean()
    assert kept == pytest.approx(0.75**2, abs=0.02)  # an entry lives where neither of the two drops it


def test_attention_drops_probabilities_and_projections():
    x = normal(0, 8, 8, 8, 16)
    for rates, kept in (
        ({"attn_drop": 0.5}, 0.5),
        ({"proj_drop": 0.25}, 0.75),
        ({"attn_drop": 0.5, "proj_drop": 0.25}, 0.375),
    ):
        # With one token a window, a dropped probability silences the token.
        layer = layers.WindowAttention(16, 16, 1, np.random.default_rng(0), dtype="float64", **rates)
        layer.params["proj.weight"][...] = np.eye(16)
        y = layer.forward(x, np.random.default_rng(1))[0]
        assert (y != 0).mean() == pytest.approx(kept, abs=0.02)


@pytest.mark.parametrize("position_bias", ["per_head", "shared", "full", "none"])
@pytest.mark.parametrize("shift_size", [0, 1])
def test_probabilities_are_those_that_attention_uses(position_bias, shift_size):
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


@pytest.mark.parametrize("silent", ["attn.proj", "mlp.fc2"])
def test_drop_path_drops_whole_images_in_either_branch_and_rescales(silent):
    layer, x = make("SwinTransformerBlock", drop_path=0.75)
    x = np.repeat(x[:1], 64, axis=0)
    for name in (f"{silent}.weight", f"{silent}.bias"):
        layer.params[name][...] = 0
    branch = layer.forward(x, np.random.default_rng(0))[0] - x
    whole = layer(x)[0] - x[0]
    kept = [index for index in range(64) if branch[index].any()]
    assert 4 < len(kept) < 32
    for index in kept:
        np.testing.assert_allclose(branch[index], 4 * whole, rtol=1e-12, atol=1e-13)


def test_the_two_branches_are_dropped_independently():
    layer, x = make("SwinTransformerBlock", drop_path=0.5)
    x = np.repeat(x[:1], 64, axis=0)
    kept = []
    for silent in ("attn.proj", "mlp.fc2"):
        params = {name: layer.params[f"{silent}.{name}"].copy() for name in ("weight", "bias")}
        for name in params:
            layer.params[f"{silent}.{name}"][...] = 0
        branch = layer.forward(x, np.random.default_rng(0))[0] - x
        kept.append([index for index in range(64) if branch[index].any()])
        for name, value in params.items():
            layer.params[f"{silent}.{name}"][...] = value
    assert kept[0] != kept[1]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("Mlp", {"drop": 0.5}),
        ("WindowAttention", {"attn_drop": 0.5, "proj_drop": 0.5}),
        ("SwinTransformerBlock", {"drop": 0.5, "attn_drop": 0.5, "drop_path": 0.5}),
        ("PositionEmbed", {"drop": 0.5}),
    ],
)
def test_dropping_keeps_the_dtype(name, more):
    layer, x = make(name, "float32", **more)
    y, cache = layer.forward(x, np.random.default_rng(0))
    assert {y.dtype, layer.backward(y, cache).dtype} == {np.dtype("float32")}


def test_the_mask_value_is_the_one_that_is_added():
    arguments = {"dim": 4, "num_heads": 1, "window_size": 2, "rng": np.random.default_rng(0), "shift_size": 1}
    x = normal(0, 1, 4, 4, 4)
    for told, leak in (({}, np.exp(-100)), ({"mask_value": -50.0}, np.exp(-50)), ({"mask_value": -np.inf}, 0.0)):
        layer = layers.WindowAttention(**arguments, dtype="float64", **told)
        for value in layer.params.values():
            value[...] = 0  # all scores equal: what remains is the mask
        corner = layer.probabilities(x)[0][0, -1, 0]  # of the last window, four tokens that are no neighbours
        np.testing.assert_allclose(corner, np.where(np.eye(4), 1, leak), rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 0}, "num_heads, head_dim: got 0"),
        ({"head_dim": 0}, "num_heads, head_dim: got 2 and 0"),
        ({"num_heads": 3}, "num_heads: got 3, expected a divisor of the width 4"),
        ({"position_bias": "both"}, "position_bias: got 'both'"),
        ({"shift_size": 3}, "shift_size: got 3, expected 0 to 2"),
        ({"window_size": 0}, "window_size: got 0"),
        ({"attn_drop": 1.0}, "attn_drop: got 1.0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        layers.WindowAttention(
            **{"dim": 4, "num_heads": 2, "window_size": 3, "rng": np.random.default_rng(0), **arguments}
        )


def test_what_is_not_a_linear_weight_starts_as_in_the_official_code():
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


def test_weights_start_as_in_the_paper_and_within_the_bound():
    values = truncated_normal(np.random.default_rng(0), (200, 200))
    assert abs(values.std() - 0.02) < 2e-4
    wide = truncated_normal(np.random.default_rng(0), (200, 200), std=2.0)
    assert np.abs(wide).max() <= 2.0
    assert np.abs(wide).max() > 1.99


def test_a_sub_layer_that_is_exchanged_is_the_one_that_computes():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 4, 4, 8)).astype(np.float32)
    block = layers.SwinTransformerBlock(8, 2, 2, rng)
    before = block(x)
    block.mlp = layers.Mlp(8, 16, rng)
    block.add_child("mlp", block.mlp)
    assert not np.array_equal(block(x), before)
    y, cache = block.forward(x)
    block.backward(y, cache)
    assert all(grad.any() for name, grad in block.grads.items() if name.startswith("mlp."))
