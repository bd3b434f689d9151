"""Backward passes of a forward pass that is computed again, in another way than the first time."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.graph.node import Shape
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    Variants,
    at_outputs_of,
    change_node,
    in_same_module,
    is_output_of,
)

EPSILONS = (1e-3, 1e-2, 1e-4, 1e-5, 1e-6, 1e-8, 1e-12, 0.0)

CacheOf = Callable[..., Any]  # the node's inputs, another tensor and the settings -> what the backward pass reads


def recomputed(node: Node, other: str, cache_of: CacheOf) -> Changes:
    """The node's derivatives with another cache, which is made with one more tensor."""
    operation = node.operation
    assert operation is not None

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        return operation.forward(*inputs[:-1], **settings)[0], cache_of(*inputs, **settings)

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        return (*operation.backward(dy, cache), None)

    def terms(y: Shape, *inputs: Shape) -> tuple[int, ...]:
        return *operation.terms(y, *inputs[:-1]), 1

    # Another name, since other mistakes expect the operation's own inputs
    name = f"{operation.name} computed again"
    changed = replace(operation, name=name, forward=forward, backward=backward, terms=terms)
    return change_node(node, changed, inputs=(*node.inputs, other))


def _activation(graph: Graph, node: Node) -> Variants:
    """GELU's derivative at the linear layer's result without its bias."""
    linear, operation = graph.nodes[node.inputs[0]], node.operation
    assert operation is not None
    gelu = operation.forward
    if is_output_of(linear, "linear") and len(linear.inputs) > 2:
        yield (
            "the hidden layer without its bias",
            recomputed(node, linear.inputs[2], lambda x, bias: gelu(x - bias)[1]),
        )


def _probabilities(graph: Graph, name: str) -> Variants:
    """The derivatives of the softmax, of P v, or of both with the probabilities of scores without mask or bias."""
    node = graph.nodes[name]
    mix, softmax = (graph.nodes.get(in_same_module(name, part)) for part in ("context", "probabilities"))
    if mix is None or softmax is None or not is_output_of(mix, "mix") or not is_output_of(softmax, "softmax"):
        return
    if node is not mix and node is not softmax:
        return
    assert softmax.operation is not None
    assert mix.operation is not None
    normalize, multiply = softmax.operation.forward, mix.operation.forward
    for words, scores in _earlier_scores(graph, softmax):
        in_softmax = recomputed(softmax, scores, lambda _, other: normalize(other)[1])
        in_mix = recomputed(mix, scores, lambda _, v, other: multiply(normalize(other)[0], v)[1])
        yield words, in_softmax | in_mix
        if node is softmax:
            yield f"{words}; dv has those of the forward pass", in_softmax
        else:
            yield f"{words}; in dv alone", in_mix


def _earlier_scores(graph: Graph, softmax: Node) -> Iterator[tuple[str, str]]:
    """The scores before the mask and before the bias, with what they lack."""
    scores = graph.nodes[softmax.inputs[0]]
    words = []
    for operation, part in (("add_mask", "mask"), ("add_bias", "position bias")):
        if is_output_of(scores, operation):
            words.append(f"the {part}")
            scores = graph.nodes[scores.inputs[0]]
            yield f"without {' and '.join(words)}", scores.name


def _epsilon(_: Graph, node: Node) -> Variants:
    operation = node.operation
    assert operation is not None
    for eps in EPSILONS:
        if eps != node.settings["eps"]:
            yield f"with eps = {eps:g}", change_node(node, _with_epsilon(operation, eps))


def _with_epsilon(operation: Operation, eps: float) -> Operation:
    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        y, _ = operation.forward(*inputs, **settings)
        return y, operation.forward(*inputs, **{**settings, "eps": eps})[1]

    return replace(operation, forward=forward)


RECOMPUTED = (
    Mistake("backward-without-mask", "the backward pass computes the probabilities again, of other scores",
            "the probabilities of the forward pass, with the position bias and the mask", _probabilities,
            backward=True),
    Mistake("backward-without-bias", "GELU's derivative is not at what GELU read",
            "the hidden layer of the forward pass, with its bias", at_outputs_of("gelu", _activation), backward=True),
    Mistake("backward-epsilon", "the backward pass of a norm has another epsilon than its forward pass",
            "the epsilon of the forward pass", at_outputs_of("layer_norm", _epsilon), backward=True),
)  # fmt: skip
