"""`adaptive_avg_pool2d`; the kernels are in `kernels/pool.cu`."""

from typing import Any

from npswin.backends.cuda.runtime.launch import blocks, launch
from npswin.devices import cupy


def adaptive_avg_pool2d_forward(x: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """See `npswin.ops.adaptive_avg_pool2d_forward`."""
    cp, (batch, *sizes) = cupy(), x.shape
    y = cp.empty((batch, *size, sizes[-1]), x.dtype)
    args = cp.ascontiguousarray(x), y, y.size, *sizes, *size
    launch("pool", "adaptive_avg_pool2d_forward", x.dtype, blocks(y.size), args)
    return y, x.shape


def adaptive_avg_pool2d_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.adaptive_avg_pool2d_backward`."""
    cp, (_, *sizes) = cupy(), cache
    dx = cp.empty(cache, dy.dtype)
    args = cp.ascontiguousarray(dy), dx, dx.size, *sizes, *dy.shape[1:3]
    launch("pool", "adaptive_avg_pool2d_backward", dy.dtype, blocks(dx.size), args)
    return dx
