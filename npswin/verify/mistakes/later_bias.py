"""A bias that is added after the operation that follows: after GELU, or after a norm."""

from typing import Any

from npswin.types import Array
from npswin.verify.graph import Graph
from npswin.verify.mistakes.mistake import (
    Mistake,
    Variants,
    change_node,
    gather,
    is_output_of,
    transform_input,
    zeros,
)
from npswin.verify.mistakes.read_besides import reading_besides

FOLLOWING = {"gelu": "GELU", "layer_norm": "the norm"}


def _after_the_next(graph: Graph, name: str) -> Variants:
    node = graph.nodes[name]
    if not is_output_of(node, "linear", "patch_embed") or len(node.inputs) != 3:
        return
    assert node.operation is not None
    without = change_node(node, transform_input(node.operation, 2, gather(zeros)))
    for user in graph.consumers[node.name]:
        if is_output_of(graph.nodes[user], *FOLLOWING):
            following = graph.nodes[user]
            assert following.operation is not None
            later = reading_besides(following, node.inputs[2:], _add, _add_backward)
            yield f"after {FOLLOWING[following.operation.name]} in place of before it", without | later


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
