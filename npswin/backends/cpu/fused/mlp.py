"""The MLP, with the norm before it and the residual connection after it: y = x + s · (GELU(x̂ W₁ᵀ + b₁) W₂ᵀ + b₂).

**Forward.** A tile of tokens is read once, turned into lanes, normalized, and carried through both linear maps; only y
is written to memory. The hidden layer, four times as wide as the map, is computed and used some two hundred rows at a
time, so it never leaves the L2 cache. In training the hidden layer before the GELU and two statistics a token are
saved; x̂ and the GELU are cheap to recompute.

    x ──gather──▶ x̂ lanes ──W₁──▶ 200 hidden rows ──GELU──▶ ──W₂, added up──▶ lanes ──scatter, + x──▶ y

**Few tokens.** Where there are so few that tiles would leave threads idle or lanes empty, they make one tile, and the
threads share the hidden rows, and then the rows of W₂; see `npswin.backends.cpu.tile.projection`.

**Backward.** The derivatives by x need tiles of tokens; the derivatives by the weights are sums over all tokens, best
computed for some rows of a weight at a time. So the tokens are taken in chunks: first all tiles of a chunk, which write
their GELU(h), dh and x̂, then all rows of dW₁ and dW₂. What a chunk writes fits into the last-level cache, and each row
of a gradient is computed by one thread, so there are no copies of gradients to be added up. Where the gradients are
small, there are: each part of the work adds what a tile gives to its own, while the tile is in the cache.

dW₂ is computed transposed, since of its two factors GELU(h) is the one in lanes; `transposed_copy` turns it round at
the end.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from npswin.backends.cpu.fused import mlp_bfloat16
from npswin.backends.cpu.fused.mlp_tiles import (
    TILE_TOKEN_BYTES,
    MlpMaps,
    MlpOwnSums,
    MlpSaved,
    MlpSizes,
    MlpTransposes,
    MlpWeights,
    locate_tokens,
    make_tile_tokens,
)
from npswin.backends.cpu.machine.arrays import (
    flat,
    flat_norm_parameters,
    flat_or_empty,
    flat_or_full,
)
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import fill, stack_memory, view
from npswin.backends.cpu.machine.memory import pooled_empty, pooled_zeros
from npswin.backends.cpu.machine.processor import TILE_ROWS, round_up
from npswin.backends.cpu.machine.threads import PARTS_PER_THREAD, run_parallel, thread_count
from npswin.backends.cpu.simd.elementary_functions import normal_cdf, normal_cdf_and_gelu_derivative
from npswin.backends.cpu.simd.intrinsics import broadcast, lanes_of, load, prefetch, store, sum_lanes
from npswin.backends.cpu.simd.matrix_product import lanes_product
from npswin.backends.cpu.simd.micro_kernel import FROM_BIAS, FROM_OUTPUT, FROM_ZERO
from npswin.backends.cpu.tile.bfloat16_gradient import (
    PairsGradient,
    TilesOfPairs,
    pairs_of_lanes,
    weight_gradients_bfloat16,
)
from npswin.backends.cpu.tile.bfloat16_weights import rounded_transpose, rounded_weight
from npswin.backends.cpu.tile.lanes import (
    gather,
    normalize,
    normalize_backward,
    normalize_to_rows,
    normalize_with_saved_stats,
    scale_tokens,
    scatter_residual,
    sum_tokens,
)
from npswin.backends.cpu.tile.precision import in_bfloat16
from npswin.backends.cpu.tile.projection import project_single_tile
from npswin.backends.cpu.tile.sizes import (
    hidden_rows_per_step,
    single_tile_lanes,
    splits_by_weight_rows,
    tiles_per_chunk,
    tokens_per_tile,
)
from npswin.backends.cpu.tile.weight_gradient import (
    WeightGradient,
    add_rows,
    added_up,
    sums_by_part,
    transposed_copy,
    weight_gradients,
)
from npswin.backends.cpu.tile.weight_panels import panels_product, transposed_panels
from npswin.backends.cpu.tile.window_tokens import single_window_layout
from npswin.types import Array


class _Chunk(NamedTuple):
    """What the backward pass of a chunk of tiles leaves for the gradients of the weights.

    Attributes:
        activated: (tiles, hidden, tile) s · GELU(h) in lanes.
        dhidden: (tiles, hidden, tile) in lanes.
        normed: (tokens, C) x̂.
    """

    activated: Array
    dhidden: Array
    normed: Array


@inner_function
def _gelu(hidden: Array, start: int, out: Array, out_start: int, count: int) -> None:
    """GELU of `count` numbers, whole vectors; `out` may be `hidden`."""
    for i in range(0, count, lanes_of(hidden)):
        x = load(hidden, start + i)
        store(out, out_start + i, x * normal_cdf(x))


@inner_function
def _gelu_backward(
    hidden: tuple[Array, int], activated: Array, dhidden: Array, start: int, count: int, scales: Array
) -> Any:
    """One row of the hidden layer: s · GELU(h), dh out of the derivative by GELU(h), and Σ dh.

    Args:
        hidden: the forward pass's, and where the row begins.
        activated: filled from `start` on.
        dhidden: from `start` on the derivative by GELU(h), overwritten.
        start: of the row in both.
        count: tokens.
        scales: s of each token.
    """
    values, at = hidden
    number, vector = values.dtype.type, lanes_of(values)
    whole = count - count % vector
    sums = broadcast(number(0))
    for i in range(0, whole, vector):
        x = load(values, at + i)
        cdf, slope = normal_cdf_and_gelu_derivative(x)
        store(activated, start + i, x * cdf * load(scales, i))
        gradient = load(dhidden, start + i) * slope
        store(dhidden, start + i, gradient)
        sums = sums + gradient
    total = sum_lanes(sums)
    for i in range(whole, count):
        cdf, slope = normal_cdf_and_gelu_derivative(values[at + i])
        activated[start + i] = values[at + i] * cdf * scales[i]
        dhidden[start + i] *= slope
        total += dhidden[start + i]
    return total


@kernel
def _forward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    maps: MlpMaps,
    sizes: MlpSizes,
    weights: MlpWeights,
    saved: MlpSaved,
    shared: Array,
) -> None:
    """first, stop: tiles; or, in groups of TILE_ROWS, hidden rows of the only tile, whose GELU goes to `shared`."""
    channels, hidden, tile, rows = sizes.channels, sizes.hidden, sizes.tile, sizes.rows_per_step
    split_by_rows = shared.size > 0
    first_tile, stop_tile = (0, 1) if split_by_rows else (first, stop)
    first_row, stop_row = (first * TILE_ROWS, min(hidden, stop * TILE_ROWS)) if split_by_rows else (0, hidden)
    vector = lanes_of(maps.x)
    xhat, out = (scratch, 0, tile), (scratch, channels * tile, tile)
    step_start = 2 * channels * tile
    own_stats = step_start + rows * tile
    offsets, token_scales, all_in_map = make_tile_tokens(tile, stack_memory(TILE_TOKEN_BYTES * tile), maps.x)
    for t in range(first_tile, stop_tile):
        count = min(tile, sizes.tokens - t * tile)
        width = round_up(count, vector)
        locate_tokens(t * tile, count, sizes, maps.image_scales, offsets, token_scales)
        gather(maps.x, offsets, count, channels, xhat)
        if weights.norm_weight.size:
            norm = weights.norm_weight, weights.norm_bias
            stats = (saved.stats, t * 2 * tile) if saved.stats.size else (scratch, own_stats)
            normalize(xhat, width, channels, norm, stats)
        for h in range(first_row, stop_row, rows):
            height = min(rows, stop_row - h)
            left, bias = (weights.fc1_weight, h * channels, channels, 1), (weights.fc1_bias, h)
            if split_by_rows:
                into = (shared, h * tile, tile)
            elif saved.hidden.size:
                into = (saved.hidden, (t * hidden + h) * tile, tile)
            else:
                into = (scratch, step_start, tile)
            activated = (shared, h * tile) if split_by_rows else (scratch, step_start)
            for i in range(0, height, TILE_ROWS):
                some = min(TILE_ROWS, height - i)
                if saved.hidden.size and h + i + some < hidden:
                    prefetch(saved.hidden, into[1] + (i + some) * tile, TILE_ROWS * tile)
                left, bias = (weights.fc1_weight, (h + i) * channels, channels, 1), (weights.fc1_bias, h + i)
                lanes_product(some, width, channels, left, xhat, (into[0], into[1] + i * tile, tile), FROM_BIAS, bias)
                for row in range(i, i + some):
                    _gelu(into[0], into[1] + row * tile, activated[0], activated[1] + row * tile, width)
            if split_by_rows:
                continue
            start = FROM_BIAS if h == 0 else FROM_OUTPUT
            left, right = (weights.fc2_weight, h, hidden, 1), (scratch, step_start, tile)
            lanes_product(channels, width, height, left, right, out, start, (weights.fc2_bias, 0))
        if not split_by_rows:
            scatter_residual(out, token_scales, maps.shortcut, maps.y, offsets, all_in_map, count, channels)


@kernel
def _backward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    chunk_first: int,
    dy: Array,
    maps: MlpMaps,
    sizes: MlpSizes,
    weights: MlpWeights,
    transposes: MlpTransposes,
    saved: MlpSaved,
    chunk: _Chunk,
    own: MlpOwnSums,
    sums: Array,
) -> None:
    """first, stop: tiles of the chunk that begins with tile `chunk_first`.

    Where the part has sums of its own, the chunk is a single tile in its working memory. `sums` has a row a tile:
    dnorm_weight, dnorm_bias, dfc2_bias (C each), dfc1_bias (hidden).
    """
    channels, hidden, tile, rows = sizes.channels, sizes.hidden, sizes.tile, sizes.rows_per_step
    vector = lanes_of(maps.x)
    dout, xhat, dxhat = (scratch, 0, tile), (scratch, channels * tile, tile), (scratch, 2 * channels * tile, tile)
    free = (scratch, 3 * channels * tile)
    by_part = own.dfc1_weight.size > 0
    if by_part:
        at = (3 * channels + 2) * tile
        chunk = _Chunk(
            view(scratch, at, hidden * tile),
            view(scratch, at + hidden * tile, hidden * tile),
            view(scratch, at + 2 * hidden * tile, tile * channels),
        )
    offsets, token_scales, all_in_map = make_tile_tokens(tile, stack_memory(TILE_TOKEN_BYTES * tile), maps.x)
    for place in range(first, stop):
        t, here = chunk_first + place, 0 if by_part else place
        count = min(tile, sizes.tokens - t * tile)
        width = round_up(count, vector)
        sums_at = t * (3 * channels + hidden)
        locate_tokens(t * tile, count, sizes, maps.image_scales, offsets, token_scales)
        gather(dy, offsets, count, channels, dout)
        scale_tokens(dout, width, channels, token_scales)
        sum_tokens(dout, count, channels, sums, sums_at + 2 * channels)
        if weights.norm_weight.size:
            norm, own_stats = (weights.norm_weight, weights.norm_bias), (saved.stats, t * 2 * tile, tile)
            normalize_to_rows(maps.x, offsets, count, channels, norm, own_stats, chunk.normed, here * tile * channels)
        for h in range(0, hidden, rows):
            height = min(rows, hidden - h)
            at = (here * hidden + h) * tile
            # a register tile's rows at a time, while the ones after them are brought in from memory
            for i in range(0, height, TILE_ROWS):
                some, row = min(TILE_ROWS, height - i), h + i
                into, saved_row = (chunk.dhidden, at + i * tile, tile), (t * hidden + row) * tile
                if row + some < hidden:
                    prefetch(saved.hidden, saved_row + some * tile, TILE_ROWS * tile)
                panels_product(some, width, channels, (transposes.fc2, row * channels, channels), dout, into, FROM_ZERO)
                for j in range(some):
                    sums[sums_at + 3 * channels + row + j] = _gelu_backward(
                        (saved.hidden, saved_row + j * tile),
                        *(chunk.activated, chunk.dhidden, at + (i + j) * tile, count, token_scales),
                    )
            start = FROM_ZERO if h == 0 else FROM_OUTPUT
            back = (chunk.dhidden, at, tile)
            panels_product(channels, width, height, (transposes.fc1, h * TILE_ROWS, hidden), back, dxhat, start)
        if weights.norm_weight.size:
            stats = (saved.stats, t * 2 * tile)
            gather(maps.x, offsets, count, channels, xhat)
            normalize_with_saved_stats(xhat, width, channels, stats)
            normalize_backward(dxhat, xhat, count, channels, weights.norm_weight, stats, (sums, sums_at), free)
        if by_part:
            size, is_first, start = hidden * channels, place == first, t * tile * channels
            normed = (chunk.normed, 0) if weights.norm_weight.size else (maps.x, start)
            dfc1 = own.dfc1_weight, part * size, hidden, channels, is_first
            dfc2 = own.dfc2_transposed, part * size, hidden, channels, is_first
            add_rows(WeightGradient(*dfc1, chunk.dhidden, 0, tile, tile, *normed, count), 0, hidden)
            add_rows(WeightGradient(*dfc2, chunk.activated, 0, tile, tile, dy, start, count), 0, hidden)
        fill(token_scales, 1)
        scatter_residual(dxhat, token_scales, maps.shortcut, maps.y, offsets, all_in_map, count, channels)


_Place: TypeAlias = tuple[Array, int, int, int, bool]  # the first fields of a `WeightGradient`


class MlpCall:
    """One call of an op: its arguments as kernels take them, and what the backward pass needs.

    Args:
        x: (..., C).
        norm: weight and bias of the norm before the MLP and with it the residual connection; None for neither.
        weights: fc1_weight, fc1_bias, fc2_weight, fc2_bias.
        path_scale: (B,) drop path's factors, or None.
        for_backward: whether to save what `backward` needs.
    """

    def __init__(
        self,
        x: Array,
        norm: tuple[Array, Array] | None,
        weights: tuple[Array, Array | None, Array, Array | None],
        path_scale: Array | None = None,
        for_backward: bool = False,
    ) -> None:
        fc1_weight, fc1_bias, fc2_weight, fc2_bias = weights
        self.x, self.shape, self.has_norm = flat(x), x.shape, norm is not None
        self.has_fc1_bias, self.has_fc2_bias = fc1_bias is not None, fc2_bias is not None
        hidden, channels = len(fc1_weight), x.shape[-1]
        tokens = x.size // channels
        self.weights = MlpWeights(
            *flat_norm_parameters(norm, x),
            flat(fc1_weight),
            flat_or_full(fc1_bias, hidden, x),
            flat(fc2_weight),
            flat_or_full(fc2_bias, channels, x),
        )
        images = 1 if path_scale is None else len(x)
        self.image_scales = flat_or_full(path_scale, images, x, fill=1)
        threads = thread_count()
        self.for_backward, tile = for_backward, tokens_per_tile(channels, x.itemsize, tokens, threads)
        self.tiles = -(-tokens // tile)
        busiest = -(-self.tiles // threads) * tile
        weight_bytes = fc1_weight.nbytes + fc2_weight.nbytes
        self.split_by_rows = not for_backward and splits_by_weight_rows(
            tokens, x.itemsize, threads, busiest, weight_bytes
        )
        if self.split_by_rows:
            tile, self.tiles = single_tile_lanes(tokens, x.itemsize), 1
        per_scale = max(1, tokens // max(1, images))
        self.sizes = MlpSizes(tokens, channels, hidden, tile, hidden_rows_per_step(hidden), per_scale)
        none = flat_or_empty(None, x)
        self.saved = MlpSaved(none, none)
        self.in_bfloat16 = in_bfloat16(x.dtype, channels, hidden)

    def forward(self) -> Array:
        """y, of x's shape."""
        sizes, dtype = self.sizes, self.x.dtype
        hidden, tile = sizes.hidden, sizes.tile
        if self.for_backward:
            saved_hidden = pooled_empty(self.tiles * hidden * tile, dtype)
            self.saved = MlpSaved(pooled_empty(self.tiles * 2 * tile if self.has_norm else 0, dtype), saved_hidden)
        shared = pooled_empty(hidden * tile if self.split_by_rows else 0, "int32" if self.in_bfloat16 else dtype)
        maps, weights = self._maps(self.x), self.weights
        if self.in_bfloat16:
            fc1, fc2 = rounded_weight(weights.fc1_weight, sizes.channels), rounded_weight(weights.fc2_weight, hidden)
            weights = weights._replace(fc1_weight=fc1, fc2_weight=fc2)
        run_parallel(
            mlp_bfloat16.forward if self.in_bfloat16 else _forward,
            -(-hidden // TILE_ROWS) if self.split_by_rows else self.tiles,
            *((2 * sizes.channels + sizes.rows_per_step + 2) * tile, dtype),
            *(maps, sizes, weights, self.saved, shared),
            parts_per_thread=1 if self.split_by_rows else PARTS_PER_THREAD,
        )
        if self.split_by_rows:
            weight, bias, window = weights.fc2_weight, weights.fc2_bias, single_window_layout(sizes.tokens, tile)
            project_single_tile(shared, hidden, weight, bias, maps.image_scales, maps.shortcut, maps.y, window)
        return maps.y.reshape(self.shape)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        """dx, dnorm_weight, dnorm_bias, dfc1_weight, dfc1_bias, dfc2_weight, dfc2_bias."""
        sizes, dtype = self.sizes, self.x.dtype
        channels, hidden, tile = sizes.channels, sizes.hidden, sizes.tile
        dy = flat(dy)
        maps = self._maps(dy)
        sums = pooled_zeros((self.tiles, 3 * channels + hidden), dtype)
        transposed = rounded_transpose if self.in_bfloat16 else transposed_panels
        transposes = MlpTransposes(
            transposed(self.weights.fc1_weight, channels), transposed(self.weights.fc2_weight, hidden)
        )
        threads, size = thread_count(), hidden * channels
        parts = sums_by_part(2 * size * dtype.itemsize, self.tiles, threads)
        tile_bytes = 2 * hidden * tile * dtype.itemsize // (2 if self.in_bfloat16 else 1)
        chunk_size = 0 if parts else tiles_per_chunk(tile_bytes, self.tiles, threads)
        chunk = self._chunk(chunk_size)
        own = MlpOwnSums(pooled_empty(parts * size, dtype), pooled_empty(parts * size, dtype))
        dfc1, dfc2 = own if parts else (pooled_empty(size, dtype), pooled_empty(size, dtype))
        if not self.tiles:
            dfc1[...] = dfc2[...] = 0
        scratch = (3 * channels + 2 + (2 * hidden + channels if parts else 0)) * tile
        if self.in_bfloat16:
            scratch = mlp_bfloat16.backward_scratch_size(sizes, parts > 0)
        for first in range(0, self.tiles, chunk_size or self.tiles):
            count, start = min(chunk_size or self.tiles, self.tiles - first), first * tile
            run_parallel(
                *(mlp_bfloat16.backward if self.in_bfloat16 else _backward, count, scratch, dtype, first, dy, maps),
                *(sizes, self.weights, transposes, self.saved, chunk, own, sums.reshape(-1)),
                threads=threads,
            )
            if not parts:
                tokens, shape = min(count * tile, sizes.tokens - start), (0, hidden, channels, first == 0)
                self._weight_gradients(chunk, (dfc1, *shape), (dfc2, *shape), dy, start, tokens)
        del chunk, transposes  # so that their memory is reused
        dfc1_weight, dfc2_transposed = (
            (added_up(d, parts) if parts else d).reshape(hidden, channels) for d in (dfc1, dfc2)
        )
        dnorm_weight, dnorm_bias, dfc2_bias, dfc1_bias = np.split(
            sums.sum(axis=0), [channels, 2 * channels, 3 * channels]
        )
        return (
            *(maps.y.reshape(self.shape), dnorm_weight, dnorm_bias),
            *(dfc1_weight, dfc1_bias if self.has_fc1_bias else None),
            *(transposed_copy(dfc2_transposed), dfc2_bias if self.has_fc2_bias else None),
        )

    def _chunk(self, tiles: int) -> Any:
        hidden, channels, tile = self.sizes.hidden, self.sizes.channels, self.sizes.tile
        if self.in_bfloat16:
            left, right = tiles * hidden * pairs_of_lanes(tile), tiles * tile // 2 * channels
            return mlp_bfloat16.Chunk(*(pooled_empty(size, "int32") for size in (left, left, right, right)))
        lanes, rows = tiles * hidden * tile, tiles * tile * channels if self.has_norm else 0
        return _Chunk(*(pooled_empty(size, self.x.dtype) for size in (lanes, lanes, rows)))

    def _weight_gradients(self, chunk: Any, dfc1: _Place, dfc2: _Place, dy: Array, start: int, tokens: int) -> None:
        """Add a chunk's share to both gradients."""
        channels, tile = self.sizes.channels, self.sizes.tile
        if self.in_bfloat16:
            tiles = TilesOfPairs(pairs_of_lanes(tile), tile // 2, tile // 2, (tokens + 1) // 2)
            weight_gradients_bfloat16(
                PairsGradient(*dfc1, chunk.dhidden, chunk.normed, tiles),
                PairsGradient(*dfc2, chunk.activated, chunk.dout, tiles),
            )
            return
        normed: tuple[Any, int] = (chunk.normed, 0) if self.has_norm else (self.x, start * channels)
        weight_gradients(
            WeightGradient(*dfc1, chunk.dhidden, 0, tile, tile, *normed, tokens),
            WeightGradient(*dfc2, chunk.activated, 0, tile, tile, dy, start * channels, tokens),
        )

    def _maps(self, shortcut: Array) -> MlpMaps:
        """With a new y; without a residual connection the shortcut is zeros, those that y begins with."""
        y: Any = pooled_empty(self.x.shape, self.x.dtype) if self.has_norm else pooled_zeros(self.x.shape, self.x.dtype)
        return MlpMaps(self.x, shortcut if self.has_norm else y, y, self.image_scales)
