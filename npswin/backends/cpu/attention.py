"""(S)W-MSA with the norm before it and the residual connection after it: y = x + s · WindowAttention(x̂).

**Forward.** A tile is a few windows. Padding, the cyclic shift and the cut into windows are nothing but the places at
which the tile's tokens are read and written, so none of them is ever a copy of the map. The tile is turned into lanes
and normalized; then for a few heads at a time q, k and v are made and used while they are hot, and their outputs o pile
up in lanes for the projection.

    x ──gather, window order──▶ x̂ lanes ──W_qkv──▶ q, k, v of three heads ──attention──▶ o lanes ──W_proj──▶ y

**Attention in lanes.** Sᵀ_ji = Σ_c k_cj q_ci has a row for each key and a lane for each query: the softmax over the keys
goes down the rows, again without shuffling, and o_ci = Σ_j v_cj Pᵀ_ji is in lanes like everything else. The bias is laid
out transposed once a call; the mask is a comparison of two small integers, made only for the windows that the shift
put together from several regions.

The last vector of a window runs on into the lanes of the next one. What is written there is overwritten when that
window's turn comes, and a tile has room for the last window's excess.

**Backward.** In training q, k, v and two statistics a token are kept. Probabilities are computed again. The tokens go by
chunks, tiles first and rows of weight gradients after that, as in `npswin.backends.cpu.mlp`.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from npswin import ops
from npswin.backends.cpu.functions import exp
from npswin.backends.cpu.host import TILE_ROWS, VECTOR_BYTES, round_up, vector_lanes
from npswin.backends.cpu.jit import inner, kernel, view
from npswin.backends.cpu.lanes import (
    clear,
    gather,
    normalize,
    normalize_again,
    normalize_backward,
    scale_and_shift,
    scale_tokens,
    scatter_add,
    sum_tokens,
)
from npswin.backends.cpu.micro_kernel import BIAS, ZERO, transpose_strided
from npswin.backends.cpu.product import product
from npswin.backends.cpu.threads import run_parallel, thread_count
from npswin.backends.cpu.tiles import CHUNK_BYTES, windows_in_tile
from npswin.backends.cpu.weight_gradients import weight_gradient
from npswin.ops.position_bias import relative_position_index
from npswin.ops.windows import shift_regions, window_partition_forward
from npswin.types import Array


@inner
def _places(
    first_window: int,
    windows: int,
    window_places: Array,
    window_regions: Array,
    per_window: int,
    per_map: int,
    channels: int,
    scales: Array,
    out: Array,
    kept: Array,
    scale: Array,
    regions: Array,
) -> bool:
    """Fill in a tile's tokens: where each starts, whether it is on the map, its image's factor, its region.

    Returns whether some are not on the map.
    """
    out[:] = 0
    any_padding = False
    per_image = window_places.size // per_window
    for w in range(windows):
        image, window = divmod(first_window + w, per_image)
        for i in range(per_window):
            place = window_places[window * per_window + i]
            token = w * per_window + i
            kept[token] = place >= 0
            if place >= 0:
                out[token] = (image * per_map + place) * channels
            else:
                any_padding = True
            scale[token] = scales[image if scales.size > 1 else 0]
            regions[token] = window_regions[window * per_window + i]
    return any_padding


@inner
def _probabilities(
    scores: tuple[Array, int],
    stride: int,
    per_window: int,
    scale: float,
    bias: Array,
    bias_at: int,
    regions: Array,
    first: int,
    mixed: bool,
    mask_value: float,
    room: tuple[Array, int],
) -> None:
    """Sᵀ → exp(scale · Sᵀ + bias + mask − the largest), in place; one over each query's sum goes to `room`."""
    number = scores[0].dtype.type
    total, largest = view(room[0], room[1], stride), view(room[0], room[1] + stride, stride)
    total[:], largest[:] = number(0), number(-np.inf)
    own = view(regions, first, stride)
    for j in range(per_window):
        row = view(scores[0], scores[1] + j * stride, stride)
        if bias.size:
            added = view(bias, bias_at + j * stride, stride)
            for i in range(stride):
                row[i] = row[i] * scale + added[i]
        else:
            for i in range(stride):
                row[i] *= scale
        if mixed:
            region = regions[first + j]
            for i in range(stride):
                row[i] += number(0) if own[i] == region else mask_value
        for i in range(stride):
            largest[i] = row[i] if row[i] > largest[i] else largest[i]
    for j in range(per_window):
        row = view(scores[0], scores[1] + j * stride, stride)
        for i in range(stride):
            row[i] = exp(row[i] - largest[i])
            total[i] += row[i]
    for i in range(stride):
        total[i] = number(1) / total[i]


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
    window_places: Array,
    window_regions: Array,
    mixed: Array,
    per_window: int,
    per_map: int,
    total_windows: int,
    tile_windows: int,
    tile: int,
    channels: int,
    heads: int,
    dim: int,
    group: int,
    mask_value: float,
    norm_weight: Array,
    norm_bias: Array,
    qkv_weight: Array,
    qkv_bias: Array,
    proj_weight: Array,
    proj_bias: Array,
    bias: Array,
    bias_heads: int,
    stats: Array,
    kept_qkv: Array,
) -> None:
    lanes = VECTOR_BYTES // x.itemsize
    inside = heads * dim
    square = -(-per_window // lanes) * lanes
    per_image = window_places.size // per_window
    xhat, out = 0, channels * tile
    attended = out + channels * tile
    qkv = attended + inside * tile
    scores = qkv + 3 * group * dim * tile
    room = scores + per_window * square
    number = x.dtype.type
    scale = number(dim) ** number(-0.5)
    places, kept = np.zeros(tile, np.int64), np.ones(tile, np.bool_)
    factors, regions = np.ones(tile, x.dtype), np.zeros(tile, np.int32)
    for t in range(first, stop):
        window = t * tile_windows
        windows = min(tile_windows, total_windows - window)
        count = windows * per_window
        width = -(-count // lanes) * lanes
        padded = _places(
            window,
            windows,
            window_places,
            window_regions,
            per_window,
            per_map,
            channels,
            scales,
            places,
            kept,
            factors,
            regions,
        )
        gather(x, places, count, channels, scratch, xhat, tile)
        if norm_weight.size:
            if stats.size:
                normalize(scratch, xhat, tile, width, channels, stats, t * 2 * tile)
            else:
                normalize(scratch, xhat, tile, width, channels, scratch, room)
            scale_and_shift(scratch, xhat, tile, width, channels, norm_weight, norm_bias)
        if padded:
            clear(scratch, xhat, tile, count, channels, kept)
        for head in range(0, heads, group):
            some = min(group, heads - head)
            if kept_qkv.size:
                made, made_at, between = kept_qkv, (t * 3 * inside + head * dim) * tile, inside * tile
            else:
                made, made_at, between = scratch, qkv, group * dim * tile
            for which in range(3):
                row = which * inside + head * dim
                weight, right = (qkv_weight, row * channels, channels, 1), (scratch, xhat, tile)
                into = (made, made_at + which * between, tile)
                product(some * dim, width, channels, weight, right, into, BIAS, (qkv_bias, row))
            for own in range(some):
                q = made_at + own * dim * tile
                o = attended + (head + own) * dim * tile
                bias_at = (head + own if bias_heads > 1 else 0) * per_window * square
                for w in range(windows):
                    at = w * per_window
                    left, right = (made, q + between + at, 1, tile), (made, q + at, tile)
                    product(per_window, square, dim, left, right, (scratch, scores, square), ZERO, (scratch, 0))
                    apart = mixed[(window + w) % per_image]
                    _probabilities(
                        (scratch, scores),
                        square,
                        per_window,
                        scale,
                        bias,
                        bias_at,
                        regions,
                        at,
                        apart,
                        mask_value,
                        (scratch, room),
                    )
                    left, right = (made, q + 2 * between + at, tile, 1), (scratch, scores, square)
                    product(dim, square, per_window, left, right, (scratch, o + at, tile), ZERO, (scratch, 0))
                    share = view(scratch, room, square)
                    for c in range(dim):
                        row_o = view(scratch, o + c * tile + at, square)
                        for i in range(square):
                            row_o[i] *= share[i]
        weight = (proj_weight, 0, inside, 1)
        product(channels, width, inside, weight, (scratch, attended, tile), (scratch, out, tile), BIAS, (proj_bias, 0))
        scatter_add(scratch, out, tile, factors, base, y, places, kept, count, channels)


@inner
def _transpose(source: Array, at: int, out: Array, out_at: int, size: int) -> None:
    """A square of `size` rows and columns, a multiple of the lanes, turned round."""
    lanes = VECTOR_BYTES // source.itemsize
    for i in range(0, size, lanes):
        for j in range(0, size, lanes):
            transpose_strided(source, at + i * size + j, size, out, out_at + j * size + i, size)


@inner
def _head_backward(
    scratch: Array,
    qkv: tuple[Array, int],
    between: int,
    dqkv: tuple[Array, int],
    dbetween: int,
    do: int,
    o: tuple[Array, int],
    tile: int,
    per_window: int,
    dim: int,
    scale: float,
    bias: Array,
    bias_at: int,
    dbias: Array,
    dbias_at: int,
    regions: Array,
    at: int,
    mixed: bool,
    mask_value: float,
    squares: int,
) -> None:
    """One head of one window: o, dq, dk and dv from q, k, v and do; adds to dbias. See `npswin.ops.attention`.

    Pᵀ and dSᵀ serve where the sum runs over the keys, turned round they serve where it runs over the queries.
    """
    lanes = VECTOR_BYTES // scratch.itemsize
    number = scratch.dtype.type
    square = -(-per_window // lanes) * lanes
    p, ds, turned, room = (
        squares,
        squares + square * square,
        squares + 2 * square * square,
        squares + 3 * square * square,
    )
    none = (scratch, 0)
    q, k, v = qkv[1] + at, qkv[1] + between + at, qkv[1] + 2 * between + at
    source, back = qkv[0], dqkv[0]
    dq, dk, dv = dqkv[1] + at, dqkv[1] + dbetween + at, dqkv[1] + 2 * dbetween + at

    product(per_window, square, dim, (source, k, 1, tile), (source, q, tile), (scratch, p, square), ZERO, none)
    _probabilities(
        (scratch, p), square, per_window, scale, bias, bias_at, regions, at, mixed, mask_value, (scratch, room)
    )
    share = view(scratch, room, square)
    for j in range(per_window):
        row = view(scratch, p + j * square, square)
        for i in range(square):
            row[i] *= share[i]
    product(dim, square, per_window, (source, v, tile, 1), (scratch, p, square), (o[0], o[1] + at, tile), ZERO, none)

    # dv_cj = Σ_i do_ci P_ij
    _transpose(scratch, p, scratch, turned, square)
    product(
        dim, square, per_window, (scratch, do + at, tile, 1), (scratch, turned, square), (back, dv, tile), ZERO, none
    )

    # dSᵀ = Pᵀ ∘ (dPᵀ − Σ_j Pᵀ dPᵀ), dPᵀ_ji = Σ_c v_cj do_ci
    product(per_window, square, dim, (source, v, 1, tile), (scratch, do + at, tile), (scratch, ds, square), ZERO, none)
    share[:] = number(0)
    for j in range(per_window):
        row, weight = view(scratch, ds + j * square, square), view(scratch, p + j * square, square)
        for i in range(square):
            share[i] += row[i] * weight[i]
    for j in range(per_window):
        row, weight = view(scratch, ds + j * square, square), view(scratch, p + j * square, square)
        for i in range(square):
            row[i] = weight[i] * (row[i] - share[i])
        if dbias.size:
            total = view(dbias, dbias_at + j * square, square)
            for i in range(square):
                total[i] += row[i]
        for i in range(square):
            row[i] *= scale

    # dq_ci = Σ_j k_cj dSᵀ_ji, dk_cj = Σ_i q_ci dS_ij
    product(dim, square, per_window, (source, k, tile, 1), (scratch, ds, square), (back, dq, tile), ZERO, none)
    _transpose(scratch, ds, scratch, turned, square)
    product(dim, square, per_window, (source, q, tile, 1), (scratch, turned, square), (back, dk, tile), ZERO, none)


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
    window_places: Array,
    window_regions: Array,
    mixed: Array,
    per_window: int,
    per_map: int,
    total_windows: int,
    tile_windows: int,
    tile: int,
    channels: int,
    heads: int,
    dim: int,
    group: int,
    mask_value: float,
    norm_weight: Array,
    norm_bias: Array,
    qkv_weight: Array,
    proj_weight: Array,
    bias: Array,
    bias_heads: int,
    stats: Array,
    kept_qkv: Array,
    dqkv: Array,
    attended: Array,
    normed: Array,
    dout: Array,
    sums: Array,
    dbias: Array,
) -> None:
    """`sums` has a row a tile: dnorm_weight, dnorm_bias, dproj_bias (C each), dqkv_bias (3hd)."""
    lanes = VECTOR_BYTES // x.itemsize
    inside = heads * dim
    square = -(-per_window // lanes) * lanes
    per_image = window_places.size // per_window
    dy_lanes, xhat, dxhat = 0, channels * tile, 2 * channels * tile
    do = 3 * channels * tile
    squares = do + group * dim * tile
    work = squares + 3 * square * square + 2 * square
    number = x.dtype.type
    scale = number(dim) ** number(-0.5)
    none = (scratch, 0)
    places, kept = np.zeros(tile, np.int64), np.ones(tile, np.bool_)
    factors, regions = np.ones(tile, x.dtype), np.zeros(tile, np.int32)
    dbias_part = part * bias_heads * per_window * square
    for here in range(first, stop):
        t = chunk_first + here
        window = t * tile_windows
        windows = min(tile_windows, total_windows - window)
        count = windows * per_window
        width = -(-count // lanes) * lanes
        sums_at = t * (3 * channels + 3 * inside)
        padded = _places(
            window,
            windows,
            window_places,
            window_regions,
            per_window,
            per_map,
            channels,
            scales,
            places,
            kept,
            factors,
            regions,
        )
        gather(dy, places, count, channels, scratch, dy_lanes, tile)
        scale_tokens(scratch, dy_lanes, tile, width, channels, factors)
        if padded:
            clear(scratch, dy_lanes, tile, count, channels, kept)
        sum_tokens(scratch, dy_lanes, tile, count, channels, sums, sums_at + 2 * channels)
        for head in range(0, heads, group):
            some = min(group, heads - head)
            weight = (proj_weight, head * dim, 1, inside)
            product(some * dim, width, channels, weight, (scratch, dy_lanes, tile), (scratch, do, tile), ZERO, none)
            for own in range(some):
                row = (head + own) * dim * tile
                bias_at = (head + own if bias_heads > 1 else 0) * per_window * square
                for w in range(windows):
                    _head_backward(
                        scratch,
                        (kept_qkv, t * 3 * inside * tile + row),
                        inside * tile,
                        (dqkv, here * 3 * inside * tile + row),
                        inside * tile,
                        do + own * dim * tile,
                        (attended, here * inside * tile + row),
                        tile,
                        per_window,
                        dim,
                        scale,
                        bias,
                        bias_at,
                        dbias,
                        dbias_part + bias_at,
                        regions,
                        w * per_window,
                        mixed[(window + w) % per_image],
                        mask_value,
                        squares,
                    )
        at = here * 3 * inside * tile
        sum_tokens(dqkv[at:], 0, tile, count, 3 * inside, sums, sums_at + 3 * channels)
        weight = (qkv_weight, 0, 1, channels)
        product(channels, width, 3 * inside, weight, (dqkv, at, tile), (scratch, dxhat, tile), ZERO, none)
        if padded:
            clear(scratch, dxhat, tile, count, channels, kept)
        if norm_weight.size:
            gather(x, places, count, channels, scratch, xhat, tile)
            normalize_again(scratch, xhat, tile, width, channels, stats, t * 2 * tile)
            statistics = (stats, t * 2 * tile)
            normalize_backward(
                (scratch, dxhat),
                (scratch, xhat),
                tile,
                count,
                channels,
                norm_weight,
                statistics,
                (sums, sums_at),
                (scratch, work),
            )
        for i in range(count):
            at = (here * tile_windows * per_window + i) * channels
            token, out = view(x, places[i], channels), view(normed, at, channels)
            dtoken, dtoken_out = view(dy, places[i], channels), view(dout, at, channels)
            if not kept[i]:
                out[:], dtoken_out[:] = number(0), number(0)
                continue
            if norm_weight.size:
                mean, rstd = stats[t * 2 * tile + i], stats[t * 2 * tile + tile + i]
                for c in range(channels):
                    out[c] = (token[c] - mean) * rstd * norm_weight[c] + norm_bias[c]
            else:
                for c in range(channels):
                    out[c] = token[c]
            factor = factors[i]
            for c in range(channels):
                dtoken_out[c] = dtoken[c] * factor
        factors[:] = 1
        scatter_add(scratch, dxhat, tile, factors, base, dx, places, kept, count, channels)


@kernel
def _lay_out_bias(table: Array, index: Array, per_window: int, square: int, bias_heads: int, out: Array) -> None:
    """out[head][key][query], the query's row padded to whole vectors."""
    for i in range(per_window):
        for j in range(per_window):
            row = index[i * per_window + j] * bias_heads
            for head in range(bias_heads):
                out[(head * per_window + j) * square + i] = table[row + head]


@kernel
def _collect_bias(dbias: Array, index: Array, per_window: int, square: int, bias_heads: int, dtable: Array) -> None:
    for i in range(per_window):
        for j in range(per_window):
            row = index[i * per_window + j] * bias_heads
            for head in range(bias_heads):
                dtable[row + head] += dbias[(head * per_window + j) * square + i]


@lru_cache(maxsize=64)
def _window_geometry(height: int, width: int, window_size: int, shift: int) -> tuple[Array, Array, Array]:
    """Of each window's tokens: the place on the map or −1 (nW·N,), the region (nW·N,); whether it has several (nW,)."""
    numbers = np.arange(1, height * width + 1).reshape(1, height, width, 1)
    places = window_partition_forward(numbers, window_size, shift)[0][..., 0] - 1
    regions = shift_regions(height, width, window_size, shift) if shift else np.zeros_like(places)
    mixed = (regions != regions[:, :1]).any(axis=1)
    return places.reshape(-1).astype(np.int64), regions.reshape(-1).astype(np.int32), mixed


def _flat(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1)


class _Branch:
    """What both passes know of one call."""

    def __init__(
        self,
        x: Array,
        norm: tuple[Array, Array] | None,
        weights: tuple[Array | None, ...],
        path_scale: Array | None,
        *,
        num_heads: int,
        window_size: int,
        shift: int,
        mask_value: float = -100.0,
    ) -> None:
        qkv_weight, qkv_bias, proj_weight, proj_bias, table = weights
        self.shape, self.dtype = x.shape, x.dtype
        batch, height, width, self.channels = x.shape
        self.x, self.norm = _flat(x), norm
        self.heads, self.inside = num_heads, proj_weight.shape[1]
        self.dim = self.inside // num_heads
        self.has_bias = qkv_bias is not None, proj_bias is not None
        none = np.empty(0, x.dtype)
        self.norm_weight, self.norm_bias = (none, none) if norm is None else map(_flat, norm)
        self.qkv_weight, self.proj_weight = _flat(qkv_weight), _flat(proj_weight)
        self.qkv_bias = np.zeros(3 * self.inside, x.dtype) if qkv_bias is None else qkv_bias
        self.proj_bias = np.zeros(self.channels, x.dtype) if proj_bias is None else proj_bias
        self.scales = np.ones(1, x.dtype) if path_scale is None else path_scale.astype(x.dtype)
        self.mask_value = x.dtype.type(mask_value)

        self.geometry = _window_geometry(height, width, window_size, shift)
        self.per_window, self.per_map = window_size**2, height * width
        self.windows = batch * len(self.geometry[2])
        self.tile_windows, self.tile = windows_in_tile(self.per_window, x.itemsize, self.windows, thread_count())
        self.tiles = -(-self.windows // self.tile_windows)
        self.square = round_up(self.per_window, vector_lanes(x.itemsize))
        self.group = next((g for g in range(1, num_heads) if g * self.dim % TILE_ROWS == 0), num_heads)

        self.table, self.bias_heads, self.bias = table, 0, none
        if table is not None:
            full = table.shape == (self.per_window, self.per_window)
            self.bias_heads = 1 if full else table.shape[1]
            self.index = np.arange(self.per_window**2) if full else relative_position_index(window_size).reshape(-1)
            self.bias = np.zeros(self.bias_heads * self.per_window * self.square, x.dtype)
            _lay_out_bias(_flat(table), self.index, self.per_window, self.square, self.bias_heads, self.bias)
        self.stats = self.kept_qkv = none

    def _sizes(self) -> tuple[Any, ...]:
        return (
            *(*self.geometry, self.per_window, self.per_map, self.windows, self.tile_windows, self.tile),
            *(self.channels, self.heads, self.dim, self.group, self.mask_value, self.norm_weight, self.norm_bias),
        )

    def forward(self, keep: bool) -> Array:
        if keep:
            self.kept_qkv = np.empty(self.tiles * 3 * self.inside * self.tile, self.dtype)
            if self.norm is not None:
                self.stats = np.empty(self.tiles * 2 * self.tile, self.dtype)
        y = np.zeros_like(self.x) if self.norm is None else np.empty_like(self.x)
        base = y if self.norm is None else self.x
        rows = 2 * self.channels + self.inside + 3 * self.group * self.dim
        size = rows * self.tile + self.per_window * self.square + 2 * max(self.square, self.tile)
        run_parallel(
            *(_forward, self.tiles, size, self.dtype, self.x, base, y, self.scales, *self._sizes()),
            *(self.qkv_weight, self.qkv_bias, self.proj_weight, self.proj_bias),
            *(self.bias, self.bias_heads, self.stats, self.kept_qkv),
        )
        return y.reshape(self.shape)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        dy = _flat(dy)
        channels, inside, tile = self.channels, self.inside, self.tile
        dx = np.zeros_like(self.x) if self.norm is None else np.empty_like(self.x)
        base = dx if self.norm is None else dy
        tokens = self.tile_windows * self.per_window
        per_tile = (4 * inside + 2 * channels) * tile * self.x.itemsize
        chunk = min(self.tiles, max(thread_count(), CHUNK_BYTES // per_tile))
        dqkv, attended = (np.empty(chunk * rows * tile, self.dtype) for rows in (3 * inside, inside))
        normed, dout = (np.empty(chunk * tokens * channels, self.dtype) for _ in range(2))
        sums = np.zeros((self.tiles, 3 * channels + 3 * inside), self.dtype)
        parts = min(thread_count(), chunk)
        dbias = np.zeros((parts, self.bias_heads * self.per_window * self.square), self.dtype)
        dqkv_weight = np.empty((3 * inside, channels), self.dtype)
        dproj_transposed = np.empty((inside, channels), self.dtype)
        size = (3 * channels + self.group * self.dim + 2) * tile + 3 * self.square**2 + 2 * self.square
        for first in range(0, self.tiles, chunk):
            count = min(chunk, self.tiles - first)
            run_parallel(
                *(_backward, count, size, self.dtype),
                *(first, self.x, dy, base, dx, self.scales, *self._sizes(), self.qkv_weight, self.proj_weight),
                *(self.bias, self.bias_heads, self.stats, self.kept_qkv),
                *(dqkv, attended, normed, dout, sums.reshape(-1), dbias.reshape(-1)),
            )
            here = min(count * tokens, self.windows * self.per_window - first * tokens)
            weight_gradient(dqkv, tile, tokens, normed, 0, here, dqkv_weight, first == 0)
            weight_gradient(attended, tile, tokens, dout, 0, here, dproj_transposed, first == 0)
        dnorm_weight, dnorm_bias, dproj_bias, dqkv_bias = np.split(
            sums.sum(axis=0), [channels, 2 * channels, 3 * channels]
        )
        dtable = None
        if self.table is not None:
            dtable = np.zeros_like(self.table)
            flat = dtable.reshape(-1)
            _collect_bias(dbias.sum(axis=0), self.index, self.per_window, self.square, self.bias_heads, flat)
        return (
            dx.reshape(self.shape),
            *(() if self.norm is None else (dnorm_weight, dnorm_bias)),
            dqkv_weight,
            dqkv_bias if self.has_bias[0] else None,
            np.ascontiguousarray(dproj_transposed.T),
            dproj_bias if self.has_bias[1] else None,
            dtable,
        )


def attention_branch_forward(
    x: Array,
    *weights: Any,
    path_scale: Array | None = None,
    attn_drop_mask: Array | None = None,
    proj_drop_mask: Array | None = None,
    **geometry: Any,
) -> tuple[Array, Any]:
    """See `npswin.ops.attention_branch_forward`, which also does the dropout."""
    if attn_drop_mask is not None or proj_drop_mask is not None:
        masks = {"attn_drop_mask": attn_drop_mask, "proj_drop_mask": proj_drop_mask}
        return ops.attention_branch_forward(x, *weights, path_scale=path_scale, **masks, **geometry)
    branch = _Branch(x, weights[:2], weights[2:], path_scale, **geometry)
    return branch.forward(keep=True), branch


def attention_branch_backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
    """See `npswin.ops.attention_branch_backward`."""
    return cache.backward(dy) if isinstance(cache, _Branch) else ops.attention_branch_backward(dy, cache)


def attention_branch(x: Array, *weights: Any, path_scale: Array | None = None, **geometry: Any) -> Array:
    """The forward pass of `attention_branch_forward`, with nothing kept."""
    return _Branch(x, weights[:2], weights[2:], path_scale, **geometry).forward(keep=False)
