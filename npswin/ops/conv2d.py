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
        raise ValueError(f"weight: got a kernel of {height}×{width}, expected odd sides")
    if height > x.shape[1] + 2 * padding or width > x.shape[2] + 2 * padding:
        padded = f"{x.shape[1] + 2 * padding}×{x.shape[2] + 2 * padding}"
        raise ValueError(f"weight: got a kernel of {height}×{width}, expected at most the padded map's {padded}")


def _windows(padded: Array, weight: Array, stride: int, size: tuple[int, int]) -> Iterator[tuple[Array, Array]]:
    """For each place (i, j) of the kernel: the entries (B, H', W', I) that it meets, a view, and its weight (O, I)."""
    height, width = size
    for (i, j), matrix in zip(np.ndindex(weight.shape[2:]), _matrices(weight), strict=True):
        yield padded[:, i : i + stride * height : stride, j : j + stride * width : stride], matrix


def _matrices(weight: Array) -> Array:
    """(O, I, kh, kw) -> (kh·kw, O, I), contiguous."""
    outputs, inputs = weight.shape[:2]
    return np.ascontiguousarray(weight.transpose(2, 3, 0, 1)).reshape(-1, outputs, inputs)


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
    """A sum over the kernel's places, each a linear map of a shifted view of the map padded with zeros, x⁺:

        y_hw = Σ_ij W_ij x⁺_(sh+i)(sw+j) + b        with W_ij = weight[:, :, i, j]

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
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    y = np.zeros((len(x), *size, len(weight)), np.result_type(x, weight))
    for window, matrix in _windows(padded, weight, stride, size):
        y += window @ matrix.T
    if bias is not None:
        y = y + bias
    return y, (padded, weight, bias is not None, stride, padding)


def conv2d_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array | None]:
    """Each place of the kernel is a linear map of its own window of x⁺, so the derivatives are those of `linear`:

        dx⁺_(sh+i)(sw+j) += W_ijᵀ dy_hw        dW_ij = Σ_bhw dy_bhw x⁺_b(sh+i)(sw+j)ᵀ        db = Σ_bhw dy_bhw

    Windows overlap, so dx⁺ is summed over the places; that of the padding is dropped.

    Args:
        dy: (B, H', W', O).

    Returns:
        dx (B, H, W, I), dweight (O, I, kh, kw), dbias (O,) or None.
    """
    padded, weight, has_bias, stride, padding = cache
    outputs, inputs, *kernel_size = weight.shape
    size = dy.shape[1:3]
    drows = dy.reshape(-1, outputs)
    dpadded = np.zeros(padded.shape, np.result_type(dy, weight))
    dweight = []
    windows = _windows(padded, weight, stride, size)
    for (window, matrix), (dwindow, _) in zip(windows, _windows(dpadded, weight, stride, size), strict=True):
        dwindow += dy @ matrix
        dweight.append(drows.T @ window.reshape(-1, inputs))
    height, width = (side - 2 * padding for side in padded.shape[1:3])
    dx = dpadded[:, padding : padding + height, padding : padding + width]
    dbias = drows.sum(axis=0) if has_bias else None
    return dx, np.stack(dweight, axis=-1).reshape(outputs, inputs, *kernel_size), dbias
