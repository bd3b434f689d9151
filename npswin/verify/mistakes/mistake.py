"""What a mistake is, and the few ways in which an operation is made wrong.

A mistake is planted by making some nodes of the graph otherwise. Most are a right operation on something that was
moved: a weight read in another order, a bias that is zero, an output whose axes changed places. Such a move takes each
of its numbers from one place or from nowhere, so what it does to `arange` tells all: the forward pass gathers by those
places, and the backward pass sums by them. No derivative of a mistake has to be written.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation

Changes = dict[str, Node]
Move = Callable[[Array], Array]
Pair = tuple[Callable[[Array], tuple[Array, Any]], Callable[[Array, Any], Array]]


@dataclass(frozen=True)
class Mistake:
    """One entry of the catalogue.

    Attributes:
        name: short, such as "roll-direction".
        says: what the port does, as a sentence's end: "the cyclic shift rolls the other way".
        mend: what it should do.
        plant: (graph, name of a node) -> for each way to make the mistake there, a detail in words (or "") and the
            nodes made otherwise; nothing where it cannot be made.
        backward: whether the forward pass is right and only the backward pass wrong.
    """

    name: str
    says: str
    mend: str
    plant: Callable[[Graph, str], Iterator[tuple[str, Changes]]]
    backward: bool = False


def gather(move: Move) -> Pair:
    """The pair of a move: any function of one array that only takes numbers from places, or zeros."""

    def forward(x: Array) -> tuple[Array, Any]:
        places = move(np.arange(1, x.size + 1).reshape(x.shape))  # 0 for what comes from nowhere
        return np.concatenate([np.zeros(1, x.dtype), x.reshape(-1)])[places], (places, x.shape)

    def backward(dy: Array, cache: Any) -> Array:
        places, shape = cache
        sums = np.bincount(places.reshape(-1), dy.reshape(-1).astype(np.float64), int(np.prod(shape)) + 1)
        return sums[1:].reshape(shape).astype(dy.dtype)

    return forward, backward


def times(factor: float) -> Pair:
    """The pair of a product with a constant."""
    return (lambda x: (x * x.dtype.type(factor), None)), (lambda dy, _: dy * dy.dtype.type(factor))


def zeros(x: Array) -> Array:
    """The move that forgets everything."""
    return np.zeros_like(x)


def before(operation: Operation, place: int, pair: Pair) -> Operation:
    """The operation with one of its inputs changed."""

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        moved, move_cache = pair[0](inputs[place])
        y, cache = operation.forward(*inputs[:place], moved, *inputs[place + 1 :], **settings)
        return y, (cache, move_cache)

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        cache, move_cache = caches
        derivatives = list(operation.backward(dy, cache))
        derivative = derivatives[place]
        derivatives[place] = None if derivative is None else pair[1](derivative, move_cache)
        return tuple(derivatives)

    return replace(operation, forward=forward, backward=backward)


def after(operation: Operation, pair: Pair) -> Operation:
    """The operation with its output changed."""

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        y, cache = operation.forward(*inputs, **settings)
        moved, move_cache = pair[0](y)
        return moved, (cache, move_cache)

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        cache, move_cache = caches
        return operation.backward(pair[1](dy, move_cache), cache)

    return replace(operation, forward=forward, backward=backward)


def moved(node: Node, operation: str, move: Move) -> Changes:
    """The node as a mere move of its input. It keeps the operation's name and settings, which others may ask for."""
    forward, backward = gather(move)
    pair = Operation(operation, lambda x, **_: forward(x), lambda dy, cache: (backward(dy, cache),))
    return {node.name: replace(node, operation=pair)}


def elementwise(name: str, function: Callable[[Array], Array]) -> Operation:
    """y = f(x) number by number, for an analytic f: its derivative is Im f(x + ih)/h, to the last digit."""
    step = 1e-30

    def forward(x: Array) -> tuple[Array, Any]:
        return function(x), x

    def backward(dy: Array, x: Any) -> tuple[Array]:
        return (dy * (np.imag(function(x.astype(np.complex128) + 1j * step)) / step).astype(dy.dtype),)

    return Operation(name, forward, backward)


def backward_only(operation: Operation, backward: Callable[[Array, Any], tuple[Array | None, ...]]) -> Operation:
    """The right forward pass with another backward pass."""
    return replace(operation, backward=backward)


def changed_derivative(operation: Operation, place: int, change: Callable[[Array], Array]) -> Operation:
    """The operation with the derivative by one of its inputs changed."""

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        derivatives = list(operation.backward(dy, cache))
        derivative = derivatives[place]
        derivatives[place] = None if derivative is None else change(derivative)
        return tuple(derivatives)

    return backward_only(operation, backward)


def with_backward_of(planted: Node, right: Node) -> Node:
    """A node with the forward pass of one and the backward pass of another, of the same inputs."""
    wrong, other = planted.operation, right.operation
    assert wrong is not None
    assert other is not None

    def forward(*inputs: Array, **_: Any) -> tuple[Array, Any]:
        return wrong.forward(*inputs, **planted.settings)[0], other.forward(*inputs, **right.settings)[1]

    return replace(planted, operation=replace(other, forward=forward))


def otherwise(node: Node, operation: Operation | None = None, **changes: Any) -> Changes:
    """A node with another operation, other inputs, or other settings, as changes of a graph."""
    settings = {**node.settings, **changes.pop("settings", {})}
    changed = replace(node, operation=operation or node.operation, settings=settings, **changes)
    return {node.name: changed}


def is_made_by(node: Node, *operations: str) -> bool:
    """Whether the node is the result of one of these operations."""
    return node.operation is not None and node.operation.name in operations


def made_by(operation: str, change: Callable[[Graph, Node], Iterator[tuple[str, Changes]]]) -> Any:
    """The `plant` of a mistake that is made at the nodes of one operation."""

    def plant(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
        node = graph.nodes[name]
        if is_made_by(node, operation):
            yield from change(graph, node)

    return plant


def replacing(operation: str, variants: Mapping[str, Callable[[Operation], Operation]]) -> Any:
    """The `plant` of a mistake that makes one operation otherwise, in one of several ways with a word for each."""

    def change(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
        assert node.operation is not None
        for detail, variant in variants.items():
            yield detail, otherwise(node, variant(node.operation))

    return made_by(operation, change)


def sibling(name: str, part: str) -> str:
    """The tensor of that last name in the same module: sibling("layers.0.blocks.0.attn.q", "mask")."""
    return f"{name.rpartition('.')[0]}.{part}"


def scale_of(graph: Graph, node: Node) -> float:
    """d^-0.5 of the attention that a node belongs to."""
    return float(graph.nodes[sibling(node.name, "q_scaled")].settings["factor"])
