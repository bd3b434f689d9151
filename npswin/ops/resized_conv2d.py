"""Convolution of a map that is resized first, as feature pyramids do with their coarser maps."""

from typing import Any

from npswin.ops.arguments import pair
from npswin.ops.conv2d import conv2d_backward, conv2d_forward
from npswin.ops.description import op
from npswin.ops.resize import resize_bilinear_backward, resize_bilinear_forward
from npswin.types import Array


def _check_kernel(weight: Array, **_: Any) -> None:
    side = weight.shape[-1]
    if side % 2 == 0:
        raise ValueError(f"weight: got a kernel of {side}×{side}, expected an odd side")


@op(x="B H W I", weight="O I k k", size=pair(), also=_check_kernel)
def resized_conv2d_forward(x: Array, weight: Array, size: tuple[int, int]) -> tuple[Array, Any]:
    """y = resize(x) ∗ W: bilinear resizing, then a convolution with a stride of 1 that keeps the size.

    A convolution of maps side by side is the sum of their convolutions. With this op the coarser maps of a pyramid need
    not be resized and put side by side in memory.

    Args:
        x: (B, H, W, I).
        weight: (O, I, k, k), k odd.
        size: (H', W').

    Returns:
        y (B, H', W', O) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_resized_conv2d
    """
    resized, resize_cache = resize_bilinear_forward(x, size)
    y, conv_cache = conv2d_forward(resized, weight, padding=weight.shape[-1] // 2)
    return y, (resize_cache, conv_cache)


def resized_conv2d_backward(dy: Array, cache: Any) -> tuple[Array, Array]:
    """The backward functions of the two ops, in reverse order.

    Args:
        dy: (B, H', W', O).

    Returns:
        dx (B, H, W, I), dweight (O, I, k, k).
    """
    resize_cache, conv_cache = cache
    dresized, dweight, _ = conv2d_backward(dy, conv_cache)
    return resize_bilinear_backward(dresized, resize_cache), dweight
