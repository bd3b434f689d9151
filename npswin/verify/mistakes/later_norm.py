"""The last norm applied after the pool, to the mean of the tokens, and not to the tokens before it."""

from dataclasses import replace
from typing import Any

from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    Variants,
    at_outputs_of,
    change_node,
    is_output_of,
    transform_input,
)


def _after_pool(graph: Graph, norm: Node) -> Variants:
    """The norm's input is pooled, and what reads the pool reads the norm of it."""
    pools = graph.consumers[norm.name]
    if len(pools) != 1 or not is_output_of(graph.nodes[pools[0]], "mean_pool"):
        return
    not_normalized: Changes = change_node(norm, Operation("layer_norm", _as_it_is, lambda dy, _: (dy, None, None)))
    changes = dict(not_normalized)
    for user in graph.consumers[pools[0]]:
        changes |= _reads_norm(graph.nodes[user], pools[0], norm)
    yield "", changes
    yield "the pool's result is the norm's", not_normalized | _pool_then_norm(graph.nodes[pools[0]], norm)
    yield (
        "the norm's result is a vector for each image",
        change_node(norm, _norm_of_pool(graph.nodes[pools[0]], norm))
        | (change_node(graph.nodes[pools[0]], Operation("mean_pool", _as_it_is, lambda dy, _: (dy,)))),
    )


def _pool_then_norm(pool: Node, norm: Node) -> Changes:
    """The pool with the norm of its result as its result."""
    mean_pool, layer_norm = pool.operation, norm.operation
    assert mean_pool is not None
    assert layer_norm is not None

    def forward(x: Array, *parameters: Array, **settings: Any) -> tuple[Array, Any]:
        mean, first = mean_pool.forward(x, **settings)
        y, second = layer_norm.forward(mean, *parameters, **norm.settings)
        return y, (first, second)

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        of_mean, *of_parameters = layer_norm.backward(dy, caches[1])
        assert of_mean is not None
        return (*mean_pool.backward(of_mean, caches[0]), *of_parameters)

    def terms(y: tuple[int, ...], x: tuple[int, ...], *shapes: tuple[int, ...]) -> tuple[int, ...]:
        return *mean_pool.terms(y, x), *layer_norm.terms(y, y, *shapes)[2:]

    changed = replace(mean_pool, forward=forward, backward=backward, terms=terms)
    return change_node(pool, changed, inputs=(*pool.inputs, *norm.inputs[1:]))


def _norm_of_pool(pool: Node, norm: Node) -> Operation:
    mean_pool, layer_norm = pool.operation, norm.operation
    assert mean_pool is not None
    assert layer_norm is not None
    backward = mean_pool.backward

    def of_tokens(dy: Array, cache: Any) -> Array:
        dx = backward(dy, cache)[0]
        assert dx is not None
        return dx

    return transform_input(layer_norm, 0, (mean_pool.forward, of_tokens))


def _as_it_is(x: Array, *_: Array, **__: Any) -> tuple[Array, None]:
    return x, None


def _reads_norm(node: Node, read: str, norm: Node) -> Changes:
    """A node with the norm of one of its inputs in place of the input."""
    operation, layer_norm, index = node.operation, norm.operation, node.inputs.index(read)
    assert operation is not None
    assert layer_norm is not None

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        own, parameters = list(inputs[:-2]), inputs[-2:]
        own[index], first = layer_norm.forward(own[index], *parameters, **norm.settings)
        y, second = operation.forward(*own, **settings)
        return y, (first, second)

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        derivatives = list(operation.backward(dy, caches[1]))
        of_norm = derivatives[index]
        assert of_norm is not None
        derivatives[index], *of_parameters = layer_norm.backward(of_norm, caches[0])
        return (*derivatives, *of_parameters)

    def terms(y: tuple[int, ...], *shapes: tuple[int, ...]) -> tuple[int, ...]:
        own = layer_norm.terms(shapes[index], shapes[index], *shapes[-2:])
        return *operation.terms(y, *shapes[:-2]), *own[-2:]

    changed = replace(operation, forward=forward, backward=backward, terms=terms)
    return change_node(node, changed, inputs=(*node.inputs, *norm.inputs[1:]))


LATER_NORM = (
    Mistake(
        "norm-after-pool",
        "the last norm is applied after the pool, to the mean of the tokens",
        "the norm of each token, and the mean of the normalized tokens",
        at_outputs_of("layer_norm", _after_pool),
    ),
)
