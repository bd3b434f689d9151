"""`softmax` over the last axis: a row of numbers at a time."""

from typing import Any

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.simd.elementary_functions import exp
from npswin.types import Array


@kernel
def _forward(first: int, stop: int, part: int, scratch: Array, x: Array, y: Array, columns: int) -> None:
    number = x.dtype.type
    for row in range(first, stop):
        source, out = view(x, row * columns, columns), view(y, row * columns, columns)
        largest, total = source[0], number(0)
        for c in range(columns):
            largest = source[c] if source[c] > largest else largest
        for c in range(columns):
            out[c] = exp(source[c] - largest)
        for c in range(
            columns
        ):  # a loop of its own: with a store in it, its order would depend on the arrays' addresses
            total += out[c]
        for c in range(columns):
            out[c] /= total


@kernel
def _backward(first: int, stop: int, part: int, scratch: Array, y: Array, dy: Array, dx: Array, columns: int) -> None:
    number = y.dtype.type
    for row in range(first, stop):
        p, dp = view(y, row * columns, columns), view(dy, row * columns, columns)
        out, total = view(dx, row * columns, columns), number(0)
        for c in range(columns):
            total += p[c] * dp[c]
        for c in range(columns):
            out[c] = p[c] * (dp[c] - total)


def softmax_forward(x: Array) -> tuple[Array, Any]:
    """See `npswin.ops.softmax_forward`."""
    source, columns = flat(x), x.shape[-1]
    y = pooled_empty(x.shape, x.dtype)
    run_parallel(_forward, x.size // columns, 0, x.dtype, source, y.reshape(-1), columns)
    return y, y


def softmax_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.softmax_backward`."""
    dx, columns = pooled_empty(cache.shape, cache.dtype), cache.shape[-1]
    run_parallel(_backward, dy.size // columns, 0, dy.dtype, flat(cache), flat(dy), dx.reshape(-1), columns)
    return dx
