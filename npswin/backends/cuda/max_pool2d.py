"""`max_pool2d`; the kernels are in `kernels/pool.cu`."""

from typing import Any

import numpy as np

from npswin.backends.cuda.runtime.launch import blocks, launch
from npswin.devices import cupy
from npswin.ops.max_pool2d import pooled_size


def max_pool2d_forward(x: Any, kernel_size: int, stride: int, padding: int = 0) -> tuple[Any, Any]:
    """See `npswin.ops.max_pool2d_forward`."""
    cp, (batch, height, width, channels) = cupy(), x.shape
    out_height, out_width = (pooled_size(side, kernel_size, stride, padding) for side in (height, width))
    y = cp.empty((batch, out_height, out_width, channels), x.dtype)
    largest_pixel = cp.empty(y.shape, np.int32)
    sizes = height, width, channels, out_height, out_width, kernel_size, stride, padding
    args = cp.ascontiguousarray(x), y, largest_pixel, y.size, *sizes
    launch("pool", "max_pool2d_forward", x.dtype, blocks(y.size), args)
    return y, (largest_pixel, sizes)


def max_pool2d_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.max_pool2d_backward`."""
    cp, (largest_pixel, sizes) = cupy(), cache
    dx = cp.empty((len(dy), *sizes[:3]), dy.dtype)
    args = cp.ascontiguousarray(dy), largest_pixel, dx, dx.size, *sizes
    launch("pool", "max_pool2d_backward", dy.dtype, blocks(dx.size), args)
    return dx
