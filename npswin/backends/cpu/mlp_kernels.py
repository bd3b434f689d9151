"""The MLP, with the norm before it and the residual connection after it: y = x + s · (GELU(x̂ W₁ᵀ + b₁) W₂ᵀ + b₂).

**Forward.** A tile of tokens is read once, turned into lanes, normalized, and carried through both linear maps; what
leaves the cache is y. The hidden layer, four times as wide as the map, is made and used up some two hundred rows at a
time, so it never leaves the second cache. In training the hidden layer before the GELU and two statistics a token are
kept, nothing else: x̂ and the GELU are cheap to do again.

    x ──gather──▶ x̂ lanes ──W₁──▶ 200 hidden rows ──GELU──▶ ──W₂, added up──▶ lanes ──scatter, + x──▶ y

**Few tokens.** Where there are so few that they would leave threads idle or lanes empty, they make one tile, and the
threads share the hidden rows, and then the rows of W₂; see `npswin.backends.cpu.few_tokens`.

**Backward.** The derivatives by x need tiles of tokens; the derivatives by the weights are sums over all tokens, best
made for some rows of a weight at a time. So the tokens are taken in chunks: first all tiles of a chunk, which leave
their GELU(h), dh and x̂ behind, then all rows of dW₁ and dW₂. A chunk's leavings fit into the last cache, and each row
of a gradient has one thread to itself, so there are no copies of gradients to be added up.

dW₂ comes out transposed, since of its two factors GELU(h) is the one in lanes; it is turned round at the end.
"""

import numpy as np

from npswin.backends.cpu.arrays import check_dtypes, flat, flat_derivative, flat_norm, flat_or, flat_or_none
from npswin.backends.cpu.few_tokens import project_windows
from npswin.backends.cpu.functions import gelu_slope, normal_cdf
from npswin.backends.cpu.host import TILE_ROWS, round_up
from npswin.backends.cpu.jit import inner, kernel, view
from npswin.backends.cpu.lanes import (
    gather,
    normalize,
    normalize_again,
    normalize_backward,
    normalize_rows,
    scale_and_shift,
    scale_tokens,
    scatter_add,
    sum_tokens,
)
from npswin.backends.cpu.memory import empty
from npswin.backends.cpu.micro_kernel import ACCUMULATE, BIAS, ZERO
from npswin.backends.cpu.product import product
from npswin.backends.cpu.threads import PARTS_EACH, run_parallel, thread_count
from npswin.backends.cpu.tiles import chunk_tiles, few_tokens, hidden_tile, one_tile, token_tile
from npswin.backends.cpu.vectors import lanes_of
from npswin.backends.cpu.weight_gradients import transposed, weight_gradient
from npswin.backends.cpu.windows import all_tokens
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
    scales: tuple[Array, int],
    sizes: tuple[int, ...],
    norm: tuple[Array, Array],
    weights: tuple[Array, ...],
    stats: Array,
    kept_hidden: Array,
    shared: Array,
) -> None:
    """first, stop: tiles; or, in groups of TILE_ROWS, hidden rows of the only tile, where `shared` takes their GELU."""
    tokens, channels, hidden, tile, rows = sizes
    fc1_weight, fc1_bias, fc2_weight, fc2_bias = weights
    by_rows = shared.size > 0
    first_tile, stop_tile = (0, 1) if by_rows else (first, stop)
    first_row, stop_row = (first * TILE_ROWS, min(hidden, stop * TILE_ROWS)) if by_rows else (0, hidden)
    vector = lanes_of(x)
    xhat, out = (scratch, 0, tile), (scratch, channels * tile, tile)
    chunk = 2 * channels * tile
    own_stats = chunk + rows * tile
    places, scale, all_kept = np.empty(tile, np.int64), np.empty(tile, x.dtype), np.ones(tile, np.bool_)
    for t in range(first_tile, stop_tile):
        count = min(tile, tokens - t * tile)
        width = round_up(count, vector)
        _places(tile, t * tile, count, channels, scales[0], scales[1], places, scale)
        gather(x, places, count, channels, xhat)
        if norm[0].size:
            normalize(xhat, width, channels, (stats, t * 2 * tile) if stats.size else (scratch, own_stats))
            scale_and_shift(xhat, width, channels, norm[0], norm[1])
        for h in range(first_row, stop_row, rows):
            height = min(rows, stop_row - h)
            left, bias = (fc1_weight, h * channels, channels, 1), (fc1_bias, h)
            if by_rows:
                product(height, width, channels, left, xhat, (shared, h * tile, tile), BIAS, bias)
                for row in range(height):
                    _gelu_in_place(shared, (h + row) * tile, width)
                continue
            if kept_hidden.size:
                at = (t * hidden + h) * tile
                product(height, width, channels, left, xhat, (kept_hidden, at, tile), BIAS, bias)
                for row in range(height):
                    _gelu(kept_hidden, at + row * tile, scratch, chunk + row * tile, width)
            else:
                product(height, width, channels, left, xhat, (scratch, chunk, tile), BIAS, bias)
                for row in range(height):
                    _gelu_in_place(scratch, chunk + row * tile, width)
            start = BIAS if h == 0 else ACCUMULATE
            product(
                channels, width, height, (fc2_weight, h, hidden, 1), (scratch, chunk, tile), out, start, (fc2_bias, 0)
            )
        if not by_rows:
            scatter_add(out, scale, base, y, places, all_kept, count, channels)


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
    scales: tuple[Array, int],
    sizes: tuple[int, ...],
    norm: tuple[Array, Array],
    weights: tuple[Array, ...],
    stats: Array,
    kept_hidden: Array,
    activated: Array,
    dhidden: Array,
    normed: Array,
    sums: Array,
) -> None:
    """`sums` has a row a tile: dnorm_weight, dnorm_bias, dfc2_bias (C each), dfc1_bias (hidden)."""
    tokens, channels, hidden, tile, rows = sizes
    fc1_weight, _, fc2_weight, _ = weights
    vector = lanes_of(x)
    dout, xhat, dxhat = (scratch, 0, tile), (scratch, channels * tile, tile), (scratch, 2 * channels * tile, tile)
    room, none = (scratch, 3 * channels * tile), (scratch, 0)
    places, scale, all_kept = np.empty(tile, np.int64), np.empty(tile, x.dtype), np.ones(tile, np.bool_)
    for here in range(first, stop):
        t = chunk_first + here
        count = min(tile, tokens - t * tile)
        width = round_up(count, vector)
        sums_at = t * (3 * channels + hidden)
        _places(tile, t * tile, count, channels, scales[0], scales[1], places, scale)
        gather(dy, places, count, channels, dout)
        scale_tokens(dout, width, channels, scale)
        sum_tokens(dout, count, channels, sums, sums_at + 2 * channels)
        if norm[0].size:
            own_stats = (stats, t * 2 * tile, tile)
            normalize_rows(x, places, count, channels, norm, own_stats, normed, here * tile * channels)
        for h in range(0, hidden, rows):
            height = min(rows, hidden - h)
            at = (here * hidden + h) * tile
            back = (dhidden, at, tile)
            product(height, width, channels, (fc2_weight, h, 1, hidden), dout, back, ZERO, none)
            for row in range(height):
                values = view(kept_hidden, (t * hidden + h + row) * tile, count)
                made, dvalues = view(activated, at + row * tile, count), view(dhidden, at + row * tile, count)
                total = x.dtype.type(0)
                for i in range(count):
                    cdf, slope = gelu_slope(values[i])
                    made[i] = values[i] * cdf * scale[i]
                    dvalues[i] *= slope
                    total += dvalues[i]
                sums[sums_at + 3 * channels + h + row] = total
            start = ZERO if h == 0 else ACCUMULATE
            product(channels, width, height, (fc1_weight, h * channels, 1, channels), back, dxhat, start, none)
        if norm[0].size:
            gather(x, places, count, channels, xhat)
            normalize_again(xhat, width, channels, (stats, t * 2 * tile))
            normalize_backward(dxhat, xhat, count, channels, norm[0], (stats, t * 2 * tile), (sums, sums_at), room)
        scale[:] = 1
        scatter_add(dxhat, scale, base, dx, places, all_kept, count, channels)


class MlpCall:
    """One call of a word: its arguments as kernels take them, and what the backward pass needs."""

    def __init__(
        self,
        x: Array,
        norm: tuple[Array, Array] | None,
        weights: tuple[Array, Array | None, Array, Array | None],
        path_scale: Array | None = None,
        keep: bool = False,
    ) -> None:
        check_dtypes(x, *(norm or ()), *weights, path_scale)
        fc1_weight, fc1_bias, fc2_weight, fc2_bias = weights
        self.x, self.shape, self.has_norm = flat(x), x.shape, norm is not None
        self.has_bias = fc1_bias is not None, fc2_bias is not None
        hidden, channels = len(fc1_weight), x.shape[-1]
        tokens = x.size // channels
        if fc1_weight.shape[1] != channels or fc2_weight.shape != (channels, hidden):
            raise ValueError(f"weights of {fc1_weight.shape} and {fc2_weight.shape} do not fit a map of {x.shape}")
        self.norm = flat_norm(norm, channels, x)
        self.weights = (
            flat(fc1_weight),
            flat_or(fc1_bias, hidden, x),
            flat(fc2_weight),
            flat_or(fc2_bias, channels, x),
        )
        images = 1 if path_scale is None else len(x)
        self.scales = flat_or(path_scale, images, x, fill=1), max(1, tokens // max(1, images))
        threads = thread_count()
        self.keep, self.tile = keep, token_tile(channels, x.itemsize, tokens, threads)
        self.tiles = -(-tokens // self.tile)
        busiest = -(-self.tiles // threads) * self.tile
        weight_bytes = fc1_weight.nbytes + fc2_weight.nbytes
        self.by_rows = not keep and few_tokens(tokens, x.itemsize, threads, busiest, weight_bytes)
        if self.by_rows:
            self.tile, self.tiles = one_tile(tokens, x.itemsize), 1
        self.sizes = tokens, channels, hidden, self.tile, hidden_tile(hidden)
        self.stats = self.kept_hidden = flat_or_none(None, x)

    def forward(self) -> Array:
        tokens, channels, hidden, tile, rows = self.sizes
        dtype = self.x.dtype
        if self.keep:
            self.kept_hidden = empty(self.tiles * hidden * tile, dtype)
            self.stats = empty(self.tiles * 2 * tile if self.has_norm else 0, dtype)
        shared = empty(hidden * tile if self.by_rows else 0, dtype)
        y = empty(self.x.shape, self.x.dtype) if self.has_norm else np.zeros_like(self.x)
        base = self.x if self.has_norm else y
        run_parallel(
            *(_forward, -(-hidden // TILE_ROWS) if self.by_rows else self.tiles),
            *((2 * channels + rows + 2) * tile, dtype),
            *(self.x, base, y, self.scales, self.sizes, self.norm, self.weights, self.stats, self.kept_hidden, shared),
            each=1 if self.by_rows else PARTS_EACH,
        )
        if self.by_rows:
            table = (*all_tokens(tokens), tokens, tokens, 1, 1, tile)
            project_windows(shared, hidden, tile, *self.weights[2:], self.scales[0], base, y, table)
        return y.reshape(self.shape)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        """dx, dnorm_weight, dnorm_bias, dfc1_weight, dfc1_bias, dfc2_weight, dfc2_bias."""
        tokens, channels, hidden, tile, _ = self.sizes
        dtype = self.x.dtype
        dy = flat_derivative(dy, self.x.size, dtype)
        dx = empty(self.x.shape, self.x.dtype) if self.has_norm else np.zeros_like(self.x)
        base = dy if self.has_norm else dx
        sums = np.zeros((self.tiles, 3 * channels + hidden), dtype)
        dfc1_weight, dfc2_transposed = empty((hidden, channels), dtype), empty((hidden, channels), dtype)
        chunk = chunk_tiles(2 * hidden * tile * dtype.itemsize, self.tiles, thread_count())
        activated, dhidden = empty(chunk * hidden * tile, dtype), empty(chunk * hidden * tile, dtype)
        normed = empty(chunk * tile * channels, dtype) if self.has_norm else self.x
        for first in range(0, self.tiles, chunk):
            count, start = min(chunk, self.tiles - first), first * tile
            run_parallel(
                *(_backward, count, (3 * channels + 2) * tile, dtype, first, self.x, dy, base, dx),
                *(self.scales, self.sizes, self.norm, self.weights, self.stats, self.kept_hidden),
                *(activated, dhidden, normed, sums.reshape(-1)),
            )
            here = min(count * tile, tokens - start)
            normed_start = 0 if self.has_norm else start
            weight_gradient(dhidden, tile, tile, normed, normed_start, here, dfc1_weight, first == 0)
            weight_gradient(activated, tile, tile, dy, start, here, dfc2_transposed, first == 0)
        del activated, dhidden, normed  # their memory serves the transposes
        dnorm_weight, dnorm_bias, dfc2_bias, dfc1_bias = np.split(
            sums.sum(axis=0), [channels, 2 * channels, 3 * channels]
        )
        return (
            *(dx.reshape(self.shape), dnorm_weight, dnorm_bias),
            *(dfc1_weight, dfc1_bias if self.has_bias[0] else None),
            *(transposed(dfc2_transposed), dfc2_bias if self.has_bias[1] else None),
        )
