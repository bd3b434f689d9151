"""`gelu`: one pass over the array, in blocks."""

from typing import Any

from npswin.backends.cpu.machine.arrays import BLOCK, block_count, flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.simd.elementary_functions import normal_cdf, normal_cdf_and_gelu_derivative
from npswin.types import Array


@kernel
def _forward(first: int, stop: int, part: int, scratch: Array, x: Array, y: Array) -> None:
    count = min(stop * BLOCK, x.size) - first * BLOCK
    source, out = view(x, first * BLOCK, count), view(y, first * BLOCK, count)
    for i in range(count):
        out[i] = source[i] * normal_cdf(source[i])


@kernel
def _backward(first: int, stop: int, part: int, scratch: Array, x: Array, dy: Array, dx: Array) -> None:
    count = min(stop * BLOCK, x.size) - first * BLOCK
    start = first * BLOCK
    source, dy_block, out = view(x, start, count), view(dy, start, count), view(dx, start, count)
    for i in range(count):
        out[i] = dy_block[i] * normal_cdf_and_gelu_derivative(source[i])[1]


def gelu_forward(x: Array) -> tuple[Array, Any]:
    """See `npswin.ops.gelu_forward`."""
    source = flat(x)
    y = pooled_empty(source.shape, source.dtype)
    run_parallel(_forward, block_count(x), 0, x.dtype, source, y)
    return y.reshape(x.shape), source


def gelu_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.gelu_backward`."""
    dx = pooled_empty(cache.shape, cache.dtype)
    run_parallel(_backward, block_count(dy), 0, dy.dtype, cache, flat(dy), dx)
    return dx.reshape(dy.shape)
