"""Mistakes of the padding to whole windows: where, with what, how much, and how it is cropped."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from npswin.ops.windows import crop_padding, pad_to_windows, padded_size
from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation
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
        there, back = moved(node, "pad", pad), moved(crop, "crop", cut)
        yield f"{detail}, and cropped there", there | back
        yield f"{detail}, but cropped as if it were not", there


def _pad_edge(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    side = node.settings["window_size"]

    def edge(x: Array) -> Array:
        return np.pad(x, ((0, 0), (0, -x.shape[1] % side), (0, -x.shape[2] % side), (0, 0)), mode="edge")

    yield "the map's edge is repeated", moved(node, "pad", edge)


def _before_norm(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
    """The norm of a token of zeros is the norm's bias."""
    node = graph.nodes[name]
    if is_made_by(node, "pad") and is_made_by(norm := graph.nodes[node.inputs[0]], "layer_norm"):
        yield "", otherwise(node, _PAD_WITH, inputs=(norm.name, norm.inputs[2]))
    for user in graph.consumers[name]:
        if is_made_by(node, "layer_norm") and is_made_by(graph.nodes[user], "pad"):
            assert node.operation is not None
            pad = partial(pad_to_windows, window_size=graph.nodes[user].settings["window_size"])
            yield "the norm's map is the padded one", otherwise(node, before(node.operation, 0, gather(pad)))


def _pad_with(x: Array, token: Array, window_size: int) -> tuple[Array, Any]:
    """Padding with a token (C,) rather than zeros."""
    height, width = x.shape[1:3]
    y = np.broadcast_to(token, (len(x), *padded_size(height, width, window_size), len(token))).copy()
    y[:, :height, :width] = x
    return y, (height, width)


def _pad_with_backward(dy: Array, size: Any) -> tuple[Array, Array]:
    height, width = size
    right, below = dy[:, :height, width:], dy[:, height:]
    return crop_padding(dy, size), right.sum(axis=(0, 1, 2)) + below.sum(axis=(0, 1, 2))


_PAD_WITH = Operation("pad", _pad_with, _pad_with_backward)


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
        changes = moved(node, "pad", _resized(rows, columns)) | otherwise(join, settings={"size": (rows, columns)})
        changes |= moved(crop, "crop", _resized(height, width))
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


def _crop_elsewhere(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    height, width = node.settings["size"]

    def far_corner(x: Array) -> Array:
        return x[:, x.shape[1] - height :, x.shape[2] - width :]

    def first_numbers(x: Array) -> Array:
        return x.reshape(len(x), -1, x.shape[-1])[:, : height * width].reshape(len(x), height, width, -1)

    for detail, move in (("at the top and the left", far_corner), ("the end of the memory", first_numbers)):
        yield detail, moved(node, "crop", move)


PADDING = (
    Mistake(
        "pad-after-shift",
        "the map is padded after the shift rather than before",
        "pad, then roll, then cut; and join, roll back, then crop",
        _padding_after_shift,
    ),
    Mistake(
        "pad-before-norm",
        "the map is padded before norm1, so that its bias stands in the padding",
        "norm1, then pad with zeros",
        _before_norm,
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
        "crop-elsewhere",
        "the padding is cropped at the wrong place",
        "the map is what stands at the top and the left",
        made_by("crop", _crop_elsewhere),
    ),
)
