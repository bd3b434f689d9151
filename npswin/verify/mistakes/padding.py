"""Mistakes in the padding to whole windows: its place, value and size, and how it is cropped."""

from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.map_size import (
    PADDINGS,
    first_of_windows,
    map_of_block,
    padding,
    with_more_windows,
)
from npswin.verify.mistakes.mistake import (
    Mistake,
    Variants,
    at_outputs_of,
    change_node,
    gather_node,
    in_same_module,
    is_output_of,
)

ONE_MORE = "a map that is whole windows gets one more"


def _pad_other_side(graph: Graph, node: Node) -> Variants:
    height, width = map_of_block(graph, _block(node))
    crop, side = graph.nodes[in_same_module(node.name, "cropped")], node.settings["window_size"]
    rows, columns = -height % side, -width % side
    sides = {"at the top and the left": (rows, columns), "on both sides": (rows // 2, columns // 2)}
    if rows and columns:
        sides |= {"at the top and the right": (rows, 0), "at the bottom and the left": (0, columns)}
    for detail, (top, left) in sides.items():
        if (top, left) == (0, 0):
            continue
        pad, cut = padding(1, (top, left), (rows - top, columns - left)), _crop_at(height, width, top, left)
        there, back = gather_node(node, "pad", pad), gather_node(crop, "crop", cut)
        yield f"{detail}, and cropped there", there | back
        yield f"{detail}, but cropped as if it were not", there


def _pad_values(graph: Graph, node: Node) -> Variants:
    height, width = map_of_block(graph, _block(node))
    crop, side = graph.nodes[in_same_module(node.name, "cropped")], node.settings["window_size"]
    rows, columns = -height % side, -width % side
    top, left = rows // 2, columns // 2
    for words, mode in PADDINGS.items():
        yield f"instead, {words}", gather_node(node, "pad", padding(1, (0, 0), (rows, columns), mode))
        if (top, left) != (0, 0):
            pad = padding(1, (top, left), (rows - top, columns - left), mode)
            back = gather_node(crop, "crop", _crop_at(height, width, top, left))
            yield f"instead, on both sides, {words}, and cropped there", gather_node(node, "pad", pad) | back


def _block(node: Node) -> str:
    return node.name.removesuffix(".attn.padded")


def _pad_amount(graph: Graph, name: str) -> Variants:
    """The map is padded to another size, with the mask and the windows of this size."""
    node, block = graph.nodes[name], name.rpartition(".attn.")[0]
    if is_output_of(node, "pad"):
        yield from _padded_otherwise(graph, node)
        return
    pads = f"{block}.attn.padded" in graph.nodes
    if not pads and is_output_of(node, "cyclic_shift", "cut_windows") and node is first_of_windows(graph, block):
        yield ONE_MORE, with_more_windows(graph, block)


def _padded_otherwise(graph: Graph, node: Node) -> Variants:
    side, join = node.settings["window_size"], graph.nodes[in_same_module(node.name, "joined")]
    crop, mask = graph.nodes[in_same_module(node.name, "cropped")], graph.nodes.get(in_same_module(node.name, "mask"))
    height, width = crop.settings["size"]
    more, less = ([_other_length(length, side, over) for length in (height, width)] for over in (True, False))
    padded = [length + -length % side for length in (height, width)]
    left_out = "rows and columns that fill no window are left out"
    sizes = {
        ONE_MORE: (more[0], more[1]),
        f"not at all: {left_out}": (less[0], less[1]),
        "along the columns alone: rows that fill no window are left out": (less[0], padded[1]),
        "along the rows alone: columns that fill no window are left out": (padded[0], less[1]),
    }
    for detail, (rows, columns) in sizes.items():
        if [rows, columns] == padded:
            continue
        changes = gather_node(node, "pad", _resized(rows, columns)) | change_node(
            join, settings={"size": (rows, columns)}
        )
        changes |= gather_node(crop, "crop", _resized(height, width))
        if mask is not None:
            changes |= change_node(mask, settings={"height": rows, "width": columns})
        yield detail, changes


def _other_length(length: int, side: int, over: bool) -> int:
    """The rows that a window's side divides: always more than there are, or never more, but one window at least."""
    return (length // side + 1) * side if over else max(length // side, 1) * side


def _resized(rows: int, columns: int) -> Any:
    """The map cropped, or padded with zeros, at the right and at the bottom."""

    def rearrangement(x: Array) -> Array:
        y = np.zeros((len(x), rows, columns, x.shape[3]), x.dtype)
        part = x[:, :rows, :columns]
        y[:, : part.shape[1], : part.shape[2]] = part
        return y

    return rearrangement


def _crop_at(height: int, width: int, top: int, left: int) -> Any:
    return lambda x: x[:, top : top + height, left : left + width]


def _crop_elsewhere(_: Graph, node: Node) -> Variants:
    height, width = node.settings["size"]

    def far_corner(x: Array) -> Array:
        return x[:, x.shape[1] - height :, x.shape[2] - width :]

    def first_numbers(x: Array) -> Array:
        return x.reshape(len(x), -1, x.shape[-1])[:, : height * width].reshape(len(x), height, width, -1)

    for detail, rearrangement in (("at the top and the left", far_corner), ("the end of the memory", first_numbers)):
        yield detail, gather_node(node, "crop", rearrangement)


PADDING = (
    Mistake(
        "pad-other-side",
        "the map is padded elsewhere",
        "zeros go to the right and to the bottom",
        at_outputs_of("pad", _pad_other_side),
    ),
    Mistake(
        "pad-amount",
        "the map is padded to another size",
        "by (M - H mod M) mod M rows and (M - W mod M) mod M columns",
        _pad_amount,
    ),
    Mistake(
        "pad-value",
        "the padding is not zero",
        "pad with zeros, after the norm",
        at_outputs_of("pad", _pad_values),
    ),
    Mistake(
        "crop-elsewhere",
        "the padding is cropped at the wrong place",
        "the map is at the top and the left",
        at_outputs_of("crop", _crop_elsewhere),
    ),
)
