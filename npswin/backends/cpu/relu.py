"""`relu`: one pass over the array, in blocks."""

from typing import Any

from npswin.backends.cpu.machine.arrays import BLOCK, block_count, flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.types import Array


@kernel
def _where_positive(first: int, stop: int, part: int, scratch: Array, sign: Array, x: Array, y: Array) -> None:
    """y = x where `sign` is positive or NaN, else 0."""
    zero, start, count = x.dtype.type(0), first * BLOCK, min(stop * BLOCK, x.size) - first * BLOCK
    signs, source, out = view(sign, start, count), view(x, start, count), view(y, start, count)
    for i in range(count):
        out[i] = zero if signs[i] <= zero else source[i]


def relu_forward(x: Array) -> tuple[Array, Any]:
    """See `npswin.ops.relu_forward`."""
    source = flat(x)
    y = pooled_empty(source.shape, source.dtype)
    run_parallel(_where_positive, block_count(x), 0, x.dtype, source, source, y)
    return y.reshape(x.shape), y


def relu_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.relu_backward`."""
    dx = pooled_empty(cache.shape, cache.dtype)
    run_parallel(_where_positive, block_count(dy), 0, dy.dtype, cache, flat(dy), dx)
    return dx.reshape(dy.shape)
