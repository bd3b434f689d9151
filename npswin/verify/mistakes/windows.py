"""Mistakes on the way from the map to its windows and back: padding, the cyclic shift, the cut."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    after,
    before,
    gather,
    is_made_by,
    made_by,
    moving,
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
            there = _moved(node, "cyclic_shift", _roll(-shift, axis))
            way_back = _moved(back, "cyclic_shift", _roll(shift, axis))
            yield f"only {detail} are rolled, there and back", there | way_back
            yield f"only {detail} are rolled on the way there", there


def _roll(shift: int, axis: int) -> Any:
    return lambda x: np.roll(x, shift, axis)


def _back_missing(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
    if node := _way_back(graph, name):
        yield "", otherwise(node, settings={"shift": 0})


def _back_direction(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
    if node := _way_back(graph, name):
        yield "", otherwise(node, settings={"shift": -node.settings["shift"]})


def _padding_after_shift(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
    """norm1 -> shifted -> padded -> windows, and joined -> cropped -> unshifted -> residual."""
    if not name.endswith((".attn.padded", ".attn.shifted", ".attn.cropped", ".attn.unshifted")):
        return
    parts = {part: sibling(name, part) for part in ("padded", "shifted", "windows", "joined", "cropped", "unshifted")}
    if not all(part in graph.nodes for part in parts.values()):
        return
    node = {part: graph.nodes[full] for part, full in parts.items()}
    if node["shifted"].inputs != (parts["padded"],):
        return
    there = (
        otherwise(node["shifted"], inputs=node["padded"].inputs)
        | otherwise(node["padded"], inputs=(parts["shifted"],))
        | otherwise(node["windows"], inputs=(parts["padded"],))
    )
    back = otherwise(node["cropped"], inputs=(parts["joined"],)) | otherwise(
        node["unshifted"], inputs=(parts["cropped"],)
    )
    for user in graph.consumers[parts["cropped"]]:
        reads = tuple(parts["unshifted"] if read == parts["cropped"] else read for read in graph.nodes[user].inputs)
        back |= otherwise(graph.nodes[user], inputs=reads)
    yield "there and back", there | back
    yield "on the way there", there


def _pad_other_side(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    crop = graph.nodes[sibling(node.name, "cropped")]
    height, width = crop.settings["size"]
    side = node.settings["window_size"]
    rows, columns = -height % side, -width % side
    for detail, top, left in (
        ("at the top and the left", rows, columns),
        ("on both sides", rows // 2, columns // 2),
    ):
        if (top, left) == (0, 0):
            continue
        pad, cut = _shifted_padding(rows, columns, top, left), _shifted_crop(height, width, top, left)
        there, back = _moved(node, "pad", pad), _moved(crop, "crop", cut)
        yield f"{detail}, and cropped there", there | back
        yield f"{detail}, but cropped as if it were not", there


def _pad_edge(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    side = node.settings["window_size"]

    def edge(x: Array) -> Array:
        return np.pad(x, ((0, 0), (0, -x.shape[1] % side), (0, -x.shape[2] % side), (0, 0)), mode="edge")

    yield "the map's edge is repeated", _moved(node, "pad", edge)


def _moved(node: Node, operation: str, move: Any) -> Changes:
    """The node as a mere move of its input."""
    return {node.name: replace(node, operation=moving(operation, move), settings={})}


def _pad_amount(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    """Maps of another size, through padding, mask, windows and back."""
    side, join = node.settings["window_size"], graph.nodes[sibling(node.name, "joined")]
    crop, mask = graph.nodes[sibling(node.name, "cropped")], graph.nodes.get(sibling(node.name, "mask"))
    height, width = crop.settings["size"]
    sizes = {
        "a map that is whole windows gets one more": ((height // side + 1) * side, (width // side + 1) * side),
        "not at all: rows and columns that fill no window are left out": (
            max(height // side, 1) * side,
            max(width // side, 1) * side,
        ),
    }
    for detail, (rows, columns) in sizes.items():
        changes = _moved(node, "pad", _resized(rows, columns)) | otherwise(join, settings={"size": (rows, columns)})
        changes |= _moved(crop, "crop", _resized(height, width))
        if mask is not None:
            changes |= otherwise(mask, settings={"height": rows, "width": columns})
        yield detail, changes


def _resized(rows: int, columns: int) -> Any:
    """The map cut off, or continued with zeros, at the right and at the bottom."""

    def move(x: Array) -> Array:
        y = np.zeros((len(x), rows, columns, x.shape[3]), x.dtype)
        part = x[:, :rows, :columns]
        y[:, : part.shape[1], : part.shape[2]] = part
        return y

    return move


def _shifted_padding(rows: int, columns: int, top: int, left: int) -> Any:
    return lambda x: np.pad(x, ((0, 0), (top, rows - top), (left, columns - left), (0, 0)))


def _shifted_crop(height: int, width: int, top: int, left: int) -> Any:
    return lambda x: x[:, top : top + height, left : left + width]


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
        _moved(node, "join_windows", lambda x: x.reshape(len(x), height, width, -1)),
    )


def _crop_elsewhere(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    height, width = node.settings["size"]

    def far_corner(x: Array) -> Array:
        return x[:, x.shape[1] - height :, x.shape[2] - width :]

    def first_numbers(x: Array) -> Array:
        return x.reshape(len(x), -1, x.shape[-1])[:, : height * width].reshape(len(x), height, width, -1)

    for detail, move in (("at the top and the left", far_corner), ("the end of the memory", first_numbers)):
        yield detail, _moved(node, "crop", move)


def _unshifted_size(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
    if node := _way_back(graph, name):
        side, shift = graph.nodes[sibling(name, "windows")].settings["window_size"], -node.settings["shift"]
        for other in range(1, side):
            if other != shift:
                yield f"by {other} rather than {shift}", otherwise(node, settings={"shift": -other})


WINDOWS = (
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
    Mistake(
        "pad-after-shift",
        "the map is padded after the shift rather than before",
        "pad, then roll, then cut; and join, roll back, then crop",
        _padding_after_shift,
    ),
    Mistake(
        "pad-other-side",
        "the map is padded elsewhere",
        "zeros go to the right and to the bottom",
        made_by("pad", _pad_other_side),
    ),
    Mistake(
        "pad-amount",
        "the map is padded to another size",
        "by (M - H mod M) mod M rows and (M - W mod M) mod M columns",
        made_by("pad", _pad_amount),
    ),
    Mistake(
        "pad-value",
        "the padding is not zero",
        "pad with zeros, after the norm",
        made_by("pad", _pad_edge),
    ),
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
    Mistake(
        "crop-elsewhere",
        "the padding is cropped at the wrong place",
        "the map is what stands at the top and the left",
        made_by("crop", _crop_elsewhere),
    ),
)
