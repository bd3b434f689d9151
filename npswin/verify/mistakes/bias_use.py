"""Mistakes in what is done with the relative position bias: multiplied, transposed, or added after the softmax."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import Mistake, Variants, at_outputs_of, change_node, is_output_of

# (scores, bias) -> what becomes of them, and the factors of the derivatives by the scores and by the bias
Use = Callable[[Array, Array], tuple[Array, Array | float, Array | float]]

USES: dict[str, Use] = {
    "the scores are multiplied by it": lambda s, b: (s * b, b, s),
    "the scores are multiplied by 1 + bias": lambda s, b: (s * (1 + b), 1 + b, s),
    "the scores are multiplied by exp(bias)": lambda s, b: (s * np.exp(b), np.exp(b), s * np.exp(b)),
    "it is subtracted": lambda s, b: (s - b, 1.0, -1.0),
    "the larger one of score and bias is taken": lambda s, b: (np.maximum(s, b), (s >= b) * 1.0, (s < b) * 1.0),
}


def _of_scores(_: Graph, node: Node) -> Variants:
    assert node.operation is not None
    for words, use in USES.items():
        forward, backward = _using(use)
        yield words, change_node(node, replace(node.operation, forward=forward, backward=backward))
    yield "it is transposed: key and query are exchanged", change_node(node, _transposed(node.operation))


def _using(use: Use) -> tuple[Callable[..., tuple[Array, Any]], Callable[..., tuple[Array | None, ...]]]:
    def forward(scores: Array, bias: Array) -> tuple[Array, Any]:
        y, by_scores, by_bias = use(scores, bias)
        return y, (by_scores, by_bias, bias.shape)

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        by_scores, by_bias, shape = cache
        dbias = (dy * by_bias).sum(axis=(0, 1))
        return dy * by_scores, dbias if shape[0] == len(dbias) else dbias.sum(axis=0, keepdims=True)

    return forward, backward


def _transposed(operation: Operation) -> Operation:
    def forward(scores: Array, bias: Array) -> tuple[Array, Any]:
        return operation.forward(scores, bias.swapaxes(-1, -2))

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        dscores, dbias = operation.backward(dy, cache)
        return dscores, None if dbias is None else dbias.swapaxes(-1, -2)

    return replace(operation, forward=forward, backward=backward)


def _after_softmax(graph: Graph, node: Node) -> Variants:
    """The bias on the probabilities, with scores, and with masked scores, that lack it or have it too."""
    biased = next(
        (graph.nodes[read] for read in _before(graph, node) if is_output_of(graph.nodes[read], "add_bias")), None
    )
    if biased is None:
        return
    bias = biased.inputs[1]
    for words, use in {
        "it is added to the probabilities": lambda p, b: (p + b, 1.0, 1.0),
        "the probabilities are multiplied by it": lambda p, b: (p * b, b, p),
    }.items():
        yield f"{words}, after the softmax", change_node(node, _then(node, use), inputs=(*node.inputs, bias))
        if node.inputs[0] == biased.name:
            instead = change_node(node, _then(node, use), inputs=(biased.inputs[0], bias))
            yield f"{words}, after the softmax, and not to the scores", instead


def _before(graph: Graph, node: Node) -> list[str]:
    """The tensors of scores from which the probabilities are computed, the nearest first."""
    names, waiting = [], [node.inputs[0]]
    while waiting:
        name = waiting.pop()
        names.append(name)
        if is_output_of(graph.nodes[name], "add_mask"):
            waiting.append(graph.nodes[name].inputs[0])
    return names


def _then(node: Node, use: Use) -> Operation:
    operation = node.operation
    assert operation is not None
    forward_after, backward_after = _using(use)

    def forward(scores: Array, bias: Array) -> tuple[Array, Any]:
        probabilities, cache = operation.forward(scores)
        y, after = forward_after(probabilities, bias)
        return y, (cache, after)

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        cache, after = caches
        dprobabilities, dbias = backward_after(dy, after)
        assert dprobabilities is not None
        return *operation.backward(dprobabilities, cache), dbias

    return Operation("softmax", forward, backward)


BIAS_USE = (
    Mistake(
        "bias-use",
        "the relative position bias is used in another way",
        "scores = q kᵀ/√d + bias",
        at_outputs_of("add_bias", _of_scores),
    ),
    Mistake(
        "bias-after-softmax",
        "the relative position bias is used after the softmax",
        "add the bias to the scores, then take the softmax",
        at_outputs_of("softmax", _after_softmax),
    ),
)
