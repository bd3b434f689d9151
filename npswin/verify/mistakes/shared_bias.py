"""A position bias that is computed once for a stage: one tensor, with the gradient of all blocks that add it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mistake import Changes, Variants, change_node, is_output_of, with_backward


def shared_bias(graph: Graph, node: Node) -> Variants:
    """The bias of the stage's first block, in all blocks of the stage.

    Args:
        graph: the graph.
        node: the bias of another block of the stage.
    """
    stage = node.name.partition(".blocks.")[0]
    biases = [one for one in graph.nodes.values() if one.operation is node.operation and one.name.startswith(stage)]
    users = [graph.nodes[user] for one in biases for user in graph.consumers[one.name]]
    first, *rest = biases
    if node is first or len(users) != len(biases) or not all(is_output_of(user, "add_bias") for user in users):
        return
    names = [one.name for one in biases]
    changes: Changes = {}
    for user, own in zip(users, names, strict=True):
        changes |= _added(user, [name for name in names if name != own])
    for one in rest:  # whose gradient is the first one's
        assert one.operation is not None
        detached = with_backward(one.operation, lambda *_: (None,))
        changes |= change_node(one, detached, inputs=first.inputs)
    yield f"of {first.name.rpartition('.')[0]}: one tensor, whose gradient is the sum over all blocks", changes


def _added(node: Node, others: Sequence[str]) -> Changes:
    """The scores plus the bias, whose derivative is also that by the other names of the same tensor."""
    operation = node.operation
    assert operation is not None

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        return operation.forward(*inputs[:2], **settings)

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        by_scores, by_bias = operation.backward(dy, cache)
        return by_scores, by_bias, *[by_bias] * len(others)

    changed = replace(operation, forward=forward, backward=backward)
    return change_node(node, changed, inputs=(*node.inputs, *others))
