"""`conv2d`; `convolution.py` gathers what a matrix product takes."""

from typing import Any

from npswin.backends.cuda.convolution import Convolution, sum_places, weight_gradient
from npswin.backends.cuda.linear import add_bias
from npswin.backends.cuda.runtime.launch import sum_over_rows
from npswin.devices import cupy
from npswin.ops.conv2d import conv2d_size


def conv2d_forward(x: Any, weight: Any, bias: Any = None, stride: int = 1, padding: int = 0) -> tuple[Any, Any]:
    """See `npswin.ops.conv2d_forward`."""
    x, size, kernel_size = cupy().ascontiguousarray(x), x.shape[1:3], weight.shape[2:]
    size_out = conv2d_size(size, kernel_size, stride, padding)
    convolution = Convolution(size, size_out, kernel_size, stride, padding)
    y = sum_places(x, weight, convolution, transposed=False)
    return (y if bias is None else add_bias(y, bias)), (x, weight, bias is not None, convolution)


def conv2d_backward(dy: Any, cache: Any) -> tuple[Any, Any, Any]:
    """See `npswin.ops.conv2d_backward`."""
    x, weight, has_bias, convolution = cache
    dy = cupy().ascontiguousarray(dy)
    dx = sum_places(dy, weight, convolution, transposed=True)
    return dx, weight_gradient(x, dy, weight, convolution), sum_over_rows(dy) if has_bias else None
