"""Anchors: boxes of a few shapes at every place of a map (Ren et al. 2015, section 3.1.1)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.checks import check_array, check_integer, check_number, check_numbers, describe
from npswin.ops.arguments import LARGEST_SIDE
from npswin.types import Array

SCALE, RATIOS = 8.0, (0.5, 1.0, 2.0)  # those of the official detectors, at strides 4, 8, 16, 32, 64


def grid_anchors(
    map_size: tuple[int, int],
    stride: int,
    scale: float = SCALE,
    ratios: Sequence[float] = RATIOS,
    dtype: Any = np.float32,
) -> Array:
    """The anchors of a map, of one area and several ratios of height to width.

    An anchor of ratio r has the width s/√r and the height s√r, with s = scale · stride. Place (i, j) of the map has its
    anchors around the pixel (j · stride, i · stride), the upper left one of those that it stands for, as mmdetection
    has them (center_offset=0).

    Args:
        map_size: (H, W) of the map.
        stride: pixels of the image per pixel of the map.
        scale: side of a square anchor, in strides.
        ratios: r, height over width.
        dtype: of the result.

    Returns:
        (H · W · len(ratios), 4), x₁, y₁, x₂, y₂ in pixels: row after row, in it place after place, at it by ratio.

    Raises:
        ValueError: an argument is not in its range.
    """
    height, width = _check_map_size(map_size)
    stride, scale = check_integer("stride", stride, 1), check_number("scale", scale, above=0)
    roots = np.sqrt(check_numbers("ratios", ratios, len(ratios), above=0))
    sides = scale * stride * np.stack([1 / roots, roots], axis=1)
    shapes = np.concatenate([-sides / 2, sides / 2], axis=1)
    y, x = np.meshgrid(np.arange(height) * stride, np.arange(width) * stride, indexing="ij")
    places = np.stack([x, y, x, y], axis=2)
    return (places[:, :, None] + shapes).reshape(-1, 4).astype(dtype)


def valid_anchors(
    map_size: tuple[int, int], image_size: tuple[int, int], stride: int, each: int = len(RATIOS)
) -> Array:
    """Which anchors are at places of the image: in a batch a smaller image is padded, and what is padding is no place.

    Args:
        map_size: (H, W) of the map.
        image_size: height and width of the image, in pixels.
        stride: pixels of the image per pixel of the map.
        each: anchors of a place.

    Returns:
        (H · W · each,), bool, in the order of `grid_anchors`.

    Raises:
        ValueError: an argument is not in its range.
    """
    height, width = _check_map_size(map_size)
    stride, each = check_integer("stride", stride, 1), check_integer("each", each, 1)
    rows, columns = (-(-side // stride) for side in _check_image_size(image_size))
    valid = (np.arange(height) < rows)[:, None] & (np.arange(width) < columns)
    return np.repeat(valid.reshape(-1), each)


def inside_anchors(anchors: Array, image_size: tuple[int, int]) -> Array:
    """Which anchors lie within the image (Ren et al. 2015, section 3.3), as mmdetection has it for allowed_border=0.

    That is, 0 ≤ x₁, 0 ≤ y₁, x₂ < W and y₂ < H: an anchor that ends at the right or at the lower border is not inside.

    Args:
        anchors: (n, 4), x₁, y₁, x₂, y₂, in pixels.
        image_size: (H, W) of the image, in pixels, without padding.

    Returns:
        (n,), bool.

    Raises:
        ValueError: an argument is not as described.
    """
    if check_array("anchors", anchors).ndim != 2 or anchors.shape[1] != 4:
        raise ValueError(f"anchors: got {describe(anchors)}, expected boxes (n, 4)")
    height, width = _check_image_size(image_size)
    left, top, right, bottom = anchors.T
    return (left >= 0) & (top >= 0) & (right < width) & (bottom < height)


def _check_image_size(image_size: tuple[int, int]) -> tuple[int, int]:
    height, width = (check_integer(f"image_size[{i}]", side, 1) for i, side in enumerate(image_size))
    return height, width


def _check_map_size(map_size: tuple[int, int]) -> tuple[int, int]:
    height, width = (check_integer(f"map_size[{i}]", side, 1, LARGEST_SIDE) for i, side in enumerate(map_size))
    return height, width
