"""Backward passes that compute the probabilities again, of other scores, in both products or in one."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.graph import Run
from npswin.verify.mistakes.mistake import change_node, with_backward
from tests.verify.keys import computed, miniature_trace

KEY = miniature_trace()
BLOCK = "layers.0.blocks.1.attn"  # with a mask


def probabilities_of(scores):
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def in_softmax():
    node = KEY.graph.nodes[f"{BLOCK}.probabilities"]
    p = probabilities_of(Run(KEY.graph, KEY.sources).value(f"{BLOCK}.biased_scores"))
    return change_node(
        node,
        with_backward(node.operation, lambda dp, _: ((p * (dp - (p * dp).sum(-1, keepdims=True))).astype(dp.dtype),)),
    )


def in_values():
    node = KEY.graph.nodes[f"{BLOCK}.context"]
    p = probabilities_of(Run(KEY.graph, KEY.sources).value(f"{BLOCK}.biased_scores"))

    def backward(dy, cache):
        return node.operation.backward(dy, cache)[0], (p.swapaxes(-1, -2) @ dy).astype(dy.dtype)

    return change_node(node, with_backward(node.operation, backward))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (in_softmax(), "without the mask; dv has those of the forward pass"),
        (in_values(), "without the mask; in dv alone"),
        (in_softmax() | in_values(), "without the mask)"),
    ],
)
def test_probabilities_without_the_mask(changes, words):
    diagnosis = diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=7))
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    assert words in str(diagnosis.causes[0])
