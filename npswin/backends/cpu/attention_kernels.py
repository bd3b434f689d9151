"""(S)W-MSA with the norm before it and the residual connection after it: y = x + s · WindowAttention(x̂).

**Forward.** A tile is a few windows. Padding, the cyclic shift and the cut into windows are nothing but the places at
which the tile's tokens are read and written, so none of them is ever a copy of the map. The tile is turned into lanes
and normalized; then for a few heads at a time q, k and v are made and used while they are hot, and their outputs o pile
up in lanes for the projection.

    x ──gather, window order──▶ x̂ lanes ──W_qkv──▶ q, k, v of some heads ──attention──▶ o lanes ──W_proj──▶ y

What goes on inside a head is in `npswin.backends.cpu.head`. The bias is laid out for it once a call; the mask is a
comparison of small integers, made only for the windows that the shift put together from several regions.

**Few tokens.** Where a map has so few windows that the tiles would leave threads idle or lanes empty, all windows make
one tile, and the threads share its heads, and then the rows of the projection; see `npswin.backends.cpu.few_tokens`.

**Backward.** In training q, k, v and two statistics a token are kept; probabilities and o are computed again. The
tokens go by chunks, tiles first and rows of weight gradients after that, as in `npswin.backends.cpu.mlp_kernels`.
"""

import numpy as np

from npswin.backends.cpu.arrays import check_dtypes, flat, flat_derivative, flat_norm, flat_or, flat_or_none
from npswin.backends.cpu.attention_plan import plan_attention
from npswin.backends.cpu.few_tokens import project_windows
from npswin.backends.cpu.head import head_backward, head_backward_room, head_forward, head_room
from npswin.backends.cpu.host import round_up
from npswin.backends.cpu.jit import kernel
from npswin.backends.cpu.lanes import (
    clear,
    gather,
    normalize,
    normalize_again,
    normalize_backward,
    put_in_rows,
    scale_and_shift,
    scale_tokens,
    scatter_add,
    sum_tokens,
)
from npswin.backends.cpu.memory import empty
from npswin.backends.cpu.micro_kernel import BIAS, ZERO
from npswin.backends.cpu.product import product
from npswin.backends.cpu.threads import PARTS_EACH, part_count, run_parallel, thread_count
from npswin.backends.cpu.tiles import chunk_tiles
from npswin.backends.cpu.vectors import lanes_of, prefetch
from npswin.backends.cpu.weight_gradients import transposed, weight_gradient
from npswin.backends.cpu.windows import Windows, collect_bias, lay_out_bias, locate_windows
from npswin.types import Array


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
    table: Windows,
    sizes: tuple[int, ...],
    mask_value: float,
    norm: tuple[Array, Array],
    weights: tuple[Array, ...],
    bias: Array,
    stats: Array,
    kept_qkv: Array,
    shared: Array,
) -> None:
    """first, stop: tiles; or heads of the only tile, where `shared` takes what they attend to."""
    _, _, _, per_window, _, total_windows, tile_windows, tile = table
    channels, heads, dim, group, bias_heads, together = sizes
    by_heads = shared.size > 0
    first_tile, stop_tile = (0, 1) if by_heads else (first, stop)
    first_head, stop_head = (first, stop) if by_heads else (0, heads)
    qkv_weight, qkv_bias, proj_weight, proj_bias = weights
    vector = lanes_of(x)
    inside, square = heads * dim, round_up(per_window, vector)
    head_sizes = per_window, dim, square, together * square
    bias_stride = per_window * together * square if bias_heads > 1 else 0
    xhat, out = (scratch, 0, tile), (scratch, channels * tile, tile)
    attended = (shared, 0, tile) if by_heads else (scratch, 2 * channels * tile, tile)
    own_qkv = (2 * channels + inside) * tile
    room = (scratch, own_qkv + 3 * group * dim * tile)
    places, kept = np.zeros(tile, np.int64), np.ones(tile, np.bool_)
    factors, regions, masked = np.ones(tile, x.dtype), np.zeros(tile, np.int32), np.zeros(tile_windows, np.bool_)
    for t in range(first_tile, stop_tile):
        window = t * tile_windows
        windows = min(tile_windows, total_windows - window)
        count = windows * per_window
        width = round_up(count, vector)
        padded = locate_windows(window, windows, table, channels, scales, places, kept, factors, regions, masked)
        gather(x, places, count, channels, xhat)
        if norm[0].size:
            normalize(xhat, width, channels, (stats, t * 2 * tile) if stats.size else room)
            scale_and_shift(xhat, width, channels, norm[0], norm[1])
        if padded:
            clear(xhat, count, channels, kept)
        for head in range(first_head, stop_head, group):
            some = min(group, stop_head - head)
            keep = kept_qkv.size > 0
            made = kept_qkv if keep else scratch
            made_at = (t * 3 * inside + head * dim) * tile if keep else own_qkv
            between = (inside if keep else group * dim) * tile
            for which in range(3):
                row = which * inside + head * dim
                into = (made, made_at + which * between, tile)
                product(
                    some * dim,
                    width,
                    channels,
                    (qkv_weight, row * channels, channels, 1),
                    xhat,
                    into,
                    BIAS,
                    (qkv_bias, row),
                )
            for h in range(some):
                for w in range(0, windows, together):
                    at = made_at + h * dim * tile + w * per_window
                    q, k, v = (made, at, tile), (made, at + between, tile), (made, at + 2 * between, tile)
                    o = (attended[0], attended[1] + (head + h) * dim * tile + w * per_window, tile)
                    added = (bias, (head + h) * bias_stride, regions, w * per_window, masked, w, mask_value)
                    head_forward(q, k, v, o, min(together, windows - w), head_sizes, added, room)
        if not by_heads:
            product(channels, width, inside, (proj_weight, 0, inside, 1), attended, out, BIAS, (proj_bias, 0))
            scatter_add(out, factors, base, y, places, kept, count, channels)


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
    table: Windows,
    sizes: tuple[int, ...],
    mask_value: float,
    norm: tuple[Array, Array],
    weights: tuple[Array, ...],
    bias: Array,
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
    _, _, _, per_window, _, total_windows, tile_windows, tile = table
    channels, heads, dim, group, bias_heads, together = sizes
    qkv_weight, _, proj_weight, _ = weights
    vector = lanes_of(x)
    inside = heads * dim
    between = inside * tile
    square = round_up(per_window, vector)
    head_sizes = per_window, dim, square, together * square
    bias_size = per_window * together * square
    bias_stride = bias_size if bias_heads > 1 else 0
    dy_lanes, xhat, dxhat = (scratch, 0, tile), (scratch, channels * tile, tile), (scratch, 2 * channels * tile, tile)
    do_at = 3 * channels * tile
    room, none = (scratch, do_at + group * dim * tile), (scratch, 0)
    places, kept = np.zeros(tile, np.int64), np.ones(tile, np.bool_)
    factors, regions, masked = np.ones(tile, x.dtype), np.zeros(tile, np.int32), np.zeros(tile_windows, np.bool_)
    for here in range(first, stop):
        t = chunk_first + here
        window = t * tile_windows
        windows = min(tile_windows, total_windows - window)
        count = windows * per_window
        width = round_up(count, vector)
        sums_at = t * (3 * channels + 3 * inside)
        padded = locate_windows(window, windows, table, channels, scales, places, kept, factors, regions, masked)
        gather(dy, places, count, channels, dy_lanes)
        scale_tokens(dy_lanes, width, channels, factors)
        if padded:
            clear(dy_lanes, count, channels, kept)
        sum_tokens(dy_lanes, count, channels, sums, sums_at + 2 * channels)
        for head in range(0, heads, group):
            some = min(group, heads - head)
            into = (scratch, do_at, tile)
            product(some * dim, width, channels, (proj_weight, head * dim, 1, inside), dy_lanes, into, ZERO, none)
            for h in range(some):
                for which in range(3):
                    rows = which * between + (head + h) * dim * tile
                    prefetch(kept_qkv, t * 3 * between + rows, dim * tile)
                for w in range(0, windows, together):
                    lane = (head + h) * dim * tile + w * per_window
                    at, back = t * 3 * between + lane, here * 3 * between + lane
                    bias_at = (head + h) * bias_stride
                    head_backward(
                        ((kept_qkv, at, tile), (kept_qkv, at + between, tile), (kept_qkv, at + 2 * between, tile)),
                        (attended, here * between + lane, tile),
                        (scratch, do_at + h * dim * tile + w * per_window, tile),
                        ((dqkv, back, tile), (dqkv, back + between, tile), (dqkv, back + 2 * between, tile)),
                        min(together, windows - w),
                        head_sizes,
                        (bias, bias_at, regions, w * per_window, masked, w, mask_value),
                        (dbias, part * bias_heads * bias_size + bias_at),
                        room,
                    )
        right = (dqkv, here * 3 * between, tile)
        sum_tokens(right, count, 3 * inside, sums, sums_at + 3 * channels)
        product(channels, width, 3 * inside, (qkv_weight, 0, 1, channels), right, dxhat, ZERO, none)
        if padded:
            clear(dxhat, count, channels, kept)
        if norm[0].size:
            gather(x, places, count, channels, xhat)
            normalize_again(xhat, width, channels, (stats, t * 2 * tile))
            normalize_backward(dxhat, xhat, count, channels, norm[0], (stats, t * 2 * tile), (sums, sums_at), room)
            scale_and_shift(xhat, width, channels, norm[0], norm[1])
        else:
            gather(x, places, count, channels, xhat)
        if padded:
            clear(xhat, count, channels, kept)
        put_in_rows(xhat, normed, here * tile_windows * per_window, count, channels, channels)
        put_in_rows(dy_lanes, dout, here * tile_windows * per_window, count, channels, channels)
        factors[:] = 1
        scatter_add(dxhat, factors, base, dx, places, kept, count, channels)


class AttentionCall:
    """One call of a word: its arguments as kernels take them, and what the backward pass needs."""

    def __init__(
        self,
        x: Array,
        norm: tuple[Array, Array] | None,
        weights: tuple[Array, Array | None, Array, Array | None],
        bias_table: Array | None,
        num_heads: int,
        window_size: int,
        shift: int,
        mask_value: float,
        path_scale: Array | None = None,
        keep: bool = False,
    ) -> None:
        check_dtypes(x, *(norm or ()), *weights, bias_table, path_scale)
        qkv_weight, qkv_bias, proj_weight, proj_bias = weights
        self.x, self.shape, self.has_norm, self.keep = flat(x), x.shape, norm is not None, keep
        self.has_bias, self.bias_table = (qkv_bias is not None, proj_bias is not None), bias_table
        self.plan = plan_attention(
            *(x.shape, qkv_weight.shape, proj_weight.shape, None if bias_table is None else bias_table.shape),
            *(num_heads, window_size, shift, float(mask_value), x.dtype, thread_count(), keep),
        )
        channels = x.shape[3]
        self.norm = flat_norm(norm, channels, x)
        self.weights = (
            flat(qkv_weight),
            flat_or(qkv_bias, len(qkv_weight), x),
            flat(proj_weight),
            flat_or(proj_bias, channels, x),
        )
        self.scales = flat_or(path_scale, 1 if path_scale is None else len(x), x, fill=1)
        self.stats = self.kept_qkv = flat_or_none(None, x)
        self.bias = self.stats
        if bias_table is not None:
            self.bias = np.zeros(self.plan.bias_size, x.dtype)
            lay_out_bias(flat(bias_table), self.plan.bias_rows, self.plan.root, *self.plan.bias_layout, self.bias)

    def forward(self) -> Array:
        channels, heads, dim, group, _, together = self.plan.sizes
        table, tiles, by_heads = self.plan.table, self.plan.tiles, self.plan.by_heads
        per_window, tile, dtype, inside = table[3], table[7], self.x.dtype, heads * dim
        if self.keep:
            self.kept_qkv = empty(tiles * 3 * inside * tile, dtype)
            self.stats = empty(tiles * 2 * tile if self.has_norm else 0, dtype)
        shared = empty(inside * tile if by_heads else 0, dtype)
        y = empty(self.x.shape, self.x.dtype) if self.has_norm else np.zeros_like(self.x)
        base = self.x if self.has_norm else y
        room = max(head_room(per_window, self.plan.square, together), 2 * tile)
        run_parallel(
            *(_forward, heads if by_heads else tiles),
            *((2 * channels + inside + 3 * group * dim) * tile + room, dtype),
            *(self.x, base, y, self.scales, table, self.plan.sizes, self.plan.mask_value, self.norm, self.weights),
            *(self.bias, self.stats, self.kept_qkv, shared),
            each=1 if by_heads else PARTS_EACH,
        )
        if by_heads:
            project_windows(shared, inside, tile, *self.weights[2:], self.scales, base, y, table)
        return y.reshape(self.shape)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        """dx, dnorm_weight, dnorm_bias, dqkv_weight, dqkv_bias, dproj_weight, dproj_bias, dbias_table."""
        channels, heads, dim, group, _, together = self.plan.sizes
        table, tiles, square = self.plan.table, self.plan.tiles, self.plan.square
        per_window, windows, tile_windows, tile = table[3], *table[5:]
        dtype, inside = self.x.dtype, heads * dim
        dy = flat_derivative(dy, self.x.size, dtype)
        dx = empty(self.x.shape, self.x.dtype) if self.has_norm else np.zeros_like(self.x)
        base = dy if self.has_norm else dx
        tokens = tile_windows * per_window
        threads = thread_count()
        chunk = chunk_tiles((4 * inside + 2 * channels) * tile * dtype.itemsize, tiles, threads)
        dqkv, attended = empty(chunk * 3 * inside * tile, dtype), empty(chunk * inside * tile, dtype)
        normed, dout = empty(chunk * tokens * channels, dtype), empty(chunk * tokens * channels, dtype)
        sums = np.zeros((tiles, 3 * channels + 3 * inside), dtype)
        dbias = np.zeros((part_count(chunk, threads), self.plan.bias_size), dtype)
        dqkv_weight, dproj_transposed = empty((3 * inside, channels), dtype), empty((inside, channels), dtype)
        room = max(head_backward_room(per_window, square, together), 2 * tile)
        for first in range(0, tiles, chunk):
            count = min(chunk, tiles - first)
            run_parallel(
                *(_backward, count, (3 * channels + group * dim) * tile + room, dtype),
                *(first, self.x, dy, base, dx, self.scales, table, self.plan.sizes, self.plan.mask_value),
                *(self.norm, self.weights, self.bias, self.stats, self.kept_qkv),
                *(dqkv, attended, normed, dout, sums.reshape(-1), dbias.reshape(-1)),
                threads=threads,
            )
            here = min(count * tokens, windows * per_window - first * tokens)
            weight_gradient(dqkv, tile, tokens, normed, 0, here, dqkv_weight, first == 0)
            weight_gradient(attended, tile, tokens, dout, 0, here, dproj_transposed, first == 0)
        del dqkv, attended, normed, dout  # their memory serves the transposes
        dnorm_weight, dnorm_bias, dproj_bias, dqkv_bias = np.split(
            sums.sum(axis=0), [channels, 2 * channels, 3 * channels]
        )
        dtable = None
        if self.bias_table is not None:
            dtable = np.zeros(self.bias_table.shape, dtype)
            collect_bias(dbias.sum(axis=0), self.plan.bias_rows, *self.plan.bias_layout, dtable.reshape(-1))
        return (
            *(dx.reshape(self.shape), dnorm_weight, dnorm_bias),
            *(dqkv_weight, dqkv_bias if self.has_bias[0] else None),
            *(transposed(dproj_transposed), dproj_bias if self.has_bias[1] else None, dtable),
        )
