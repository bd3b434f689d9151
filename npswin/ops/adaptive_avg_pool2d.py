"""Means over a grid of bins: a map of any size becomes one of a given size, as in pyramid pooling (He et al. 2014)."""

from typing import Any

import numpy as np

from npswin.ops.arguments import pair
from npswin.ops.description import op
from npswin.types import Array


def bins(size_out: int, size_in: int) -> list[tuple[int, int]]:
    """Where each bin along an axis begins and ends: ⌊o · size_in / size_out⌋ and ⌈(o + 1) · size_in / size_out⌉.

    Neighbouring bins share a pixel where size_out does not divide size_in, and several where it is larger.
    """
    return [(o * size_in // size_out, -(-(o + 1) * size_in // size_out)) for o in range(size_out)]


@op(x="B H W C", size=pair())
def adaptive_avg_pool2d_forward(x: Array, size: tuple[int, int]) -> tuple[Array, Any]:
    """y_ij is the mean of x over the bin (i, j): the rows of `bins(h, H)[i]` and the columns of `bins(w, W)[j]`.

    Equal to torch.nn.functional.adaptive_avg_pool2d on maps with channels last.

    Args:
        x: (B, H, W, C).
        size: (h, w), how many bins.

    Returns:
        y (B, h, w, C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_adaptive_avg_pool2d
    """
    batch, height, width, channels = x.shape
    y = np.empty((batch, *size, channels), x.dtype)
    for i, (top, bottom) in enumerate(bins(size[0], height)):
        for j, (left, right) in enumerate(bins(size[1], width)):
            y[:, i, j] = x[:, top:bottom, left:right].mean(axis=(1, 2))
    return y, x.shape


def adaptive_avg_pool2d_backward(dy: Array, cache: Any) -> Array:
    """Each pixel has the weight 1 / area in the mean of each bin that it lies in: dx = Σ dy / area over these bins.

    Args:
        dy: (B, h, w, C).

    Returns:
        dx (B, H, W, C).
    """
    _, height, width, _ = cache
    dx = np.zeros(cache, dy.dtype)
    for i, (top, bottom) in enumerate(bins(dy.shape[1], height)):
        for j, (left, right) in enumerate(bins(dy.shape[2], width)):
            area = (bottom - top) * (right - left)
            dx[:, top:bottom, left:right] += (dy[:, i, j] / area)[:, None, None]
    return dx
