"""Attention by itself, which only a layer with dropout on the probabilities and `attention_maps` need: not fused."""

from typing import Any

from npswin.backends.cuda.composed import composed
from npswin.backends.cuda.launch import blocks, check_shape, launch, sum_dtype
from npswin.devices import cupy

_ROWS = 8  # of a block: a warp each


def softmax_forward(x: Any) -> tuple[Any, Any]:
    """See `npswin.ops.softmax_forward`."""
    x = cupy().ascontiguousarray(x)
    p, rows = cupy().empty(x.shape, x.dtype), x.size // x.shape[-1]
    launch("softmax", "softmax_forward", x.dtype, blocks(rows, _ROWS), (x, p, rows, x.shape[-1]))
    return p, p


def softmax_backward(dp: Any, cache: Any) -> Any:
    """See `npswin.ops.softmax_backward`."""
    check_shape("dp", dp, cache.shape)
    dp, rows = cupy().ascontiguousarray(dp), dp.size // dp.shape[-1]
    dx = cupy().empty(dp.shape, dp.dtype)
    launch("softmax", "softmax_backward", dp.dtype, blocks(rows, _ROWS), (dp, cache, dx, rows, dp.shape[-1]))
    return dx


def attention_probabilities(qkv: Any, bias: Any, mask: Any, num_heads: int) -> Any:
    """See `npswin.ops.attention_probabilities`."""
    qkv, bias, mask = _in_sums(qkv, bias, mask)
    return composed("attention_probabilities")(qkv, bias, mask, num_heads)


def attention_forward(qkv: Any, bias: Any, mask: Any, num_heads: int, drop_mask: Any = None) -> tuple[Any, Any]:
    """See `npswin.ops.attention_forward`; in between, all is in the dtype of sums."""
    dtype = qkv.dtype
    qkv, bias, mask, drop_mask = _in_sums(qkv, bias, mask, drop_mask)
    y, cache = composed("attention_forward")(qkv, bias, mask, num_heads, drop_mask)
    return y.astype(dtype, copy=False), (dtype, cache)


def attention_backward(dy: Any, cache: Any) -> tuple[Any, Any]:
    """See `npswin.ops.attention_backward`."""
    dtype, cache = cache
    dqkv, dbias = composed("attention_backward")(*_in_sums(dy), cache)
    return dqkv.astype(dtype, copy=False), dbias


def _in_sums(first: Any, *others: Any) -> tuple[Any, ...]:
    """The arrays in the dtype in which sums of the first one's are."""
    sums = sum_dtype(first.dtype)
    return tuple(None if array is None else array.astype(sums, copy=False) for array in (first, *others))
