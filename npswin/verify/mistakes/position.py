"""Mistakes in what is added to the scores: the relative position bias, and the mask of shifted windows."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from npswin.ops.windows import cut_windows, padded_size, shift_mask, shift_regions
from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.graph.operations import constant
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    after,
    before,
    gather,
    made_by,
    otherwise,
    replacing,
    sibling,
    times,
    zeros,
)


def _grid(table: Array) -> Array:
    """((2M - 1)², h) as (Δy, Δx, h)."""
    side = math.isqrt(len(table))
    return table.reshape(side, side, -1)


def _columns_first(table: Array) -> Array:
    return _grid(table).swapaxes(0, 1).reshape(table.shape)


def _mirrored(*axes: int) -> Any:
    return lambda table: np.flip(_grid(table), axes).reshape(table.shape)


def _heads_first(table: Array) -> Array:
    return table.reshape(table.shape[::-1]).T


def _heads_as_positions(bias: Array) -> Array:
    return bias.transpose(1, 2, 0).reshape(bias.shape)


def _scale_of(graph: Graph, node: Node) -> float:
    """d^-0.5 of the attention that a node belongs to."""
    return float(graph.nodes[sibling(node.name, "q_scaled")].settings["factor"])


def _added_before_scale(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    assert node.operation is not None
    yield "", otherwise(node, before(node.operation, 1, times(_scale_of(graph, node))))


def _mask_scaled(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    """The gradient does not see the mask, so neither does it see the mask's scale."""
    assert node.operation is not None
    operation, factor = node.operation, _scale_of(graph, node)

    def forward(scores: Array, mask: Array) -> tuple[Array, Any]:
        return operation.forward(scores, mask * mask.dtype.type(factor))

    yield "", otherwise(node, replace(operation, forward=forward))


def _mask_missing(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    assert node.operation is not None
    operation = node.operation

    def forward(scores: Array, mask: Array) -> tuple[Array, Any]:
        return operation.forward(scores, np.zeros_like(mask))

    yield "", otherwise(node, replace(operation, forward=forward))


def _mask_of_other_window(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    assert node.operation is not None
    operation = node.operation

    def forward(scores: Array, mask: Array) -> tuple[Array, Any]:
        batch, windows = scores.shape[:2]
        taken = mask[np.arange(batch * windows) // batch].reshape(batch, windows, *mask.shape[1:])
        return scores + taken[:, :, None], None

    yield (
        "window i of the batch takes mask i // B rather than i modulo nW",
        otherwise(node, replace(operation, forward=forward)),
    )


def _other_mask(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    height, width, side, shift = (node.settings[key] for key in ("height", "width", "window_size", "shift"))
    value = node.settings["mask_value"]

    def plant(mask: Array) -> Changes:
        return otherwise(node, constant("shift_mask", lambda **_: mask))

    def by_regions(regions: Array) -> Array:
        windows = cut_windows(regions[None, :, :, None], side)[..., 0]
        return np.where(windows[:, :, None] != windows[:, None, :], value, 0.0)

    own = shift_mask(height, width, side, shift, value, "float64")
    turned = shift_mask(width, height, side, shift, value, "float64")
    yield "built for the map with rows and columns exchanged", plant(turned)
    padded = padded_size(height, width, side)
    if padded != (height, width):
        bands = [_bands(length, side, shift) for length in (height, width)]
        inner = 3 * bands[0][:, None] + bands[1][None, :]
        rest = ((0, padded[0] - height), (0, padded[1] - width))
        yield (
            "built without the padding: the map's regions, padded with region 0",
            plant(by_regions(np.pad(inner, rest))),
        )
        far = [_bands(length, side, shift, total) for length, total in zip((height, width), padded, strict=True)]
        outer = 3 * far[0][:, None] + far[1][None, :]
        yield "built without the padding: bands that end where the map does", plant(by_regions(outer))
        yield "padding is masked too", plant(np.minimum(own, _mask_of_padding(height, width, side, shift, value)))
    regions = shift_regions(height, width, side, shift)
    yield "inverted: neighbours are masked", plant(np.where(regions[:, :, None] == regions[:, None, :], value, 0.0))
    yield "rolled, as the map is", plant(by_regions(np.roll(_map_of(regions, padded, side), (-shift, -shift), (0, 1))))


def _bands(length: int, side: int, shift: int, total: int | None = None) -> Array:
    place = np.arange(total or length)
    return (place >= length - side).astype(int) + (place >= length - shift)


def _map_of(regions: Array, padded: tuple[int, int], side: int) -> Array:
    rows, columns = padded[0] // side, padded[1] // side
    return regions.reshape(rows, columns, side, side).swapaxes(1, 2).reshape(padded)


def _mask_of_padding(height: int, width: int, side: int, shift: int, value: float) -> Array:
    padded = padded_size(height, width, side)
    there = np.zeros(padded)
    there[:height, :width] = 1
    windows = cut_windows(np.roll(there, (-shift, -shift), (0, 1))[None, :, :, None], side)[..., 0]
    return np.where(windows[:, None, :] == 0, value, 0.0)


def _other_value(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    for value in (-np.inf, -1e9, -1e4, -1e5, float(np.finfo(np.float32).min), -65504.0, 100.0, 1.0, -1.0):
        if value != node.settings["mask_value"]:
            yield (
                f"{value:g} rather than {node.settings['mask_value']:g}",
                otherwise(node, settings={"mask_value": value}),
            )


def _mask_on_unshifted(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    if sibling(node.name, "mask") in graph.nodes:
        return
    join = graph.nodes[sibling(node.name, "joined")]
    side, (height, width) = join.settings["window_size"], join.settings["size"]
    if side // 2 == 0:
        return
    mask = shift_mask(height, width, side, side // 2, -100.0, "float64")
    assert node.operation is not None

    def add(scores: Array) -> tuple[Array, Any]:
        return scores + mask[:, None].astype(scores.dtype), None

    yield "", otherwise(node, before(node.operation, 0, (add, lambda dy, _: dy)))


POSITION = (
    Mistake(
        "bias-xy",
        "the bias table is indexed by (x, y) for (y, x)",
        "the row is (Δy + M - 1)(2M - 1) + Δx + M - 1",
        replacing("position_bias", {"": lambda op: before(op, 0, gather(_columns_first))}),
    ),
    Mistake(
        "bias-sign",
        "the relative position has the wrong sign",
        "Δ = query's place - key's place",
        replacing(
            "position_bias",
            {
                "key - query (or the bias is transposed)": lambda op: before(op, 0, gather(_mirrored(0, 1))),
                "in Δy alone": lambda op: before(op, 0, gather(_mirrored(0))),
                "in Δx alone": lambda op: before(op, 0, gather(_mirrored(1))),
            },
        ),
    ),
    Mistake(
        "bias-table-transposed",
        "the bias table is read as its transpose",
        "the table is ((2M - 1)², heads): the heads are the last dimension",
        replacing("position_bias", {"": lambda op: before(op, 0, gather(_heads_first))}),
    ),
    Mistake(
        "bias-heads-positions",
        "heads and positions of the bias are exchanged",
        "table[index] is (query, key, head): move the heads to the front, do not reshape",
        replacing("position_bias", {"": lambda op: after(op, gather(_heads_as_positions))}),
    ),
    Mistake(
        "bias-missing",
        "the relative position bias is not added",
        "scores = q kᵀ/√d + bias",
        replacing("add_bias", {"": lambda op: before(op, 1, gather(zeros))}),
    ),
    Mistake(
        "bias-before-scale",
        "the relative position bias is added before the scale",
        "scale the queries (or q kᵀ) first, then add the bias",
        made_by("add_bias", _added_before_scale),
    ),
    Mistake(
        "mask-missing", "the mask is not added", "scores + mask in shifted blocks", made_by("add_mask", _mask_missing)
    ),
    Mistake(
        "mask-before-scale",
        "the mask is added before the scale",
        "scale the queries (or q kᵀ) first, then add bias and mask",
        made_by("add_mask", _mask_scaled),
    ),
    Mistake(
        "mask-other-window",
        "windows take each other's masks",
        "window b·nW + w of the batch takes mask[w]",
        made_by("add_mask", _mask_of_other_window),
    ),
    Mistake(
        "mask-wrong",
        "the mask is built in another way",
        "number the regions of the rolled, padded map: bands [0, Hp - M), [Hp - M, Hp - M//2), [Hp - M//2, Hp)",
        made_by("shift_mask", _other_mask),
    ),
    Mistake(
        "mask-value",
        "the mask has another value",
        "masked pairs get -100 (values far below do the same to the softmax)",
        made_by("shift_mask", _other_value),
    ),
    Mistake(
        "mask-on-unshifted",
        "the mask is added in a block that is not shifted",
        "only shifted blocks have a mask",
        made_by("softmax", _mask_on_unshifted),
    ),
)
