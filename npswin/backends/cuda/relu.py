"""`relu`; the kernel is in `kernels/elementwise.cu`."""

from typing import Any

from npswin.backends.cuda.runtime.launch import blocks, launch
from npswin.devices import cupy


def _where_positive(sign: Any, x: Any) -> Any:
    y = cupy().empty(x.shape, x.dtype)
    launch("elementwise", "where_positive", x.dtype, blocks(x.size), (sign, x, y, x.size))
    return y


def relu_forward(x: Any) -> tuple[Any, Any]:
    """See `npswin.ops.relu_forward`."""
    x = cupy().ascontiguousarray(x)
    y = _where_positive(x, x)
    return y, y


def relu_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.relu_backward`."""
    return _where_positive(cache, cupy().ascontiguousarray(dy))
