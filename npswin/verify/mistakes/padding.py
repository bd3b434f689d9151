"""Mistakes in the padding to whole windows: its position, value and size, and how it is cropped."""

from functools import partial
from typing import Any

import numpy as np

from npswin.ops.windows import crop_padding, pad_to_windows, padded_size
from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.map_size import (
    PADDINGS,
    cropping,
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
    gather,
    gather_node,
    in_same_module,
    is_output_of,
    transform_input,
)

ONE_MORE = "a map that is whole windows gets one more"


def _padding_after_shift(graph: Graph, name: str) -> Variants:
    """norm1 -> shifted -> padded -> windows, and joined -> cropped -> unshifted -> residual."""
    if not name.endswith((".attn.padded", ".attn.shifted", ".attn.cropped", ".attn.unshifted")):
        return
    parts = {
        part: in_same_module(name, part) for part in ("padded", "shifted", "windows", "joined", "cropped", "unshifted")
    }
    if not all(part in graph.nodes for part in parts.values()):
        return
    node = {part: graph.nodes[full] for part, full in parts.items()}
    if node["shifted"].inputs != (parts["padded"],):
        return
    there = (
        change_node(node["shifted"], inputs=node["padded"].inputs)
        | change_node(node["padded"], inputs=(parts["shifted"],))
        | change_node(node["windows"], inputs=(parts["padded"],))
    )
    back = change_node(node["cropped"], inputs=(parts["joined"],)) | change_node(
        node["unshifted"], inputs=(parts["cropped"],)
    )
    for user in graph.consumers[parts["cropped"]]:
        reads = tuple(parts["unshifted"] if read == parts["cropped"] else read for read in graph.nodes[user].inputs)
        back |= change_node(graph.nodes[user], inputs=reads)
    yield "there and back", there | back
    yield "on the way there", there


def _cropped_first(graph: Graph, node: Node) -> Variants:
    """joined -> cropped -> unshifted; the port may crop the map once more, which changes nothing."""
    crop = graph.nodes.get(in_same_module(node.name, "cropped"))
    if crop is None or crop.inputs != (node.name,) or node.operation is None:
        return
    cut = gather(cropping(1, crop.settings["size"]))
    yield "", change_node(node, transform_input(node.operation, 0, cut))


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


def _before_norm(graph: Graph, name: str) -> Variants:
    """The map is padded before the norm, so that the padding is the norm's bias: the norm of a token of zeros."""
    node = graph.nodes[name]
    if is_output_of(node, "pad") and is_output_of(norm := graph.nodes[node.inputs[0]], "layer_norm"):
        yield "", change_node(node, _PAD_WITH, inputs=(norm.name, norm.inputs[2]))
    for user in graph.consumers[name]:
        if is_output_of(node, "layer_norm") and is_output_of(graph.nodes[user], "pad"):
            assert node.operation is not None
            pad = partial(pad_to_windows, window_size=graph.nodes[user].settings["window_size"])
            yield "the norm's map is the padded one", change_node(node, transform_input(node.operation, 0, gather(pad)))


def _pad_with(x: Array, token: Array, window_size: int) -> tuple[Array, Any]:
    """Padding with a token (C,) instead of zeros."""
    height, width = x.shape[1:3]
    y = np.broadcast_to(token, (len(x), *padded_size(height, width, window_size), len(token))).copy()
    y[:, :height, :width] = x
    return y, (height, width)


def _pad_with_backward(dy: Array, size: Any) -> tuple[Array, Array]:
    height, width = size
    right, below = dy[:, :height, width:], dy[:, height:]
    return crop_padding(dy, size), right.sum(axis=(0, 1, 2)) + below.sum(axis=(0, 1, 2))


_PAD_WITH = Operation("pad", _pad_with, _pad_with_backward)


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
        "pad-after-shift",
        "the map is padded after the shift rather than before",
        "pad, then roll, then cut; and join, roll back, then crop",
        _padding_after_shift,
    ),
    Mistake(
        "crop-before-roll-back",
        "the padding is cropped before the map is rolled back",
        "join the windows, roll back, then crop",
        at_outputs_of("cyclic_shift", _cropped_first),
    ),
    Mistake(
        "pad-before-norm",
        "the map is padded before norm1, so that the padding is the norm's bias",
        "norm1, then pad with zeros",
        _before_norm,
    ),
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
