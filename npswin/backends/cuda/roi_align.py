"""`roi_align`: the weights of all bins first; the backward pass gathers, so that its sums are the same each time."""

from typing import Any

import numpy as np

from npswin.backends.cuda.runtime.launch import WARP, blocks, launch, sum_dtype
from npswin.devices import cupy

_COLUMNS = 16  # of a block of the backward pass, as the source says
_MOST_THREADS = 128


def roi_align_forward(
    x: Any, rois: Any, output_size: tuple[int, int], spatial_scale: float, sampling_ratio: int = 0
) -> tuple[Any, Any]:
    """See `npswin.ops.roi_align_forward`."""
    cp, (batch, height, width, channels) = cupy(), x.shape
    count, (bins_high, bins_wide), sums = len(rois), output_size, sum_dtype(x.dtype)
    weights = cp.empty((count, bins_high * height + bins_wide * width), sums)
    ranges, images = cp.empty((count, bins_high + bins_wide, 2), np.int32), cp.empty(count, np.int32)
    sizes = height, width, bins_high, bins_wide
    args = cp.ascontiguousarray(rois.astype(np.float64)), weights, ranges, images, count, batch, *sizes
    y = cp.empty((count, bins_high, bins_wide, channels), x.dtype)
    if y.size:
        launch(
            *("roi_align", "roi_align_weights", x.dtype, blocks(count * (bins_high + bins_wide))),
            (*args, spatial_scale, sampling_ratio),
        )
        threads = _threads(channels)
        args = cp.ascontiguousarray(x), weights, ranges, images, y, height, width, channels, bins_high, bins_wide
        grid = count * bins_high * bins_wide, -(-channels // threads)
        launch("roi_align", "roi_align_forward", x.dtype, grid, args, (threads,))
    return y, (weights, ranges, images, x.shape)


def roi_align_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.roi_align_backward`."""
    cp, (weights, ranges, images, shape) = cupy(), cache
    count, bins_high, bins_wide, channels = dy.shape
    batch, height, width = shape[:3]
    dx, threads = cp.empty(shape, dy.dtype), _threads(channels)
    sizes = count, height, width, channels, bins_high, bins_wide
    args = cp.ascontiguousarray(dy), weights, ranges, images, dx, *sizes
    grid = batch * height * -(-width // _COLUMNS), -(-channels // threads)
    shared = threads * (_COLUMNS * sum_dtype(dy.dtype).itemsize + np.dtype(np.int32).itemsize)
    if dx.size:
        launch("roi_align", "roi_align_backward", dy.dtype, grid, args, (threads,), shared)
    return dx


def _threads(channels: int) -> int:
    """Of a block: whole warps, for all channels or for some of them."""
    return min(-(-channels // WARP) * WARP, _MOST_THREADS)
