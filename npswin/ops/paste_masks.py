"""Masks of boxes pasted into the image (He et al. 2017, section 3.1)."""

import math

import numpy as np

from npswin.ops.arguments import number, pair
from npswin.ops.description import op
from npswin.types import Array


def sampled_places(low: float, high: float, cells: int, size: int) -> tuple[int, Array]:
    """Where pixels read a mask along one axis.

    The cells of the mask divide the side of its box evenly, and a value is that of its cell's centre. A pixel p is read
    at its centre, p + 1/2, and so at the place (p + 1/2 − low) cells / (high − low) − 1/2 between cells.

    Args:
        low, high: ends of the box, in pixels.
        cells: of the mask along the axis.
        size: pixels of the image along the axis.

    Returns:
        the first pixel that reads a cell, and the places of it and the following ones, all in (−1, cells).
    """
    if not (low < high and math.isfinite(high - low)):
        return 0, np.zeros(0)
    places = (np.arange(size) + 0.5 - low) * (cells / (high - low)) - 0.5
    inside = np.flatnonzero((places > -1) & (places < cells))
    return (int(inside[0]) if len(inside) else 0), places[inside]


def _interpolated(x: Array, places: Array) -> Array:
    """Rows of x at places between them; beyond the border are zeros."""
    padded = np.pad(x, ((1, 1), (0, 0)))
    below = np.floor(places).astype(np.intp)
    weight = (places - below)[:, None]
    return (1 - weight) * padded[below + 1] + weight * padded[below + 2]


@op(masks="n h w", boxes="n 4", size=pair("H", "W"), threshold=number(above=0, at_most=1))
def paste_masks(masks: Array, boxes: Array, size: tuple[int, int], threshold: float = 0.5) -> Array:
    """Each mask stretched over its box, by bilinear interpolation, and compared with a threshold.

    As mmdetection does: with zeros around the mask, each pixel is read at its centre (align_corners=False).

    Args:
        masks: (n, h, w), probabilities.
        boxes: (n, 4), x₁, y₁, x₂, y₂, in pixels; a box without area, or that is not finite, gets no pixel.
        size: (H, W) of the image.
        threshold: from which on a pixel belongs to the mask.

    Returns:
        (n, H, W), bool.
    """
    masks, boxes = masks.real, boxes.real.astype(np.float64)
    pasted = np.zeros((len(masks), *size), bool)
    for mask, (left, top, right, bottom), out in zip(masks, boxes, pasted, strict=True):
        first_row, rows = sampled_places(top, bottom, masks.shape[1], size[0])
        first_column, columns = sampled_places(left, right, masks.shape[2], size[1])
        values = _interpolated(_interpolated(mask, rows).T, columns).T
        out[first_row:, first_column:][: len(rows), : len(columns)] = values >= threshold
    return pasted
