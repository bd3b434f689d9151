"""Patch merging (section 3.1): half the rows, half the columns, twice the channels."""

from typing import Any

import numpy as np

from npswin.ops.arguments import Axes
from npswin.ops.description import op
from npswin.ops.layer_norm import layer_norm_backward, layer_norm_forward
from npswin.ops.linear import linear_backward, linear_forward
from npswin.types import Array

# (row, column) inside each 2×2 group, in the order in which the official code concatenates their channels
GROUP_ORDER = ((0, 0), (1, 0), (0, 1), (1, 1))


@op(x=Axes("B H W C", any_dtype=True))
def patch_concat_forward(x: Array) -> tuple[Array, Any]:
    """The channels of each 2×2 group of tokens side by side. Odd sides are padded with zeros, right and bottom.

    Args:
        x: (B, H, W, C).

    Returns:
        y (B, ⌈H/2⌉, ⌈W/2⌉, 4C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_patch_concat
    """
    height, width = x.shape[1:3]
    if height % 2 or width % 2:
        x = np.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    y = np.concatenate([x[:, row::2, column::2] for row, column in GROUP_ORDER], axis=-1)
    return y, (height, width)


def patch_concat_backward(dy: Array, cache: Any) -> Array:
    """Every token's gradient back to its place; what arrives at padding is dropped.

    Args:
        dy: (B, ⌈H/2⌉, ⌈W/2⌉, 4C).

    Returns:
        dx (B, H, W, C).
    """
    height, width = cache
    batch, rows, columns, channels = dy.shape
    dx = np.empty((batch, 2 * rows, 2 * columns, channels // 4), dy.dtype)
    for part, (row, column) in zip(np.split(dy, 4, axis=-1), GROUP_ORDER, strict=True):
        dx[:, row::2, column::2] = part
    return dx[:, :height, :width]


def _check_norm(norm_weight: Array | None, norm_bias: Array | None, **_: Any) -> None:
    if (norm_weight is None) != (norm_bias is None):
        missing, given = ("norm_weight", "norm_bias") if norm_weight is None else ("norm_bias", "norm_weight")
        raise ValueError(f"{missing}: got None, expected an array, as {given} is one (None for both: no norm)")


@op(x="B H W C", norm_weight="4*C", norm_bias="4*C", reduction_weight="out 4*C", reduction_bias="out", also=_check_norm)
def patch_merging_forward(
    x: Array,
    norm_weight: Array | None,
    norm_bias: Array | None,
    reduction_weight: Array,
    reduction_bias: Array | None = None,
) -> tuple[Array, Any]:
    """y = LN(concat(x)) Wᵀ + b: 4C channels down to 2C.

    Args:
        x: (B, H, W, C).
        norm_weight, norm_bias: (4C,) each, or None for no norm.
        reduction_weight: (out, 4C); out is 2C in the paper.
        reduction_bias: (out,) or None, as in the official model.

    Returns:
        y (B, ⌈H/2⌉, ⌈W/2⌉, out) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_patch_merging
    """
    merged, concat_cache = patch_concat_forward(x)
    norm_cache = None
    if norm_weight is not None and norm_bias is not None:
        merged, norm_cache = layer_norm_forward(merged, norm_weight, norm_bias)
    y, linear_cache = linear_forward(merged, reduction_weight, reduction_bias)
    return y, (concat_cache, norm_cache, linear_cache)


def patch_merging_backward(dy: Array, cache: Any) -> tuple[Array, Array | None, Array | None, Array, Array | None]:
    """The backward functions of the ops above, in reverse order.

    Args:
        dy: (B, ⌈H/2⌉, ⌈W/2⌉, 2C).

    Returns:
        dx (B, H, W, C), dnorm_weight, dnorm_bias, dreduction_weight, dreduction_bias; None where there is none.
    """
    concat_cache, norm_cache, linear_cache = cache
    dmerged, dweight, dbias = linear_backward(dy, linear_cache)
    dnorm_weight, dnorm_bias = None, None
    if norm_cache is not None:
        dmerged, dnorm_weight, dnorm_bias = layer_norm_backward(dmerged, norm_cache)
    return patch_concat_backward(dmerged, concat_cache), dnorm_weight, dnorm_bias, dweight, dbias
