"""Mistakes of the cut into windows, and of putting them together again."""

from collections.abc import Iterator
from typing import Any

from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    after,
    before,
    gather,
    made_by,
    moved,
    otherwise,
    sibling,
)


def _turned_tokens(windows: Array) -> Array:
    side = int(windows.shape[2] ** 0.5)
    square = windows.reshape(*windows.shape[:2], side, side, -1)
    return square.swapaxes(2, 3).reshape(windows.shape)


def _turned_windows(rows: int, columns: int) -> Any:
    return lambda x: x.reshape(len(x), rows, columns, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)


def _cut(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    join = graph.nodes[sibling(node.name, "joined")]
    assert node.operation is not None
    assert join.operation is not None
    side, (height, width) = join.settings["window_size"], join.settings["size"]
    rows, columns = height // side, width // side
    variants = {"tokens": (_turned_tokens, _turned_tokens)}
    if rows > 1 and columns > 1:
        variants["windows"] = (_turned_windows(rows, columns), _turned_windows(columns, rows))
    for what, (there, back) in variants.items():
        cut = otherwise(node, after(node.operation, gather(there)))
        yield f"{what}, there and back", cut | otherwise(join, before(join.operation, 0, gather(back)))
        yield f"{what}, on the way there", cut


def _joined(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    assert node.operation is not None
    side, (height, width) = node.settings["window_size"], node.settings["size"]
    yield "tokens", otherwise(node, before(node.operation, 0, gather(_turned_tokens)))
    turned = _turned_windows(width // side, height // side)
    yield "windows", otherwise(node, before(node.operation, 0, gather(turned)))
    yield (
        "not at all: the windows' memory is read as the map",
        moved(node, "join_windows", lambda x: x.reshape(len(x), height, width, -1)),
    )


WINDOWS = (
    Mistake(
        "windows-columns-first",
        "the cut counts column by column",
        "windows are counted row by row, and so are their tokens",
        made_by("cut_windows", _cut),
    ),
    Mistake(
        "join-columns-first",
        "the windows are put back in another order",
        "windows are counted row by row, and so are their tokens",
        made_by("join_windows", _joined),
    ),
)
