"""`conv2d`: a linear map of each token where the kernel is 1×1; `convolution/` holds all other kernels."""

from typing import Any

from npswin.backends.cpu.convolution.direct import sum_places
from npswin.backends.cpu.convolution.direct_weight import sum_weight_gradient
from npswin.backends.cpu.convolution.places import kernel_places
from npswin.backends.cpu.convolution.token_sums import sum_of_tokens
from npswin.backends.cpu.convolution.winograd import is_worthwhile
from npswin.backends.cpu.convolution.winograd_map import convolve_by_winograd
from npswin.backends.cpu.convolution.winograd_weight import weight_gradient_by_winograd
from npswin.backends.cpu.fused.gathered_linear import GatheredLinearCall
from npswin.backends.cpu.linear import linear_backward, linear_forward
from npswin.ops.conv2d import conv2d_size
from npswin.types import Array


def conv2d_forward(
    x: Array, weight: Array, bias: Array | None = None, stride: int = 1, padding: int = 0
) -> tuple[Array, Any]:
    """See `npswin.ops.conv2d_forward`."""
    if weight.shape[2:] == (1, 1) and stride == 1 and padding == 0:
        return linear_forward(x, weight, bias)
    size_out = conv2d_size(x.shape[1:3], weight.shape[2:], stride, padding)
    geometry = x.shape[1:3], size_out, weight.shape[2:], stride, padding
    return _y(x, weight, bias, geometry), (x, weight, bias is not None, geometry)


def conv2d_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array | None]:
    """See `npswin.ops.conv2d_backward`."""
    if isinstance(cache, GatheredLinearCall):
        return linear_backward(dy, cache)
    x, weight, has_bias, geometry = cache
    dbias = sum_of_tokens(dy) if has_bias else None
    return _dx(dy, x, weight, geometry), _dweight(dy, x, weight, geometry), dbias


def _y(x: Array, weight: Array, bias: Array | None, geometry: Any) -> Array:
    _, size_out, _, stride, padding = geometry
    if is_worthwhile(x, weight, size_out, stride):
        y, is_finite = convolve_by_winograd(x, weight, bias, size_out, padding, transposed=False)
        if is_finite:
            return y
    return sum_places(x, weight, bias, kernel_places(*geometry, transposed=False), transposed=False)


def _dx(dy: Array, x: Array, weight: Array, geometry: Any) -> Array:
    size, size_out, _, stride, padding = geometry
    if is_worthwhile(x, weight, size_out, stride):
        dx, is_finite = convolve_by_winograd(dy, weight, None, size, padding, transposed=True)
        if is_finite:
            return dx
    return sum_places(dy, weight, None, kernel_places(*geometry, transposed=True), transposed=True)


def _dweight(dy: Array, x: Array, weight: Array, geometry: Any) -> Array:
    _, size_out, kernel_size, stride, padding = geometry
    if is_worthwhile(x, weight, size_out, stride):
        dweight, is_finite = weight_gradient_by_winograd(x, dy, padding)
        if is_finite:
            return dweight
    return sum_weight_gradient(x, dy, kernel_size, kernel_places(*geometry, transposed=False))
