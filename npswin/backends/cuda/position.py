"""Tables that `npswin.ops` keeps on the CPU, copied to the GPU once, and the words that read them."""

from functools import partial
from typing import Any

import numpy as np

from npswin.backends.cuda.composed import composed
from npswin.backends.cuda.constants import constant
from npswin.backends.cuda.launch import sum_dtype
from npswin.backends.cuda.product import product
from npswin.devices import cupy
from npswin.ops import position_bias, resize, windows

shift_mask = partial(constant, windows.shift_mask)
bicubic_matrix = partial(constant, resize.bicubic_matrix)
relative_position_index = partial(constant, position_bias.relative_position_index)


def _readers(window_size: int) -> Any:
    """(rows of the table, pairs): 1 where the pair reads the row."""
    index = position_bias.relative_position_index(window_size).reshape(-1)
    return (np.arange((2 * window_size - 1) ** 2)[:, None] == index).astype(np.float64)


def position_bias_forward(table: Any, window_size: int) -> tuple[Any, Any]:
    """See `npswin.ops.position_bias_forward`."""
    bias, _ = composed("position_bias_forward")(table, window_size)
    return cupy().ascontiguousarray(bias), (window_size, table)


def position_bias_backward(dbias: Any, cache: Any) -> Any:
    """See `npswin.ops.position_bias_backward`: the sum over the pairs of a row is a product with zeros and ones."""
    window_size, table = cache
    if table.shape == (window_size**2,) * 2:
        return dbias[0]
    pairs = dbias.reshape(len(dbias), -1).astype(np.float64)
    return product(constant(_readers, window_size), pairs, np.float64, transpose_right=True).astype(table.dtype)


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


def position_embed_forward(x: Any, table: Any, grid: tuple[int, int]) -> tuple[Any, Any]:
    """See `npswin.ops.position_embed_forward`."""
    y, cache = composed("position_embed_forward")(x.astype(table.dtype, copy=False), table, grid)
    return y.astype(x.dtype, copy=False), (table.dtype, cache)


def position_embed_backward(dy: Any, cache: Any) -> tuple[Any, Any]:
    """See `npswin.ops.position_embed_backward`."""
    dtype, cache = cache
    return dy, composed("position_embed_backward")(dy.astype(dtype, copy=False), cache)[1]
