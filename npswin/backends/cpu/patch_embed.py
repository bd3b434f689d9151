"""`patch_embed`: a linear map of tokens made of pixels; the kernels are in `fused/gathered_linear.py`."""

from functools import lru_cache
from typing import Any

import numpy as np

from npswin.backends.cpu.fused.gathered_linear import GatheredLinearCall
from npswin.types import Array


@lru_cache(maxsize=64)
def _pixel_offsets(in_chans: int, height: int, width: int, patch_size: int) -> Array:
    """(tokens, c·p²): where each token's pixels are in an image (c, H, W), or −1 in the padding."""
    channel = np.arange(in_chans)[:, None, None]
    within = np.arange(patch_size)
    rows, columns = -(-height // patch_size), -(-width // patch_size)
    y = (np.arange(rows)[:, None] * patch_size + within)[:, None, None, :, None]
    x = (np.arange(columns)[:, None] * patch_size + within)[None, :, None, None, :]
    offsets = (channel * height + y) * width + x
    return np.where((y < height) & (x < width), offsets, -1).reshape(rows * columns, -1)


def _forward(images: Array, weight: Array, bias: Array | None, for_backward: bool) -> tuple[Array, Any]:
    batch, in_chans, height, width = images.shape
    side = weight.shape[-1]
    call = GatheredLinearCall(images, batch, _pixel_offsets(in_chans, height, width, side), weight, bias)
    return call.forward(for_backward).reshape(batch, -(-height // side), -(-width // side), -1), call


def patch_embed(images: Array, weight: Array, bias: Array | None) -> Array:
    """The y of `npswin.ops.patch_embed_forward`, with nothing saved."""
    return _forward(images, weight, bias, for_backward=False)[0]


def patch_embed_forward(images: Array, weight: Array, bias: Array | None) -> tuple[Array, Any]:
    """See `npswin.ops.patch_embed_forward`."""
    return _forward(images, weight, bias, for_backward=True)


def patch_embed_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array | None]:
    """See `npswin.ops.patch_embed_backward`."""
    dx, dweight, dbias, *_ = cache.backward(dy)
    return dx, dweight, dbias
