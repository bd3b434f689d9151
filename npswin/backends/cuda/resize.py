"""`resize_bicubic`: two matrix products, with the matrices of the definition copied to the GPU once."""

from functools import partial
from typing import Any

from npswin.backends.cuda.runtime.constants import constant
from npswin.backends.cuda.runtime.launch import sum_dtype
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
