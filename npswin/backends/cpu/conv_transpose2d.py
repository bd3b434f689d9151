"""`conv_transpose2d`: the derivative by x of a convolution whose stride is its kernel's side; `convolution/` has it."""

from typing import Any

from npswin.backends.cpu.convolution.direct import sum_places
from npswin.backends.cpu.convolution.direct_weight import sum_weight_gradient
from npswin.backends.cpu.convolution.places import kernel_places
from npswin.backends.cpu.convolution.token_sums import sum_of_tokens
from npswin.types import Array


def conv_transpose2d_forward(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Any]:
    """See `npswin.ops.conv_transpose2d_forward`."""
    (height, width), side = x.shape[1:3], weight.shape[-1]
    geometry = (side * height, side * width), (height, width), weight.shape[2:], side, 0
    y = sum_places(x, weight, bias, kernel_places(*geometry, transposed=True), transposed=True)
    return y, (x, weight, bias is not None, geometry)


def conv_transpose2d_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array | None]:
    """See `npswin.ops.conv_transpose2d_backward`: of a convolution from y to x, so that dy and x change places."""
    x, weight, has_bias, geometry = cache
    places = kernel_places(*geometry, transposed=False)
    dx = sum_places(dy, weight, None, places, transposed=False)
    dweight = sum_weight_gradient(dy, x, weight.shape[2:], places)
    return dx, dweight, sum_of_tokens(dy) if has_bias else None
