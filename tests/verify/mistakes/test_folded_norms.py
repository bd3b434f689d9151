"""A norm's weight and bias that are folded into the next layer not at all, or twice."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.fits.explanation import plus, times
from npswin.verify.graph import Run
from npswin.verify.mistakes.folded_norms import fit_folded_norm
from npswin.verify.mistakes.mistake import change_node, transform_input
from tests.verify.keys import computed, odd_trace
from tests.verify.mistakes.test_padded_tokens import padding_of

KEY = odd_trace()
LAYERS = {
    "layers.1.blocks.0.attn.qkv": "layers.1.blocks.0.norm1",
    "layers.0.blocks.0.mlp.fc1": "layers.0.blocks.0.norm2",
    "layers.0.downsample.reduction": "layers.0.downsample.norm",
    "head": "norm",
}
READ = {
    "without the norm's weight and bias": lambda n, gain, bias: (n - bias) / gain,
    "without the norm's weight": lambda n, gain, bias: (n - bias) / gain + bias,
    "times the norm's weight and plus its bias once more": lambda n, gain, bias: n * gain + bias,
}


def changed(layer, function):
    """The layer with a function of its input, in all tokens that the norm computes."""
    gain, bias = (KEY.sources[f"{LAYERS[layer]}.{part}"] for part in ("weight", "bias"))
    slope, offset = function(1.0, gain, bias) - function(0.0, gain, bias), function(0.0, gain, bias)
    real = ~padding_of(layer.partition(".attn.")[0])[..., None] if layer.endswith("qkv") else np.ones(1, bool)
    operation = transform_input(KEY.graph.nodes[layer].operation, 0, plus(real * offset))
    return change_node(KEY.graph.nodes[layer], transform_input(operation, 0, times(np.where(real, slope, 1.0))))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("words", READ)
def test_what_a_layer_reads_of_its_norm_is_told(layer, words):
    tensors = computed(KEY.graph.replaced(changed(layer, READ[words])), KEY.sources)
    run = Run(KEY.graph, KEY.sources | tensors)
    (fit,) = fit_folded_norm(run, layer, tensors[layer], 1e-9)
    assert f": {words}" in fit.detail
    graph, step = KEY.graph.replaced(fit.changes), 1e-6
    assert np.allclose(Run(graph, KEY.sources | tensors).compute(layer), tensors[layer])
    gain = f"{LAYERS[layer]}.weight"
    along = np.random.default_rng(0).standard_normal(KEY.sources[gain].shape)
    ends = [Run(graph, KEY.sources | {gain: KEY.sources[gain] + sign * step * along}) for sign in (1, -1)]
    slope = float(ends[0].value("loss") - ends[1].value("loss")) / (2 * step)
    claimed = float(np.vdot(Run(graph, KEY.sources).gradient(gain), along))
    assert claimed == pytest.approx(slope, rel=1e-4, abs=1e-8)


def test_a_norm_that_is_folded_and_applied_is_one_cause_in_all_blocks():
    changes = {}
    for layer in (name for name in KEY.graph.nodes if name.endswith("mlp.fc1")):
        LAYERS[layer] = layer.replace("mlp.fc1", "norm2")
        changes |= changed(layer, READ["times the norm's weight and plus its bias once more"])
    tensors = computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=0)
    diagnosis = diagnose(KEY, {name: array for name, array in tensors.items() if not name.startswith("grad/")})
    assert [sorted(cause.places) for cause in diagnosis.causes] == [sorted(changes)], str(diagnosis)
    assert "as where the norm is folded and applied" in str(diagnosis.causes[0].hypothesis)


@pytest.mark.parametrize("layer", LAYERS)
def test_right_and_unrelated_results_are_not_explained(layer):
    tensors = computed(KEY.graph, KEY.sources)
    run, noise = Run(KEY.graph, KEY.sources | tensors), np.random.default_rng(0).standard_normal(tensors[layer].shape)
    assert not list(fit_folded_norm(run, layer, tensors[layer], 1e-9))
    assert not list(fit_folded_norm(run, layer, tensors[layer] + noise, 1e-9))
