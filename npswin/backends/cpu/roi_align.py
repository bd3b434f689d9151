"""`roi_align`: a RoI's rows, then its columns.

Neighbouring points of a bin read the same pixels, so their weights are added up first: a pixel is multiplied once for a
bin. Forward, threads share RoIs; backward, where RoIs that overlap add to the same pixels, they share channels, so that
sums have the same order for any number of threads.
"""

from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.ops.roi_align import readable
from npswin.types import Array

CHANNELS = 64  # of a piece of work of the backward pass
_NOT_READ = -1.0  # instead of the weight of a pixel between two that a bin reads


class _Sizes(NamedTuple):
    """Of the maps, and of what RoIs become."""

    height: int
    width: int
    channels: int
    bins_high: int
    bins_wide: int


class _Rois(NamedTuple):
    """Of each RoI its image, or −1 if it cannot be read; along y and x its start, and length and points of a bin."""

    images: Array
    starts: Array
    lengths: Array
    points: Array


@inner_function
def _bin_weights(start: float, length: float, points: int, size: int, weights: Array) -> tuple[int, int]:
    """Fills the weights of pixels along one axis for the bin that begins at `start`.

    Returns:
        the first and the last pixel that the bin reads, and one more; both 0 where it reads none.
    """
    low, high = size, 0
    for point in range(points):
        place = start + (point + 0.5) * (length / points)
        if -1 <= place <= size:
            place = min(max(place, 0.0), size - 1.0)
            near = int(place)
            far, share = min(near + 1, size - 1), place - near
            if low == size:
                low = high = near
            for pixel in range(near, low):
                weights[pixel] = _NOT_READ
            for pixel in range(high, far + 1):
                weights[pixel] = _NOT_READ
            low, high = min(low, near), max(high, far + 1)
            weights[near] = max(weights[near], 0) + weights.dtype.type((1 - share) / points)
            weights[far] = max(weights[far], 0) + weights.dtype.type(share / points)
    return (low, high) if low < size else (0, 0)


@inner_function
def _column_weights(roi: int, rois: _Rois, sizes: _Sizes, weights: Array, ranges: Array) -> tuple[int, int]:
    """The weights of all bins along x, a row of the map's width for each, and the pixels that each one reads.

    Returns:
        the first pixel that any bin reads, and the last one and one more.
    """
    left, right = sizes.width, 0
    start, length, points = rois.starts[2 * roi + 1], rois.lengths[2 * roi + 1], rois.points[2 * roi + 1]
    for j in range(sizes.bins_wide):
        of_bin = view(weights, j * sizes.width, sizes.width)
        low, high = _bin_weights(start + j * length, length, points, sizes.width, of_bin)
        ranges[2 * j], ranges[2 * j + 1] = low, high
        if low < high:
            left, right = min(left, low), max(right, high)
    return left, right


@kernel
def _forward(first: int, stop: int, part: int, scratch: Array, x: Array, rois: _Rois, sizes: _Sizes, y: Array) -> None:
    height, width, channels, bins_high, bins_wide = sizes
    columns, ranges = view(scratch, 0, bins_wide * width), view(scratch, bins_wide * width, 2 * bins_wide)
    rest = bins_wide * (width + 2)
    rows, buffer = view(scratch, rest, height), view(scratch, rest + height, width * channels)
    for roi in range(first, stop):
        out = view(y, roi * bins_high * bins_wide * channels, bins_high * bins_wide * channels)
        if rois.images[roi] < 0:
            fill(out, np.nan)
            continue
        fill(out, 0)
        left, right = _column_weights(roi, rois, sizes, columns, ranges)
        start, length, points = rois.starts[2 * roi], rois.lengths[2 * roi], rois.points[2 * roi]
        for i in range(bins_high):
            top, bottom = _bin_weights(start + i * length, length, points, height, rows)
            if top >= bottom or left >= right:
                continue
            total = view(buffer, 0, (right - left) * channels)
            fill(total, 0)
            for row in range(top, bottom):
                if rows[row] >= 0:
                    pixels = view(x, ((rois.images[roi] * height + row) * width + left) * channels, total.size)
                    weight = rows[row]
                    for c in range(total.size):
                        total[c] += weight * pixels[c]
            for j in range(bins_wide):
                mean = view(out, (i * bins_wide + j) * channels, channels)
                for column in range(int(ranges[2 * j]), int(ranges[2 * j + 1])):
                    weight = columns[j * width + column]
                    if weight >= 0:
                        pixel = view(total, (column - left) * channels, channels)
                        for c in range(channels):
                            mean[c] += weight * pixel[c]


@kernel
def _backward(
    first: int, stop: int, part: int, scratch: Array, dy: Array, rois: _Rois, sizes: _Sizes, dx: Array
) -> None:
    """A piece is a block of channels of an image."""
    height, width, channels, bins_high, bins_wide = sizes
    columns, ranges = view(scratch, 0, bins_wide * width), view(scratch, bins_wide * width, 2 * bins_wide)
    rest = bins_wide * (width + 2)
    rows, buffer = view(scratch, rest, height), view(scratch, rest + height, width * CHANNELS)
    for piece in range(first, stop):
        image, block = divmod(piece, -(-channels // CHANNELS))
        channel = block * CHANNELS
        count = min(CHANNELS, channels - channel)
        for pixel in range(height * width):
            fill(view(dx, (image * height * width + pixel) * channels + channel, count), 0)
        for roi in range(rois.images.size):
            if rois.images[roi] != image:
                continue
            left, right = _column_weights(roi, rois, sizes, columns, ranges)
            start, length, points = rois.starts[2 * roi], rois.lengths[2 * roi], rois.points[2 * roi]
            for i in range(bins_high):
                top, bottom = _bin_weights(start + i * length, length, points, height, rows)
                if top >= bottom or left >= right:
                    continue
                fill(view(buffer, 0, (right - left) * count), 0)
                for j in range(bins_wide):
                    dmean = view(dy, ((roi * bins_high + i) * bins_wide + j) * channels + channel, count)
                    for column in range(int(ranges[2 * j]), int(ranges[2 * j + 1])):
                        weight = columns[j * width + column]
                        if weight >= 0:
                            total = view(buffer, (column - left) * count, count)
                            for c in range(count):
                                total[c] += weight * dmean[c]
                for row in range(top, bottom):
                    weight = rows[row]
                    if weight >= 0:
                        for column in range(left, right):
                            place = ((image * height + row) * width + column) * channels + channel
                            dpixel, total = view(dx, place, count), view(buffer, (column - left) * count, count)
                            for c in range(count):
                                dpixel[c] += weight * total[c]


def _scratch_size(sizes: _Sizes, channels: int) -> int:
    return sizes.bins_wide * (sizes.width + 2) + sizes.height + sizes.width * channels


def _rois(rois: Array, images: int, sizes: _Sizes, spatial_scale: float, sampling_ratio: int) -> _Rois:
    """As `npswin.ops.roi_align.axis_samples` has them."""
    rois = rois.astype(np.float64)
    can_be_read = readable(rois, images, spatial_scale)
    rois = np.where(can_be_read[:, None], rois, 0)
    starts, stops = (rois[:, ends] * spatial_scale - 0.5 for ends in ([2, 1], [4, 3]))
    lengths = (stops - starts) / (sizes.bins_high, sizes.bins_wide)
    points = np.full(lengths.shape, sampling_ratio) if sampling_ratio else np.maximum(np.ceil(lengths), 0)
    return _Rois(
        np.where(can_be_read, rois[:, 0], -1).astype(np.int64),
        *(starts.reshape(-1), lengths.reshape(-1), points.astype(np.int64).reshape(-1)),
    )


def roi_align_forward(
    x: Array, rois: Array, output_size: tuple[int, int], spatial_scale: float, sampling_ratio: int = 0
) -> tuple[Array, Any]:
    """See `npswin.ops.roi_align_forward`."""
    batch, height, width, channels = x.shape
    sizes = _Sizes(height, width, channels, *output_size)
    read = _rois(rois, batch, sizes, spatial_scale, sampling_ratio)
    y = pooled_empty((len(rois), *output_size, channels), x.dtype)
    args = flat(x), read, sizes, y.reshape(-1)
    run_parallel(_forward, len(rois), _scratch_size(sizes, channels), x.dtype, *args)
    return y, (read, sizes, x.shape)


def roi_align_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.roi_align_backward`."""
    read, sizes, shape = cache
    dx = pooled_empty(shape, dy.dtype)
    args = flat(dy), read, sizes, dx.reshape(-1)
    pieces = shape[0] * -(-sizes.channels // CHANNELS)
    run_parallel(_backward, pieces, _scratch_size(sizes, CHANNELS), dy.dtype, *args)
    return dx
