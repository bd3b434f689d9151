"""What a mistake is, and functions that change an operation.

A mistake replaces some nodes of the graph. Most mistakes are the correct operation on a rearranged input or with a
rearranged output: a weight read in another order, a bias that is zero, an output with exchanged axes. A rearrangement
takes each of its numbers from one position of the array, or is 0 there. So its result for `arange` gives all positions:
the forward pass gathers from them, and the backward pass adds to them. No derivative has to be written by hand.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation, Run
from npswin.verify.mistakes.not_applicable import NotApplicable

Changes = dict[str, Node]  # the replaced nodes by name
Rearrangement = Callable[[Array], Array]
Pair = tuple[Callable[[Array], tuple[Array, Any]], Callable[[Array, Any], Array]]  # forward, backward
Variants = Iterator[tuple[str, Changes]]  # a detail, such as "there and back" or "", and the changes


@dataclass(frozen=True)
class Mistake:
    """One entry of the catalogue.

    Attributes:
        name: short, such as "roll-direction".
        description: what the port does wrong, such as "the cyclic shift rolls the other way".
        fix: what it should do.
        plant: (graph, name of a node) -> the variants of the mistake at this node; none where it cannot be made. Raises
            NotApplicable where another mistake has already changed the node.
        backward: whether only the backward pass is wrong.
        shows_forward: whether it always changes an activation, so that it is not tried for a gradient.
        can_make: (run, a tensor's name, the port's tensor, the largest difference of equal numbers) -> whether any
            variant can make it; a quick test for a mistake of many variants.
    """

    name: str
    description: str
    fix: str
    plant: Callable[[Graph, str], Variants]
    backward: bool = False
    shows_forward: bool = False
    can_make: Callable[[Run, str, Array, float], bool] = lambda *_: True


def gather(rearrangement: Rearrangement) -> Pair:
    """The forward and backward function of a rearrangement.

    Args:
        rearrangement: any function of one array that takes its numbers from positions of the array, or is 0.
    """

    def forward(x: Array) -> tuple[Array, Any]:
        positions = rearrangement(np.arange(1, x.size + 1).reshape(x.shape))  # from 1 on; 0 stands for a zero
        return np.concatenate([np.zeros(1, x.dtype), x.reshape(-1)])[positions], (positions, x.shape)

    def backward(dy: Array, cache: Any) -> Array:
        positions, shape = cache
        sums = np.bincount(positions.reshape(-1), dy.reshape(-1).astype(np.float64), int(np.prod(shape)) + 1)
        return sums[1:].reshape(shape).astype(dy.dtype)

    return forward, backward


def multiply_by(factor: float) -> Pair:
    """The forward and backward function of a product with a constant."""
    return (lambda x: (x * x.dtype.type(factor), None)), (lambda dy, _: dy * dy.dtype.type(factor))


def zeros(x: Array) -> Array:
    """The rearrangement to zeros."""
    return np.zeros_like(x)


def transform_input(operation: Operation, index: int, pair: Pair) -> Operation:
    """The operation with a pair applied to one of its inputs first."""

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        transformed, pair_cache = pair[0](inputs[index])
        y, cache = operation.forward(*inputs[:index], transformed, *inputs[index + 1 :], **settings)
        return y, (cache, pair_cache)

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        cache, pair_cache = caches
        derivatives = list(operation.backward(dy, cache))
        derivative = derivatives[index]
        derivatives[index] = None if derivative is None else pair[1](derivative, pair_cache)
        return tuple(derivatives)

    return replace(operation, forward=forward, backward=backward)


def transform_output(operation: Operation, pair: Pair) -> Operation:
    """The operation with a pair applied to its output."""

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        y, cache = operation.forward(*inputs, **settings)
        transformed, pair_cache = pair[0](y)
        return transformed, (cache, pair_cache)

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        cache, pair_cache = caches
        return operation.backward(pair[1](dy, pair_cache), cache)

    return replace(operation, forward=forward, backward=backward)


def gather_node(node: Node, operation: str, rearrangement: Rearrangement) -> Changes:
    """The node as a rearrangement of its single input.

    The operation's name and the node's settings stay, as other mistakes read them.
    """
    gather_forward, gather_backward = gather(rearrangement)

    def forward(*inputs: Array, **_: Any) -> tuple[Array, Any]:
        if len(inputs) != 1:
            raise NotApplicable(f"{node.name}: has {len(inputs)} inputs by another mistake, expected one")
        return gather_forward(*inputs)

    def backward(dy: Array, cache: Any) -> tuple[Array]:
        return (gather_backward(dy, cache),)

    return {node.name: replace(node, operation=Operation(operation, forward, backward))}


def unchanged(name: str, count: int = 1) -> Operation:
    """The first of an operation's inputs as it is, under the operation's name."""

    def forward(*inputs: Array, **_: Any) -> tuple[Array, Any]:
        return inputs[0], None

    return Operation(name, forward, lambda dy, _: (dy, *[None] * (count - 1)))


def elementwise(name: str, function: Callable[[Array], Array]) -> Operation:
    """y = f(x), element by element, for an analytic f.

    The derivative is Im f(x + ih)/h with a tiny h, which is exact to the last digit.
    """
    step = 1e-30

    def forward(x: Array) -> tuple[Array, Any]:
        return function(x), x

    def backward(dy: Array, x: Any) -> tuple[Array]:
        return (dy * (np.imag(function(x.astype(np.complex128) + 1j * step)) / step).astype(dy.dtype),)

    return Operation(name, forward, backward)


def with_sums(operation: Operation, count: int) -> Operation:
    """The operation with the rounding errors of a sum of so many terms beside its own."""
    if count == 1:
        return operation
    return replace(operation, terms=lambda *shapes: tuple(own + count for own in operation.terms(*shapes)))


def with_backward(operation: Operation, backward: Callable[[Array, Any], tuple[Array | None, ...]]) -> Operation:
    """The operation with its forward pass and another backward pass."""
    return replace(operation, backward=backward)


def transform_derivative(operation: Operation, index: int, transform: Callable[[Array], Array]) -> Operation:
    """The operation with a function applied to the derivative by one of its inputs."""

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        derivatives = list(operation.backward(dy, cache))
        derivative = derivatives[index]
        derivatives[index] = None if derivative is None else transform(derivative)
        return tuple(derivatives)

    return with_backward(operation, backward)


def with_backward_of(planted: Node, right: Node) -> Node:
    """The node `planted` with the backward pass of the node `right`, which has the same inputs."""
    planted_operation, right_operation = planted.operation, right.operation
    assert planted_operation is not None
    assert right_operation is not None

    def forward(*inputs: Array, **_: Any) -> tuple[Array, Any]:
        y = planted_operation.forward(*inputs, **planted.settings)[0]
        return y, right_operation.forward(*inputs, **right.settings)[1]

    return replace(planted, operation=replace(right_operation, forward=forward))


def change_node(node: Node, operation: Operation | None = None, **changes: Any) -> Changes:
    """A node with another operation, other inputs, or other settings.

    Args:
        node: the node.
        operation: replaces the node's, if given.
        **changes: other attributes of the node. `settings` are merged with the node's.

    Raises:
        KeyError: a setting that the node does not have.
    """
    settings = changes.pop("settings", {})
    unknown = set(settings) - set(node.settings)
    if unknown:
        raise KeyError(f"{node.name}: has no setting {', '.join(sorted(unknown))}; it has {', '.join(node.settings)}")
    settings = {**node.settings, **settings}
    changed = replace(node, operation=operation or node.operation, settings=settings, **changes)
    return {node.name: changed}


def is_output_of(node: Node, *operations: str) -> bool:
    """Whether the node is the output of one of these operations."""
    return node.operation is not None and node.operation.name in operations


def at_outputs_of(operation: str, variants: Callable[[Graph, Node], Variants]) -> Callable[[Graph, str], Variants]:
    """The `plant` function of a mistake that can be made in every node of one operation."""

    def plant(graph: Graph, name: str) -> Variants:
        node = graph.nodes[name]
        if is_output_of(node, operation):
            yield from variants(graph, node)

    return plant


def with_variants(
    operation: str, variants: Mapping[str, Callable[[Operation], Operation]]
) -> Callable[[Graph, str], Variants]:
    """The `plant` function of a mistake that changes one operation.

    Args:
        operation: the operation's name.
        variants: by detail a function from the operation to the changed one.
    """

    def change(_: Graph, node: Node) -> Variants:
        assert node.operation is not None
        for detail, variant in variants.items():
            yield detail, change_node(node, variant(node.operation))

    return at_outputs_of(operation, change)


def in_same_module(name: str, part: str) -> str:
    """The name of another tensor of a tensor's module.

    For example ("layers.0.blocks.0.attn.q", "mask") -> "layers.0.blocks.0.attn.mask".
    """
    return f"{name.rpartition('.')[0]}.{part}"


def attention_scale(graph: Graph, node: Node) -> float:
    """The factor d^-0.5 of the attention that a node belongs to."""
    return float(graph.nodes[in_same_module(node.name, "q_scaled")].settings["factor"])
