"""`resized_conv2d`: the two ops one after the other."""

from typing import Any

from npswin.backends.cuda.conv2d import conv2d_backward, conv2d_forward
from npswin.backends.cuda.resize import resize_bilinear_backward, resize_bilinear_forward


def resized_conv2d_forward(x: Any, weight: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """See `npswin.ops.resized_conv2d_forward`."""
    resized, resize_cache = resize_bilinear_forward(x, size)
    y, conv_cache = conv2d_forward(resized, weight, None, 1, weight.shape[-1] // 2)
    return y, (resize_cache, conv_cache)


def resized_conv2d_backward(dy: Any, cache: Any) -> tuple[Any, Any]:
    """See `npswin.ops.resized_conv2d_backward`."""
    resize_cache, conv_cache = cache
    dresized, dweight, _ = conv2d_backward(dy, conv_cache)
    return resize_bilinear_backward(dresized, resize_cache), dweight
