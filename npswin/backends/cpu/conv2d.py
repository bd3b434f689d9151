"""`conv2d`; `convolution/` holds the kernels."""

from typing import Any

from npswin.backends.cpu.convolution.direct import sum_places
from npswin.backends.cpu.convolution.direct_weight import sum_weight_gradient
from npswin.backends.cpu.convolution.places import kernel_places
from npswin.backends.cpu.convolution.token_sums import sum_of_tokens
from npswin.ops.conv2d import conv2d_size
from npswin.types import Array


def conv2d_forward(
    x: Array, weight: Array, bias: Array | None = None, stride: int = 1, padding: int = 0
) -> tuple[Array, Any]:
    """See `npswin.ops.conv2d_forward`."""
    size_out = conv2d_size(x.shape[1:3], weight.shape[2:], stride, padding)
    geometry = x.shape[1:3], size_out, weight.shape[2:], stride, padding
    y = sum_places(x, weight, bias, kernel_places(*geometry, transposed=False), transposed=False)
    return y, (x, weight, bias is not None, geometry)


def conv2d_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array | None]:
    """See `npswin.ops.conv2d_backward`."""
    x, weight, has_bias, geometry = cache
    dx = sum_places(dy, weight, None, kernel_places(*geometry, transposed=True), transposed=True)
    dweight = sum_weight_gradient(x, dy, weight.shape[2:], kernel_places(*geometry, transposed=False))
    return dx, dweight, sum_of_tokens(dy) if has_bias else None
