"""Mistakes in cutting the map into windows and in joining the windows."""

from typing import Any

from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mistake import (
    Mistake,
    Variants,
    at_outputs_of,
    change_node,
    gather,
    gather_node,
    in_same_module,
    transform_input,
    transform_output,
)


def _transposed_tokens(windows: Array) -> Array:
    side = int(windows.shape[2] ** 0.5)
    square = windows.reshape(*windows.shape[:2], side, side, -1)
    return square.swapaxes(2, 3).reshape(windows.shape)


def _transposed_windows(rows: int, columns: int) -> Any:
    return lambda x: x.reshape(len(x), rows, columns, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)


def _cut(graph: Graph, node: Node) -> Variants:
    join = graph.nodes[in_same_module(node.name, "joined")]
    assert node.operation is not None
    assert join.operation is not None
    side, (height, width) = join.settings["window_size"], join.settings["size"]
    rows, columns = height // side, width // side
    variants = {"tokens": (_transposed_tokens, _transposed_tokens)}
    if rows > 1 and columns > 1:
        variants["windows"] = (_transposed_windows(rows, columns), _transposed_windows(columns, rows))
    for what, (there, back) in variants.items():
        cut = change_node(node, transform_output(node.operation, gather(there)))
        yield f"{what}, there and back", cut | change_node(join, transform_input(join.operation, 0, gather(back)))
        yield f"{what}, on the way there", cut


def _joined(graph: Graph, node: Node) -> Variants:
    assert node.operation is not None
    side, (height, width) = node.settings["window_size"], node.settings["size"]
    yield "tokens", change_node(node, transform_input(node.operation, 0, gather(_transposed_tokens)))
    transposed = _transposed_windows(width // side, height // side)
    yield "windows", change_node(node, transform_input(node.operation, 0, gather(transposed)))
    yield (
        "not at all: the windows' memory is read as the map",
        gather_node(node, "join_windows", lambda x: x.reshape(len(x), height, width, -1)),
    )


WINDOWS = (
    Mistake(
        "windows-columns-first",
        "the cut counts column by column",
        "windows are counted row by row, and so are their tokens",
        at_outputs_of("cut_windows", _cut),
    ),
    Mistake(
        "join-columns-first",
        "the windows are put back in another order",
        "windows are counted row by row, and so are their tokens",
        at_outputs_of("join_windows", _joined),
    ),
)
