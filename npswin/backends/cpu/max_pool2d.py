"""`max_pool2d`: a window's pixels are compared one after the other, all channels of a pixel in vector code.

The backward pass gathers: each pixel adds dy of those windows whose maximum it is, so that no two threads write to one.
"""

from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.ops.max_pool2d import pooled_size
from npswin.types import Array


class _Sizes(NamedTuple):
    """Of the maps before and after, and of the windows."""

    height: int
    width: int
    channels: int
    out_height: int
    out_width: int
    kernel_size: int
    stride: int
    padding: int


@kernel
def _forward(
    first: int, stop: int, part: int, scratch: Array, x: Array, y: Array, largest_pixel: Array, sizes: _Sizes
) -> None:
    """A piece is a row of an image's result."""
    height, width, channels, out_height, out_width, kernel_size, stride, padding = sizes
    for piece in range(first, stop):
        image, i = divmod(piece, out_height)
        top = i * stride - padding
        for j in range(out_width):
            left, place = j * stride - padding, (piece * out_width + j) * channels
            best, index = view(y, place, channels), view(largest_pixel, place, channels)
            is_first = True
            for row in range(max(top, 0), min(top + kernel_size, height)):
                for column in range(max(left, 0), min(left + kernel_size, width)):
                    pixel = row * width + column
                    source = view(x, (image * height * width + pixel) * channels, channels)
                    if is_first:
                        for c in range(channels):
                            best[c], index[c] = source[c], pixel
                        is_first = False
                    else:
                        for c in range(channels):
                            # `not <=` holds for NaN as well, which is larger than what came before it
                            larger = (not source[c] <= best[c]) & (best[c] == best[c])
                            best[c] = source[c] if larger else best[c]
                            index[c] = pixel if larger else index[c]


@kernel
def _backward(
    first: int, stop: int, part: int, scratch: Array, dy: Array, largest_pixel: Array, dx: Array, sizes: _Sizes
) -> None:
    """A piece is a row of an image's derivative."""
    height, width, channels, out_height, out_width, kernel_size, stride, padding = sizes
    for piece in range(first, stop):
        image, row = divmod(piece, height)
        # windows i with i · stride − padding ≤ row < i · stride − padding + kernel_size
        first_i = max(-(-(row + padding - kernel_size + 1) // stride), 0)
        stop_i = min((row + padding) // stride + 1, out_height)
        for column in range(width):
            pixel = row * width + column
            out = view(dx, (piece * width + column) * channels, channels)
            fill(out, 0)
            first_j = max(-(-(column + padding - kernel_size + 1) // stride), 0)
            stop_j = min((column + padding) // stride + 1, out_width)
            for i in range(first_i, stop_i):
                for j in range(first_j, stop_j):
                    place = ((image * out_height + i) * out_width + j) * channels
                    index, source = view(largest_pixel, place, channels), view(dy, place, channels)
                    for c in range(channels):
                        out[c] += source[c] if index[c] == pixel else source.dtype.type(0)


def max_pool2d_forward(x: Array, kernel_size: int, stride: int, padding: int = 0) -> tuple[Array, Any]:
    """See `npswin.ops.max_pool2d_forward`."""
    batch, height, width, channels = x.shape
    out_height, out_width = (pooled_size(side, kernel_size, stride, padding) for side in (height, width))
    sizes = _Sizes(height, width, channels, out_height, out_width, kernel_size, stride, padding)
    shape = batch, out_height, out_width, channels
    y, largest_pixel = pooled_empty(shape, x.dtype), pooled_empty(shape, np.int32)
    run_parallel(_forward, batch * out_height, 0, x.dtype, flat(x), y.reshape(-1), largest_pixel.reshape(-1), sizes)
    return y, (largest_pixel, sizes)


def max_pool2d_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.max_pool2d_backward`."""
    largest_pixel, sizes = cache
    dx = pooled_empty((len(dy), sizes.height, sizes.width, sizes.channels), dy.dtype)
    pieces = len(dy) * sizes.height
    run_parallel(_backward, pieces, 0, dy.dtype, flat(dy), largest_pixel.reshape(-1), dx.reshape(-1), sizes)
    return dx
