"""Patch partition and linear embedding (section 3.1): a convolution whose stride is its kernel's side."""

from typing import Any

import numpy as np

from npswin.ops.description import op
from npswin.ops.linear import linear_backward, linear_forward
from npswin.types import Array


@op(images="images c H W", weight="C c p p", bias="C")
def patch_embed_forward(images: Array, weight: Array, bias: Array | None) -> tuple[Array, Any]:
    """Each p×p patch of pixels becomes one token. Sizes that p does not divide are padded with zeros, right and bottom.

    Args:
        images: (B, c, H, W).
        weight: (C, c, p, p).
        bias: (C,) or None.

    Returns:
        tokens (B, ⌈H/p⌉, ⌈W/p⌉, C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_patch_embed
    """
    batch, in_chans, height, width = images.shape
    patch_size = weight.shape[-1]
    rows, columns = -(-height // patch_size), -(-width // patch_size)
    pad = ((0, 0), (0, 0), (0, rows * patch_size - height), (0, columns * patch_size - width))
    patches = np.pad(images, pad).reshape(batch, in_chans, rows, patch_size, columns, patch_size)
    patches = patches.transpose(0, 2, 4, 1, 3, 5).reshape(batch, rows, columns, -1)
    tokens, linear_cache = linear_forward(patches, weight.reshape(weight.shape[0], -1), bias)
    return tokens, (images.shape, weight.shape, linear_cache)


def patch_embed_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array | None]:
    """A linear map of each patch: its derivative, with the pixels put back in place and the padding cropped.

    Args:
        dy: (B, ⌈H/p⌉, ⌈W/p⌉, C).

    Returns:
        dimages (B, c, H, W), dweight (C, c, p, p), dbias (C,) or None.
    """
    (batch, in_chans, height, width), weight_shape, linear_cache = cache
    patch_size = weight_shape[-1]
    dpatches, dweight, dbias = linear_backward(dy, linear_cache)
    rows, columns = dy.shape[1:3]
    dimages = dpatches.reshape(batch, rows, columns, in_chans, patch_size, patch_size)
    dimages = dimages.transpose(0, 3, 1, 4, 2, 5).reshape(batch, in_chans, rows * patch_size, columns * patch_size)
    return dimages[:, :, :height, :width], dweight.reshape(weight_shape), dbias
