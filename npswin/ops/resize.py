"""Bicubic resampling of maps, for tables that were learned at another size."""

from functools import lru_cache
from typing import Any

import numpy as np

from npswin.ops.arguments import pair
from npswin.ops.description import op
from npswin.types import Array

KEYS_A = -0.75  # slope of the kernel at distance 1, as in torch.nn.functional.interpolate(mode="bicubic")


def _kernel(distance: Array) -> Array:
    """Keys' cubic convolution kernel with a = KEYS_A (Keys 1981, equation 4): two cubics, 0 from distance 2 on."""
    a, s = KEYS_A, np.abs(distance)
    near = (a + 2) * s**3 - (a + 3) * s**2 + 1
    far = a * (s**3 - 5 * s**2 + 8 * s - 4)
    return np.where(s <= 1, near, np.where(s < 2, far, 0.0))


@lru_cache(maxsize=64)
def bicubic_matrix(size_out: int, size_in: int) -> Array:
    """The matrix A of bicubic resampling along one axis: y = A x.

    With pixels taken as unit squares (align_corners=False), the centre of output o lies at

        u_o = (o + 1/2) · size_in / size_out − 1/2

    between the inputs i = ⌊u_o⌋ and i + 1. It reads the four inputs i − 1 … i + 2, each weighted by Keys' kernel at its
    distance to u_o; these weights sum to 1. Beyond the border lies the border's pixel again, which gets that weight.

    Args:
        size_out, size_in: pixels along the axis, at least 1.

    Returns:
        A (size_out, size_in) in float64, read-only. The identity where the two sizes are equal.
    """
    if size_out < 1 or size_in < 1:
        raise ValueError(f"size_out, size_in: got {size_out} and {size_in}, expected two sizes of at least 1")
    centre = (np.arange(size_out) + 0.5) * (size_in / size_out) - 0.5
    matrix = cubic_matrix(centre, size_in)
    matrix.flags.writeable = False
    return matrix


def cubic_matrix(centre: Array, size_in: int) -> Array:
    """The matrix (outputs, size_in) of cubic interpolation at these places, as `bicubic_matrix` describes it.

    Args:
        centre: (outputs,), where each output lies; input i lies at i.
        size_in: pixels along the axis, at least 1.
    """
    place = np.floor(centre)[:, None] + np.arange(-1, 3)
    matrix = np.zeros((len(centre), size_in))
    column = np.clip(place, 0, size_in - 1).astype(np.intp)
    np.add.at(matrix, (np.arange(len(centre))[:, None], column), _kernel(centre[:, None] - place))
    return matrix


def _along_both_axes(rows: Array, columns: Array, x: Array) -> Array:
    """Σ_hw rows_oh columns_pw x_hwc for each o, p, c, in x's precision."""
    *lead, height, width, channels = x.shape
    rows, columns = rows.astype(x.real.dtype), columns.astype(x.real.dtype)
    y = (rows @ x.reshape(*lead, height, width * channels)).reshape(*lead, len(rows), width, channels)
    return columns @ y


@op(x="... H W C", size=pair())
def resize_bicubic_forward(x: Array, size: tuple[int, int]) -> tuple[Array, Any]:
    """y = A_y x A_xᵀ for each channel, with the matrices of `bicubic_matrix` for the rows and for the columns.

    Equal to torch.nn.functional.interpolate(mode="bicubic", align_corners=False) on maps with channels last.

    Args:
        x: (..., H, W, C).
        size: (H', W').

    Returns:
        y (..., H', W', C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_resize_bicubic
    """
    height, width = x.shape[-3:-1]
    rows, columns = bicubic_matrix(size[0], height), bicubic_matrix(size[1], width)
    return _along_both_axes(rows, columns, x), (rows, columns)


def resize_bicubic_backward(dy: Array, cache: Any) -> Array:
    """The map is linear, so its derivative is its transpose: dx = A_yᵀ dy A_x for each channel.

    Args:
        dy: (..., H', W', C).

    Returns:
        dx (..., H, W, C).
    """
    rows, columns = cache
    return _along_both_axes(rows.T, columns.T, dy)
