"""Words that take each number, or each row of numbers, by itself: one pass over the arrays, in pieces."""

from typing import Any

from npswin.backends.cpu.arrays import BLOCK, block_count, flat, flat_derivative
from npswin.backends.cpu.functions import exp, gelu_slope, normal_cdf
from npswin.backends.cpu.jit import kernel, view
from npswin.backends.cpu.memory import empty
from npswin.backends.cpu.threads import run_parallel
from npswin.types import Array


@kernel
def _gelu(first: int, stop: int, part: int, scratch: Array, x: Array, y: Array) -> None:
    count = min(stop * BLOCK, x.size) - first * BLOCK
    source, out = view(x, first * BLOCK, count), view(y, first * BLOCK, count)
    for i in range(count):
        out[i] = source[i] * normal_cdf(source[i])


@kernel
def _gelu_backward(first: int, stop: int, part: int, scratch: Array, x: Array, dy: Array, dx: Array) -> None:
    count = min(stop * BLOCK, x.size) - first * BLOCK
    source, up, out = view(x, first * BLOCK, count), view(dy, first * BLOCK, count), view(dx, first * BLOCK, count)
    for i in range(count):
        out[i] = up[i] * gelu_slope(source[i])[1]


def gelu_forward(x: Array) -> tuple[Array, Any]:
    """See `npswin.ops.gelu_forward`."""
    source = flat(x)
    y = empty(source.shape, source.dtype)
    run_parallel(_gelu, block_count(x), 0, x.dtype, source, y)
    return y.reshape(x.shape), source


def gelu_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.gelu_backward`."""
    dx = empty(cache.shape, cache.dtype)
    run_parallel(_gelu_backward, block_count(dy), 0, dy.dtype, cache, flat_derivative(dy, cache.size, cache.dtype), dx)
    return dx.reshape(dy.shape)


@kernel
def _softmax(first: int, stop: int, part: int, scratch: Array, x: Array, y: Array, columns: int) -> None:
    number = x.dtype.type
    for row in range(first, stop):
        source, out = view(x, row * columns, columns), view(y, row * columns, columns)
        largest, total = source[0], number(0)
        for c in range(columns):
            largest = source[c] if source[c] > largest else largest
        for c in range(columns):
            out[c] = exp(source[c] - largest)
        for c in range(columns):  # by itself: how a sum with a store in its loop runs depends on where the arrays lie
            total += out[c]
        for c in range(columns):
            out[c] /= total


@kernel
def _softmax_backward(
    first: int, stop: int, part: int, scratch: Array, y: Array, dy: Array, dx: Array, columns: int
) -> None:
    number = y.dtype.type
    for row in range(first, stop):
        p, up = view(y, row * columns, columns), view(dy, row * columns, columns)
        out, total = view(dx, row * columns, columns), number(0)
        for c in range(columns):
            total += p[c] * up[c]
        for c in range(columns):
            out[c] = p[c] * (up[c] - total)


def softmax_forward(x: Array) -> tuple[Array, Any]:
    """See `npswin.ops.softmax_forward`."""
    source, columns = flat(x), x.shape[-1]
    y = empty(x.shape, x.dtype)
    run_parallel(_softmax, x.size // columns, 0, x.dtype, source, y.reshape(-1), columns)
    return y, y


def softmax_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.softmax_backward`."""
    dx, columns = empty(dy.shape, dy.dtype), dy.shape[-1]
    run_parallel(
        *(_softmax_backward, dy.size // columns, 0, dy.dtype, flat(cache)),
        *(flat_derivative(dy, cache.size, cache.dtype), dx.reshape(-1), columns),
    )
    return dx
