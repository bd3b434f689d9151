"""Hypothesis strategies for the shapes and arguments of ops, and the arrays that go with them."""

import numpy as np
from hypothesis import strategies as st

from npswin.ops.window_attention import AttentionSpec

SEEDS = st.integers(0, 2**32 - 1)
SIDES = st.integers(1, 6)


def normal(seed, *shape):
    """Normal deviates in float64."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def random_boxes(seed, count, spread=1.0):
    """Boxes (count, 4) with sides of 5 to 30 pixels, their centres closer to each other the smaller `spread` is."""
    rng = np.random.default_rng([seed, count])
    centres, sides = 100 + spread * rng.uniform(-20, 20, (count, 2)), rng.uniform(5, 30, (count, 2))
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)


@st.composite
def loss_weights(draw, seed, *shape):
    """Weights of this shape, of which some are 0, or None; and a divisor, or None."""
    rng = np.random.default_rng([seed, *shape])
    weights = draw(st.sampled_from([None, rng.random(shape) * rng.integers(0, 2, shape)]))
    return weights, draw(st.sampled_from([None, 0.5, 7]))


@st.composite
def conv2d_cases(draw):
    """x, weight and bias of a convolution, and stride and padding as a dictionary; the kernel fits the padded map."""
    seed, padding, stride = draw(SEEDS), draw(st.integers(0, 3)), draw(st.integers(1, 3))
    height, width = (draw(st.sampled_from([1, 3, 5])) for _ in range(2))
    rows, columns = (draw(st.integers(max(1, k - 2 * padding), 7)) for k in (height, width))
    inputs, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    arrays = [
        normal(seed, draw(st.integers(1, 2)), rows, columns, inputs),
        normal(seed, outputs, inputs, height, width),
        normal(seed, outputs) if draw(st.booleans()) else None,
    ]
    return arrays, {"stride": stride, "padding": padding}


@st.composite
def window_cases(draw):
    """A map's size, a window size, which may exceed the map's, a shift size and a head count, as a dictionary."""
    window_size = draw(st.integers(1, 4))
    return {
        "batch": draw(st.integers(1, 2)),
        "height": draw(SIDES),
        "width": draw(SIDES),
        "window_size": window_size,
        "shift_size": draw(st.integers(0, window_size - 1)),
        "num_heads": draw(st.integers(1, 3)),
        "head_dim": draw(st.integers(1, 3)),
        "channels": draw(st.integers(1, 4)),
        "bias": draw(st.sampled_from(["per_head", "shared", "full", "none"])),
        "mask_value": draw(st.sampled_from([-100.0, float("-inf")])),
        "qkv_bias": draw(st.booleans()),
        "seed": draw(SEEDS),
    }


def bias_table(case):
    """A bias table of the case's variant, or None."""
    window_size, heads = case["window_size"], case["num_heads"]
    shape = {
        "per_head": ((2 * window_size - 1) ** 2, heads),
        "shared": ((2 * window_size - 1) ** 2, 1),
        "full": (window_size**2, window_size**2),
        "none": None,
    }[case["bias"]]
    return None if shape is None else normal(case["seed"], *shape)


def window_attention_inputs(case):
    """x, qkv_weight, qkv_bias, proj_weight, proj_bias, bias_table of a case, and the op's keyword arguments."""
    seed, channels, inner = case["seed"], case["channels"], case["num_heads"] * case["head_dim"]
    arrays = [
        normal(seed, case["batch"], case["height"], case["width"], channels),
        normal(seed, 3 * inner, channels),
        normal(seed, 3 * inner) if case["qkv_bias"] else None,
        normal(seed, channels, inner),
        normal(seed, channels),
        bias_table(case),
    ]
    return arrays, {"spec": AttentionSpec(*(case[name] for name in AttentionSpec._fields))}
