"""`mean_pool`: the mean over the map."""

from typing import Any

from npswin.backends.cuda.runtime.launch import blocks, launch
from npswin.devices import cupy


def mean_pool_forward(x: Any) -> tuple[Any, Any]:
    """See `npswin.ops.mean_pool_forward`."""
    cp, (batch, height, width, channels) = cupy(), x.shape
    y = cp.empty((batch, channels), x.dtype)
    args = cp.ascontiguousarray(x), y, y.size, height * width, channels
    launch("pool", "mean_pool_forward", x.dtype, blocks(y.size), args)
    return y, x.shape


def mean_pool_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.mean_pool_backward`."""
    cp, (_, height, width, channels) = cupy(), cache
    dx = cp.empty(cache, dy.dtype)
    args = cp.ascontiguousarray(dy), dx, dx.size, height * width, channels
    launch("pool", "mean_pool_backward", dy.dtype, blocks(dx.size), args)
    return dx
