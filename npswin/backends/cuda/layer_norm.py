"""Layer normalization; the kernels are in `kernels/layer_norm.cu`."""

from typing import Any

from npswin.backends.cuda.runtime.launch import (
    WARP,
    add_partial_sums,
    blocks,
    launch,
    reduction_splits,
    sum_dtype,
)
from npswin.devices import cupy

EPS = 1e-5
_TOKENS = 8  # of a block: a warp each


def layer_norm_forward(x: Any, weight: Any, bias: Any, eps: float = EPS) -> tuple[Any, Any]:
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
    return dx, *_parameter_sums("layer_norm_parameter_sums", dy, x, stats, (tokens, channels))


def merging_norm_forward(x: Any, weight: Any, bias: Any) -> tuple[Any, Any]:
    """Layer normalization of the 2×2 groups of a map, (B, ⌈H/2⌉, ⌈W/2⌉, 4C), which are never side by side in memory."""
    cp, (batch, height, width, channels) = cupy(), x.shape
    y = cp.empty((batch, -(-height // 2), -(-width // 2), 4 * channels), x.dtype)
    x, groups = cp.ascontiguousarray(x), y.size // y.shape[-1]
    stats = cp.empty((groups, 2), sum_dtype(x.dtype))
    args = x, weight, bias, y, stats, groups, height, width, channels, EPS
    launch("layer_norm", "merging_norm_forward", x.dtype, blocks(groups, _TOKENS), args)
    return y, (x, weight, stats)


def merging_norm_backward(dy: Any, cache: Any) -> tuple[Any, Any, Any]:
    """dx (B, H, W, C), dweight and dbias of `merging_norm_forward`."""
    cp, (x, weight, stats) = cupy(), cache
    dy, dx, sizes = cp.ascontiguousarray(dy), cp.empty(x.shape, x.dtype), (len(stats), *x.shape[1:])
    args = dy, x, weight, stats, dx, *sizes
    launch("layer_norm", "merging_norm_backward", x.dtype, blocks(len(stats), _TOKENS), args)
    return dx, *_parameter_sums("merging_norm_parameter_sums", dy, x, stats, sizes)


def _parameter_sums(name: str, dy: Any, x: Any, stats: Any, sizes: tuple[int, ...]) -> tuple[Any, Any]:
    """dweight and dbias."""
    channels = dy.shape[-1]
    partial = cupy().empty((reduction_splits(len(stats)), 2, channels), stats.dtype)
    grid = -(-channels // WARP), len(partial)
    launch("layer_norm", name, x.dtype, grid, (dy, x, stats, partial, *sizes), (WARP, 8))
    dweight, dbias = add_partial_sums(partial)
    return dweight, dbias
