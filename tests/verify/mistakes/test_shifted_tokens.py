"""A vector that linear layers read added to their tokens: a folded norm's bias that is missing, or in the padding."""

from dataclasses import replace

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.fits.explanation import plus
from npswin.verify.graph import Run
from npswin.verify.mistakes.mistake import change_node, transform_input
from npswin.verify.mistakes.shifted_tokens import fit_shifted_tokens
from tests.verify.keys import computed, odd_trace
from tests.verify.mistakes.test_padded_tokens import padding_of

KEY = odd_trace()
NODES = KEY.graph.nodes
BLOCKS = [name.removesuffix(".mlp.fc1") for name in NODES if name.endswith(".mlp.fc1")]
PADDED = [block for block in BLOCKS if f"{block}.attn.padded" in NODES]
TOLERANCE = 1e-9
RNG = np.random.default_rng(0)


def reading(layer, bias, factor):
    """The layer of its input plus a factor of a norm's bias."""
    node = NODES[layer]

    def forward(x, weight, *rest, **settings):
        return node.operation.forward(x + factor * rest[-1], weight, *rest[:-1], **settings)

    def backward(dy, cache):
        dx, *others = node.operation.backward(dy, cache)
        return dx, *others, (dx * factor).reshape(-1, dx.shape[-1]).sum(0)

    return change_node(node, replace(node.operation, forward=forward, backward=backward), inputs=(*node.inputs, bias))


def of_padding(block):
    return padding_of(block)[..., None].astype(float)


LOST = (
    "norm2.bias is subtracted from all tokens, as where the norm is folded into this layer: W·β is not in this layer's"
)
CASES = {
    LOST: [reading(f"{block}.mlp.fc1", f"{block}.norm2.bias", -1.0) for block in BLOCKS],
    "norm1.bias is added to the tokens of the padding, as where the norm is folded into this layer: W·β in this": [
        reading(f"{block}.attn.qkv", f"{block}.norm1.bias", of_padding(block)) for block in PADDED
    ],
    "norm1.bias is subtracted from all tokens but those of the padding": [
        reading(f"{block}.attn.qkv", f"{block}.norm1.bias", of_padding(block) - 1) for block in PADDED
    ],
    "downsample.norm.bias is subtracted from all tokens": [
        reading(f"layers.{stage}.downsample.reduction", f"layers.{stage}.downsample.norm.bias", -1.0)
        for stage in (0, 1)
    ],
    ": norm.bias is subtracted from all tokens": [reading("head", "norm.bias", -1.0)],
}


@pytest.mark.parametrize("words", CASES)
def test_a_norms_bias_is_one_cause_with_its_gradient(words):
    changes = {name: node for one in CASES[words] for name, node in one.items()}
    diagnosis = diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=0))
    assert [sorted(cause.places) for cause in diagnosis.causes] == [sorted(changes)], str(diagnosis)
    assert words in str(diagnosis.causes[0].hypothesis)
    assert not diagnosis.unexplained


def fits_of(layer, added):
    """What is told of a layer whose input has numbers added."""
    changes = change_node(NODES[layer], transform_input(NODES[layer].operation, 0, plus(added)))
    tensors = computed(KEY.graph.replaced(changes), KEY.sources)
    return list(fit_shifted_tokens(Run(KEY.graph, KEY.sources | tensors), layer, tensors[layer], TOLERANCE))


def test_other_numbers_in_the_padding_are_told():
    block = PADDED[-1]
    width = KEY.sources[f"{block}.norm1.bias"].size
    (fit,) = fits_of(f"{block}.attn.qkv", of_padding(block) * RNG.standard_normal(width))
    assert "the tokens of the padding are not zeros, but all the same numbers: " in fit.detail
    assert fit.fitted == width


def test_the_gradient_by_the_vector_is_its_derivative():
    block, step = PADDED[0], 1e-6
    layer, bias = f"{block}.attn.qkv", f"{block}.norm1.bias"
    fit, _ = fits_of(layer, of_padding(block) * KEY.sources[bias])
    graph, along = KEY.graph.replaced(fit.changes), RNG.standard_normal(KEY.sources[bias].shape)
    ends = [Run(graph, KEY.sources | {bias: KEY.sources[bias] + sign * step * along}) for sign in (1, -1)]
    slope = float(ends[0].value("loss") - ends[1].value("loss")) / (2 * step)
    assert slope == pytest.approx(float(np.vdot(Run(graph, KEY.sources).gradient(bias), along)), rel=1e-5)


@pytest.mark.parametrize("added", [0.0, "each token", "some tokens"])
def test_right_layers_and_other_inputs_are_not_explained(added):
    block = PADDED[0]
    shape = computed(KEY.graph, KEY.sources)[f"{block}.attn.windows"].shape
    if added == "each token":
        added = RNG.standard_normal(shape)
    elif added == "some tokens":
        added = KEY.sources[f"{block}.norm1.bias"] * RNG.integers(0, 2, (*shape[:-1], 1))
    assert not fits_of(f"{block}.attn.qkv", added)
