"""Mistakes in the cyclic shift: its direction, its size, where it is rolled and rolled back."""

from typing import Any

import numpy as np

from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mask import with_shifted_block_mask
from npswin.verify.mistakes.mistake import (
    Mistake,
    Variants,
    at_outputs_of,
    change_node,
    gather,
    gather_node,
    in_same_module,
    is_output_of,
    transform_input,
)

# Pairs of axes of a map (image, row, column, channel); two equal ones are rolled twice.
OTHER_AXES = {
    (2, 3): "(column, channel)",
    (0, 1): "(image, row)",
    (1, 3): "(row, channel)",
    (0, 2): "(image, column)",
    (1, 1): "(row, row)",
    (2, 2): "(column, column)",
}


def _forward_shift(graph: Graph, name: str) -> Node | None:
    """The node, if it is the shift before the windows are cut."""
    node = graph.nodes[name]
    return node if is_output_of(node, "cyclic_shift") and name.endswith(".shifted") else None


def _reverse_shift(graph: Graph, name: str) -> Node | None:
    """The node, if it is the shift back after the windows are joined."""
    node = graph.nodes[name]
    return node if is_output_of(node, "cyclic_shift") and name.endswith(".unshifted") else None


def _direction(graph: Graph, name: str) -> Variants:
    if node := _forward_shift(graph, name):
        back = graph.nodes[in_same_module(name, "unshifted")]
        there = change_node(node, settings={"shift": -node.settings["shift"]})
        yield "there and back", there | change_node(back, settings={"shift": -back.settings["shift"]})
        yield "on the way there", there


def _missing(graph: Graph, name: str) -> Variants:
    if node := _forward_shift(graph, name):
        there, back = change_node(node, settings={"shift": 0}), graph.nodes[in_same_module(name, "unshifted")]
        yield "there and back", there | change_node(back, settings={"shift": 0})
        yield "on the way there", there


def _size(graph: Graph, name: str) -> Variants:
    if node := _forward_shift(graph, name):
        back, mask = graph.nodes[in_same_module(name, "unshifted")], graph.nodes.get(in_same_module(name, "mask"))
        side, right = graph.nodes[in_same_module(name, "windows")].settings["window_size"], node.settings["shift"]
        for other in range(1, side):
            if other != right:
                rolls = change_node(node, settings={"shift": other}) | change_node(back, settings={"shift": -other})
                detail = f"by {other} rather than {right}"
                if mask is not None and is_output_of(mask, "shift_mask"):
                    yield f"{detail}, in the mask too", rolls | change_node(mask, settings={"shift": other})
                yield f"{detail}, though not in the mask", rolls


def _one_axis(graph: Graph, name: str) -> Variants:
    if node := _forward_shift(graph, name):
        back, shift_size = graph.nodes[in_same_module(name, "unshifted")], node.settings["shift"]
        for axis, detail in ((1, "rows"), (2, "columns")):
            there = gather_node(node, "cyclic_shift", _roll(-shift_size, axis))
            undo = gather_node(back, "cyclic_shift", _roll(shift_size, axis))
            yield f"only {detail} are rolled, there and back", there | undo
            yield f"only {detail} are rolled on the way there", there


def _other_axes(graph: Graph, name: str) -> Variants:
    node = _forward_shift(graph, name) or _reverse_shift(graph, name)
    for axes, words in OTHER_AXES.items() if node else ():
        assert node is not None
        detail = f"along {words} in place of (row, column)"
        rolls = gather_node(node, "cyclic_shift", _roll(-node.settings["shift"], axes))
        if not _forward_shift(graph, name):
            yield f"{detail}, on the way back", rolls
            continue
        back = graph.nodes[in_same_module(name, "unshifted")]
        undo = gather_node(back, "cyclic_shift", _roll(-back.settings["shift"], axes))
        yield f"{detail}, there and back", rolls | undo
        yield f"{detail}, on the way there", rolls


def _roll(by: int, axis: int | tuple[int, int]) -> Any:
    return lambda x: np.roll(x, by, axis)


def _back_missing(graph: Graph, name: str) -> Variants:
    if node := _reverse_shift(graph, name):
        yield "", change_node(node, settings={"shift": 0})


def _back_direction(graph: Graph, name: str) -> Variants:
    if node := _reverse_shift(graph, name):
        yield "", change_node(node, settings={"shift": -node.settings["shift"]})


def _unshifted_size(graph: Graph, name: str) -> Variants:
    if node := _reverse_shift(graph, name):
        side, right = graph.nodes[in_same_module(name, "windows")].settings["window_size"], -node.settings["shift"]
        for other in range(1, side):
            if other != right:
                yield f"by {other} rather than {right}", change_node(node, settings={"shift": -other})


def _where_none(graph: Graph, node: Node) -> Variants:
    side = node.settings["window_size"]
    if side == 1 or in_same_module(node.name, "shifted") in graph.nodes:
        return
    joined = in_same_module(node.name, "joined")
    (user,) = (
        graph.nodes[name] for name in graph.consumers[joined]
    )  # the operation that reads the map after the roll back
    assert node.operation is not None
    assert user.operation is not None
    there, back = (gather(_roll(by, (1, 2))) for by in (-(side // 2), side // 2))
    rolls = change_node(node, transform_input(node.operation, 0, there))
    rolls |= change_node(user, transform_input(user.operation, user.inputs.index(joined), back))
    yield "and masked", rolls | with_shifted_block_mask(graph, graph.nodes[in_same_module(node.name, "probabilities")])
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
    Mistake(
        "roll-other-axes",
        "the map is rolled along other axes",
        "the map (image, row, column, channel) is rolled along (row, column)",
        _other_axes,
    ),
    Mistake("shift-size", "the cyclic shift is of another size", "the shift is M//2", _size),
    Mistake(
        "shift-where-none",
        "a block is shifted that should not be",
        "every second block is shifted, the first is not, and none of a stage whose map, for img_size, is no larger "
        "than a window",
        at_outputs_of("cut_windows", _where_none),
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
