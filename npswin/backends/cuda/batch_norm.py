"""`batch_norm`; the kernels are in `kernels/batch_norm.cu`."""

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
from npswin.ops.batch_norm import Moments

_BLOCK = WARP, 8


def _launch(name: str, x: Any, args: tuple[Any, ...], shares: int) -> None:
    grid = -(-x.shape[-1] // WARP), shares
    launch("batch_norm", name, x.dtype, grid, args, _BLOCK)


def batch_norm_moments(x: Any) -> Moments:
    """See `npswin.ops.batch_norm_moments`."""
    cp, channels = cupy(), x.shape[-1]
    rows, sums = x.size // channels, sum_dtype(x.dtype)
    shares = reduction_splits(rows)
    moments, out = cp.empty((shares, 2, channels), sums), cp.empty((2, channels), sums)
    _launch("batch_norm_moments", x, (cp.ascontiguousarray(x), moments, rows, channels), shares)
    args = moments, out, rows, shares, channels
    launch("batch_norm", "batch_norm_merge_moments", x.dtype, blocks(channels), args)
    mean, variance = out
    return Moments(rows, mean, variance)


def batch_norm_forward(
    x: Any, weight: Any, bias: Any, mean: Any, variance: Any, eps: float = 1e-5, constant: bool = False
) -> tuple[Any, Any]:
    """See `npswin.ops.batch_norm_forward`."""
    cp, channels = cupy(), x.shape[-1]
    x, y, rows = cp.ascontiguousarray(x), cp.empty(x.shape, x.dtype), x.size // channels
    args = x, weight, bias, mean, variance, y, rows, channels, eps
    _launch("batch_norm_forward", x, args, reduction_splits(rows))
    return y, (x, weight, mean, variance, eps, constant)


def batch_norm_backward_sums(dy: Any, x: Any, mean: Any, variance: Any, eps: float = 1e-5) -> tuple[Any, Any]:
    """See `npswin.ops.batch_norm_backward_sums`."""
    cp, channels = cupy(), x.shape[-1]
    rows = x.size // channels
    partial = cp.empty((reduction_splits(rows), 2, channels), sum_dtype(x.dtype))
    args = cp.ascontiguousarray(dy), cp.ascontiguousarray(x), mean, variance, partial, rows, channels, eps
    _launch("batch_norm_backward_sums", x, args, len(partial))
    dy_sum, dy_xhat_sum = add_partial_sums(partial)
    return dy_sum, dy_xhat_sum


def batch_norm_backward_input(
    dy: Any, x: Any, weight: Any, mean: Any, variance: Any, dy_mean: Any, dy_xhat_mean: Any, eps: float = 1e-5
) -> Any:
    """See `npswin.ops.batch_norm_backward_input`; without dy_mean, mean and variance are constants."""
    cp, channels = cupy(), x.shape[-1]
    dx, rows = cp.empty(x.shape, x.dtype), x.size // channels
    maps = cp.ascontiguousarray(dy), cp.ascontiguousarray(x)
    args = *maps, weight, mean, variance, dy_mean, dy_xhat_mean, dx, rows, channels, eps
    _launch("batch_norm_backward_input", x, args, reduction_splits(rows))
    return dx


def batch_norm_backward(dy: Any, cache: Any) -> tuple[Any, Any, Any]:
    """See `npswin.ops.batch_norm_backward`."""
    x, weight, mean, variance, eps, constant = cache
    dbias, dweight = batch_norm_backward_sums(dy, x, mean, variance, eps)
    share = 1 / max(x.size // x.shape[-1], 1)
    dy_mean, dy_xhat_mean = (None, None) if constant else (share * dbias, share * dweight)
    dx = batch_norm_backward_input(dy, x, weight, mean, variance, dy_mean, dy_xhat_mean, eps)
    return dx, dweight, dbias
