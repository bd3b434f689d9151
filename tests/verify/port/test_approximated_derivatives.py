"""Where a function is approximated, the port's derivative may be that of the steps, the right one, or a kernel's."""

import numpy as np
import pytest
from scipy.special import erf

from npswin.verify import diagnose
from npswin.verify.graph import Operation
from npswin.verify.graph.operations import SOFTMAX
from npswin.verify.mistakes.mistake import change_node
from tests.verify.keys import computed, miniature_trace

GRAPH, SOURCES = miniature_trace().graph, miniature_trace().sources
BLOCK = "layers.0.blocks.1"
NORM, ACT, SOFTMAX_NODE = f"{BLOCK}.norm2", f"{BLOCK}.mlp.act", f"{BLOCK}.attn.probabilities"


def from_bits(v):
    bits = v.astype(np.float32).view(np.int32)
    return (np.int32(0x5F3759DF) - (bits >> 1)).view(np.float32).astype(v.dtype)


def norm_by_bits(slope):
    """With one of Newton's steps; the slope is that of the factor by the variance."""

    def forward(x, weight, bias, eps):
        z = x - x.mean(-1, keepdims=True)
        v = (z * z).mean(-1, keepdims=True) + eps
        y = from_bits(v)
        factor = y * (1.5 - 0.5 * v * y * y)
        return z * factor * weight + bias, (z, factor, slope(v, y), weight)

    def backward(dy, cache):
        z, factor, slope, weight = cache
        g, channels = dy * weight, dy.shape[-1]
        dz = g * factor + (g * z).sum(-1, keepdims=True) * slope * 2 * z / channels
        rows = (dy * z * factor).reshape(-1, channels), dy.reshape(-1, channels)
        return dz - dz.mean(-1, keepdims=True), rows[0].sum(0), rows[1].sum(0)

    return Operation("layer_norm", forward, backward)


def gelu(x):
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def gelu_slope(x):
    return 0.5 * (1 + erf(x / np.sqrt(2))) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def to_eighths(x):
    return np.rint(x * 8) / 8


def mapped(function, slope):
    return Operation(
        "gelu", lambda x: (function(x).astype(x.dtype), x), lambda dy, x: ((dy * slope(x)).astype(dy.dtype),)
    )


def gelu_of_i_bert(x):
    z = np.abs(x) / np.sqrt(2)
    return 0.5 * x * (1 + np.sign(x) * (1 - 0.2888 * (np.minimum(z, 1.769) - 1.769) ** 2))


def softmax_by_power(scores):
    powers = (1 + np.maximum(scores - scores.max(-1, keepdims=True), -16) / 16) ** 16
    p = powers / powers.sum(-1, keepdims=True)
    return p, p


CASES = {
    "its derivative is that of these steps": (NORM, norm_by_bits(lambda v, y: -0.5 * y**3)),
    "its derivative is that of 1/√v": (NORM, norm_by_bits(lambda v, y: -0.5 * v**-1.5)),
    "its derivative is taken to be 0": (NORM, norm_by_bits(lambda v, y: 0 * v)),
    "its derivative is read from such a table": (
        ACT, mapped(lambda x: gelu(to_eighths(x)), lambda x: gelu_slope(to_eighths(x)))
    ),
    "the nearest entry; its derivative is GELU's": (ACT, mapped(lambda x: gelu(to_eighths(x)), gelu_slope)),
    "degree 2; its derivative is GELU's": (ACT, mapped(gelu_of_i_bert, gelu_slope)),
    "its derivative is p (dp - Σ p dp), of these p": (
        SOFTMAX_NODE.replace("blocks.1", "blocks.0"), Operation("softmax", softmax_by_power, SOFTMAX.backward)
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", CASES)
def test_one_cause_explains_the_function_and_its_derivative(words):
    name, operation = CASES[words]
    graph = GRAPH.replaced(change_node(GRAPH.nodes[name], operation))
    diagnosis = diagnose(miniature_trace(), computed(graph, SOURCES, "float32", 0))
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert words in str(diagnosis.causes[0].hypothesis)
    assert not diagnosis.unexplained, str(diagnosis)
