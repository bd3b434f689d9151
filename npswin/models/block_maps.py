"""Which block of a model is meant, and from the tokens of its map to the pixels of the image."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from npswin.checks import check_instance, check_integer, shown
from npswin.devices import to_host
from npswin.files import listed
from npswin.layers import SwinTransformerBlock
from npswin.models.swin import SwinTransformer
from npswin.types import Array


def find_block(model: SwinTransformer, block: Any) -> int:
    """The place in a model's trunk of a block, which is given by its name or its number.

    Raises:
        ValueError: this is no model, or it has no such block.
    """
    check_instance("model", model, SwinTransformer, "a SwinTransformer")
    names = {name: place for place, (name, one) in enumerate(model.trunk) if isinstance(one, SwinTransformerBlock)}
    if isinstance(block, str):
        if block not in names:
            raise ValueError(f"block: got {shown(block)}, expected one of {listed(names)}")
        return names[block]
    return list(names.values())[check_integer("block", block, -len(names), len(names) - 1)]


def input_of(model: SwinTransformer, images: Array, place: int) -> Array:
    """The map (B, H', W', C) that the layer at this place of the trunk gets in inference; not the first layer's."""
    for _, output in islice(model.activations(images), place):
        x = output
    return x


def token_side(model: SwinTransformer, place: int) -> int:
    """The side in pixels of the square of the image that a token stands for, in the map of a block."""
    merged = sum(end < place for end in model.stage_ends)
    return int(model.config["patch_size"]) * 2**merged


def as_numpy(array: Array) -> Array:
    """A NumPy array in float32 or float64, of one on any device in any precision."""
    array = to_host(array)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def to_pixels(maps: Array, side: int, size: Sequence[int]) -> Array:
    """Interpolate bilinearly between the centres of the tokens; beyond the outermost ones the map is constant.

    Args:
        maps: (..., H', W').
        side: pixels of a token's square. Where the squares reach over the image, the last ones are cut.
        size: (H, W) of the image.

    Returns:
        (..., H, W) of the same dtype.
    """
    rows, columns = (_interpolation(*each, side) for each in zip(size, maps.shape[-2:], strict=True))
    return (rows @ maps @ columns.T).astype(maps.dtype)


def _interpolation(pixels: int, tokens: int, side: int) -> Array:
    """The matrix (pixels, tokens) of `to_pixels` along one axis; each row has at most two numbers, whose sum is 1."""
    centres = (np.arange(pixels) + 0.5) / side - 0.5  # of the pixels, in tokens
    return np.stack([np.interp(centres, np.arange(tokens), one) for one in np.eye(tokens)], axis=1)
