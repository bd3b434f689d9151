"""Patch merging: 2×2 tokens side by side, their norm, and a linear map."""

from typing import Any

from npswin.backends.cuda.layer_norm import merging_norm_backward, merging_norm_forward
from npswin.backends.cuda.linear import linear_backward, linear_forward
from npswin.backends.cuda.runtime.launch import blocks, launch
from npswin.devices import cupy


def patch_concat_forward(x: Any) -> tuple[Any, Any]:
    """See `npswin.ops.patch_concat_forward`."""
    cp, (batch, height, width, channels) = cupy(), x.shape
    groups = cp.empty((batch, -(-height // 2), -(-width // 2), 4 * channels), x.dtype)
    args = cp.ascontiguousarray(x), groups, groups.size, *x.shape[1:], 0
    launch("patches", "patch_concat", x.dtype, blocks(groups.size), args)
    return groups, x.shape


def patch_concat_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.patch_concat_backward`."""
    cp = cupy()
    dx = cp.empty(cache, dy.dtype)
    args = dx, cp.ascontiguousarray(dy), dy.size, *cache[1:], 1
    launch("patches", "patch_concat", dy.dtype, blocks(dy.size), args)
    return dx


def patch_merging_forward(
    x: Any, norm_weight: Any, norm_bias: Any, reduction_weight: Any, reduction_bias: Any = None
) -> tuple[Any, Any]:
    """See `npswin.ops.patch_merging_forward`."""
    if norm_weight is None or norm_bias is None:
        merged, cache = patch_concat_forward(x)
    else:
        merged, cache = merging_norm_forward(x, norm_weight, norm_bias)
    y, linear_cache = linear_forward(merged, reduction_weight, reduction_bias)
    return y, (norm_weight is not None and norm_bias is not None, cache, linear_cache)


def patch_merging_backward(dy: Any, cache: Any) -> tuple[Any, ...]:
    """See `npswin.ops.patch_merging_backward`."""
    has_norm, cache, linear_cache = cache
    dmerged, dweight, dbias = linear_backward(dy, linear_cache)
    gradients = (
        merging_norm_backward(dmerged, cache) if has_norm else (patch_concat_backward(dmerged, cache), None, None)
    )
    return *gradients, dweight, dbias
