"""`patch_embed`: each patch of pixels as a row of a matrix, and a linear map."""

from typing import Any

from npswin.backends.cuda.linear import linear_backward, linear_forward
from npswin.backends.cuda.runtime.launch import blocks, launch
from npswin.devices import cupy


def patch_embed_forward(images: Any, weight: Any, bias: Any) -> tuple[Any, Any]:
    """See `npswin.ops.patch_embed_forward`."""
    batch, channels, height, width = images.shape
    patch = weight.shape[-1]
    down, across = -(-height // patch), -(-width // patch)
    rows = cupy().empty((batch, down, across, channels * patch * patch), images.dtype)
    sizes = channels, height, width, patch, down, across
    args = cupy().ascontiguousarray(images), rows, rows.size, *sizes
    launch("patches", "patches_forward", rows.dtype, blocks(rows.size), args)
    y, cache = linear_forward(rows, weight.reshape(len(weight), -1), bias)
    return y, (images.shape, weight.shape, sizes, cache)


def patch_embed_backward(dy: Any, cache: Any) -> tuple[Any, Any, Any]:
    """See `npswin.ops.patch_embed_backward`."""
    shape, weight_shape, sizes, linear_cache = cache
    drows, dweight, dbias = linear_backward(dy, linear_cache)
    dx = cupy().empty(shape, dy.dtype)
    launch("patches", "patches_backward", dx.dtype, blocks(dx.size), (drows, dx, dx.size, *sizes))
    return dx, dweight.reshape(weight_shape), dbias
