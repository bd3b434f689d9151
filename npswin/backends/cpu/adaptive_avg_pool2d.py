"""`adaptive_avg_pool2d`: the sum over each bin; backward, each pixel gathers from the bins that it lies in."""

from typing import Any, NamedTuple

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.types import Array


class _Sizes(NamedTuple):
    """Of the maps before and after."""

    height: int
    width: int
    channels: int
    out_height: int
    out_width: int


@inner_function
def _bin(o: int, size_out: int, size_in: int) -> tuple[int, int]:
    """Where a bin along an axis begins and ends. With the sizes exchanged: which bins a pixel lies in."""
    return o * size_in // size_out, -(-(o + 1) * size_in // size_out)


@kernel
def _forward(first: int, stop: int, part: int, scratch: Array, x: Array, y: Array, sizes: _Sizes) -> None:
    """A piece is a bin of an image."""
    height, width, channels, out_height, out_width = sizes
    for piece in range(first, stop):
        image, i, j = piece // (out_height * out_width), piece // out_width % out_height, piece % out_width
        top, bottom = _bin(i, out_height, height)
        left, right = _bin(j, out_width, width)
        out = view(y, piece * channels, channels)
        fill(out, 0)
        for row in range(top, bottom):
            for column in range(left, right):
                source = view(x, ((image * height + row) * width + column) * channels, channels)
                for c in range(channels):
                    out[c] += source[c]
        area = x.dtype.type((bottom - top) * (right - left))
        for c in range(channels):
            out[c] /= area


@kernel
def _backward(first: int, stop: int, part: int, scratch: Array, dy: Array, dx: Array, sizes: _Sizes) -> None:
    """A piece is a row of an image's derivative."""
    height, width, channels, out_height, out_width = sizes
    for piece in range(first, stop):
        image, row = divmod(piece, height)
        first_i, stop_i = _bin(row, height, out_height)
        for column in range(width):
            out = view(dx, (piece * width + column) * channels, channels)
            fill(out, 0)
            first_j, stop_j = _bin(column, width, out_width)
            for i in range(first_i, stop_i):
                top, bottom = _bin(i, out_height, height)
                for j in range(first_j, stop_j):
                    left, right = _bin(j, out_width, width)
                    weight = dy.dtype.type(1) / dy.dtype.type((bottom - top) * (right - left))
                    source = view(dy, ((image * out_height + i) * out_width + j) * channels, channels)
                    for c in range(channels):
                        out[c] += weight * source[c]


def adaptive_avg_pool2d_forward(x: Array, size: tuple[int, int]) -> tuple[Array, Any]:
    """See `npswin.ops.adaptive_avg_pool2d_forward`."""
    batch, height, width, channels = x.shape
    y, sizes = pooled_empty((batch, *size, channels), x.dtype), _Sizes(height, width, channels, *size)
    run_parallel(_forward, batch * size[0] * size[1], 0, x.dtype, flat(x), y.reshape(-1), sizes)
    return y, sizes


def adaptive_avg_pool2d_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.adaptive_avg_pool2d_backward`."""
    sizes = cache
    dx = pooled_empty((len(dy), sizes.height, sizes.width, sizes.channels), dy.dtype)
    run_parallel(_backward, len(dy) * sizes.height, 0, dy.dtype, flat(dy), dx.reshape(-1), sizes)
    return dx
