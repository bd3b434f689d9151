"""Other functions in place of the softmax."""

from collections.abc import Callable
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.fits.functions import sigmoid
from npswin.verify.fits.rows import after_row
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import Mistake, Variants, at_outputs_of, change_node, transform_input


def _shares(weights: Array) -> Array:
    return weights / weights.sum(-1, keepdims=True)


def _exp(scores: Array) -> Array:
    largest = np.take_along_axis(scores, scores.real.argmax(-1)[..., None], -1)
    return np.exp(scores - largest)


def _largest(scores: Array, count: int) -> Array:
    kept = np.sort(scores.real, axis=-1)[..., [-min(count, scores.shape[-1])]]
    return np.where(scores.real >= kept, 1.0, 0.0)


ROW_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "1 is added to the denominator": lambda s: np.exp(s) / (1 + np.exp(s).sum(-1, keepdims=True)),
    "it is not normalized: exp(scores)": np.exp,
    "it is not normalized: exp(scores - their largest)": _exp,
    "a sigmoid": sigmoid,
    "a sigmoid, divided by the sum": lambda s: _shares(sigmoid(s)),
    "log-softmax": lambda s: np.log(_shares(_exp(s))),
    "powers of 2 in place of e": lambda s: _shares(np.exp2(s - s.real.max(-1, keepdims=True))),
    "ReLU, divided by the sum": lambda s: _shares(np.where(s.real > 0, s, 0) + 1e-30),
    "ReLU, divided by the number of keys": lambda s: np.where(s.real > 0, s, 0) / s.shape[-1],
    "nothing: the scores themselves": lambda s: s * 1,
    "the scores divided by the number of keys": lambda s: s / s.shape[-1],
    "1 for the largest score, 0 for the others": lambda s: _largest(s, 1) + 0 * s,
    "half of the keys, those with the largest scores": lambda s: _shares(_exp(s) * _largest(s, s.shape[-1] // 2)),
    "equal shares for all keys": lambda s: np.full(s.shape, 1 / s.shape[-1]) + 0 * s,
    "a softmax of a softmax": lambda s: _shares(_exp(_shares(_exp(s)))),
    "squared and renormalized": lambda s: _shares(_shares(_exp(s)) ** 2),
}
TEMPERATURES = {"2": 2.0, "1/2": 0.5, "4": 4.0, "1/4": 0.25, "8": 8.0, "1/8": 0.125}


def _other_function(_: Graph, node: Node) -> Variants:
    for words, function in ROW_FUNCTIONS.items():
        forward, backward = after_row(function)
        yield words, change_node(node, Operation("softmax", forward, _one(backward)))


def _one(backward: Callable[[Array, Any], Array]) -> Callable[[Array, Any], tuple[Array]]:
    return lambda dy, cache: (backward(dy, cache),)


def _before(graph: Graph, node: Node) -> Variants:
    """The scores are changed before the softmax."""
    assert node.operation is not None
    for words, factor in TEMPERATURES.items():
        pair = (lambda s, f=factor: (s * s.dtype.type(f), None)), (lambda dy, _, f=factor: dy * dy.dtype.type(f))
        yield f"of the scores multiplied by {words}", change_node(node, transform_input(node.operation, 0, pair))
    for words, hidden in {"after the query": np.triu, "before the query": np.tril}.items():
        for offset, which in ((1, ""), (0, " and the query itself")):
            shift = offset if hidden is np.triu else -offset
            yield (
                f"keys {words}{which} are masked (causal attention)",
                change_node(node, transform_input(node.operation, 0, _masked(hidden, shift))),
            )


def _masked(hidden: Callable[..., Array], shift: int) -> Any:
    def forward(scores: Array) -> tuple[Array, None]:
        mask = hidden(np.ones(scores.shape[-2:]), shift)
        return np.where(mask > 0, scores.dtype.type(-1e9), scores), None

    def backward(dy: Array, _: None) -> Array:
        return np.where(hidden(np.ones(dy.shape[-2:]), shift) > 0, dy.dtype.type(0), dy)

    return forward, backward


SOFTMAX = (
    Mistake(
        "softmax-function",
        "the softmax is another function",
        "probabilities = exp(scores) / Σ exp(scores), the sum over the keys",
        at_outputs_of("softmax", _other_function),
    ),
    Mistake(
        "softmax-scores", "the softmax is that of other scores", "softmax(q kᵀ/√d + bias + mask)",
        at_outputs_of("softmax", _before),
    ),
)  # fmt: skip
