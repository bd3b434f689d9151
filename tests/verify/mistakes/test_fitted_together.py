"""Parameters of one operation that are wrong together, or along a wrong axis: what they have in common is told."""

import numpy as np
import pytest

from npswin.ops.resize import bicubic_matrix
from npswin.verify import diagnose
from npswin.verify.fits.explanation import plus, times
from npswin.verify.mistakes.mistake import change_node, transform_input, transform_output
from tests.verify.keys import computed, miniature_trace

KEY = miniature_trace()
BLOCK = "layers.1.blocks.0"
RNG = np.random.default_rng(0)


def told(graph=KEY.graph, **changed):
    diagnosis = diagnose(KEY, computed(graph, KEY.sources | changed, "float32", seed=3))
    assert not diagnosis.unexplained
    return str(diagnosis)


def source(name):
    return KEY.sources[name]


def test_a_factor_of_both_gain_and_bias():
    names = [f"{BLOCK}.norm1.{part}" for part in ("weight", "bias")]
    factors = RNG.uniform(0.5, 2, source(names[0]).shape)
    text = told(**{name: source(name) * factors for name in names})
    assert "multiplied by a factor, the same as in bias" in text
    assert "bias: the same factors as in weight" in text


def test_gain_and_bias_of_their_own_have_no_factors_in_common():
    names = [f"{BLOCK}.norm1.{part}" for part in ("weight", "bias")]
    text = told(**{name: source(name) * RNG.uniform(0.5, 2, source(name).shape) for name in names})
    assert "the same" not in text


def test_a_head_whose_classes_are_rolled():
    names = ["head.weight", "head.bias"]
    text = told(**{name: np.roll(source(name), 1, 0) for name in names})
    assert "head.bias: the classes are rolled by 1" in text


@pytest.mark.parametrize("layer", [f"{BLOCK}.mlp.fc2", f"{BLOCK}.attn.proj"])
def test_a_constant_that_is_added_to_the_input(layer):
    node = KEY.graph.nodes[layer]
    shifted = change_node(node, transform_input(node.operation, 0, plus(0.17)))
    text = told(KEY.graph.replaced(shifted))
    assert "it reads another input: 0.17 is added to each number" in text


def test_another_bias_is_no_constant_in_the_input():
    name = f"{BLOCK}.mlp.fc2.bias"
    text = told(**{name: RNG.standard_normal(source(name).shape)})
    assert "sums of the weight" not in text
    assert "it reads another input" not in text


def test_scales_along_the_wrong_axis():
    name = f"{BLOCK}.attn.proj.weight"
    scale = np.abs(source(name)).max(1, keepdims=True) / 127
    text = told(**{name: np.rint(source(name) / scale) * scale.T})
    assert "rounded to integers of 8 bits with a scale for each C, and multiplied by the scales along" in text


TABLE = f"{BLOCK}.attn.relative_position_bias_table"


def test_a_table_that_is_the_centre_of_a_larger_one():
    side = round(len(source(TABLE)) ** 0.5)
    up = bicubic_matrix(side + 2, side)[1:-1]
    grid = source(TABLE).reshape(side, side, -1)
    centre = np.einsum("oh,hwn,pw->opn", up, grid, up).reshape(source(TABLE).shape)
    assert "of which the centre is taken" in told(**{TABLE: centre})


@pytest.mark.parametrize("deviation", [0.02, 0.5])
def test_a_table_that_was_not_loaded(deviation):
    text = told(**{TABLE: deviation * RNG.standard_normal(source(TABLE).shape)})
    assert "in no simple relation" in text
    assert ("of the size of initial ones" in text) == (deviation == 0.02)


def test_a_kernel_that_is_halved_is_no_image_that_is():
    name = "patch_embed.proj.weight"
    text = told(**{name: source(name) / 2})
    assert f"{name} by 1/2" in text
    assert "input by 1/2" not in text


def test_a_norm_whose_gain_is_folded_into_the_next_layer_without_its_bias():
    norm, linear = f"{BLOCK}.norm2", f"{BLOCK}.mlp.fc1"
    gain, bias = source(f"{norm}.weight"), source(f"{norm}.bias")
    bare = (lambda y: (((y - bias) / gain).astype(y.dtype), None)), (lambda dy, _: (dy / gain).astype(dy.dtype))
    nodes = KEY.graph.nodes
    changes = change_node(nodes[norm], transform_output(nodes[norm].operation, bare))
    changes |= change_node(nodes[linear], transform_input(nodes[linear].operation, 0, times(gain)))
    text = told(KEY.graph.replaced(changes))
    assert "its affine part is missing" in text
    assert f"the numbers of {norm}.weight" in text
