"""Gradients of tensors that are read several times, with other factors of the shares."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.mistakes.mistake import change_node, transform_derivative
from tests.verify.keys import computed, miniature_trace, right

KEY = miniature_trace()
TENSORS = {  # by tensor the nodes that read it, and which of their inputs it is
    "layers.1.blocks.0.residual": {"layers.1.blocks.0.norm2": 0, "layers.1.blocks.0": 0},
    "layers.0.blocks.0": {"layers.0.blocks.1.norm1": 0, "layers.0.blocks.1.residual": 0},
}


def with_factors(readers, factors):
    changes = {}
    for (name, index), factor in zip(readers.items(), factors, strict=True):
        node = KEY.graph.nodes[name]
        operation = transform_derivative(node.operation, index, lambda dx, factor=factor: dx * dx.dtype.type(factor))
        changes |= change_node(node, operation)
    return changes


def diagnosis_of(changes):
    return diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=9))


@pytest.mark.parametrize("tensor", TENSORS)
@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ((2, 0), "2 times the share by {}, without the share by {}"),
        ((0, 2), "without the share by {}, 2 times the share by {}"),
        ((2, -1), "2 times the share by {}, -1 times the share by {}"),
        ((2, 0.9), "2 times the share by {}, 0.9 times the share by {}"),
        ((0.9, 1), "0.9 times the share by {}, with the share by {}"),
    ],
)
def test_factors_of_both_shares(tensor, factors, words):
    diagnosis = diagnosis_of(with_factors(TENSORS[tensor], factors))
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    assert words.format(*TENSORS[tensor]) in diagnosis.causes[0].hypothesis.detail


def test_the_same_factors_in_all_blocks():
    changes = {}
    for name in KEY.graph.nodes:
        if name.endswith(".norm2"):
            changes |= with_factors({name: 0, name.removesuffix(".norm2"): 0}, (2, 0))
    diagnosis = diagnosis_of(changes)
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    assert "likewise for all of" in diagnosis.causes[0].hypothesis.detail


@pytest.mark.parametrize("change", ["noise", "rolled"])
def test_another_gradient_is_no_sum_of_shares(change):
    tensors, name = right("float32", 9), "grad/layers.1.blocks.0.residual"
    noise = np.random.default_rng(0).standard_normal(tensors[name].shape)
    other = np.roll(tensors[name], 1, -1) if change == "rolled" else tensors[name] * (1 + 0.1 * noise)
    diagnosis = diagnose(KEY, tensors | {name: other.astype(np.float32)})
    assert not [one for one in diagnosis.causes if one.hypothesis.name == "weighted-shares"], str(diagnosis)
