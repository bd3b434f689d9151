"""`conv_transpose2d`: the derivative by x of a convolution whose stride is its kernel's side."""

from typing import Any

from npswin.backends.cuda.convolution import Convolution, sum_places, weight_gradient
from npswin.backends.cuda.linear import add_bias
from npswin.backends.cuda.runtime.launch import sum_over_rows
from npswin.devices import cupy


def conv_transpose2d_forward(x: Any, weight: Any, bias: Any = None) -> tuple[Any, Any]:
    """See `npswin.ops.conv_transpose2d_forward`."""
    x, (height, width), side = cupy().ascontiguousarray(x), x.shape[1:3], weight.shape[-1]
    convolution = Convolution((side * height, side * width), (height, width), (side, side), side, 0)
    y = sum_places(x, weight, convolution, transposed=True)
    return (y if bias is None else add_bias(y, bias)), (x, weight, bias is not None, convolution)


def conv_transpose2d_backward(dy: Any, cache: Any) -> tuple[Any, Any, Any]:
    """See `npswin.ops.conv_transpose2d_backward`: of a convolution from y to x, so that dy and x change places."""
    x, weight, has_bias, convolution = cache
    dy = cupy().ascontiguousarray(dy)
    dx = sum_places(dy, weight, convolution, transposed=False)
    return dx, weight_gradient(dy, x, weight, convolution), sum_over_rows(dy) if has_bias else None
