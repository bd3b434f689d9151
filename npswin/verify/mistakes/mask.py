"""Mistakes in the mask of shifted windows."""

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
    before,
    is_made_by,
    made_by,
    otherwise,
    scale_of,
    sibling,
)

MASK_VALUE = -100.0  # of a model that has no shifted block to tell


def _mask_scaled(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    """The gradient does not see the mask, so neither does it see the mask's scale."""
    assert node.operation is not None
    operation, factor = node.operation, scale_of(graph, node)

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
    if 2 * shift != side:
        other = [_bands(length, side, side - shift) for length in padded]
        wide = 3 * other[0][:, None] + other[1][None, :]
        yield f"regions of M - {shift} rather than {shift} rows and columns", plant(by_regions(wide))
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
    for value in (-np.inf, -1e9, -1e4, -1e5, float(np.finfo(np.float32).min), -65504.0, -1e3, -10.0, 100.0, 1.0, -1.0):
        if value != node.settings["mask_value"]:
            yield (
                f"{value:g} rather than {node.settings['mask_value']:g}",
                otherwise(node, settings={"mask_value": value}),
            )


def with_mask(graph: Graph, node: Node) -> Changes:
    """The softmax of an unshifted block, with the mask that it would have if it were shifted."""
    join = graph.nodes[sibling(node.name, "joined")]
    side, (height, width) = join.settings["window_size"], join.settings["size"]
    values = [other.settings["mask_value"] for other in graph.nodes.values() if is_made_by(other, "shift_mask")]
    mask = shift_mask(height, width, side, side // 2, values[0] if values else MASK_VALUE, "float64")
    assert node.operation is not None

    def add(scores: Array) -> tuple[Array, Any]:
        return scores + mask[:, None].astype(scores.dtype), None

    return otherwise(node, before(node.operation, 0, (add, lambda dy, _: dy)))


def _mask_on_unshifted(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    one_token = graph.nodes[sibling(node.name, "joined")].settings["window_size"] == 1
    if not one_token and sibling(node.name, "mask") not in graph.nodes:
        yield "", with_mask(graph, node)


MASK = (
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
