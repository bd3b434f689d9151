"""`gelu`; the kernels are in `kernels/elementwise.cu`."""

from typing import Any

from npswin.backends.cuda.runtime.launch import blocks, launch
from npswin.devices import cupy


def add_bias_then_gelu(h: Any, bias: Any = None) -> Any:
    """GELU(h + bias); h gets its bias in place."""
    y = cupy().empty(h.shape, h.dtype)
    launch("elementwise", "gelu_forward", h.dtype, blocks(h.size), (h, bias, y, h.size, h.shape[-1]))
    return y


def gelu_forward(x: Any) -> tuple[Any, Any]:
    """See `npswin.ops.gelu_forward`."""
    x = cupy().ascontiguousarray(x)
    return add_bias_then_gelu(x), x


def gelu_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.gelu_backward`."""
    cp = cupy()
    dx = cp.empty(dy.shape, dy.dtype)
    launch("elementwise", "gelu_backward", dy.dtype, blocks(dy.size), (cp.ascontiguousarray(dy), cache, dx, dy.size))
    return dx
