"""Operations of a port that are computed otherwise, told from the port's numbers with the rest of the search around."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.fits.explanation import times
from npswin.verify.graph import Arithmetic, Operation, Run
from npswin.verify.mistakes.mistake import change_node, transform_input
from tests.verify.keys import miniature_trace, right

GRAPH, SOURCES = miniature_trace().graph, miniature_trace().sources
BLOCK = "layers.0.blocks.1"  # a shifted one, whose windows are masked
ATTN = f"{BLOCK}.attn"
HEADS = "layers.1.blocks.0.attn"  # which has several heads
TOKENS = GRAPH.nodes[f"{ATTN}.windows"].settings["window_size"] ** 2


def without_derivative(name, function):
    """The node with another forward pass; its gradients are not dumped."""
    node = GRAPH.nodes[name]
    operation = node.operation
    return change_node(node, Operation(operation.name, lambda *x, **_: (function(*x), None), operation.backward))


def keys_read(count):
    weights = (np.arange(TOKENS) < count) * 1.0
    node = GRAPH.nodes[f"{ATTN}.context"]
    return change_node(node, transform_input(node.operation, 0, times(weights)))


def mixed_heads(p, v):
    return np.repeat(p.mean(2, keepdims=True), p.shape[2], 2) @ v


def softmax(scores):
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def with_masked(masked, others):
    def function(scores, mask):
        hidden = np.broadcast_to((mask != 0)[:, None], scores.shape)
        return np.where(hidden, masked(scores), others(scores))

    return without_derivative(f"{ATTN}.masked_scores", function)


def last_window(number):
    def function(q, k):
        scores = q @ k.swapaxes(-1, -2)
        scores[-1, -1] = number
        return scores

    return without_derivative(f"{ATTN}.scores", function)


def norm_of_eleven(x, weight, bias):
    mean = x[..., :-1].mean(-1, keepdims=True)
    variance = ((x - x.mean(-1, keepdims=True)) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias


def rounded_input(x, weight, bias):
    return np.clip(np.rint(x / 0.02), -127, 127) * 0.02 @ weight.T + bias


CASES = {
    "the last key is not read": keys_read(TOKENS - 1),
    f"keys {TOKENS - 2} to {TOKENS - 1} are not read": keys_read(TOKENS - 2),
    f"{HEADS}.probabilities: all heads are their mean": without_derivative(f"{HEADS}.context", mixed_heads),
    "of other scores: all numbers are multiplied by 0.6": without_derivative(
        f"{ATTN}.probabilities", lambda s: softmax(0.6 * s)
    ),
    "the query's own key": without_derivative(
        f"{ATTN}.probabilities", lambda s: softmax(np.where(np.eye(TOKENS) > 0, -1e9, s))
    ),
    "masked scores get -0.1, the others stay": with_masked(lambda s: s - 0.1, lambda s: s),
    "masked scores are set to -inf, the others stay": with_masked(lambda s: s * 0 - np.inf, lambda s: s),
    "masked scores stay, the others are set to -1e+09": with_masked(lambda s: s, lambda s: s * 0 - 1e9),
    "is 0": last_window(0.0),
    "is NaN, as of memory that was never written": last_window(np.nan),
    "the mean leaves out the last channel": without_derivative(f"{BLOCK}.norm2", norm_of_eleven),
    f"{BLOCK}.norm2: the numbers are rounded to a grid of step 0.02": without_derivative(
        f"{BLOCK}.mlp.fc1", rounded_input
    ),
    "x σ(1.65 x) is taken": without_derivative(f"{BLOCK}.mlp.act", lambda x: x / (1 + np.exp(-1.65 * x))),
}


def activations(changes):
    """What a float32 port with these changes dumps without its backward pass."""
    graph = GRAPH.replaced(changes)
    run = Run(graph, SOURCES, Arithmetic("float32", 1000))
    return {name: run.value(name) for name in graph.computed}


@pytest.mark.parametrize("words", CASES)
def test_a_function_is_told(words):
    diagnosis = diagnose(miniature_trace(), activations(CASES[words]))
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert words in str(diagnosis.causes[0].hypothesis)
    assert not diagnosis.unexplained


def test_a_correct_port_is_not_accused():
    assert diagnose(miniature_trace(), right("float32")).ok
