"""Mistakes in the mask of shifted windows."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from npswin.ops.windows import shift_mask
from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.graph.operations import constant
from npswin.verify.mistakes.map_of_windows import MapOfWindows, Masked
from npswin.verify.mistakes.mask_family import other_masks
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
    """Windows, images or heads take masks that are not theirs."""
    assert node.operation is not None
    for detail, chosen in {
        "window i of the batch takes mask i // B rather than i modulo nW": _by_image,
        "window i of all heads and images takes mask i modulo nW, as where masks are not repeated for heads": _by_head,
        "the first image alone is masked": _first_image,
        "the first head alone is masked": _first_head,
    }.items():
        operation = replace(node.operation, forward=_adding(chosen), backward=lambda dy, _: (dy, None))
        yield detail, change_node(node, operation)


def _adding(chosen: Callable[[Array, tuple[int, ...]], Array]) -> Callable[[Array, Array], tuple[Array, Any]]:
    return lambda scores, mask: (scores + chosen(mask, scores.shape[:3]), None)


def _by_image(mask: Array, shape: tuple[int, ...]) -> Array:
    batch, windows, _ = shape
    return mask[np.arange(batch * windows) // batch].reshape(batch, windows, 1, *mask.shape[1:])


def _by_head(mask: Array, shape: tuple[int, ...]) -> Array:
    return mask[np.arange(np.prod(shape)) % len(mask)].reshape(*shape, *mask.shape[1:])


def _first_image(mask: Array, shape: tuple[int, ...]) -> Array:
    return np.where(np.arange(shape[0]).reshape(-1, 1, 1, 1, 1) == 0, mask[:, None], 0)


def _first_head(mask: Array, shape: tuple[int, ...]) -> Array:
    return np.where(np.arange(shape[2]).reshape(-1, 1, 1) == 0, mask[:, None], 0)


def map_of_windows(graph: Graph, node: Node) -> MapOfWindows:
    """The map of a mask's node; the other maps are those of the model's other shifted blocks."""
    height, width, side, shift_size = (node.settings[key] for key in ("height", "width", "window_size", "shift"))
    masks = [other.settings for other in graph.nodes.values() if is_output_of(other, "shift_mask")]
    sizes = dict.fromkeys((settings["height"], settings["width"]) for settings in masks)
    return MapOfWindows(height, width, side, shift_size, tuple(size for size in sizes if size != (height, width)))


def with_mask(node: Node, mask: Callable[[], Array]) -> Changes:
    """The node of a mask with another one, (nW, query, key)."""
    return change_node(node, constant("shift_mask", lambda **_: mask()))


def _with_value(masked: Masked, value: float) -> Array:
    return np.where(masked(), value, 0.0)


def _other_mask(graph: Graph, node: Node) -> Variants:
    windows, value = map_of_windows(graph, node), node.settings["mask_value"]
    for words, masked in other_masks(windows):
        yield words, with_mask(node, partial(_with_value, masked, value))
    numbers = windows.cut(windows.regions())
    difference = (numbers[:, None, :] - numbers[:, :, None]).astype(np.float64)
    yield "the difference of the regions' numbers is added itself", with_mask(node, lambda: difference)


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
        "windows, heads or images take masks that are not theirs",
        "window b·nW + w of the batch takes mask[w], in every head",
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
