"""Backward passes that use another tensor, another formula, or numbers in other places."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from npswin.types import Array
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
    in_same_module,
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


def _concat(_: Graph, node: Node) -> Variants:
    """The four neighbours get each other's parts of the derivative."""
    operation = node.operation
    assert operation is not None
    for order in permutations(range(4)):
        if order != (0, 1, 2, 3):
            yield f"the parts in the order {', '.join(map(str, order))}", change_node(node, _parts(operation, order))
    for part in range(4):
        yield f"part {part} for all four", change_node(node, _parts(operation, (part,) * 4))


def _packed(graph: Graph, node: Node) -> Variants:
    """The derivatives of q, k and v are stacked in another order."""
    names = [in_same_module(node.name, letter) for letter in "qkv"]
    for order in permutations(range(3)):
        changes: Changes = {}
        for part, (name, place) in enumerate(zip(names, order, strict=True)):
            operation = graph.nodes[name].operation
            if operation is not None and place != part:
                changes |= change_node(graph.nodes[name], transform_derivative(operation, 0, _moved(place - part)))
        if changes:
            words = ", ".join("d" + "qkv"[order.index(place)] for place in range(3))
            yield f"as {words}", changes


def _moved(parts: int) -> Callable[[Array], Array]:
    """The columns moved on by so many of the three parts."""
    return lambda dx: np.roll(dx, parts * (dx.shape[-1] // 3), axis=-1)


def _parts(operation: Operation, order: tuple[int, ...]) -> Operation:
    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        parts = np.split(dy, 4, axis=-1)
        return operation.backward(np.concatenate([parts[part] for part in order], axis=-1), cache)

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


RIGHT = "the derivative of the forward pass"
BACKWARD = (
    Mistake("backward-tensor", "derivatives are computed with another tensor", RIGHT, _other_tensor, backward=True),
    Mistake("backward-concat", "the neighbours get other parts of the derivative when patches are merged",
            "the parts of dy, each C channels, back to the neighbours that they came from",
            at_outputs_of("patch_concat", _concat), backward=True),
    Mistake("backward-packed", "the gradients of q, k and v are stacked in another order in that of qkv",
            "the columns of qkv's gradient are ordered (dq|dk|dv, head, d)", at_outputs_of("split_heads", _packed),
            backward=True),
    Mistake("backward-changed", "a derivative is changed", RIGHT, _scaled_or_moved, backward=True),
)  # fmt: skip
