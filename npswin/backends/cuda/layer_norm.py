"""Layer normalization; the kernels are in `kernels/layer_norm.cu`."""

from typing import Any

from npswin.backends.cuda.launch import WARP, blocks, launch, shares, sum_dtype, sum_rows
from npswin.devices import cupy

_TOKENS = 8  # of a block: a warp each


def layer_norm_forward(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> tuple[Any, Any]:
    """See `npswin.ops.layer_norm_forward`."""
    cp, channels = cupy(), x.shape[-1]
    x, tokens = cp.ascontiguousarray(x), x.size // channels
    y, stats = cp.empty(x.shape, x.dtype), cp.empty((tokens, 2), sum_dtype(x.dtype))
    args = x, weight, bias, y, stats, tokens, channels, eps
    launch("layer_norm", "layer_norm_forward", x.dtype, blocks(tokens, _TOKENS), args)
    return y, (x, weight, stats)


def layer_norm_backward(dy: Any, cache: Any, shortcut: Any = None) -> tuple[Any, Any, Any]:
    """See `npswin.ops.layer_norm_backward`; `shortcut` is added to dx."""
    cp, (x, weight, stats) = cupy(), cache
    dy, channels, tokens = cp.ascontiguousarray(dy), x.shape[-1], len(stats)
    dx = cp.empty(x.shape, x.dtype)
    args = dy, x, weight, stats, shortcut, dx, tokens, channels
    launch("layer_norm", "layer_norm_backward", x.dtype, blocks(tokens, _TOKENS), args)
    partial = cp.empty((shares(tokens), 2, channels), stats.dtype)
    grid, sizes = (-(-channels // WARP), len(partial)), (tokens, channels)
    launch("layer_norm", "layer_norm_parameter_sums", x.dtype, grid, (dy, x, stats, partial, *sizes), (WARP, 8))
    dweight, dbias = sum_rows(partial)
    return dx, dweight, dbias
