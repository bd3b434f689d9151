"""`resize_bicubic`: two matrix products, with the matrices of the definition copied to the GPU once.

The kernels of `resize_bilinear` and `resize_nearest` are in `kernels/resize.cu`; the definition's tables of pixels and
weights are copied once, too.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from npswin.backends.cuda.runtime.constants import constant
from npswin.backends.cuda.runtime.launch import blocks, launch, sum_dtype
from npswin.backends.cuda.runtime.matrix_product import product
from npswin.devices import cupy
from npswin.ops import resize

bicubic_matrix = partial(constant, resize.bicubic_matrix)


def _along_both_axes(rows: Any, columns: Any, x: Any) -> Any:
    """Σ_hw rows_oh columns_pw x_hwc for each o, p, c of the maps x (..., H, W, C), in the dtype of sums."""
    *lead, height, width, channels = x.shape
    sums = sum_dtype(x.dtype)
    rows, columns = rows.astype(sums), columns.astype(sums)
    maps = x.astype(sums, copy=False).reshape(-1, height, width, channels).transpose(1, 0, 2, 3)
    count = maps.shape[1]
    y = product(rows, maps.reshape(height, -1), sums).reshape(len(rows), count, width, channels).transpose(2, 0, 1, 3)
    y = product(columns, y.reshape(width, -1), sums).reshape(len(columns), len(rows), count, channels)
    return cupy().ascontiguousarray(y.transpose(2, 1, 0, 3)).reshape(*lead, len(rows), len(columns), channels)


def resize_bicubic_forward(x: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """See `npswin.ops.resize_bicubic_forward`."""
    height, width = x.shape[-3:-1]
    rows, columns = bicubic_matrix(size[0], height), bicubic_matrix(size[1], width)
    return _along_both_axes(rows, columns, x).astype(x.dtype, copy=False), (rows, columns)


def resize_bicubic_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.resize_bicubic_backward`."""
    rows, columns = cache
    return _along_both_axes(rows.T, columns.T, dy).astype(dy.dtype, copy=False)


def _pixel(pixels: Callable[..., Any], size_out: int, size_in: int) -> Any:
    return pixels(size_out, size_in)[0]


def _weight(pixels: Callable[..., Any], size_out: int, size_in: int, dtype: str) -> Any:
    return pixels(size_out, size_in)[1].astype(dtype)


def _readers(pixels: Callable[..., Any], size_out: int, size_in: int) -> Any:
    """(size_in, 2): the first output that reads a pixel, and the one after the last; outputs read in order."""
    pixel, inputs = _pixel(pixels, size_out, size_in), np.arange(size_in)
    return np.stack([np.searchsorted(pixel[:, -1], inputs), np.searchsorted(pixel[:, 0], inputs, "right")], axis=1)


def _read_forward(x: Any, size: tuple[int, int], pixels: Callable[..., Any]) -> tuple[Any, Any]:
    cp, (*lead, height, width, channels) = cupy(), x.shape
    y, dtype = cp.empty((*lead, *size, channels), x.dtype), sum_dtype(x.dtype).name
    axes = (size[0], height), (size[1], width)
    tables = [constant(*table) for axis in axes for table in ((_pixel, pixels, *axis), (_weight, pixels, *axis, dtype))]
    args = cp.ascontiguousarray(x), *tables, y, y.size, tables[0].shape[1], height, width, channels, *size
    launch("resize", "resize_forward", x.dtype, blocks(y.size), args)
    return y, (x.shape, tables)


def _read_backward(dy: Any, cache: Any, pixels: Callable[..., Any]) -> Any:
    cp, (shape, (row_pixel, row_weight, column_pixel, column_weight)) = cupy(), cache
    (height, width, channels), size = shape[-3:], dy.shape[-3:-1]
    dx = cp.empty(shape, dy.dtype)
    rows = row_pixel, row_weight, constant(_readers, pixels, size[0], height)
    columns = column_pixel, column_weight, constant(_readers, pixels, size[1], width)
    sizes = row_pixel.shape[1], height, width, channels, *size
    args = cp.ascontiguousarray(dy), *rows, *columns, dx, dx.size, *sizes
    launch("resize", "resize_backward", dy.dtype, blocks(dx.size), args)
    return dx


def resize_bilinear_forward(x: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """See `npswin.ops.resize_bilinear_forward`."""
    return _read_forward(x, size, resize.bilinear_pixels)


def resize_bilinear_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.resize_bilinear_backward`."""
    return _read_backward(dy, cache, resize.bilinear_pixels)


def resize_nearest_forward(x: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """See `npswin.ops.resize_nearest_forward`."""
    return _read_forward(x, size, resize.nearest_pixels)


def resize_nearest_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.resize_nearest_backward`."""
    return _read_backward(dy, cache, resize.nearest_pixels)
