"""Mistakes in the mask of shifted windows."""

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
    Variants,
    at_outputs_of,
    attention_scale,
    change_node,
    in_same_module,
    is_output_of,
    transform_input,
)

MASK_VALUE = -100.0  # where the graph has no mask with a value


def _mask_scaled(graph: Graph, node: Node) -> Variants:
    """The mask is multiplied by the attention's scale. Its derivative does not change, as the mask is a constant."""
    assert node.operation is not None
    operation, factor = node.operation, attention_scale(graph, node)

    def forward(scores: Array, mask: Array) -> tuple[Array, Any]:
        return operation.forward(scores, mask * mask.dtype.type(factor))

    yield "", change_node(node, replace(operation, forward=forward))


def _mask_missing(_: Graph, node: Node) -> Variants:
    assert node.operation is not None
    operation = node.operation

    def forward(scores: Array, mask: Array) -> tuple[Array, Any]:
        return operation.forward(scores, np.zeros_like(mask))

    yield "", change_node(node, replace(operation, forward=forward))


def _mask_of_other_window(_: Graph, node: Node) -> Variants:
    assert node.operation is not None
    operation = node.operation

    def forward(scores: Array, mask: Array) -> tuple[Array, Any]:
        batch, windows = scores.shape[:2]
        masks = mask[np.arange(batch * windows) // batch].reshape(batch, windows, *mask.shape[1:])
        return scores + masks[:, :, None], None

    yield (
        "window i of the batch takes mask i // B rather than i modulo nW",
        change_node(node, replace(operation, forward=forward)),
    )


def _other_mask(graph: Graph, node: Node) -> Variants:
    height, width, side, shift_size = (node.settings[key] for key in ("height", "width", "window_size", "shift"))
    value = node.settings["mask_value"]

    def with_other(mask: Array) -> Changes:
        return change_node(node, constant("shift_mask", lambda **_: mask))

    def by_regions(regions: Array) -> Array:
        windows = cut_windows(regions[None, :, :, None], side)[..., 0]
        return np.where(windows[:, :, None] != windows[:, None, :], value, 0.0)

    right = shift_mask(height, width, side, shift_size, value, "float64")
    transposed = shift_mask(width, height, side, shift_size, value, "float64")
    yield "built for the map with rows and columns exchanged", with_other(transposed)
    padded = padded_size(height, width, side)
    if padded != (height, width):
        bands = [_bands(length, side, shift_size) for length in (height, width)]
        inner = 3 * bands[0][:, None] + bands[1][None, :]
        rest = ((0, padded[0] - height), (0, padded[1] - width))
        yield (
            "built without the padding: the map's regions, padded with region 0",
            with_other(by_regions(np.pad(inner, rest))),
        )
        bands = [_bands(length, side, shift_size, total) for length, total in zip((height, width), padded, strict=True)]
        outer = 3 * bands[0][:, None] + bands[1][None, :]
        yield "built without the padding: bands that end where the map does", with_other(by_regions(outer))
        mask_of_padding = _mask_of_padding(height, width, side, shift_size, value)
        yield "padding is masked too", with_other(np.minimum(right, mask_of_padding))
    if 2 * shift_size != side:
        bands = [_bands(length, side, side - shift_size) for length in padded]
        wide = 3 * bands[0][:, None] + bands[1][None, :]
        yield f"regions of M - {shift_size} rather than {shift_size} rows and columns", with_other(by_regions(wide))
    regions = shift_regions(height, width, side, shift_size)
    inverted = np.where(regions[:, :, None] == regions[:, None, :], value, 0.0)
    yield "inverted: neighbours are masked", with_other(inverted)
    rolled = np.roll(_map_of(regions, padded, side), (-shift_size, -shift_size), (0, 1))
    yield "rolled, as the map is", with_other(by_regions(rolled))


def _bands(length: int, side: int, shift_size: int, total: int | None = None) -> Array:
    """The band of each row (or column): 0 before the last window, 1 in it, 2 for those that the roll brings there."""
    index = np.arange(total or length)
    return (index >= length - side).astype(int) + (index >= length - shift_size)


def _map_of(regions: Array, padded: tuple[int, int], side: int) -> Array:
    rows, columns = padded[0] // side, padded[1] // side
    return regions.reshape(rows, columns, side, side).swapaxes(1, 2).reshape(padded)


def _mask_of_padding(height: int, width: int, side: int, shift_size: int, value: float) -> Array:
    padded = padded_size(height, width, side)
    in_map = np.zeros(padded)
    in_map[:height, :width] = 1
    windows = cut_windows(np.roll(in_map, (-shift_size, -shift_size), (0, 1))[None, :, :, None], side)[..., 0]
    return np.where(windows[:, None, :] == 0, value, 0.0)


def _other_value(_: Graph, node: Node) -> Variants:
    for value in (-np.inf, -1e9, -1e4, -1e5, float(np.finfo(np.float32).min), -65504.0, -1e3, -10.0, 100.0, 1.0, -1.0):
        if value != node.settings["mask_value"]:
            yield (
                f"{value:g} rather than {node.settings['mask_value']:g}",
                change_node(node, settings={"mask_value": value}),
            )


def with_shifted_block_mask(graph: Graph, node: Node) -> Changes:
    """The softmax of an unshifted block, with the mask of a shifted one."""
    join = graph.nodes[in_same_module(node.name, "joined")]
    side, (height, width) = join.settings["window_size"], join.settings["size"]
    values = [other.settings["mask_value"] for other in graph.nodes.values() if is_output_of(other, "shift_mask")]
    mask = shift_mask(height, width, side, side // 2, values[0] if values else MASK_VALUE, "float64")
    assert node.operation is not None

    def add(scores: Array) -> tuple[Array, Any]:
        return scores + mask[:, None].astype(scores.dtype), None

    return change_node(node, transform_input(node.operation, 0, (add, lambda dy, _: dy)))


def _mask_on_unshifted(graph: Graph, node: Node) -> Variants:
    one_token = graph.nodes[in_same_module(node.name, "joined")].settings["window_size"] == 1
    if not one_token and in_same_module(node.name, "mask") not in graph.nodes:
        yield "", with_shifted_block_mask(graph, node)


MASK = (
    Mistake(
        "mask-missing",
        "the mask is not added",
        "scores + mask in shifted blocks",
        at_outputs_of("add_mask", _mask_missing),
    ),
    Mistake(
        "mask-before-scale",
        "the mask is added before the scale",
        "scale the queries (or q kᵀ) first, then add bias and mask",
        at_outputs_of("add_mask", _mask_scaled),
    ),
    Mistake(
        "mask-other-window",
        "the masks of the windows are exchanged",
        "window b·nW + w of the batch takes mask[w]",
        at_outputs_of("add_mask", _mask_of_other_window),
    ),
    Mistake(
        "mask-wrong",
        "the mask is built in another way",
        "number the regions of the rolled, padded map: bands [0, Hp - M), [Hp - M, Hp - M//2), [Hp - M//2, Hp)",
        at_outputs_of("shift_mask", _other_mask),
    ),
    Mistake(
        "mask-value",
        "the mask has another value",
        "masked pairs get -100 (values far below do the same to the softmax)",
        at_outputs_of("shift_mask", _other_value),
    ),
    Mistake(
        "mask-on-unshifted",
        "the mask is added in a block that is not shifted",
        "only shifted blocks have a mask",
        at_outputs_of("softmax", _mask_on_unshifted),
    ),
)
