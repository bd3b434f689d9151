"""The MLP, with the norm before it and the residual connection after it: y = x + s · (GELU(x̂ W₁ᵀ + b₁) W₂ᵀ + b₂).

**Forward.** A tile of tokens is read once, turned into lanes, normalized, and carried through both linear maps; what
leaves the cache is y. The hidden layer, four times as wide as the map, is made and used up some two hundred rows at a
time, so it never leaves the second cache. In training the hidden layer before the GELU and two statistics a token are
kept, nothing else: x̂ and the GELU are cheap to do again.

    x ──gather──▶ x̂ lanes ──W₁──▶ 200 hidden rows ──GELU──▶ ──W₂, added up──▶ lanes ──scatter, + x──▶ y

**Backward.** The derivatives by x need tiles of tokens; the derivatives by the weights are sums over all tokens, best
made for some rows of a weight at a time. So the tokens are taken in chunks: first all tiles of a chunk, which leave
their GELU(h), dh and x̂ behind, then all rows of dW₁ and dW₂. A chunk's leavings fit into the last cache, and each row
of a gradient has one thread to itself, so there are no copies of gradients to be added up.
"""

from typing import Any

import numpy as np

from npswin import ops
from npswin.backends.cpu.host import VECTOR_BYTES, round_up, vector_lanes
from npswin.backends.cpu.functions import normal_cdf, normal_pdf
from npswin.backends.cpu.jit import inner, kernel, view
from npswin.backends.cpu.lanes import (
    gather,
    normalize,
    normalize_again,
    normalize_backward,
    scale_and_shift,
    scale_tokens,
    scatter_add,
    sum_tokens,
)
from npswin.backends.cpu.micro_kernel import ACCUMULATE, BIAS, ZERO
from npswin.backends.cpu.product import product
from npswin.backends.cpu.threads import run_parallel, thread_count
from npswin.backends.cpu.tiles import CHUNK_BYTES, hidden_tile, token_tile
from npswin.backends.cpu.weight_gradients import weight_gradient
from npswin.types import Array


@inner
def _places(
    tile: int, first: int, count: int, channels: int, scales: Array, per_image: int, out: Array, s: Array
) -> None:
    """Where each of a tile's tokens starts, and the factor of its image."""
    for i in range(tile):
        token = first + i if i < count else first
        out[i] = token * channels
        s[i] = scales[token // per_image]


@inner
def _gelu(hidden: Array, start: int, out: Array, out_start: int, count: int) -> None:
    source, activated = view(hidden, start, count), view(out, out_start, count)
    for i in range(count):
        activated[i] = source[i] * normal_cdf(source[i])


@inner
def _gelu_in_place(hidden: Array, start: int, count: int) -> None:
    # not _gelu with one array twice: the compiler's check that its two arrays do not overlap would take the slow way
    row = view(hidden, start, count)
    for i in range(count):
        row[i] *= normal_cdf(row[i])


@kernel
def _forward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    x: Array,
    base: Array,
    y: Array,
    scales: Array,
    per_image: int,
    channels: int,
    hidden: int,
    tile: int,
    rows: int,
    norm_weight: Array,
    norm_bias: Array,
    fc1_weight: Array,
    fc1_bias: Array,
    fc2_weight: Array,
    fc2_bias: Array,
    stats: Array,
    kept_hidden: Array,
) -> None:
    lanes = VECTOR_BYTES // x.itemsize
    tokens = x.size // channels
    xhat, out = 0, channels * tile
    chunk = 2 * channels * tile
    own_stats = chunk + rows * tile
    places, scale, all_kept = np.empty(tile, np.int64), np.empty(tile, x.dtype), np.ones(tile, np.bool_)
    for number in range(first, stop):
        count = min(tile, tokens - number * tile)
        width = -(-count // lanes) * lanes
        _places(tile, number * tile, count, channels, scales, per_image, places, scale)
        gather(x, places, count, channels, scratch, xhat, tile)
        if norm_weight.size:
            if stats.size:
                normalize(scratch, xhat, tile, width, channels, stats, number * 2 * tile)
            else:
                normalize(scratch, xhat, tile, width, channels, scratch, own_stats)
            scale_and_shift(scratch, xhat, tile, width, channels, norm_weight, norm_bias)
        for h in range(0, hidden, rows):
            height = min(rows, hidden - h)
            weight = (fc1_weight, h * channels, channels, 1)
            right, bias = (scratch, xhat, tile), (fc1_bias, h)
            if kept_hidden.size:
                at = (number * hidden + h) * tile
                product(height, width, channels, weight, right, (kept_hidden, at, tile), BIAS, bias)
                for row in range(height):
                    _gelu(kept_hidden, at + row * tile, scratch, chunk + row * tile, width)
            else:
                product(height, width, channels, weight, right, (scratch, chunk, tile), BIAS, bias)
                for row in range(height):
                    _gelu_in_place(scratch, chunk + row * tile, width)
            weight = (fc2_weight, h, hidden, 1)
            start = BIAS if h == 0 else ACCUMULATE
            product(channels, width, height, weight, (scratch, chunk, tile), (scratch, out, tile), start, (fc2_bias, 0))
        scatter_add(scratch, out, tile, scale, base, y, places, all_kept, count, channels)


@kernel
def _backward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    chunk_first: int,
    x: Array,
    dy: Array,
    base: Array,
    dx: Array,
    scales: Array,
    per_image: int,
    channels: int,
    hidden: int,
    tile: int,
    rows: int,
    norm_weight: Array,
    norm_bias: Array,
    fc1_weight: Array,
    fc2_weight: Array,
    stats: Array,
    kept_hidden: Array,
    activated: Array,
    dhidden: Array,
    normed: Array,
    sums: Array,
) -> None:
    """`sums` has a row a tile: dnorm_weight, dnorm_bias, dfc2_bias (C each), dfc1_bias (hidden)."""
    lanes = VECTOR_BYTES // x.itemsize
    tokens = x.size // channels
    dout, xhat, dxhat = 0, channels * tile, 2 * channels * tile
    work = 3 * channels * tile
    places, scale, all_kept = np.empty(tile, np.int64), np.empty(tile, x.dtype), np.ones(tile, np.bool_)
    for here in range(first, stop):
        number = chunk_first + here
        count = min(tile, tokens - number * tile)
        width = -(-count // lanes) * lanes
        sums_at = number * (3 * channels + hidden)
        none = (scratch, 0)
        _places(tile, number * tile, count, channels, scales, per_image, places, scale)
        gather(dy, places, count, channels, scratch, dout, tile)
        scale_tokens(scratch, dout, tile, width, channels, scale)
        sum_tokens(scratch, dout, tile, count, channels, sums, sums_at + 2 * channels)
        for h in range(0, hidden, rows):
            height = min(rows, hidden - h)
            at = (here * hidden + h) * tile
            weight = (fc2_weight, h, 1, hidden)
            product(height, width, channels, weight, (scratch, dout, tile), (dhidden, at, tile), ZERO, none)
            for row in range(height):
                values = view(kept_hidden, (number * hidden + h + row) * tile, count)
                made, back = view(activated, at + row * tile, count), view(dhidden, at + row * tile, count)
                total = x.dtype.type(0)
                for i in range(count):
                    cdf = normal_cdf(values[i])
                    made[i] = values[i] * cdf * scale[i]
                    back[i] *= cdf + values[i] * normal_pdf(values[i])
                    total += back[i]
                sums[sums_at + 3 * channels + h + row] = total
            weight = (fc1_weight, h * channels, 1, channels)
            start = ZERO if h == 0 else ACCUMULATE
            product(channels, width, height, weight, (dhidden, at, tile), (scratch, dxhat, tile), start, none)
        if norm_weight.size:
            gather(x, places, count, channels, scratch, xhat, tile)
            normalize_again(scratch, xhat, tile, width, channels, stats, number * 2 * tile)
            kept = (stats, number * 2 * tile)
            normalize_backward(
                (scratch, dxhat),
                (scratch, xhat),
                tile,
                count,
                channels,
                norm_weight,
                kept,
                (sums, sums_at),
                (scratch, work),
            )
            for i in range(count):
                mean, rstd = stats[number * 2 * tile + i], stats[number * 2 * tile + tile + i]
                token, out = view(x, places[i], channels), view(normed, (here * tile + i) * channels, channels)
                for c in range(channels):
                    out[c] = (token[c] - mean) * rstd * norm_weight[c] + norm_bias[c]
        scale[:] = 1
        scatter_add(scratch, dxhat, tile, scale, base, dx, places, all_kept, count, channels)


def _flat(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1)


class _Branch:
    """What both passes know of one call."""

    def __init__(
        self, x: Array, norm: tuple[Array, Array] | None, weights: tuple[Array, ...], path_scale: Array | None
    ) -> None:
        fc1_weight, fc1_bias, fc2_weight, fc2_bias = weights
        self.shape, self.dtype = x.shape, x.dtype
        self.hidden, self.channels = fc1_weight.shape
        self.x, self.norm = _flat(x), norm
        self.has_bias = fc1_bias is not None, fc2_bias is not None
        none = np.empty(0, x.dtype)
        self.norm_weight, self.norm_bias = (none, none) if norm is None else map(_flat, norm)
        self.fc1_weight, self.fc2_weight = _flat(fc1_weight), _flat(fc2_weight)
        self.fc1_bias = np.zeros(self.hidden, x.dtype) if fc1_bias is None else fc1_bias
        self.fc2_bias = np.zeros(self.channels, x.dtype) if fc2_bias is None else fc2_bias
        self.tokens = self.x.size // self.channels
        self.scales = np.ones(1, x.dtype) if path_scale is None else path_scale.astype(x.dtype)
        self.per_image = self.tokens if path_scale is None else self.tokens // len(path_scale)
        self.tile = token_tile(self.channels, x.itemsize, self.tokens, thread_count())
        self.tiles = -(-self.tokens // self.tile)
        self.rows = hidden_tile(self.hidden)
        self.stats = self.kept_hidden = none

    def forward(self, keep: bool) -> Array:
        if keep:
            self.kept_hidden = np.empty(self.tiles * self.hidden * self.tile, self.dtype)
            if self.norm is not None:
                self.stats = np.empty(self.tiles * 2 * self.tile, self.dtype)
        y = np.zeros_like(self.x) if self.norm is None else np.empty_like(self.x)
        base = y if self.norm is None else self.x
        size = (2 * self.channels + self.rows + 2) * self.tile
        run_parallel(
            *(_forward, self.tiles, size, self.dtype, self.x, base, y, self.scales, self.per_image),
            *(self.channels, self.hidden, self.tile, self.rows, self.norm_weight, self.norm_bias),
            *(self.fc1_weight, self.fc1_bias, self.fc2_weight, self.fc2_bias, self.stats, self.kept_hidden),
        )
        return y.reshape(self.shape)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        dy = _flat(dy)
        channels, hidden, tile = self.channels, self.hidden, self.tile
        dx = np.zeros_like(self.x) if self.norm is None else np.empty_like(self.x)
        base = dx if self.norm is None else dy
        per_tile = 2 * hidden * tile * self.x.itemsize
        chunk = max(thread_count(), CHUNK_BYTES // per_tile)
        chunk = min(chunk, self.tiles)
        activated, dhidden = (np.empty(chunk * hidden * tile, self.dtype) for _ in range(2))
        normed = self.x if self.norm is None else np.empty(chunk * tile * channels, self.dtype)
        sums = np.zeros((self.tiles, 3 * channels + hidden), self.dtype)
        dfc1_weight, dfc2_transposed = (np.empty((hidden, channels), self.dtype) for _ in range(2))
        for first in range(0, self.tiles, chunk):
            count = min(chunk, self.tiles - first)
            run_parallel(
                *(_backward, count, (3 * channels + 2) * tile, self.dtype),
                *(first, self.x, dy, base, dx, self.scales, self.per_image, channels, hidden, tile, self.rows),
                *(self.norm_weight, self.norm_bias, self.fc1_weight, self.fc2_weight, self.stats, self.kept_hidden),
                *(activated, dhidden, normed, sums.reshape(-1)),
            )
            tokens = min(count * tile, self.tokens - first * tile)
            fresh = first == 0
            weight_gradient(
                dhidden, tile, tile, normed, first * tile if self.norm is None else 0, tokens, dfc1_weight, fresh
            )
            weight_gradient(activated, tile, tile, dy, first * tile, tokens, dfc2_transposed, fresh)
        dnorm_weight, dnorm_bias, dfc2_bias, dfc1_bias = np.split(
            sums.sum(axis=0), [channels, 2 * channels, 3 * channels]
        )
        return (
            dx.reshape(self.shape),
            *(() if self.norm is None else (dnorm_weight, dnorm_bias)),
            dfc1_weight,
            dfc1_bias if self.has_bias[0] else None,
            np.ascontiguousarray(dfc2_transposed.T),
            dfc2_bias if self.has_bias[1] else None,
        )


def mlp_branch_forward(
    x: Array,
    *weights: Any,
    path_scale: Array | None = None,
    hidden_drop_mask: Array | None = None,
    output_drop_mask: Array | None = None,
) -> tuple[Array, Any]:
    """See `npswin.ops.mlp_branch_forward`, which also does the dropout."""
    if hidden_drop_mask is not None or output_drop_mask is not None:
        masks = {"hidden_drop_mask": hidden_drop_mask, "output_drop_mask": output_drop_mask}
        return ops.mlp_branch_forward(x, *weights, path_scale=path_scale, **masks)
    branch = _Branch(x, weights[:2], weights[2:], path_scale)
    return branch.forward(keep=True), branch


def mlp_branch_backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
    """See `npswin.ops.mlp_branch_backward`."""
    return cache.backward(dy) if isinstance(cache, _Branch) else ops.mlp_branch_backward(dy, cache)


def mlp_branch(x: Array, *weights: Any, path_scale: Array | None = None) -> Array:
    """The forward pass of `mlp_branch_forward`, with nothing kept."""
    return _Branch(x, weights[:2], weights[2:], path_scale).forward(keep=False)
