"""Mistakes in the image's normalization and layout, and in the patch embedding."""

from collections.abc import Callable
from functools import partial

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.graph.operations import constant
from npswin.verify.mistakes.arrangements import read_as_channels_last
from npswin.verify.mistakes.mistake import (
    Mistake,
    Pair,
    Variants,
    at_outputs_of,
    change_node,
    gather,
    transform_input,
    transform_output,
    with_variants,
)
from npswin.verify.mistakes.normalization import (
    COLOURS,
    GRAY,
    normalizing,
    order_in_words,
    usual_affines,
    weights_in_words,
)
from npswin.verify.mistakes.own_statistics import OWN, standardizing

LARGEST = 127  # number of 8 bits with a sign


def _other_normalization(_: Graph, node: Node) -> Variants:
    mean, std = np.array(node.settings["mean"]), np.array(node.settings["std"])
    right = normalizing(mean, std)
    for affine in usual_affines(len(mean), {"the key's": (mean, std)}):
        if not affine.is_near(right.scale, right.offset):
            yield affine.words, change_node(node, constant("normalize", affine.apply))
            only_order = affine.is_near(right.scale[::-1], right.offset[::-1])  # the mistake "bgr"
            if len(mean) == len(COLOURS) and not only_order:
                changed = transform_output(constant("normalize", affine.apply), gather(lambda x: x[:, ::-1]))
                yield f"{order_in_words([2, 1, 0])}; {affine.words}", change_node(node, changed)
    for whose in OWN:
        words = f"pixels are normalized with the mean and deviation of {whose}"
        yield words, change_node(node, constant("normalize", partial(_standardized, whose)))
    if len(mean) == len(GRAY):
        words = f"the image is gray, {weights_in_words(GRAY)}"
        yield words, change_node(node, constant("normalize", lambda pixels, **_: right.apply(_gray(pixels))))


def _standardized(whose: str, pixels: Array, **_: object) -> Array:
    affine = standardizing(np.asarray(pixels, np.float64), whose)
    return affine.scale * pixels + affine.offset


def _gray(pixels: Array) -> Array:
    return np.einsum("c,bchw->bhw", GRAY, pixels)[:, None].repeat(len(GRAY), 1)


def _kernel_read_channels_last(weight: Array) -> Array:
    width, channels, side, _ = weight.shape
    return weight.reshape(width, side, side, channels).transpose(0, 3, 1, 2)


def _turned(x: Array) -> Array:
    return x.swapaxes(-1, -2).reshape(x.shape)


def _of_pixels(function: Callable[[Array], Array]) -> Pair:
    """A function of the pixels, by which nothing is derived."""
    return lambda pixels: (function(pixels), None), lambda dy, _: dy


def _signed(pixels: Array) -> Array:
    return np.where(pixels > LARGEST, pixels - 256.0, pixels)


def _limited(pixels: Array) -> Array:
    return np.minimum(pixels, LARGEST)


IMAGES = (
    Mistake(
        "bgr",
        "the image's channels are in the order blue, green, red",
        "red comes first",
        with_variants(
            "normalize",
            {
                "before normalization": lambda op: transform_input(op, 0, gather(lambda x: x[:, ::-1])),
                "after normalization": lambda op: transform_output(op, gather(lambda x: x[:, ::-1])),
            },
        ),
    ),
    Mistake(
        "normalization",
        "pixels are prepared in another way",
        "x = (pixel / 255 - mean) / deviation, with the key's mean and deviation for each channel (manifest.json)",
        at_outputs_of("normalize", _other_normalization),
    ),
    Mistake(
        "image-layout",
        "the image's memory is read in another layout",
        "images are (B, channels, H, W)",
        with_variants(
            "normalize",
            {
                "as (H, W, channels)": lambda op: transform_input(op, 0, gather(read_as_channels_last)),
                "rows and columns exchanged": lambda op: transform_input(op, 0, gather(_turned)),
                "mirrored, left to right": lambda op: transform_input(op, 0, gather(lambda x: x[..., ::-1])),
                "upside down": lambda op: transform_input(op, 0, gather(lambda x: x[:, :, ::-1])),
            },
        ),
    ),
    Mistake(
        "pixels-overflow",
        "pixels are numbers of 8 bits with a sign",
        "pixels go from 0 to 255",
        with_variants(
            "normalize",
            {
                "those above 127 become negative": lambda op: transform_input(op, 0, _of_pixels(_signed)),
                "those above 127 become 127": lambda op: transform_input(op, 0, _of_pixels(_limited)),
            },
        ),
    ),
    Mistake(
        "patch-channels-last",
        "the patch embedding takes a patch's numbers with the channels last",
        "the kernel is (C, channels, row, column): a patch is flattened channel by channel",
        with_variants(
            "patch_embed",
            {
                "the kernel's memory read as (C, row, column, channels)": lambda op: transform_input(
                    op, 1, gather(_kernel_read_channels_last)
                ),
                "the patch flattened as (row, column, channels)": lambda op: transform_input(
                    op, 1, gather(lambda w: w.transpose(0, 2, 3, 1).reshape(w.shape))
                ),
            },
        ),
    ),
    Mistake(
        "patch-rows-columns",
        "the patch embedding exchanges rows and columns",
        "the kernel's third axis runs down the image, its fourth to the right",
        with_variants(
            "patch_embed",
            {
                "inside each patch": lambda op: transform_input(op, 1, gather(_turned)),
                "in the whole image": lambda op: transform_input(op, 0, gather(_turned)),
            },
        ),
    ),
    Mistake(
        "patch-kernel-flipped",
        "the patch embedding's kernel is flipped, as a convolution in the strict sense has it",
        "a patch's numbers are multiplied by the kernel's at the same places",
        with_variants("patch_embed", {"": lambda op: transform_input(op, 1, gather(lambda w: w[:, :, ::-1, ::-1]))}),
    ),
    Mistake(
        "patch-bias-missing",
        "the patch embedding has no bias",
        "add patch_embed.proj.bias",
        with_variants("patch_embed", {"": lambda op: transform_input(op, 2, gather(np.zeros_like))}),
    ),
)
