"""Mistakes of the cyclic shift: its direction, its size, where it is made and undone."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mask import with_mask
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    before,
    gather,
    is_made_by,
    made_by,
    moved,
    otherwise,
    sibling,
)


def _way_there(graph: Graph, name: str) -> Node | None:
    """The node of the shift before the windows, if this is one."""
    node = graph.nodes[name]
    return node if is_made_by(node, "cyclic_shift") and name.endswith(".shifted") else None


def _way_back(graph: Graph, name: str) -> Node | None:
    node = graph.nodes[name]
    return node if is_made_by(node, "cyclic_shift") and name.endswith(".unshifted") else None


def _direction(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
    if node := _way_there(graph, name):
        back = graph.nodes[sibling(name, "unshifted")]
        there = otherwise(node, settings={"shift": -node.settings["shift"]})
        yield "there and back", there | otherwise(back, settings={"shift": -back.settings["shift"]})
        yield "on the way there", there


def _missing(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
    if node := _way_there(graph, name):
        there, back = otherwise(node, settings={"shift": 0}), graph.nodes[sibling(name, "unshifted")]
        yield "there and back", there | otherwise(back, settings={"shift": 0})
        yield "on the way there", there


def _size(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
    if node := _way_there(graph, name):
        back, mask = graph.nodes[sibling(name, "unshifted")], graph.nodes.get(sibling(name, "mask"))
        side, shift = graph.nodes[sibling(name, "windows")].settings["window_size"], node.settings["shift"]
        for other in range(1, side):
            if other != shift:
                rolls = otherwise(node, settings={"shift": other}) | otherwise(back, settings={"shift": -other})
                detail = f"by {other} rather than {shift}"
                if mask is not None and is_made_by(mask, "shift_mask"):
                    yield f"{detail}, in the mask too", rolls | otherwise(mask, settings={"shift": other})
                yield f"{detail}, though not in the mask", rolls


def _one_axis(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
    if node := _way_there(graph, name):
        back, shift = graph.nodes[sibling(name, "unshifted")], node.settings["shift"]
        for axis, detail in ((1, "rows"), (2, "columns")):
            there = moved(node, "cyclic_shift", _roll(-shift, axis))
            way_back = moved(back, "cyclic_shift", _roll(shift, axis))
            yield f"only {detail} are rolled, there and back", there | way_back
            yield f"only {detail} are rolled on the way there", there


def _roll(shift: int, axis: int | tuple[int, int]) -> Any:
    return lambda x: np.roll(x, shift, axis)


def _back_missing(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
    if node := _way_back(graph, name):
        yield "", otherwise(node, settings={"shift": 0})


def _back_direction(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
    if node := _way_back(graph, name):
        yield "", otherwise(node, settings={"shift": -node.settings["shift"]})


def _unshifted_size(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
    if node := _way_back(graph, name):
        side, shift = graph.nodes[sibling(name, "windows")].settings["window_size"], -node.settings["shift"]
        for other in range(1, side):
            if other != shift:
                yield f"by {other} rather than {shift}", otherwise(node, settings={"shift": -other})


def _where_none(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    side = node.settings["window_size"]
    if side == 1 or sibling(node.name, "shifted") in graph.nodes:
        return
    joined = sibling(node.name, "joined")
    (user,) = (graph.nodes[name] for name in graph.consumers[joined])  # what gets the map after the roll back
    assert node.operation is not None
    assert user.operation is not None
    there, back = (gather(_roll(by, (1, 2))) for by in (-(side // 2), side // 2))
    rolls = otherwise(node, before(node.operation, 0, there))
    rolls |= otherwise(user, before(user.operation, user.inputs.index(joined), back))
    yield "and masked", rolls | with_mask(graph, graph.nodes[sibling(node.name, "probabilities")])
    yield "without a mask", rolls


SHIFT = (
    Mistake(
        "roll-direction",
        "the cyclic shift rolls the other way",
        "the map is rolled up and left by (-M//2, -M//2) before the windows are cut, and by (M//2, M//2) after",
        _direction,
    ),
    Mistake(
        "roll-missing",
        "the map is not rolled in a shifted block",
        "in every second block the map is rolled by (-M//2, -M//2) before the windows are cut, and back after",
        _missing,
    ),
    Mistake("roll-one-axis", "the map is rolled along one axis only", "roll rows and columns", _one_axis),
    Mistake("shift-size", "the cyclic shift is of another size", "the shift is M//2", _size),
    Mistake(
        "shift-where-none",
        "a block is shifted that should not be",
        "every second block is shifted, the first is not, and none of a stage whose map, for img_size, is no larger "
        "than a window",
        made_by("cut_windows", _where_none),
    ),
    Mistake(
        "roll-back-missing",
        "the map is not rolled back after the windows",
        "roll by (M//2, M//2) after the windows are put together",
        _back_missing,
    ),
    Mistake(
        "roll-back-direction",
        "the map is rolled on after the windows, rather than back",
        "roll by (M//2, M//2) after the windows are put together",
        _back_direction,
    ),
    Mistake("roll-back-size", "the map is rolled back by another shift", "roll back by M//2", _unshifted_size),
)
