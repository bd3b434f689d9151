"""`dropout`, and the mask that it multiplies by."""

from typing import Any

from npswin.backends.cuda.runtime.launch import blocks, launch, sum_dtype
from npswin.checks import shown
from npswin.devices import cupy, on_gpu


def draw_mask(rng: Any, shape: tuple[int, ...], rate: float, dtype: Any) -> Any:
    """See `npswin.ops.draw_mask`; the generator is CuPy's, and so are its numbers."""
    if not on_gpu(rng):
        raise ValueError(f"rng: got {shown(rng)}, expected a generator of CuPy")
    mask, uniform = cupy().empty(shape, dtype), rng.random(shape, dtype=sum_dtype(dtype))
    launch("elementwise", "draw_mask", dtype, blocks(mask.size), (uniform, mask, mask.size, 1 - rate))
    return mask


def multiply_repeated(x: Any, factor: Any, repeat: int) -> Any:
    """x · factor, with one factor for each `repeat` numbers of x."""
    y = cupy().empty(x.shape, x.dtype)
    launch("elementwise", "multiply", x.dtype, blocks(x.size), (x, factor, y, x.size, repeat))
    return y


def dropout_forward(x: Any, mask: Any) -> tuple[Any, Any]:
    """See `npswin.ops.dropout_forward`."""
    return (x if mask is None else multiply_repeated(cupy().ascontiguousarray(x), mask, 1)), mask


def dropout_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.dropout_backward`."""
    return dropout_forward(dy, cache)[0]
