"""Backward passes of norms with other numbers in place of the normalized input."""

import numpy as np
import pytest

from npswin.ops.layer_norm import layer_norm_backward
from npswin.verify import diagnose
from npswin.verify.graph.operations import LAYER_NORM
from npswin.verify.mistakes.mistake import change_node, with_backward
from npswin.verify.mistakes.restored_norms import RESTORED, _Kept
from tests.verify.keys import computed, miniature_trace, right

KEY = miniature_trace()
NORMS = [name for name, node in KEY.graph.nodes.items() if node.operation is LAYER_NORM]
OTHER_BIAS = "layers.1.blocks.0.norm1.bias"


def with_other(names, other, derivatives=(0, 1)):
    """The norms with other(x̂, weight, bias, y) in place of x̂ in the derivatives by some inputs."""
    changes = {}
    for name in names:
        node = KEY.graph.nodes[name]

        def backward(dy, cache, bias=KEY.sources[node.inputs[2]]):
            xhat, rstd, weight = cache
            changed = other(xhat, weight, bias, xhat * weight + bias).astype(dy.dtype)
            made, made_right = layer_norm_backward(dy, (changed, rstd, weight)), layer_norm_backward(dy, cache)
            return tuple(made[place] if place in derivatives else made_right[place] for place in range(3))

        changes |= change_node(node, with_backward(node.operation, backward))
    return changes


def diagnosis_of(changes):
    return diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=10))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda xhat, weight, bias, y: y / weight, "y / weight: the bias is not subtracted"),
        (lambda xhat, weight, bias, y: y, "y, the norm's output"),
        (lambda xhat, weight, bias, y: xhat * weight, "y - bias: not divided by the weight"),
    ],
)
def test_in_all_norms(other, words):
    diagnosis = diagnosis_of(with_other(NORMS, other))
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    assert f"{words}; in all of {len(NORMS)} norms" in diagnosis.causes[0].hypothesis.detail


@pytest.mark.parametrize(
    ("derivatives", "words"), [((0, 1), ""), ((0,), "; in dx alone"), ((1,), "; in dweight alone")]
)
def test_in_one_norm(derivatives, words):
    other = with_other(["layers.1.blocks.0.norm2"], lambda xhat, weight, bias, y: y / weight, derivatives)
    diagnosis = diagnosis_of(other)
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert diagnosis.causes[0].hypothesis.detail == f"y / weight: the bias is not subtracted{words}"


def test_with_the_bias_of_another_norm():
    bias = KEY.sources[OTHER_BIAS]
    other = with_other(["layers.1.blocks.0.norm2"], lambda xhat, weight, _, y: (y - bias) / weight)
    diagnosis = diagnosis_of(other)
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert diagnosis.causes[0].hypothesis.detail == f"(y - {OTHER_BIAS}) / weight"


def test_each_is_another_one():
    rng = np.random.default_rng(0)
    x, weight, bias = rng.standard_normal((5, 8)), rng.standard_normal(8), rng.standard_normal(8)
    y, (xhat, _, _) = LAYER_NORM.forward(x, weight, bias, eps=1e-5)
    np.testing.assert_allclose((y - bias) / weight, xhat)
    made = [restored(_Kept(x, weight, bias, y)) for restored in RESTORED.values()]
    for place, one in enumerate(made):
        assert all(np.abs(one - another).max() > 0.1 for another in [xhat, *made[:place]])


@pytest.mark.parametrize("name", ["grad/layers.1.blocks.0.norm2.weight", "grad/layers.1.blocks.0.residual"])
def test_noise_is_no_restored_input(name):
    tensors = right("float32", 10)
    noise = 1 + 0.1 * np.random.default_rng(0).standard_normal(tensors[name].shape)
    diagnosis = diagnose(KEY, tensors | {name: (tensors[name] * noise).astype(np.float32)})
    assert not [one for one in diagnosis.causes if one.hypothesis.name == "restored-norm"], str(diagnosis)
