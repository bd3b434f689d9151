"""`batch_norm`: a pass over the map for its moments and one for y; a pass for the backward sums and one for dx.

A pixel's channels lie side by side, and loops over them are vector code. The moments of blocks of pixels, which stay in
the cache for a second look, are merged as those of parts of a batch are.
"""

from typing import Any

import numpy as np

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import part_count, run_parallel, thread_count
from npswin.ops.batch_norm import Moments, merge_moments
from npswin.types import Array

BLOCK = 64  # pixels in a piece of work


def _blocks(x: Array) -> int:
    """How many blocks of pixels a map has."""
    return -(-x.size // x.shape[-1] // BLOCK)


@kernel
def _moments(
    first: int, stop: int, part: int, scratch: Array, x: Array, channels: int, counts: Array, sums: Array
) -> None:
    """`sums` has rows of a part: the mean and Σ (x − mean)² of its pixels, whose number is in `counts`."""
    number, size = x.dtype.type, x.size // channels
    mean, squares = view(sums, part * 2 * channels, channels), view(sums, (part * 2 + 1) * channels, channels)
    block_mean, block_squares = view(scratch, 0, channels), view(scratch, channels, channels)
    fill(mean, 0)
    fill(squares, 0)
    before = 0
    for start in range(first * BLOCK, min(stop * BLOCK, size), BLOCK):
        count = min(BLOCK, size - start)
        fill(block_mean, 0)
        fill(block_squares, 0)
        for pixel in range(start, start + count):
            row = view(x, pixel * channels, channels)
            for c in range(channels):
                block_mean[c] += row[c]
        for c in range(channels):
            block_mean[c] /= number(count)
        for pixel in range(start, start + count):
            row = view(x, pixel * channels, channels)
            for c in range(channels):
                block_squares[c] += (row[c] - block_mean[c]) * (row[c] - block_mean[c])
        share, between = number(count) / number(before + count), number(before) * number(count) / number(before + count)
        for c in range(channels):
            difference = block_mean[c] - mean[c]
            mean[c] += share * difference
            squares[c] += block_squares[c] + between * difference * difference
        before += count
    counts[part] = before


@kernel
def _normalize(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    x: Array,
    y: Array,
    channels: int,
    mean: Array,
    scale: Array,
    bias: Array,
) -> None:
    for pixel in range(first * BLOCK, min(stop * BLOCK, x.size // channels)):
        row, out = view(x, pixel * channels, channels), view(y, pixel * channels, channels)
        for c in range(channels):
            out[c] = (row[c] - mean[c]) * scale[c] + bias[c]


@kernel
def _backward_sums(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    dy: Array,
    x: Array,
    channels: int,
    mean: Array,
    sums: Array,
) -> None:
    """`sums` has rows of a part: Σ dy and Σ dy (x − mean)."""
    dy_sum, product_sum = view(sums, part * 2 * channels, channels), view(sums, (part * 2 + 1) * channels, channels)
    fill(dy_sum, 0)
    fill(product_sum, 0)
    for pixel in range(first * BLOCK, min(stop * BLOCK, x.size // channels)):
        row, drow = view(x, pixel * channels, channels), view(dy, pixel * channels, channels)
        for c in range(channels):
            dy_sum[c] += drow[c]
            product_sum[c] += drow[c] * (row[c] - mean[c])


@kernel
def _backward_input(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    dy: Array,
    x: Array,
    dx: Array,
    channels: int,
    mean: Array,
    scale: Array,
    dy_mean: Array,
    slope: Array,
) -> None:
    for pixel in range(first * BLOCK, min(stop * BLOCK, x.size // channels)):
        row, drow = view(x, pixel * channels, channels), view(dy, pixel * channels, channels)
        out = view(dx, pixel * channels, channels)
        for c in range(channels):
            out[c] = scale[c] * (drow[c] - dy_mean[c] - (row[c] - mean[c]) * slope[c])


@kernel
def _backward_constant(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    dy: Array,
    x: Array,
    dx: Array,
    channels: int,
    mean: Array,
    scale: Array,
    sums: Array,
) -> None:
    """`_backward_sums`, and dx = dy · scale."""
    dy_sum, product_sum = view(sums, part * 2 * channels, channels), view(sums, (part * 2 + 1) * channels, channels)
    fill(dy_sum, 0)
    fill(product_sum, 0)
    for pixel in range(first * BLOCK, min(stop * BLOCK, x.size // channels)):
        row, drow = view(x, pixel * channels, channels), view(dy, pixel * channels, channels)
        out = view(dx, pixel * channels, channels)
        for c in range(channels):
            dy_sum[c] += drow[c]
            product_sum[c] += drow[c] * (row[c] - mean[c])
            out[c] = drow[c] * scale[c]


def batch_norm_moments(x: Array) -> Moments:
    """See `npswin.ops.batch_norm_moments`."""
    channels, blocks, threads = x.shape[-1], _blocks(x), thread_count()
    if not blocks:
        return Moments(0, np.zeros(channels, x.dtype), np.zeros(channels, x.dtype))
    parts = part_count(blocks, threads)
    counts, sums = np.empty(parts, np.int64), pooled_empty((parts, 2, channels), x.dtype)
    run_parallel(
        *(_moments, blocks, 2 * channels, x.dtype),
        *(flat(x), channels, counts, sums.reshape(-1)),
        threads=threads,
    )
    parts_of_it = zip(counts.tolist(), sums, strict=True)
    return merge_moments([Moments(count, mean, squares / count) for count, (mean, squares) in parts_of_it])


def batch_norm_forward(
    x: Array, weight: Array, bias: Array, mean: Array, variance: Array, eps: float = 1e-5, constant: bool = False
) -> tuple[Array, Any]:
    """See `npswin.ops.batch_norm_forward`."""
    y = pooled_empty(x.shape, x.dtype)
    scale = weight / np.sqrt(variance + eps)
    run_parallel(
        *(_normalize, _blocks(x), 0, x.dtype),
        *(flat(x), y.reshape(-1), x.shape[-1], flat(mean), scale, flat(bias)),
    )
    return y, (x, weight, mean, variance, eps, constant)


def batch_norm_backward_sums(
    dy: Array, x: Array, mean: Array, variance: Array, eps: float = 1e-5
) -> tuple[Array, Array]:
    """See `npswin.ops.batch_norm_backward_sums`."""
    channels, blocks, threads = x.shape[-1], _blocks(x), thread_count()
    sums = pooled_empty((part_count(blocks, threads), 2, channels), x.dtype)
    run_parallel(
        *(_backward_sums, blocks, 0, x.dtype),
        *(flat(dy), flat(x), channels, flat(mean), sums.reshape(-1)),
        threads=threads,
    )
    dy_sum, product_sum = sums.sum(axis=0)
    return dy_sum, product_sum / np.sqrt(variance + eps)


def batch_norm_backward_input(
    dy: Array,
    x: Array,
    weight: Array,
    mean: Array,
    variance: Array,
    dy_mean: Array,
    dy_xhat_mean: Array,
    eps: float = 1e-5,
) -> Array:
    """See `npswin.ops.batch_norm_backward_input`."""
    dx, rstd = pooled_empty(x.shape, x.dtype), 1 / np.sqrt(variance + eps)
    run_parallel(
        *(_backward_input, _blocks(x), 0, x.dtype),
        *(flat(dy), flat(x), dx.reshape(-1), x.shape[-1], flat(mean)),
        *(weight * rstd, flat(dy_mean), rstd * dy_xhat_mean),
    )
    return dx


def batch_norm_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
    """See `npswin.ops.batch_norm_backward`."""
    x, weight, mean, variance, eps, constant = cache
    if constant:
        return _constant_backward(dy, x, weight, mean, 1 / np.sqrt(variance + eps))
    dbias, dweight = batch_norm_backward_sums(dy, x, mean, variance, eps)
    share = 1 / max(x.size // x.shape[-1], 1)
    dx = batch_norm_backward_input(dy, x, weight, mean, variance, share * dbias, share * dweight, eps)
    return dx, dweight, dbias


def _constant_backward(dy: Array, x: Array, weight: Array, mean: Array, rstd: Array) -> tuple[Array, Array, Array]:
    channels, blocks, threads = x.shape[-1], _blocks(x), thread_count()
    dx, sums = pooled_empty(x.shape, x.dtype), pooled_empty((part_count(blocks, threads), 2, channels), x.dtype)
    run_parallel(
        *(_backward_constant, blocks, 0, x.dtype),
        *(flat(dy), flat(x), dx.reshape(-1), channels, flat(mean), weight * rstd, sums.reshape(-1)),
        threads=threads,
    )
    dy_sum, product_sum = sums.sum(axis=0)
    return dx, product_sum * rstd, dy_sum
