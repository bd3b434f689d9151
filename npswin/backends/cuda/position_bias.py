"""`position_bias`, with the index table on the GPU."""

from functools import partial
from typing import Any

import numpy as np

from npswin.backends.cuda.runtime.constants import constant
from npswin.backends.cuda.runtime.matrix_product import product
from npswin.backends.cuda.unfused_op import unfused_op
from npswin.devices import cupy
from npswin.ops import position_bias

relative_position_index = partial(constant, position_bias.relative_position_index)


def _readers(window_size: int) -> Any:
    """(rows of the table, pairs): 1 where the pair reads the row."""
    index = position_bias.relative_position_index(window_size).reshape(-1)
    return (np.arange((2 * window_size - 1) ** 2)[:, None] == index).astype(np.float64)


def position_bias_forward(table: Any, window_size: int) -> tuple[Any, Any]:
    """See `npswin.ops.position_bias_forward`."""
    bias, _ = unfused_op("position_bias_forward")(table, window_size)
    return cupy().ascontiguousarray(bias), (window_size, table)


def position_bias_backward(dbias: Any, cache: Any) -> Any:
    """See `npswin.ops.position_bias_backward`: the sum over the pairs of a row is a product with zeros and ones."""
    window_size, table = cache
    if table.shape == (window_size**2,) * 2:
        return dbias[0]
    pairs = dbias.reshape(len(dbias), -1).astype(np.float64)
    return product(constant(_readers, window_size), pairs, np.float64, transpose_right=True).astype(table.dtype)
