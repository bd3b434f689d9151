"""`mean_pool`: the mean over the map."""

from typing import Any

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.types import Array


@kernel
def _forward(first: int, stop: int, part: int, scratch: Array, x: Array, y: Array, tokens: int, channels: int) -> None:
    number = x.dtype.type
    for image in range(first, stop):
        out = view(y, image * channels, channels)
        fill(out, 0)
        for token in range(tokens):
            row = view(x, (image * tokens + token) * channels, channels)
            for c in range(channels):
                out[c] += row[c]
        for c in range(channels):
            out[c] /= number(tokens)


@kernel
def _backward(
    first: int, stop: int, part: int, scratch: Array, dy: Array, dx: Array, tokens: int, channels: int
) -> None:
    number = dy.dtype.type
    for image in range(first, stop):
        dy_row = view(dy, image * channels, channels)
        for token in range(tokens):
            row = view(dx, (image * tokens + token) * channels, channels)
            for c in range(channels):
                row[c] = dy_row[c] / number(tokens)


def mean_pool_forward(x: Array) -> tuple[Array, Any]:
    """See `npswin.ops.mean_pool_forward`."""
    batch, height, width, channels = x.shape
    y = pooled_empty((batch, channels), x.dtype)
    run_parallel(_forward, batch, 0, x.dtype, flat(x), y.reshape(-1), height * width, channels)
    return y, x.shape


def mean_pool_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.mean_pool_backward`."""
    batch, height, width, channels = cache
    dx = pooled_empty(cache, dy.dtype)
    run_parallel(_backward, batch, 0, dy.dtype, flat(dy), dx.reshape(-1), height * width, channels)
    return dx
