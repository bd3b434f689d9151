"""Sums of which some terms got lost."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.mistakes.lost_terms import _missing
from npswin.verify.mistakes.mistake import change_node, transform_derivative, with_backward
from tests.verify.keys import computed, miniature_trace

KEY = miniature_trace()


def of_operation(name):
    return [node for node in KEY.graph.nodes.values() if node.operation and node.operation.name == name]


def diagnosis_of(changes):
    return diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=8))


@pytest.mark.parametrize(("weight", "words"), [(0, "are missing in the sums"), (2, "are twice in the sums")])
def test_pairs_of_tokens_in_the_bias_table(weight, words):
    changes = {}
    for number, node in enumerate(of_operation("position_bias")):
        kept = np.random.default_rng(number).random((1, *[int(node.settings["window_size"]) ** 2] * 2)) >= 0.05
        weights = np.where(kept, 1, weight)

        def backward(dy, cache, operation=node.operation, weights=weights):
            return operation.backward(dy * weights.astype(dy.dtype), cache)

        changes |= change_node(node, with_backward(node.operation, backward))
    diagnosis = diagnosis_of(changes)
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    assert words in diagnosis.causes[0].hypothesis.detail


def without_pairs(lost_by_block):
    """The gradients of bias tables without some pairs (query, key) of a window."""
    changes = {}
    for block, lost in lost_by_block.items():
        node = KEY.graph.nodes[f"{block}.attn.relative_position_bias"]
        weights = np.ones((1, *[int(node.settings["window_size"]) ** 2] * 2))
        for query, key in lost:
            weights[0, query, key] = 0

        def backward(dy, cache, operation=node.operation, weights=weights):
            return operation.backward(dy * weights.astype(dy.dtype), cache)

        changes |= change_node(node, with_backward(node.operation, backward))
    return changes


def test_a_pair_that_alone_reads_its_row_is_lost_where_pairs_are_lost_in_other_blocks():
    lost = {"layers.2.blocks.0": [(0, 3)], "layers.0.blocks.1": [(0, 1), (3, 4)], "layers.0.blocks.0": [(2, 1)]}
    diagnosis = diagnosis_of(without_pairs(lost))
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    assert "1 of 16 pairs of tokens (6.2%) is missing" in diagnosis.causes[0].hypothesis.detail
    assert "(query, key) (0, 3)" in diagnosis.causes[0].hypothesis.detail
    assert len(diagnosis.causes[0].places) == len(lost)


@pytest.mark.parametrize("blocks", [["layers.2.blocks.0"], ["layers.2.blocks.0", "layers.1.blocks.0"]])
def test_a_row_of_zeros_alone_is_no_lost_pair(blocks):
    sides = {block: int(KEY.sources[f"{block}.attn.relative_position_bias_table"].shape[0] ** 0.5) for block in blocks}
    last = {block: ((side + 1) // 2) ** 2 - 1 for block, side in sides.items()}
    diagnosis = diagnosis_of(without_pairs({block: [(0, key)] for block, key in last.items()}))
    assert not [one for one in diagnosis.causes if one.hypothesis.name == "lost-terms"], str(diagnosis)


def test_tokens_in_the_gradient_of_a_bias():
    node = KEY.graph.nodes["layers.0.blocks.0.mlp.fc2"]

    def backward(dy, cache):
        dx, dweight, dbias = node.operation.backward(dy, cache)
        return dx, dweight, dbias - dy.reshape(-1, dy.shape[-1])[[3, 20]].sum(axis=0)

    diagnosis = diagnosis_of(change_node(node, with_backward(node.operation, backward)))
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert "number 3, 20 are missing" in str(diagnosis)


def test_which_terms_are_missing():
    rng = np.random.default_rng(0)
    terms = rng.standard_normal((20, 3))
    for lost in ([4], [1, 7], [0, 5, 19], [2, 3, 11, 12]):
        some = _missing(-terms[lost].sum(axis=0), terms, 1e-6)
        assert (sorted(some.terms), some.sign) == (lost, -1)
    assert _missing(rng.standard_normal(3), terms, 1e-6) is None
    assert _missing(-terms[[1, 7], :1].sum(axis=0), terms[:, :1], 1e-2) is None  # chance would find some, too


def test_noise_is_no_lost_term():
    node = KEY.graph.nodes["layers.0.blocks.0.attn.relative_position_bias"]
    noise = 0.1 * np.random.default_rng(2).standard_normal(KEY.sources[node.inputs[0]].shape)
    changed = transform_derivative(node.operation, 0, lambda dx: dx * (1 + noise).astype(dx.dtype))
    diagnosis = diagnosis_of(change_node(node, changed))
    assert not [one for one in diagnosis.causes if one.hypothesis.name == "lost-terms"], str(diagnosis)
