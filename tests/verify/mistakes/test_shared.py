"""One position bias for all blocks of a stage, and softmax in tiles with constants in its derivative."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.graph import Operation
from npswin.verify.mistakes.mistake import change_node
from npswin.verify.mistakes.shared_bias import shared_bias
from tests.verify.keys import computed, miniature_trace

KEY = miniature_trace()
FIRST, SECOND = (f"layers.0.blocks.{index}.attn" for index in (0, 1))


def only_cause(tensors):
    diagnosis = diagnose(KEY, tensors)
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    return str(diagnosis.causes[0])


def with_the_bias_kept():
    """A float32 port that computes the first block's bias once: each gradient by it is that of both blocks."""
    ((_, changes),) = shared_bias(KEY.graph, KEY.graph.nodes[f"{SECOND}.relative_position_bias"])
    return computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=7)


def test_the_gradient_of_a_bias_that_is_kept_is_the_sum_over_its_blocks():
    tensors = with_the_bias_kept()
    names = [f"grad/{at}.{part}" for at, part in ((FIRST, "biased_scores"), (SECOND, "biased_scores"))]
    total = sum(tensors[name].sum((0, 1)) for name in names)
    scale = np.abs(total).max()
    for at in (FIRST, SECOND):
        np.testing.assert_allclose(tensors[f"grad/{at}.relative_position_bias"], total, atol=1e-5 * scale)
    assert not tensors.get(f"grad/{SECOND}.relative_position_bias_table", np.zeros(1)).any()


def test_a_bias_that_is_kept_is_one_cause():
    assert f"of {FIRST}: one tensor, whose gradient is the sum over all blocks" in only_cause(with_the_bias_kept())


def test_the_bias_of_another_block_is_not_kept():
    node, other = (KEY.graph.nodes[f"{at}.relative_position_bias"] for at in (SECOND, FIRST))
    changes = change_node(node, inputs=other.inputs)
    cause = only_cause(computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=7))
    assert "it uses another module's parameters (of" in cause
    assert "one tensor" not in cause


SIZE = 4


def maxima(scores):
    """The largest score up to the end of each key's tile, and up to the last one."""
    tiles = np.split(scores, range(SIZE, scores.shape[-1], SIZE), axis=-1)
    of_tiles = np.maximum.accumulate(np.stack([tile.max(-1) for tile in tiles]))
    return np.repeat(np.moveaxis(of_tiles, 0, -1), [tile.shape[-1] for tile in tiles], -1), of_tiles[-1][..., None]


def forward(scores):
    of_keys, largest = maxima(scores)
    return np.exp(scores - of_keys) / np.exp(scores - largest).sum(-1, keepdims=True), scores


def backward_with_constants(dp, scores):
    """ds = p dp - softmax Σ p dp where the largest scores are constants."""
    p, powers = forward(scores)[0], np.exp(scores - maxima(scores)[1])
    return (p * dp - powers / powers.sum(-1, keepdims=True) * (p * dp).sum(-1, keepdims=True),)


def backward_of_kernel(dp, scores):
    p = forward(scores)[0]
    return (p * (dp - (p * dp).sum(-1, keepdims=True)),)


@pytest.mark.parametrize(
    ("backward", "words"),
    [
        (backward_with_constants, "; its derivative takes the largest scores for constants"),
        (backward_of_kernel, "; its derivative is p (dp - Σ p dp), of these p"),
    ],
)
def test_the_derivative_of_a_softmax_in_tiles_is_told(backward, words):
    changes = {}
    for node in KEY.graph.nodes.values():
        if node.name.endswith(".probabilities"):
            changes |= change_node(node, Operation("softmax", forward, backward))
    cause = only_cause(computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=7))
    assert f"exponentials are not rescaled when the largest score grows, the sum is right{words}" in cause
