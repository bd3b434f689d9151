"""The key of --stress: half precision overflows, underflows and loses near-ties in it; float32 does not."""

from functools import lru_cache

import numpy as np
import pytest

from npswin.verify import compare, trace
from npswin.verify.graph import Arithmetic, Run
from npswin.verify.key.golden import EVEN_MINIATURE, draw_labels, draw_pixels
from npswin.verify.key.stress import stress_weights
from npswin.verify.port.distance import relative_and_peak
from npswin.verify.port.tolerance import ToleranceEstimator
from tests.verify.keys import SCALE, computed, random_model

# By model: its arguments, and a block of each kind.
MODELS = {
    "odd": ({}, ["layers.0.blocks.0", "layers.0.blocks.1", "layers.1.blocks.0", "layers.1.blocks.1"]),
    "even": (EVEN_MINIATURE, [f"layers.0.blocks.{block}" for block in range(4)]),
}
FAR = 100  # times the tolerance


@lru_cache
def stress_trace(name):
    model = random_model(**MODELS[name][0])
    stress_weights(model, 0)
    size = tuple(model.config["img_size"])
    return trace(model, draw_pixels(0, 2, size), draw_labels(0, 2, 5), normalization=SCALE)


@lru_cache
def tolerance(name, tensor):
    key = stress_trace(name)
    estimator = ToleranceEstimator(key.graph, key.sources, "float32")
    return estimator.tolerance(tensor, key[tensor], lambda run: run.value(tensor))


def half(array):
    return array.astype(np.float16)


def error(name, tensor, found):
    """The distance from the key in tolerances of float32; infinite for NaN."""
    with np.errstate(all="ignore"):
        return tolerance(name, tensor).ratio(*relative_and_peak(found, stress_trace(name)[tensor]))


def half_norm(x):
    """The variance of each token in half precision."""
    x = half(x)
    with np.errstate(all="ignore"):
        return np.square(x - x.mean(-1, keepdims=True, dtype=np.float16)).mean(-1, dtype=np.float16)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_right_port_agrees(name, precision):
    key = stress_trace(name)
    for seed in (None, 0) if precision == "float32" else (None,):
        comparison = compare(key, computed(key.graph, key.sources, precision, seed))
        assert comparison.ok, str(comparison)
        assert comparison.precision == precision


@pytest.mark.parametrize("name", MODELS)
def test_float32_computes_it_well(name):
    key = stress_trace(name)
    relative = {tensor: tolerance(name, tensor).relative for tensor in key.graph.computed}
    assert np.median(list(relative.values())) < 1e-5
    assert max(relative.values()) < 0.05  # the softmax of scores of 70,000
    single = Run(key.graph, key.sources, Arithmetic("float32"))
    assert all(np.isfinite(single.value(tensor)).all() for tensor in key.graph.computed)
    assert all(np.abs(key[parameter]).max() < np.finfo(np.float16).max for parameter in key.graph.parameters)


@pytest.mark.parametrize("name", MODELS)
def test_the_variance_of_norms_overflows(name):
    key = stress_trace(name)
    norms = [tensor for tensor in key.graph.computed if key.graph.nodes[tensor].operation.name == "layer_norm"]
    overflowing = [
        tensor for tensor in norms if not np.isfinite(half_norm(key[key.graph.nodes[tensor].inputs[0]])).all()
    ]
    assert "patch_embed.norm" in overflowing
    assert "layers.0.downsample.norm" in overflowing
    assert any(tensor.endswith(("norm1", "norm2")) for tensor in overflowing) or name == "odd"


@pytest.mark.parametrize("name", MODELS)
def test_hidden_units_overflow_though_the_output_does_not(name):
    key, block = stress_trace(name), MODELS[name][1][1]
    with np.errstate(all="ignore"):
        assert np.isinf(half(key[f"{block}.mlp.fc1"])).any()
        assert np.isinf(half(key[f"{block}.mlp.act"])).any()
        assert np.isfinite(half(key[f"{block}.mlp.fc2"])).all()


@pytest.mark.parametrize("name", MODELS)
def test_hidden_units_are_flushed_to_zero_though_the_output_shows_them(name):
    key, block = stress_trace(name), MODELS[name][1][0]
    act = half(key[f"{block}.mlp.act"])
    assert (act == 0).mean() > 0.9
    flushed = act @ key[f"{block}.mlp.fc2.weight"].T + key[f"{block}.mlp.fc2.bias"]
    assert error(name, f"{block}.mlp.fc2", flushed) > FAR


@pytest.mark.parametrize("name", MODELS)
def test_scores_overflow_and_their_softmax_is_nan(name):
    key, block = stress_trace(name), MODELS[name][1][2]
    with np.errstate(all="ignore"):
        scores = half(key[f"{block}.attn.q_scaled"]) @ half(key[f"{block}.attn.k"]).swapaxes(-1, -2)
        assert np.isinf(scores).any()
        assert np.isnan(scores - scores.max(-1, keepdims=True)).any()


@pytest.mark.parametrize("name", MODELS)
def test_near_ties_are_lost_before_the_softmax(name):
    key, block = stress_trace(name), MODELS[name][1][3]
    masked = f"{block}.attn.masked_scores"
    scores = half(key[masked if masked in key.tensors else f"{block}.attn.biased_scores"])
    exponentials = np.exp((scores - scores.max(-1, keepdims=True)).astype(np.float64))
    found = exponentials / exponentials.sum(-1, keepdims=True)
    assert error(name, f"{block}.attn.probabilities", found) > FAR
    assert np.abs(found - key[f"{block}.attn.probabilities"]).max() > 0.1


@pytest.mark.parametrize("name", MODELS)
def test_8_bit_weights_and_activations_lose_channels(name):
    """One scale for a tensor: the other numbers are rounded to a few steps, or to none."""
    key, block = stress_trace(name), MODELS[name][1][2]
    x, weight, bias = (key[f"{block}.{part}"] for part in ("norm2", "mlp.fc1.weight", "mlp.fc1.bias"))

    def quantized(array):
        step = np.abs(array).max() / 127
        return np.rint(array / step) * step

    right = key[f"{block}.mlp.fc1"]
    assert relative_and_peak(x @ quantized(weight).T + bias, right)[0] > 0.05
    assert relative_and_peak(quantized(x) @ weight.T + bias, right)[0] > 0.05


@pytest.mark.parametrize(
    "changes",
    [
        {"embed_dim": 1, "depths": (4,), "num_heads": (1,)},
        {"qkv_bias": False, "position_bias": "none"},
        {"position_bias": "full", "patch_norm": False},
    ],
)
def test_any_model_can_be_given_these_weights(changes):
    model = random_model(**changes)
    stress_weights(model, 0)
    for name, param in model.params.items():
        assert np.array_equal(param, param.astype(np.float32)), name
        assert np.isfinite(param).all(), name
