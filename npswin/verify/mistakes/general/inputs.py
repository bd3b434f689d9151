"""Another tensor in place of an input, two inputs exchanged, an operation left out or done twice."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from npswin.types import Array
from npswin.verify.fits.explanation import times
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import Mistake, Variants, change_node, transform_input, unchanged

FARTHEST = 16  # operations between a tensor outside of blocks and one that it may read
FACTORS = {"-1": -1.0, "2": 2.0, "1/2": 0.5, "0": 0.0}


def _block(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[:4]) if parts[0] == "layers" and "blocks" in parts else parts[0]


def _other_activation(graph: Graph, name: str) -> Variants:
    """A tensor of the same block with the same axes that is computed before, or what the block reads."""
    node = graph.nodes[name]
    if node.operation is None or not node.inputs:
        return
    for index, read in enumerate(node.inputs):
        for other in same_axes_before(graph, name, read):
            inputs = (*node.inputs[:index], other, *node.inputs[index + 1 :])
            yield f"{other} in place of {read}", change_node(node, inputs=inputs)


def same_axes_before(graph: Graph, name: str, read: str) -> list[str]:
    """Other tensors with the axes of an activation that a node reads, computed before the node in or near its block."""
    axes = graph.nodes[read].axes
    if axes == "parameter":
        return []
    return [
        other
        for other in _before(graph, name)
        if other != read and graph.nodes[other].axes == axes and _is_near(graph, name, other)
    ]


def _before(graph: Graph, name: str) -> list[str]:
    names = []
    for other, node in graph.nodes.items():
        if other == name:
            break
        if node.operation is not None and node.operation.name != "shift_mask":
            names.append(other)
    return names


def _is_near(graph: Graph, name: str, other: str) -> bool:
    """Whether a tensor is of the same block, the one before, or outside of blocks."""
    if _block(name) == _block(other) or ".blocks." not in other:
        return True
    if ".blocks." not in name:  # behind the last block, or in patch merging
        computed = [one for one in graph.nodes if graph.nodes[one].operation is not None]
        return 0 < computed.index(name) - computed.index(other) <= FARTHEST
    return any(_block(read) == _block(other) for read in _inputs_of_block(graph, _block(name)))


def _inputs_of_block(graph: Graph, block: str) -> Iterator[str]:
    for name, node in graph.nodes.items():
        if _block(name) == block:
            yield from (read for read in node.inputs if _block(read) != block)


def _exchanged(graph: Graph, name: str) -> Variants:
    node = graph.nodes[name]
    if node.operation is not None and len(node.inputs) > 1:
        for first in range(len(node.inputs)):
            for second in range(first + 1, len(node.inputs)):
                inputs = list(node.inputs)
                inputs[first], inputs[second] = inputs[second], inputs[first]
                if graph.nodes[inputs[first]].axes == graph.nodes[inputs[second]].axes:
                    yield f"{inputs[second]} and {inputs[first]}", change_node(node, inputs=tuple(inputs))


def _multiplied(graph: Graph, name: str) -> Variants:
    node = graph.nodes[name]
    if node.operation is not None and len(node.inputs) > 1 and name != "loss":
        for index, read in enumerate(node.inputs):
            for words, factor in FACTORS.items():
                yield f"{read} by {words}", change_node(node, transform_input(node.operation, index, times(factor)))


def _left_out(graph: Graph, name: str) -> Variants:
    node = graph.nodes[name]
    if node.operation is not None and node.inputs and graph.nodes[node.inputs[0]].axes == node.axes != "":
        same = unchanged(node.operation.name, len(node.inputs))
        yield f"{name.rpartition('.')[2]} is its input", change_node(node, same)


def _twice(graph: Graph, name: str) -> Variants:
    node = graph.nodes[name]
    if node.operation is None or not node.inputs or graph.nodes[node.inputs[0]].axes != node.axes:
        return
    if len({graph.nodes[read].axes for read in node.inputs}) < len(node.inputs) and len(node.inputs) == 1:
        return
    yield name.rpartition(".")[2], change_node(node, _applied_twice(node))


def _applied_twice(node: Node) -> Operation:
    operation = node.operation
    assert operation is not None

    def forward(x: Array, *rest: Array, **settings: Any) -> tuple[Array, Any]:
        middle, first = operation.forward(x, *rest, **settings)
        y, second = operation.forward(middle, *rest, **settings)
        return y, (first, second)

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        last = operation.backward(dy, caches[1])
        assert last[0] is not None
        first = operation.backward(last[0], caches[0])
        rest = [b if a is None else a if b is None else a + b for a, b in zip(first[1:], last[1:], strict=True)]
        return first[0], *rest

    return replace(operation, forward=forward, backward=backward)


INPUTS = (
    Mistake("other-input", "it reads another tensor", "each operation reads the tensor before it", _other_activation),
    Mistake("inputs-exchanged", "two inputs are exchanged", "the inputs in their order", _exchanged),
    Mistake("input-multiplied", "an input is multiplied", "each input as it is", _multiplied),
    Mistake("left-out", "an operation is left out", "no operation is left out", _left_out),
    Mistake("twice", "an operation is done twice", "once", _twice),
)
