"""Gradients of parameters that are sums over a part of the images, windows or tokens."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.mistakes.mistake import change_node, with_backward
from tests.thorough import some
from tests.verify.keys import computed, miniature_trace

KEY = miniature_trace()
BLOCK = "layers.0.blocks.0"


def kept_of(what, dy):
    """Which entries of dy, (B, nW, N, C) or (B, H, W, C), are summed."""
    axis = {"image": 0, "window": 1, "row": 1, "token": 2}[what.split()[-1]]
    index = np.arange(dy.shape[axis]).reshape([-1 if place == axis else 1 for place in range(dy.ndim)])
    return index == 0 if what.startswith("first") else index < dy.shape[axis] - 1


def planted(node, index, what):
    operation = node.operation

    def backward(dy, cache):
        derivatives = list(operation.backward(dy, cache))
        derivatives[index] = operation.backward(dy * kept_of(what, dy), cache)[index]
        return tuple(derivatives)

    return change_node(node, with_backward(operation, backward))


CASES = {
    "image": ("qkv", 1, "first image", "over the first image alone"),
    "bias": ("mlp.fc1", 2, "first image", "over the first image alone"),
    "row": ("mlp.fc1", 1, "all but the last row", "over all rows but the last"),
    "window": ("attn.qkv", 1, "first window", "over the first window alone"),
}


@pytest.mark.parametrize("case", some(list(CASES), {"bias", "row"}))
def test_a_part_of_a_sum(case):
    last, index, what, words = CASES[case]
    changes = {}
    for name, node in KEY.graph.nodes.items():
        if name.startswith("layers.0") and name.endswith(last) and node.operation:
            changes |= planted(node, index, what)
    diagnosis = diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=4))
    assert not diagnosis.unexplained, str(diagnosis)
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert words in str(diagnosis.causes[0].hypothesis)
