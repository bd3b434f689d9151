"""Tensors that an operation reads besides its inputs, for what is done with its result, or with one of its inputs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from npswin.types import Array
from npswin.verify.graph import Node
from npswin.verify.graph.node import summed_where_repeated
from npswin.verify.mistakes.mistake import Changes, change_node


def reading_besides(
    node: Node,
    names: tuple[str, ...],
    forward: Callable[..., tuple[Array, Any]],
    backward: Callable[[Array, Any], tuple[Array, ...]],
) -> Changes:
    """The node with a function of its result and of further tensors.

    Args:
        node: the node.
        names: of the further tensors.
        forward: (result, *tensors) -> y, cache.
        backward: (dy, cache) -> the derivative by each of these.
    """
    operation, count = node.operation, len(node.inputs)
    assert operation is not None

    def both_forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        result, own = operation.forward(*inputs[:count], **settings)
        y, cache = forward(result, *inputs[count:])
        return y, (own, cache)

    def both_backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        by_result, *others = backward(dy, caches[1])
        return *operation.backward(by_result, caches[0]), *others

    return _with_inputs(node, names, both_forward, both_backward)


def reading_besides_input(
    node: Node,
    index: int,
    names: tuple[str, ...],
    forward: Callable[..., tuple[Array, Any]],
    backward: Callable[[Array, Any], tuple[Array, ...]],
) -> Changes:
    """The node with a function of one of its inputs and of further tensors in place of that input.

    Args:
        node: the node.
        index: of the input.
        names: of the further tensors.
        forward: (input, *tensors) -> x, cache.
        backward: (dx, cache) -> the derivative by each of these.
    """
    operation, count = node.operation, len(node.inputs)
    assert operation is not None

    def both_forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        x, cache = forward(inputs[index], *inputs[count:])
        y, own = operation.forward(*inputs[:index], x, *inputs[index + 1 : count], **settings)
        return y, (own, cache)

    def both_backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        derivatives = list(operation.backward(dy, caches[0]))
        dx = derivatives[index]
        assert dx is not None
        derivatives[index], *others = backward(dx, caches[1])
        return *derivatives, *others

    return _with_inputs(node, names, both_forward, both_backward)


def _with_inputs(
    node: Node,
    names: tuple[str, ...],
    forward: Callable[..., tuple[Array, Any]],
    backward: Callable[[Array, Any], tuple[Array | None, ...]],
) -> Changes:
    """The node with further inputs, by an operation of all of them."""
    operation, count = node.operation, len(node.inputs)
    assert operation is not None

    def terms(y: tuple[int, ...], *shapes: tuple[int, ...]) -> tuple[int, ...]:
        return *operation.terms(y, *shapes[:count]), *summed_where_repeated(y, *shapes[count:])[1:]

    name = f"{operation.name} and more"  # no mistake of the operation alone applies to it
    changed = replace(operation, name=name, forward=forward, backward=backward, terms=terms)
    return change_node(node, changed, inputs=(*node.inputs, *names))
