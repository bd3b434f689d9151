"""Tensors that are brought to a parameter's shape: tables and embeddings resampled, channels of the images adapted."""

import math
from typing import Any

import numpy as np

from npswin.ops.resize import resize_bicubic_forward
from npswin.types import Array
from npswin.weights.model_names import PATCH_WEIGHT
from npswin.weights.report import Shape

MOST_POSITIONS = 2**16  # of a table or embedding that is resampled: windows of 128, maps of 256 × 256


def resized(name: str, tensor: Array, shape: Shape) -> Array | None:
    """The table or embedding resampled to this shape, or None for other tensors, and where a grid is not square."""
    if name.endswith("relative_position_bias_table"):
        channel_axis: Any = 1  # ((2M − 1)², h): an image with a channel for each head
    elif name.endswith("absolute_pos_embed"):
        channel_axis = 2  # (1, L, C)
    else:
        return None
    if tensor.ndim != len(shape) or tensor.ndim != channel_axis + 1 or tensor.shape[-1] != shape[-1]:
        return None
    if tensor.shape[:-2] != shape[:-2] or tensor.shape[-2] > MOST_POSITIONS:
        return None
    side, wanted = math.isqrt(tensor.shape[-2]), math.isqrt(shape[-2])
    if side * side != tensor.shape[-2] or wanted * wanted != shape[-2] or side == 0:
        return None
    image = tensor.reshape(side, side, shape[-1]).astype(np.float64)
    return resize_bicubic_forward(image, (wanted, wanted))[0].reshape(shape)


def differ_in_channels(name: str, found: Shape, wanted: Shape) -> bool:
    """Whether these are weights of a patch embedding (C, c, p, p) that differ in the images' channels c alone."""
    if not name.endswith(PATCH_WEIGHT) or len(found) != 4 or len(wanted) != 4 or not found[1]:
        return False
    return found[1] != wanted[1] and found[:1] + found[2:] == wanted[:1] + wanted[2:]


def with_channels(weight: Array, channels: int) -> Array:
    """A patch embedding's weight (C, c, p, p) for images of other channels, in float64.

    For one channel it is the sum over c: a grey image gives what the same image gave in c equal channels. For more, the
    channels are repeated in turn and scaled by c divided by their number, so that tokens keep their size.

    Args:
        weight: (C, c, p, p).
        channels: of the new images.
    """
    weight = weight.astype(np.float64)
    own = weight.shape[1]
    if channels == 1:
        return weight.sum(axis=1, keepdims=True)
    return weight[:, np.arange(channels) % own] * (own / channels)
