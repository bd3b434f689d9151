"""Convolution of a map in two dimensions: at each place, a linear map of the k×k neighbourhood."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from npswin.ops.arguments import LARGEST_SIDE, integer
from npswin.ops.description import op
from npswin.types import Array


def conv2d_size(size: tuple[int, int], kernel_size: tuple[int, int], stride: int, padding: int) -> tuple[int, int]:
    """(H', W'): the places that a kernel has on a map of this size, ⌊(H + 2p − k) / s⌋ + 1 along each axis."""
    height, width = ((side + 2 * padding - k) // stride + 1 for side, k in zip(size, kernel_size, strict=True))
    return height, width


def _check_kernel(x: Array, weight: Array, padding: int, **_: Any) -> None:
    height, width = weight.shape[2:]
    if height % 2 == 0 or width % 2 == 0:
        raise ValueError(f"weight: got shape {weight.shape}, expected a kernel with odd sides")
    if height > x.shape[1] + 2 * padding or width > x.shape[2] + 2 * padding:
        padded = f"{x.shape[1] + 2 * padding}×{x.shape[2] + 2 * padding}"
        raise ValueError(f"weight: got shape {weight.shape}, expected a kernel within the padded map's {padded}")


def overlap(place: int, side: int, side_out: int, stride: int, padding: int) -> tuple[slice, slice]:
    """Along one axis: the results for which this place of the kernel is on the map, and the entries that it meets.

    Result h meets entry s·h + place − p, which has to be at least 0 and below the map's side.
    """
    first = max(0, -(-(padding - place) // stride))
    stop = max(first, min(side_out, (side - 1 + padding - place) // stride + 1))
    entry = stride * first + place - padding
    return slice(first, stop), slice(entry, entry + stride * (stop - first), stride)


def _places(
    x: Array, weight: Array, size: tuple[int, int], stride: int, padding: int
) -> Iterator[tuple[Array, tuple[slice, ...], tuple[slice, ...]]]:
    """For each place of the kernel: its weight W_ij (O, I), and as indices the part of y and of x that it connects."""
    outputs, inputs, *kernel_size = weight.shape
    matrices = np.ascontiguousarray(weight.transpose(2, 3, 0, 1)).reshape(-1, outputs, inputs)
    for place, matrix in zip(np.ndindex(*kernel_size), matrices, strict=True):
        axes = zip(place, x.shape[1:3], size, strict=True)
        (rows, entry_rows), (columns, entry_columns) = (overlap(*axis, stride, padding) for axis in axes)
        yield matrix, (slice(None), rows, columns), (slice(None), entry_rows, entry_columns)


@op(
    x="B H W I",
    weight="O I kh kw",
    bias="O",
    stride=integer("s", at_least=1, at_most=LARGEST_SIDE),
    padding=integer("p", at_least=0, at_most=LARGEST_SIDE),
    also=_check_kernel,
)
def conv2d_forward(
    x: Array, weight: Array, bias: Array | None = None, stride: int = 1, padding: int = 0
) -> tuple[Array, Any]:
    """A sum over the kernel's places, each a linear map of the shifted map x:

        y_hw = b + Σ_ij W_ij x_(sh+i−p)(sw+j−p)        with W_ij = weight[:, :, i, j]

    of those terms whose entry of x is on the map: beyond its border are p rows and columns of zeros.

    Equal to torch.nn.functional.conv2d on maps with channels last.

    Args:
        x: (B, H, W, I).
        weight: (O, I, kh, kw), kh and kw odd, the layout of the official checkpoints.
        bias: (O,) or None.
        stride: s, of the kernel along both axes.
        padding: zeros on each of the map's four sides.

    Returns:
        y (B, H', W', O), of the size that `conv2d_size` gives, and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_conv2d
    """
    size = conv2d_size(x.shape[1:3], weight.shape[2:], stride, padding)
    y = np.zeros((len(x), *size, len(weight)), np.result_type(x, weight))
    for matrix, results, entries in _places(x, weight, size, stride, padding):
        y[results] += x[entries] @ matrix.T
    if bias is not None:
        y = y + bias
    return y, (x, weight, bias is not None, stride, padding)


def conv2d_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array | None]:
    """Each place of the kernel is a linear map of what it meets, so the derivatives are those of `linear`, summed:

        dx_(sh+i−p)(sw+j−p) += W_ijᵀ dy_hw        dW_ij = Σ_bhw dy_bhw x_b(sh+i−p)(sw+j−p)ᵀ        db = Σ_bhw dy_bhw

    Several results meet the same entry of x, so dx is a sum over the places.

    Args:
        dy: (B, H', W', O).

    Returns:
        dx (B, H, W, I), dweight (O, I, kh, kw), dbias (O,) or None.
    """
    x, weight, has_bias, stride, padding = cache
    dx = np.zeros(x.shape, np.result_type(dy, weight))
    dweight = []
    for matrix, results, entries in _places(x, weight, dy.shape[1:3], stride, padding):
        dx[entries] += dy[results] @ matrix
        dweight.append(np.tensordot(dy[results], x[entries], axes=([0, 1, 2], [0, 1, 2])))
    dbias = dy.reshape(-1, dy.shape[-1]).sum(axis=0) if has_bias else None
    return dx, np.stack(dweight, axis=-1).reshape(weight.shape), dbias
