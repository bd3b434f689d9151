"""Resampling of maps to another size: bicubic, for tables that were learned at another size; bilinear; nearest."""

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


def _centres(size_out: int, size_in: int) -> Array:
    """(size_out,): where the centre of each output lies along an axis; input i lies at i."""
    return (np.arange(size_out) + 0.5) * (size_in / size_out) - 0.5


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
    return _read_only(cubic_matrix(_centres(size_out, size_in), size_in))


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


@lru_cache(maxsize=256)
def bilinear_pixels(size_out: int, size_in: int) -> tuple[Array, Array]:
    """What bilinear resampling along one axis reads: y_o = Σ_k weight_ok x[pixel_ok], of two pixels each.

    With pixels taken as unit squares (align_corners=False), the centre of output o lies at

        u_o = max((o + 1/2) · size_in / size_out − 1/2, 0)

    between the inputs i = ⌊u_o⌋ and i + 1, whose weights are 1 − t and t with t = u_o − i. Beyond the border lies the
    border's pixel again.

    Args:
        size_out, size_in: pixels along the axis, at least 1.

    Returns:
        pixel (size_out, 2), integers, and weight (size_out, 2) in float64; both read-only.
    """
    centre = np.maximum(_centres(size_out, size_in), 0)
    near = np.floor(centre).astype(np.int64)
    t = centre - near
    pixel, weight = np.stack([near, np.minimum(near + 1, size_in - 1)], axis=1), np.stack([1 - t, t], axis=1)
    return _read_only(pixel), _read_only(weight)


@lru_cache(maxsize=256)
def nearest_pixels(size_out: int, size_in: int) -> tuple[Array, Array]:
    """What nearest resampling along one axis reads, as `bilinear_pixels`: the one pixel ⌊o · size_in / size_out⌋.

    It is the pixel where output o begins, as in torch.nn.functional.interpolate(mode="nearest"); PyTorch computes it in
    float32, so that some sizes from 74 on get its neighbour where o · size_in / size_out is a whole number.

    Returns:
        pixel (size_out, 1), integers, and weight (size_out, 1), ones; both read-only.
    """
    pixel = np.arange(size_out)[:, None] * size_in // size_out
    return _read_only(pixel), _read_only(np.ones(pixel.shape))


def _read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


def _read(x: Array, axis: int, pixel: Array, weight: Array) -> Array:
    """y_o = Σ_k weight_ok x[pixel_ok] along an axis, in x's precision."""
    x = np.moveaxis(x, axis, 0)
    weight = weight.astype(x.real.dtype).reshape(*weight.shape, *[1] * (x.ndim - 1))
    y = np.zeros((len(pixel), *x.shape[1:]), x.dtype)
    for k in range(pixel.shape[1]):
        y += weight[:, k] * x[pixel[:, k]]
    return np.moveaxis(y, 0, axis)


def _read_backward(dy: Array, axis: int, size_in: int, pixel: Array, weight: Array) -> Array:
    """dx = Σ weight_ok dy_o along an axis over all (o, k) that read a pixel: the transpose."""
    dy, weight = np.moveaxis(dy, axis, 0), weight.astype(dy.real.dtype)
    dx = np.zeros((size_in, *dy.shape[1:]), dy.dtype)
    for o, k in np.ndindex(pixel.shape):
        dx[pixel[o, k]] += weight[o, k] * dy[o]
    return np.moveaxis(dx, 0, axis)


@op(x="... H W C", size=pair())
def resize_bilinear_forward(x: Array, size: tuple[int, int]) -> tuple[Array, Any]:
    """Bilinear resampling: what `bilinear_pixels` says along the rows, and along the columns.

    Equal to torch.nn.functional.interpolate(mode="bilinear", align_corners=False) on maps with channels last.

    Args:
        x: (..., H, W, C).
        size: (H', W').

    Returns:
        y (..., H', W', C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_resize_bilinear
    """
    height, width = x.shape[-3:-1]
    rows, columns = bilinear_pixels(size[0], height), bilinear_pixels(size[1], width)
    return _read(_read(x, -3, *rows), -2, *columns), (height, width)


def resize_bilinear_backward(dy: Array, cache: Any) -> Array:
    """The map is linear, so its derivative is its transpose: each output adds dy, by its weights, to what it read.

    Args:
        dy: (..., H', W', C).

    Returns:
        dx (..., H, W, C).
    """
    height, width = cache
    rows, columns = bilinear_pixels(dy.shape[-3], height), bilinear_pixels(dy.shape[-2], width)
    return _read_backward(_read_backward(dy, -3, height, *rows), -2, width, *columns)


@op(x="... H W C", size=pair())
def resize_nearest_forward(x: Array, size: tuple[int, int]) -> tuple[Array, Any]:
    """Nearest resampling: what `nearest_pixels` says along the rows, and along the columns.

    Args:
        x: (..., H, W, C).
        size: (H', W').

    Returns:
        y (..., H', W', C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_resize_nearest
    """
    height, width = x.shape[-3:-1]
    rows, columns = nearest_pixels(size[0], height), nearest_pixels(size[1], width)
    return _read(_read(x, -3, *rows), -2, *columns), (height, width)


def resize_nearest_backward(dy: Array, cache: Any) -> Array:
    """The transpose: dx is the sum of dy over the outputs that read a pixel.

    Args:
        dy: (..., H', W', C).

    Returns:
        dx (..., H, W, C).
    """
    height, width = cache
    rows, columns = nearest_pixels(dy.shape[-3], height), nearest_pixels(dy.shape[-2], width)
    return _read_backward(_read_backward(dy, -3, height, *rows), -2, width, *columns)
