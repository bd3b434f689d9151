"""Patch merging: 2×2 tokens side by side, their norm, and a linear map."""

from typing import Any

from npswin.backends.cuda.composed import composed
from npswin.backends.cuda.launch import blocks, launch
from npswin.devices import cupy


def patch_concat_forward(x: Any) -> tuple[Any, Any]:
    """See `npswin.ops.patch_concat_forward`."""
    cp, (batch, height, width, channels) = cupy(), x.shape
    groups = cp.empty((batch, -(-height // 2), -(-width // 2), 4 * channels), x.dtype)
    args = cp.ascontiguousarray(x), groups, groups.size, *x.shape[1:], 0
    launch("moves", "patch_concat", x.dtype, blocks(groups.size), args)
    return groups, x.shape


def patch_concat_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.patch_concat_backward`."""
    cp = cupy()
    dx = cp.empty(cache, dy.dtype)
    args = dx, cp.ascontiguousarray(dy), dy.size, *cache[1:], 1
    launch("moves", "patch_concat", dy.dtype, blocks(dy.size), args)
    return dx


def patch_merging_forward(x: Any, *parameters: Any, **named: Any) -> tuple[Any, Any]:
    """See `npswin.ops.patch_merging_forward`."""
    return composed("patch_merging_forward")(x, *parameters, **named)


def patch_merging_backward(dy: Any, cache: Any) -> tuple[Any, ...]:
    """See `npswin.ops.patch_merging_backward`."""
    return composed("patch_merging_backward")(dy, cache)
