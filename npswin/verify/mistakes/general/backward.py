"""Backward passes that use another tensor, a part of the batch, another formula, or numbers in other places."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import erf

from npswin.types import Array
from npswin.verify.fits.functions import gelu, sigmoid
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.graph.node import Shape
from npswin.verify.mistakes.general.inputs import same_axes_before
from npswin.verify.mistakes.general.places import MOVES, NAMES, along, part_names
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    Variants,
    at_outputs_of,
    change_node,
    transform_derivative,
    with_backward,
)

STEP = 1e-6
FACTORS = {"-1": -1.0, "2": 2.0, "1/2": 0.5, "0": 0.0, "4": 4.0, "1/4": 0.25}


def _other_tensor(graph: Graph, name: str) -> Variants:
    """The derivatives are computed with another tensor than the forward pass read."""
    node = graph.nodes[name]
    if node.operation is None or len(node.inputs) < 2 or name == "loss":
        return
    for index, read in enumerate(node.inputs):
        for other in same_axes_before(graph, name, read):
            yield f"{other} in place of {read}", _reading(node, index, other)
    if graph.nodes[node.inputs[0]].axes == node.axes:
        yield f"its result in place of {node.inputs[0]}", _reading_result(node)


def _reading(node: Node, index: int, other: str) -> Changes:
    operation = node.operation
    assert operation is not None

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        own, extra = inputs[:-1], inputs[-1]
        y, cache = operation.forward(*own, **settings)
        swapped = (*own[:index], extra, *own[index + 1 :])
        return y, (cache, operation.forward(*swapped, **settings)[1])

    return change_node(node, _two_caches(operation, forward, index), inputs=(*node.inputs, other))


def _reading_result(node: Node) -> Changes:
    operation = node.operation
    assert operation is not None

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        y, cache = operation.forward(*inputs, **settings)
        return y, (cache, operation.forward(y, *inputs[1:], **settings)[1])

    changed = _two_caches(operation, forward, 0)
    own = replace(changed, backward=lambda dy, caches: changed.backward(dy, caches)[:-1], terms=operation.terms)
    return change_node(node, own)


def _two_caches(operation: Operation, forward: Callable[..., tuple[Array, Any]], index: int) -> Operation:
    """The derivative by the input that was exchanged from the right cache, the others from the other one."""

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        right, other = (list(operation.backward(dy, cache)) for cache in caches)
        other[index] = right[index]
        return (*other, None)

    def terms(y: Shape, *inputs: Shape) -> tuple[int, ...]:
        return *operation.terms(y, *inputs[:-1]), 1

    # Another name, since other mistakes expect the operation's own inputs
    name = f"{operation.name} with another cache"
    return replace(operation, name=name, forward=forward, backward=backward, terms=terms)


def _part_of_batch(graph: Graph, name: str) -> Variants:
    """Parameters' gradients are sums over a part of the images, or means."""
    node = graph.nodes[name]
    if node.operation is None or name == "loss":
        return
    operation = node.operation
    parameters = [index for index, read in enumerate(node.inputs) if graph.nodes[read].axes == "parameter"]
    if not parameters:
        return
    for words, part in {"of the first image": slice(0, 1), "of the last image": slice(-1, None)}.items():
        yield f"they are {words}", change_node(node, _of_part(operation, parameters, part))


def _of_part(operation: Operation, parameters: Sequence[int], part: slice) -> Operation:
    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        derivatives = list(operation.backward(dy, cache))
        kept = np.zeros_like(dy)
        kept[part] = dy[part]
        of_part = operation.backward(kept, cache)
        for index in parameters:
            derivatives[index] = of_part[index]
        return tuple(derivatives)

    return with_backward(operation, backward)


def _scaled_or_moved(graph: Graph, name: str) -> Variants:
    """The derivative by one input is multiplied, or its entries are in other places."""
    node = graph.nodes[name]
    if node.operation is None or name == "loss":
        return
    for index, read in enumerate(node.inputs):
        for words, factor in FACTORS.items():
            yield (
                f"that by {read} is multiplied by {words}",
                change_node(node, transform_derivative(node.operation, index, _times(factor))),
            )
        for place, part in enumerate(dict.fromkeys(part_names(graph, read))):
            for words, move in MOVES.items():
                changed = transform_derivative(node.operation, index, along(graph, read, place, move))
                yield f"that by {read}: {NAMES.get(part, part + 's')} {words}", change_node(node, changed)


def _times(factor: float) -> Callable[[Array], Array]:
    return lambda dx: dx * dx.dtype.type(factor)


def _softmax(_: Graph, node: Node) -> Variants:
    formulas: dict[str, Callable[[Array, Array], Array]] = {
        "the diagonal of the Jacobian alone: p (1 - p) dp": lambda p, dp: p * (1 - p) * dp,
        "p (dp - Σ dp)": lambda p, dp: p * (dp - dp.sum(-1, keepdims=True)),
        "the sum runs over the queries": lambda p, dp: p * (dp - (p * dp).sum(-2, keepdims=True)),
        "not multiplied by p": lambda p, dp: dp - (p * dp).sum(-1, keepdims=True),
        "the mean in place of the sum": lambda p, dp: p * (dp - (p * dp).mean(-1, keepdims=True)),
        "p dp + p Σ p dp": lambda p, dp: p * (dp + (p * dp).sum(-1, keepdims=True)),
        "p² in place of p": lambda p, dp: p * (dp - (p * p * dp).sum(-1, keepdims=True)),
    }
    for words, formula in formulas.items():
        yield words, change_node(node, _from_result(node, formula))


def _from_result(node: Node, formula: Callable[[Array, Array], Array]) -> Operation:
    operation = node.operation
    assert operation is not None

    def forward(x: Array, **settings: Any) -> tuple[Array, Any]:
        y, _ = operation.forward(x, **settings)
        return y, y

    return replace(operation, forward=forward, backward=lambda dy, y: (formula(y, dy),))


def _slope(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda x: (function(x + STEP) - function(x - STEP)) / (2 * STEP)


def _density(x: Array) -> Array:
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def _cdf(x: Array) -> Array:
    return 0.5 * (1 + erf(x / np.sqrt(2)))


def _tanh_gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


GELU_SLOPES: dict[str, Callable[[Array], Array]] = {
    "x φ(x) alone": lambda x: x * _density(x),
    "φ is not divided by √(2π)": lambda x: _cdf(x) + x * np.exp(-x * x / 2),
    "φ(x) is not multiplied by x": lambda x: _cdf(x) + _density(x),
    "that of ReLU": lambda x: (x > 0) * 1.0,
    "that of the tanh approximation": _slope(_tanh_gelu),
    "that of the sigmoid approximation": _slope(lambda x: x * sigmoid(1.702 * x)),
    "that of SiLU": _slope(lambda x: x * sigmoid(x)),
    "at GELU's result": lambda x: _slope(gelu)(gelu(x)),
    "1": lambda x: np.ones_like(x),
    "GELU itself": gelu,
    "Φ(x) - x φ(x)": lambda x: _cdf(x) - x * _density(x),
}


def _gelu(_: Graph, node: Node) -> Variants:
    operation = node.operation
    assert operation is not None

    def forward(x: Array) -> tuple[Array, Any]:
        return operation.forward(x)[0], x

    for words, slope in GELU_SLOPES.items():
        yield words, change_node(node, replace(operation, forward=forward, backward=_with_slope(slope)))


def _with_slope(slope: Callable[[Array], Array]) -> Callable[[Array, Any], tuple[Array]]:
    return lambda dy, x: ((dy * slope(x.astype(np.float64))).astype(dy.dtype),)


def _norm_gain(_: Graph, node: Node) -> Variants:
    """dweight = Σ dy x̂ with another tensor in place of x̂."""
    operation = node.operation
    assert operation is not None
    tensors: dict[str, Callable[[Array, Array], Array]] = {
        "the input": lambda x, y: x,
        "the result": lambda x, y: y,
        "the input without its mean": lambda x, y: x - x.mean(-1, keepdims=True),
    }

    for words, tensor in tensors.items():
        yield (
            f"the gain's gradient has {words} in place of x̂",
            change_node(node, _with_gain_gradient(operation, tensor)),
        )


def _with_gain_gradient(operation: Operation, tensor: Callable[[Array, Array], Array]) -> Operation:
    def forward(x: Array, weight: Array, bias: Array, **settings: Any) -> tuple[Array, Any]:
        y, cache = operation.forward(x, weight, bias, **settings)
        return y, (cache, tensor(x, y))

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        cache, used = caches
        dx, _, dbias = operation.backward(dy, cache)
        return dx, (dy * used).reshape(-1, dy.shape[-1]).sum(0), dbias

    return replace(operation, forward=forward, backward=backward)


def _table(_: Graph, node: Node) -> Variants:
    """Each row of the table gets the sum over the pairs that read it."""
    operation = node.operation
    assert operation is not None

    def averaged(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        sums, counts = operation.backward(dy, cache)[0], operation.backward(np.ones_like(dy), cache)[0]
        assert sums is not None
        assert counts is not None
        return (sums / np.where(counts, counts, 1),)

    yield "averaged over the pairs", change_node(node, with_backward(operation, averaged))
    exchanged = with_backward(operation, lambda dy, cache: operation.backward(dy.swapaxes(-1, -2), cache))
    yield "queries and keys exchanged", change_node(node, exchanged)


def _product(_: Graph, node: Node) -> Variants:
    """The two derivatives of a product are exchanged."""
    operation = node.operation
    assert operation is not None
    yield (
        "exchanged",
        change_node(node, with_backward(operation, lambda dy, cache: operation.backward(dy, cache)[::-1])),
    )


RIGHT = "the derivative of the forward pass"
BACKWARD = (
    Mistake("backward-tensor", "derivatives are computed with another tensor", RIGHT, _other_tensor, backward=True),
    Mistake("backward-part", "parameters' gradients are not those of all images", RIGHT, _part_of_batch, backward=True),
    Mistake("backward-softmax", "the softmax's derivative is another one", "dx = p (dp - Σ p dp)",
            at_outputs_of("softmax", _softmax), backward=True),
    Mistake("backward-gelu", "GELU's derivative is another one", "dx = dy (Φ(x) + x φ(x))",
            at_outputs_of("gelu", _gelu), backward=True),
    Mistake("backward-gain", "a norm's gain has another gradient", "dweight = Σ dy x̂, dbias = Σ dy",
            at_outputs_of("layer_norm", _norm_gain), backward=True),
    Mistake("backward-table", "the bias table's gradient is another one", "a row's gradient is the sum over its pairs",
            at_outputs_of("position_bias", _table), backward=True),
    Mistake("backward-product", "the two derivatives of a product are exchanged", "S = q kᵀ: dq = dS k, dk = dSᵀ q",
            at_outputs_of("scores", _product), backward=True),
    Mistake("backward-changed", "a derivative is changed", RIGHT, _scaled_or_moved, backward=True),
)  # fmt: skip
