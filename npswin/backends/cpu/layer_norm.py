"""`layer_norm`: one pass over the map forward, one backward.

Tokens are not transposed: their channels lie side by side, and a token's sums run over vectors of its channels. (Within
a block the norm is part of the fused kernels: `normalize` and `normalize_backward` in `tile/lanes.py`.)
"""

from typing import Any

import numpy as np

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import part_count, run_parallel, thread_count
from npswin.types import Array

BLOCK = 64  # tokens in a piece of work


@kernel
def _forward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    x: Array,
    y: Array,
    channels: int,
    weight: Array,
    bias: Array,
    eps: float,
    stats: Array,
) -> None:
    number = x.dtype.type
    for t in range(first * BLOCK, min(stop * BLOCK, x.size // channels)):
        token, out = view(x, t * channels, channels), view(y, t * channels, channels)
        total = number(0)
        for c in range(channels):
            total += token[c]
        mean = total / number(channels)
        sum_of_squares = number(0)
        for c in range(channels):
            sum_of_squares += (token[c] - mean) * (token[c] - mean)
        rstd = number(1) / np.sqrt(sum_of_squares / number(channels) + number(eps))
        for c in range(channels):
            out[c] = (token[c] - mean) * rstd * weight[c] + bias[c]
        stats[2 * t], stats[2 * t + 1] = mean, rstd


@kernel
def _backward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    x: Array,
    dy: Array,
    dx: Array,
    channels: int,
    weight: Array,
    stats: Array,
    sums: Array,
) -> None:
    """`sums` has a row a part: dweight, dbias (C each)."""
    number = x.dtype.type
    dweight = view(sums, part * 2 * channels, channels)
    dbias = view(sums, (part * 2 + 1) * channels, channels)
    fill(dweight, 0)
    fill(dbias, 0)
    for t in range(first * BLOCK, min(stop * BLOCK, x.size // channels)):
        token, dtoken = view(x, t * channels, channels), view(dy, t * channels, channels)
        out = view(dx, t * channels, channels)
        mean, rstd = stats[2 * t], stats[2 * t + 1]
        total, total_xhat = number(0), number(0)
        for c in range(channels):
            xhat = (token[c] - mean) * rstd
            g = dtoken[c] * weight[c]
            total += g
            total_xhat += g * xhat
            dweight[c] += dtoken[c] * xhat
            dbias[c] += dtoken[c]
        total /= number(channels)
        total_xhat /= number(channels)
        for c in range(channels):
            xhat = (token[c] - mean) * rstd
            out[c] = rstd * (dtoken[c] * weight[c] - total - xhat * total_xhat)


def layer_norm_forward(x: Array, weight: Array, bias: Array, eps: float = 1e-5) -> tuple[Array, Any]:
    """See `npswin.ops.layer_norm_forward`."""
    y, channels = pooled_empty(x.shape, x.dtype), x.shape[-1]
    shape, x, weight = x.shape, flat(x), flat(weight)
    tokens = x.size // channels
    stats = pooled_empty(2 * tokens, x.dtype)
    run_parallel(
        *(_forward, -(-tokens // BLOCK), 0, x.dtype),
        *(x, y.reshape(-1), channels, weight, flat(bias), eps, stats),
    )
    return y, (x, shape, weight, stats)


def layer_norm_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
    """See `npswin.ops.layer_norm_backward`."""
    x, shape, weight, stats = cache
    dx, channels, dy = pooled_empty(shape, x.dtype), shape[-1], flat(dy)
    blocks = -(-x.size // channels // BLOCK)
    threads = thread_count()
    sums = pooled_empty((part_count(blocks, threads), 2, channels), x.dtype)
    run_parallel(
        *(_backward, blocks, 0, x.dtype),
        *(x, dy, dx.reshape(-1), channels, weight, stats, sums.reshape(-1)),
        threads=threads,
    )
    dweight, dbias = sums.sum(axis=0)
    return dx, dweight, dbias
