"""Maximum over windows of a map."""

from typing import Any

import numpy as np

from npswin.ops.arguments import LARGEST_SIDE, integer
from npswin.ops.description import op
from npswin.types import Array


def pooled_size(side: int, kernel_size: int, stride: int, padding: int) -> int:
    """How many windows lie along an axis of so many pixels, `padding` pixels before and after them included."""
    return (side + 2 * padding - kernel_size) // stride + 1


def _check_window(x: Array, kernel_size: int, stride: int, padding: int) -> None:
    if padding > kernel_size // 2:
        raise ValueError(f"padding: got {padding}, expected at most half of kernel_size, {kernel_size // 2}")
    if min(x.shape[1:3]) + 2 * padding < kernel_size:
        expected = f"at most {min(x.shape[1:3]) + 2 * padding}, the shorter side of x with its padding"
        raise ValueError(f"kernel_size: got {kernel_size}, expected {expected}")


def _pixels(side: int, kernel_size: int, stride: int, padding: int) -> Array:
    """(windows, kernel_size): the pixels of each window along an axis; beyond the border, the border's pixel again."""
    first = stride * np.arange(pooled_size(side, kernel_size, stride, padding)) - padding
    return np.clip(first[:, None] + np.arange(kernel_size), 0, side - 1)


@op(
    also=_check_window,
    x="B H W C",
    kernel_size=integer("k", at_least=1, at_most=LARGEST_SIDE),
    stride=integer("s", at_least=1, at_most=LARGEST_SIDE),
    padding=integer("p", at_least=0, at_most=LARGEST_SIDE),
)
def max_pool2d_forward(x: Array, kernel_size: int, stride: int, padding: int = 0) -> tuple[Array, Any]:
    """y_ij = max of x over the kernel_size × kernel_size pixels from (i · stride − padding, j · stride − padding) on.

    Only pixels of the map count. Since each window begins or ends on the map, the border's pixel, repeated beyond the
    border, adds nothing to the maximum. NaN is larger than any number.

    Args:
        x: (B, H, W, C).
        kernel_size: side of a window, in pixels; no window lies beyond the padding.
        stride: pixels from one window to the next.
        padding: pixels beyond each border that windows may cover, at most kernel_size / 2.

    Returns:
        y (B, H', W', C) with H' = ⌊(H + 2 padding − kernel_size) / stride⌋ + 1, and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_max_pool2d
    """
    batch, height, width, channels = x.shape
    rows = _pixels(height, kernel_size, stride, padding)
    columns = _pixels(width, kernel_size, stride, padding)
    pixels = (rows[:, None, :, None] * width + columns[None, :, None, :]).reshape(len(rows), len(columns), -1)
    windows = x.reshape(batch, height * width, channels)[:, pixels]  # (B, H', W', kernel_size², C)
    first_largest = windows.real.argmax(axis=3)
    y = np.take_along_axis(windows, first_largest[:, :, :, None], axis=3)[:, :, :, 0]
    largest_pixel = np.take_along_axis(pixels[None, ..., None], first_largest[:, :, :, None], axis=3)[:, :, :, 0]
    return y, (largest_pixel, x.shape)


def max_pool2d_backward(dy: Array, cache: Any) -> Array:
    """dx = Σ dy over the windows whose maximum a pixel is.

    A window's maximum is one of its pixels (the first of equal ones, row by row): a small change of that pixel changes
    y by as much, and one of the others changes nothing. A pixel may be the maximum of several windows that overlap.

    Args:
        dy: (B, H', W', C).

    Returns:
        dx (B, H, W, C).
    """
    largest_pixel, (batch, height, width, channels) = cache
    dx = np.zeros((batch, height * width, channels), dy.dtype)
    np.add.at(dx, (np.arange(batch)[:, None, None, None], largest_pixel, np.arange(channels)), dy)
    return dx.reshape(batch, height, width, channels)
