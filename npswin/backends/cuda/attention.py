"""`attention`, which only layers with dropout on the probabilities and `attention_maps` call: not fused."""

from typing import Any

from npswin.backends.cuda.runtime.launch import sum_dtype
from npswin.backends.cuda.unfused_op import unfused_op


def attention_probabilities(qkv: Any, bias: Any, mask: Any, num_heads: int) -> Any:
    """See `npswin.ops.attention_probabilities`."""
    qkv, bias, mask = _in_sums(qkv, bias, mask)
    return unfused_op("attention_probabilities")(qkv, bias, mask, num_heads)


def attention_forward(qkv: Any, bias: Any, mask: Any, num_heads: int, drop_mask: Any = None) -> tuple[Any, Any]:
    """See `npswin.ops.attention_forward`; in between, all is in the dtype of sums."""
    dtype = qkv.dtype
    qkv, bias, mask, drop_mask = _in_sums(qkv, bias, mask, drop_mask)
    y, cache = unfused_op("attention_forward")(qkv, bias, mask, num_heads, drop_mask)
    return y.astype(dtype, copy=False), (dtype, cache)


def attention_backward(dy: Any, cache: Any) -> tuple[Any, Any]:
    """See `npswin.ops.attention_backward`."""
    dtype, cache = cache
    dqkv, dbias = unfused_op("attention_backward")(*_in_sums(dy), cache)
    return dqkv.astype(dtype, copy=False), dbias


def _in_sums(first: Any, *others: Any) -> tuple[Any, ...]:
    """The arrays in the dtype in which sums of the first one's are."""
    sums = sum_dtype(first.dtype)
    return tuple(None if array is None else array.astype(sums, copy=False) for array in (first, *others))
