"""RoIAlign: a map cut out at boxes of any size, at one size (He et al. 2017, section 3)."""

import math
from typing import Any, NamedTuple

import numpy as np

from npswin.ops.arguments import LARGEST_SIDE, integer, number, pair
from npswin.ops.description import op
from npswin.types import Array


class Samples(NamedTuple):
    """The points along one axis at which the bins of a RoI read the map.

    Attributes:
        low, high: (bins, points), the two pixels between which a point lies.
        low_weight, high_weight: (bins, points), their weights, divided by the number of a bin's points.
        inside: (bins, points), whether a point is on the map; a point that is not has no weight.
    """

    low: Array
    high: Array
    low_weight: Array
    high_weight: Array
    inside: Array


def axis_samples(start: float, stop: float, bins: int, sampling_ratio: int, size: int) -> Samples:
    """The points of a RoI along one axis.

    The RoI is cut into bins of the same length, and a bin has its points at the centres of equal parts, so many as
    `sampling_ratio` says; with 0, as many as it has pixels, rounded up. Pixel i lies at i. A point may be up to one
    pixel beyond the first or the last one, and then has the value of that one.

    Args:
        start, stop: the RoI's ends, in pixels of the map; pixel 0 reaches from −1/2 to 1/2.
        bins: their number.
        sampling_ratio: points of a bin, or 0.
        size: pixels of the map along the axis.
    """
    length = (stop - start) / bins
    points = sampling_ratio or max(math.ceil(length), 0)
    offsets = (np.arange(points) + 0.5) * (length / max(points, 1))
    place = start + np.arange(bins)[:, None] * length + offsets
    inside = (place >= -1) & (place <= size)
    place = np.clip(place, 0, size - 1)
    low = place.astype(np.intp)
    high = np.minimum(low + 1, size - 1)
    weight = (place - low) / max(points, 1)
    return Samples(low, high, (1 / max(points, 1) - weight) * inside, weight * inside, inside)


class _Roi(NamedTuple):
    """Where a RoI reads the map: its image, and its points along both axes."""

    image: int
    rows: Samples
    columns: Samples


def readable(rois: Array, images: int, spatial_scale: float) -> Array:
    """Which RoIs (n, 5) are of an image that exists, and not longer than any map: (n,) bool."""
    exists = (rois[:, 0] >= 0) & (rois[:, 0] < images)
    return exists & (np.abs(rois[:, 1:]) <= LARGEST_SIDE / spatial_scale).all(axis=1)


def _weighted(x: Array, points: Samples) -> Array:
    """The mean of each bin's points along the first axis: (size, ...) to (bins, ...)."""
    shape = (*points.low.shape, *(1,) * (x.ndim - 1))
    low, high = points.low_weight.reshape(shape), points.high_weight.reshape(shape)
    values = low.astype(x.real.dtype) * x[points.low] + high.astype(x.real.dtype) * x[points.high]
    return np.where(points.inside.reshape(shape), values, 0).sum(axis=1)


def _scattered(dy: Array, points: Samples, size: int) -> Array:
    """The transpose of `_weighted`: (bins, ...) to (size, ...)."""
    shape = (*points.low.shape, *(1,) * (dy.ndim - 1))
    dx = np.zeros((size, *dy.shape[1:]), dy.dtype)
    for place, weight in ((points.low, points.low_weight), (points.high, points.high_weight)):
        np.add.at(dx, place, weight.reshape(shape).astype(dy.real.dtype) * dy[:, None])
    return dx


@op(
    x="B H W C",
    rois="n 5",
    output_size=pair(),
    spatial_scale=number(above=0),
    sampling_ratio=integer(at_least=0, at_most=LARGEST_SIDE),
)
def roi_align_forward(
    x: Array, rois: Array, output_size: tuple[int, int], spatial_scale: float, sampling_ratio: int = 0
) -> tuple[Array, Any]:
    """For each RoI and channel y = A_r x A_cᵀ: rows, then columns, are averaged into bins.

    A bin is the mean of x at points in a grid. The weights by which bilinear interpolation reads a point are a product
    of two, one for its row and one for its column, and so is the mean over the grid: row i of A_r has the mean weights
    of the pixels along y that the points of bin i lie between, see `axis_samples`; A_c has those along x.

    As mmcv's RoIAlign with aligned=True: a box's corner at (x, y) of the image is at (x s − 1/2, y s − 1/2) of the map,
    where pixel i lies at i. Coordinates are computed in float64, so that all backends read the same points.

    Args:
        x: (B, H, W, C).
        rois: (n, 5), index of the image and x₁, y₁, x₂, y₂, in pixels of the image.
        output_size: bins (h, w).
        spatial_scale: s, pixels of the map per pixel of the image.
        sampling_ratio: points of a bin along each axis, or 0 for as many as it has pixels of the map, rounded up.

    Returns:
        y (n, h, w, C) and the cache for the backward pass. Of a RoI without area bins without points are 0. A RoI that
        is not finite, longer than any map or of an image that does not exist gives NaN and has no derivative.

    Test: tests/ops/test_gradients.py::test_roi_align
    """
    y = np.full((len(rois), *output_size, x.shape[-1]), np.nan, x.dtype)
    read: list[_Roi | None] = []
    rois = rois.real.astype(np.float64)
    for roi, out, can_be_read in zip(rois, y, readable(rois, len(x), spatial_scale), strict=True):
        if not can_be_read:
            read.append(None)
            continue
        left, top, right, bottom = roi[1:] * spatial_scale - 0.5
        rows = axis_samples(top, bottom, output_size[0], sampling_ratio, x.shape[1])
        columns = axis_samples(left, right, output_size[1], sampling_ratio, x.shape[2])
        read.append(_Roi(int(roi[0]), rows, columns))
        by_rows = _weighted(x[int(roi[0])], rows)
        out[...] = _weighted(by_rows.swapaxes(0, 1), columns).swapaxes(0, 1)
    return y, (read, x.shape)


def roi_align_backward(dy: Array, cache: Any) -> Array:
    """dx = Σ A_rᵀ dy A_c over the RoIs of an image: y is linear in x, and RoIs that overlap add.

    The derivative by the boxes, which the paper does not use, is left out.

    Args:
        dy: (n, h, w, C).

    Returns:
        dx (B, H, W, C).
    """
    read, shape = cache
    dx = np.zeros(shape, dy.dtype)
    for one, dy_one in zip(read, dy, strict=True):
        if one is not None:
            by_columns = _scattered(dy_one.swapaxes(0, 1), one.columns, shape[2]).swapaxes(0, 1)
            dx[one.image] += _scattered(by_columns, one.rows, shape[1])
    return dx
