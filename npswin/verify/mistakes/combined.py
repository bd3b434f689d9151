"""Two tensors combined, in an operation's input or in its result: a node of its own in the graph."""

from dataclasses import replace
from typing import Any

from npswin.types import Array
from npswin.verify.fits.combinations import Combination
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import Changes, change_node
from npswin.verify.mistakes.not_applicable import NotApplicable


def combine_input(graph: Graph, node: Node, index: int, x: str, v: str, combination: Combination) -> Changes:
    """The node with a combination of two tensors, `x` and `v`, in place of one input."""
    combined = _combined(graph, f"input of {node.name}", x, v, combination)
    inputs = (*node.inputs[:index], combined.name, *node.inputs[index + 1 :])
    return change_node(node, inputs=inputs) | {combined.name: combined}


def combine_for_all(graph: Graph, x: str, v: str, combination: Combination, first: str) -> Changes | None:
    """A combination of two tensors in place of `x` in all nodes that read it; None where `v` is computed from one.

    Args:
        first: the node that comes first in the changes.
    """
    users = [first, *(user for user in graph.consumers[x] if user != first)]
    names = list(graph.nodes)
    if names.index(v) > min(map(names.index, users)):
        return None
    combined = _combined(graph, f"what is read for {x}", x, v, combination)
    changes: Changes = {}
    for user in users:
        reads = tuple(combined.name if read == x else read for read in graph.nodes[user].inputs)
        changes |= change_node(graph.nodes[user], inputs=reads)
    return changes | {combined.name: combined}


def combine_addends(node: Node, x: str, v: str, combination: Combination) -> Changes:
    """A combination of two tensors as the node."""
    return change_node(node, _operation(node.name, combination), inputs=(x, v))


def combine_output(graph: Graph, node: Node, v: str, combination: Combination) -> Changes:
    """The node as the combination of its operation's result and a tensor `v`."""
    result = replace(node, name=_unused(graph, f"first result of {node.name}"))
    combined = replace(_combined(graph, node.name, result.name, v, combination), name=node.name, axes=node.axes)
    return {node.name: combined, result.name: result}


def _combined(graph: Graph, name: str, x: str, v: str, combination: Combination) -> Node:
    axes = graph.nodes[x].axes if x in graph.nodes else ""
    return Node(_unused(graph, name), _operation(name, combination), (x, v), axes=axes)


def _unused(graph: Graph, name: str) -> str:
    while name in graph.nodes:
        name += "'"
    return name


def _operation(name: str, combination: Combination) -> Operation:
    def forward(x: Array, v: Array) -> tuple[Array, Any]:
        if x.size != v.size:
            raise NotApplicable(f"{name}: combines tensors of {x.size} and {v.size} numbers, expected as many")
        return combination.forward(x, v.reshape(x.shape)), (x, v)

    def backward(dy: Array, cache: Any) -> tuple[Array, Array]:
        x, v = cache
        dx, dv = combination.backward(dy, x, v.reshape(x.shape))
        return dx, dv.reshape(v.shape)

    return Operation("combination", forward, backward)
