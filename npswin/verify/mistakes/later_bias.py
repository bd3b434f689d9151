"""A bias that is added after the operation that follows: after GELU, or after a norm."""

from typing import Any

from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    Variants,
    change_node,
    gather,
    is_output_of,
    transform_input,
    zeros,
)
from npswin.verify.mistakes.read_besides import reading_besides, reading_besides_input

FOLLOWING = {"gelu": "GELU", "layer_norm": "the norm"}


def _after_the_next(graph: Graph, name: str) -> Variants:
    """From the layer, where the port dumps its result without the bias; else from the operation that follows."""
    node = graph.nodes[name]
    if _has_bias(node):
        assert node.operation is not None
        without = change_node(node, transform_input(node.operation, 2, gather(zeros)))
        for user in graph.consumers[name]:
            if is_output_of(graph.nodes[user], *FOLLOWING):
                yield _words(graph.nodes[user]), without | _added_after(graph.nodes[user], node.inputs[2:])
    elif is_output_of(node, *FOLLOWING) and _has_bias(layer := graph.nodes[node.inputs[0]]):
        later = _added_after(node, layer.inputs[2:])[name]
        dumped = reading_besides_input(later, 0, layer.inputs[2:], _subtract, _subtract_backward)
        yield f"{_words(node)}, though the layer's dump has it", dumped


def _has_bias(node: Node) -> bool:
    return is_output_of(node, "linear", "patch_embed") and len(node.inputs) == 3


def _words(following: Node) -> str:
    assert following.operation is not None
    return f"after {FOLLOWING[following.operation.name]} in place of before it"


def _added_after(following: Node, bias: tuple[str, ...]) -> Changes:
    return reading_besides(following, bias, _add, _add_backward)


def _subtract(x: Array, bias: Array) -> tuple[Array, Any]:
    return x - bias, None


def _subtract_backward(dx: Array, _: Any) -> tuple[Array, ...]:
    return dx, -dx.reshape(-1, dx.shape[-1]).sum(axis=0)


def _add(result: Array, bias: Array) -> tuple[Array, Any]:
    return result + bias, None


def _add_backward(dy: Array, _: Any) -> tuple[Array, ...]:
    return dy, dy.reshape(-1, dy.shape[-1]).sum(axis=0)


LATER_BIAS = (
    Mistake(
        "bias-later",
        "the bias is added after the operation that follows",
        "y = x Wᵀ + b, and then the next operation",
        _after_the_next,
    ),
)
