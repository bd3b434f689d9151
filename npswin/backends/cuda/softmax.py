"""`softmax` over the last axis; the kernels are in `kernels/softmax.cu`."""

from typing import Any

from npswin.backends.cuda.runtime.launch import blocks, launch
from npswin.devices import cupy

_ROWS = 8  # of a block: a warp each


def softmax_forward(x: Any) -> tuple[Any, Any]:
    """See `npswin.ops.softmax_forward`."""
    x = cupy().ascontiguousarray(x)
    p, rows = cupy().empty(x.shape, x.dtype), x.size // x.shape[-1]
    launch("softmax", "softmax_forward", x.dtype, blocks(rows, _ROWS), (x, p, rows, x.shape[-1]))
    return p, p


def softmax_backward(dp: Any, cache: Any) -> Any:
    """See `npswin.ops.softmax_backward`."""
    dp, rows = cupy().ascontiguousarray(dp), dp.size // dp.shape[-1]
    dx = cupy().empty(dp.shape, dp.dtype)
    launch("softmax", "softmax_backward", dp.dtype, blocks(rows, _ROWS), (dp, cache, dx, rows, dp.shape[-1]))
    return dx
