"""The images' normalization in the weight and the bias of the patch embedding."""

import numpy as np
import pytest

from npswin.data import IMAGENET_MEAN, IMAGENET_STD
from npswin.verify import diagnose
from npswin.verify.graph import Operation, Run
from npswin.verify.mistakes.fitted_parameters import fit_parameters
from npswin.verify.mistakes.mistake import change_node
from tests.verify.keys import computed, miniature_trace

PROJ = "patch_embed.proj"
MEAN, STD = (np.reshape(each, (3, 1, 1)) for each in (IMAGENET_MEAN, IMAGENET_STD))
CASES = {  # by words the port's weight and bias
    "divided by the key's deviation; patch_embed.proj.bias: Σ weight · (the key's mean / the key's deviation) is "
    "subtracted from it: the normalization is folded into the parameters, though the pixels are normalized too": (
        lambda w, b: (w / STD, b - (w * MEAN / STD).sum((1, 2, 3)))
    ),
    "Σ weight · (the key's mean / the key's deviation) is added to it, not subtracted": (
        lambda w, b: (w / STD, b + (w * MEAN / STD).sum((1, 2, 3)))
    ),
    "Σ weight · (the key's mean) is subtracted from it, where -Σ weight · (the key's mean / the key's deviation) "
    "belongs: the normalization is folded into": lambda w, b: (w / STD, b - (w * MEAN).sum((1, 2, 3))),
    "multiplied by the key's deviation; patch_embed.proj.bias: Σ weight · (the key's mean) is added to it, not "
    "subtracted: the normalization is undone in": lambda w, b: (w * STD, b + (w * MEAN).sum((1, 2, 3))),
    "divided by the key's reversed deviation": lambda w, b: (
        w / STD[::-1],
        b - (w * (MEAN / STD)[::-1]).sum((1, 2, 3)),
    ),
    "divided by 255 times the key's deviation": lambda w, b: (w / STD / 255, b - (w * MEAN / STD).sum((1, 2, 3))),
    "divided by deviation 0.5; patch_embed.proj.bias: Σ weight · (mean 0.5 / deviation 0.5) is subtracted": (
        lambda w, b: (w / 0.5, b - w.sum((1, 2, 3)))
    ),
    "divided by the key's deviation, and the bias is the key's": lambda w, b: (w / STD, b),
    "patch_embed.proj.bias: Σ weight · (the key's mean / the key's deviation) is subtracted": lambda w, b: (
        w,
        b - (w * MEAN / STD).sum((1, 2, 3)),
    ),
}


def port(weight, bias):
    """The words and the number of fitted ones for the patch embedding of a port with these parameters."""
    key = miniature_trace()
    run = Run(key.graph, key.sources)
    parameters = {f"{PROJ}.weight": weight, f"{PROJ}.bias": bias}
    found = Run(key.graph, {**key.sources, **parameters}).value(PROJ).astype(np.float32).astype(np.float64)
    return next((fit for fit in fit_parameters(run, PROJ, found, 1e-6 * float(np.abs(found).max()))), None)


def parameters():
    return (np.asarray(miniature_trace().sources[f"{PROJ}.{which}"], np.float64) for which in ("weight", "bias"))


@pytest.mark.parametrize("words", CASES)
def test_a_folded_normalization_is_told(words):
    fit = port(*CASES[words](*parameters()))
    assert fit is not None
    assert words in fit.detail
    assert not fit.fitted


def test_other_parameters_are_no_normalization():
    weight, bias = parameters()
    rng = np.random.default_rng(0)
    for other in ((weight * 1.3, bias), (weight, bias + 0.1 * rng.standard_normal(bias.shape))):
        fit = port(*other)
        assert fit is not None
        assert "normalization" not in fit.detail


def test_the_weight_of_a_bias_that_is_made_of_it_has_the_gradient_of_both():
    """A port that folds a normalization in each step, and forgets the deviation in the bias."""
    key = miniature_trace()
    node = key.graph.nodes[PROJ]

    def folded(x, weight, bias, **settings):
        return node.operation.forward(x, weight / STD, bias - (weight * MEAN).sum((1, 2, 3)), **settings)

    def backward(dy, cache):
        dx, dweight, dbias = node.operation.backward(dy, cache)
        return dx, dweight / STD - dbias[:, None, None, None] * MEAN, dbias

    changes = change_node(node, Operation("patch_embed", folded, backward, node.operation.terms, multiplies=True))
    run = Run(key.graph.replaced(changes), key.sources)
    direction = np.random.default_rng(0).standard_normal(key.sources[f"{PROJ}.weight"].shape)
    losses = [
        Run(run.graph, key.sources | {f"{PROJ}.weight": key.sources[f"{PROJ}.weight"] + step * direction}).value("loss")
        for step in (1e-6, -1e-6)
    ]
    gradient = run.gradient(f"{PROJ}.weight")
    np.testing.assert_allclose((gradient * direction).sum(), (losses[0] - losses[1]) / 2e-6, rtol=1e-5)
    diagnosis = diagnose(key, computed(run.graph, key.sources, "float32", seed=7))
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    assert f"grad/{PROJ}.weight" in diagnosis.causes[0].explained
