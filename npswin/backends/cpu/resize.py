"""`resize_bicubic`: rows, then columns, as two products. `resize_bilinear`, `resize_nearest`: one pass over the result.

The matrices of bicubic resampling are mostly zeros, but are multiplied whole, as in the definition, so that NaN and
infinity spread as there. The others read one or two pixels along each axis: rows are blended in working memory, which
the cache holds, and its pixels then are.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.processor import TILE_ROWS
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.simd.matrix_product import product
from npswin.backends.cpu.simd.micro_kernel import FROM_ZERO
from npswin.ops.resize import bicubic_matrix, bilinear_pixels, nearest_pixels
from npswin.types import Array


class _Sizes(NamedTuple):
    """Of the maps before and after."""

    height: int
    width: int
    channels: int
    out_height: int
    out_width: int


@kernel
def _resize(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    x: Array,
    rows: Array,
    columns: Array,
    sizes: _Sizes,
    y: Array,
) -> None:
    """A piece is TILE_ROWS rows of an image's result."""
    height, width, channels, out_height, out_width = sizes
    row, out_row = width * channels, out_width * channels
    none = scratch, 0
    for piece in range(first, stop):
        image, block = divmod(piece, -(-out_height // TILE_ROWS))
        top = block * TILE_ROWS
        count = min(TILE_ROWS, out_height - top)
        left, right = (rows, top * height, height, 1), (x, image * height * row, row)
        product(count, row, height, left, right, (scratch, 0, row), FROM_ZERO, none)
        for o in range(count):
            right = scratch, o * row, channels
            out = y, (image * out_height + top + o) * out_row, channels
            product(out_width, channels, width, (columns, 0, width, 1), right, out, FROM_ZERO, none)


def _along_both_axes(rows: Array, columns: Array, x: Array) -> Array:
    """Σ_hw rows_oh columns_pw x_hwc for each o, p, c."""
    *lead, height, width, channels = x.shape
    y = pooled_empty((*lead, len(rows), len(columns), channels), x.dtype)
    pieces = math.prod(lead) * -(-len(rows) // TILE_ROWS)
    sizes = _Sizes(height, width, channels, len(rows), len(columns))
    run_parallel(
        *(_resize, pieces, TILE_ROWS * width * channels, x.dtype),
        *(flat(x), flat(rows), flat(columns), sizes, y.reshape(-1)),
    )
    return y


@lru_cache(maxsize=256)
def _bicubic(size_out: int, size_in: int, dtype: Any) -> Array:
    return bicubic_matrix(size_out, size_in).astype(dtype)


def resize_bicubic_forward(x: Array, size: tuple[int, int]) -> tuple[Array, Any]:
    """See `npswin.ops.resize_bicubic_forward`."""
    height, width = x.shape[-3:-1]
    rows, columns = _bicubic(size[0], height, x.dtype), _bicubic(size[1], width, x.dtype)
    return _along_both_axes(rows, columns, x), (rows, columns)


def resize_bicubic_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.resize_bicubic_backward`."""
    rows, columns = cache
    return _along_both_axes(rows.T, columns.T, dy)


class _Pixels(NamedTuple):
    """What an axis reads: pixel and weight of `npswin.ops.resize.bilinear_pixels`, flat, and how many of each."""

    pixel: Array
    weight: Array
    taps: int


@inner_function
def _blend(out: Array, source: Array, size: int, o: int, pixels: _Pixels) -> None:
    """out = Σ_k weight_ok source[pixel_ok], where a pixel of `source` has `size` numbers."""
    pixel, weight, taps = pixels
    one = view(source, pixel[o * taps] * size, size)
    if taps == 1:
        for i in range(size):
            out[i] = one[i]
    else:
        near, far = weight[o * taps], weight[o * taps + 1]
        other = view(source, pixel[o * taps + 1] * size, size)
        for i in range(size):
            out[i] = near * one[i] + far * other[i]


@kernel
def _read(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    x: Array,
    y: Array,
    rows: _Pixels,
    columns: _Pixels,
    sizes: _Sizes,
) -> None:
    """A piece is a row of an image's result."""
    height, width, channels, out_height, out_width = sizes
    blended = view(scratch, 0, width * channels)
    for piece in range(first, stop):
        image, o = divmod(piece, out_height)
        size = height * width * channels
        _blend(blended, view(x, image * size, size), width * channels, o, rows)
        for p in range(out_width):
            _blend(view(y, (piece * out_width + p) * channels, channels), blended, channels, p, columns)


@kernel
def _read_backward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    dy: Array,
    dx: Array,
    rows: _Pixels,
    columns: _Pixels,
    sizes: _Sizes,
) -> None:
    """A piece is a row of an image's derivative; consecutive ones share the rows of dy that belong to both."""
    height, width, channels, out_height, out_width = sizes
    row_size, summed = width * channels, view(scratch, 0, width * channels)
    start = first
    while start < stop:
        image, top = divmod(start, height)
        bottom = min(height, top + stop - start)
        fill(view(dx, start * row_size, (bottom - top) * row_size), 0)
        for o in range(out_height):
            if rows.pixel[(o + 1) * rows.taps - 1] < top or rows.pixel[o * rows.taps] >= bottom:
                continue
            fill(summed, 0)
            for p in range(out_width):
                source = view(dy, ((image * out_height + o) * out_width + p) * channels, channels)
                for k in range(p * columns.taps, (p + 1) * columns.taps):
                    weight, out = columns.weight[k], view(summed, columns.pixel[k] * channels, channels)
                    for c in range(channels):
                        out[c] += weight * source[c]
            for k in range(o * rows.taps, (o + 1) * rows.taps):
                row, weight = rows.pixel[k], rows.weight[k]
                if top <= row < bottom:
                    out = view(dx, (image * height + row) * row_size, row_size)
                    for i in range(row_size):
                        out[i] += weight * summed[i]
        start += bottom - top


@lru_cache(maxsize=256)
def _flat_pixels(find: Callable[[int, int], tuple[Array, Array]], size_out: int, size_in: int, dtype: Any) -> _Pixels:
    pixel, weight = find(size_out, size_in)
    return _Pixels(flat(pixel), flat(weight.astype(dtype)), pixel.shape[1])


def _read_forward(x: Array, size: tuple[int, int], find: Any) -> tuple[Array, Any]:
    *lead, height, width, channels = x.shape
    rows, columns = _flat_pixels(find, size[0], height, x.dtype), _flat_pixels(find, size[1], width, x.dtype)
    sizes = _Sizes(height, width, channels, *size)
    y = pooled_empty((*lead, *size, channels), x.dtype)
    pieces = math.prod(lead) * size[0]
    run_parallel(_read, pieces, width * channels, x.dtype, flat(x), y.reshape(-1), rows, columns, sizes)
    return y, (x.shape, rows, columns, sizes)


def _read_derivative(dy: Array, cache: Any) -> Array:
    shape, rows, columns, sizes = cache
    dx = pooled_empty(shape, dy.dtype)
    pieces = math.prod(shape[:-2])
    scratch = sizes.width * sizes.channels
    run_parallel(_read_backward, pieces, scratch, dy.dtype, flat(dy), dx.reshape(-1), rows, columns, sizes)
    return dx


def resize_bilinear_forward(x: Array, size: tuple[int, int]) -> tuple[Array, Any]:
    """See `npswin.ops.resize_bilinear_forward`."""
    return _read_forward(x, size, bilinear_pixels)


def resize_bilinear_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.resize_bilinear_backward`."""
    return _read_derivative(dy, cache)


def resize_nearest_forward(x: Array, size: tuple[int, int]) -> tuple[Array, Any]:
    """See `npswin.ops.resize_nearest_forward`."""
    return _read_forward(x, size, nearest_pixels)


def resize_nearest_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.resize_nearest_backward`."""
    return _read_derivative(dy, cache)
