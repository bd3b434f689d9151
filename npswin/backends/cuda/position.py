"""Tables that `npswin.ops` keeps on the CPU, copied to the GPU once, and the words that read them."""

from functools import partial
from typing import Any

import numpy as np

from npswin import ops
from npswin.backends.cuda.composed import composed
from npswin.backends.cuda.constants import constant
from npswin.backends.cuda.launch import sum_dtype
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
    return (constant(_readers, window_size) @ pairs.T).astype(table.dtype)


def resize_bicubic_forward(x: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """See `npswin.ops.resize_bicubic_forward`; in the dtype of sums, which CuPy multiplies more than two axes of."""
    y, cache = composed("resize_bicubic_forward")(x.astype(sum_dtype(x.dtype), copy=False), size)
    return y.astype(x.dtype, copy=False), cache


def resize_bicubic_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.resize_bicubic_backward`."""
    dx = ops.resize_bicubic_backward(dy.astype(sum_dtype(dy.dtype), copy=False), cache)
    return dx.astype(dy.dtype, copy=False)


def position_embed_forward(x: Any, table: Any, grid: tuple[int, int]) -> tuple[Any, Any]:
    """See `npswin.ops.position_embed_forward`."""
    y, cache = composed("position_embed_forward")(x.astype(table.dtype, copy=False), table, grid)
    return y.astype(x.dtype, copy=False), (table.dtype, cache)


def position_embed_backward(dy: Any, cache: Any) -> tuple[Any, Any]:
    """See `npswin.ops.position_embed_backward`."""
    dtype, cache = cache
    return dy, composed("position_embed_backward")(dy.astype(dtype, copy=False), cache)[1]
