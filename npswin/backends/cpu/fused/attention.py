"""(S)W-MSA with the norm before it and the residual connection after it: y = x + s · WindowAttention(x̂).

**Forward.** A tile is a few windows. Padding, the cyclic shift and the cut into windows are only the offsets at which
the tile's tokens are read and written, so none of them copies the map. The tile is turned into lanes and normalized;
then for a few heads at a time q, k and v are computed and used while they are in the cache, and their outputs o are
collected in lanes for the projection.

    x ──gather, window order──▶ x̂ lanes ──W_qkv──▶ q, k, v of some heads ──attention──▶ o lanes ──W_proj──▶ y

One head is computed in `attention_head`. The bias is laid out for it once a call; the mask is a comparison of small
integers, made only for windows with tokens of several regions.

**Few tokens.** Where a map has so few windows that tiles would leave threads idle or lanes empty, all windows make one
tile, and the threads share its heads, and then the rows of the projection; see `npswin.backends.cpu.tile.projection`.

**Backward.** In training q, k, v and two statistics a token are saved; probabilities and o are recomputed. The tokens
go by chunks, tiles first and rows of weight gradients after that, as in `npswin.backends.cpu.fused.mlp`.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from npswin.backends.cpu.fused import attention_bfloat16
from npswin.backends.cpu.fused.attention_arrays import (
    BranchMaps,
    BranchOwnSums,
    BranchSaved,
    BranchSums,
    BranchTransposes,
    BranchWeights,
)
from npswin.backends.cpu.fused.attention_bias import accumulate_bias_table_gradient, expand_bias_table
from npswin.backends.cpu.fused.attention_head import (
    BiasAndMask,
    head_backward,
    head_backward_scratch_size,
    head_forward,
    head_scratch_size,
)
from npswin.backends.cpu.fused.attention_head_bfloat16 import DIM_MULTIPLE
from npswin.backends.cpu.fused.attention_plan import AttentionSizes, plan_attention
from npswin.backends.cpu.machine.arrays import (
    flat,
    flat_norm_parameters,
    flat_or_empty,
    flat_or_full,
)
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import fill, stack_memory, view
from npswin.backends.cpu.machine.memory import pooled_empty, pooled_zeros
from npswin.backends.cpu.machine.processor import round_up
from npswin.backends.cpu.machine.threads import PARTS_PER_THREAD, part_count, run_parallel, thread_count
from npswin.backends.cpu.simd.intrinsics import lanes_of, prefetch
from npswin.backends.cpu.simd.matrix_product import lanes_product
from npswin.backends.cpu.simd.micro_kernel import FROM_BIAS, FROM_ZERO
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
    normalize_with_saved_stats,
    scale_and_shift,
    scale_tokens,
    scatter_residual,
    sum_tokens,
    to_rows,
    zero_padding,
)
from npswin.backends.cpu.tile.precision import in_bfloat16
from npswin.backends.cpu.tile.projection import project_single_tile
from npswin.backends.cpu.tile.sizes import tiles_per_chunk
from npswin.backends.cpu.tile.weight_gradient import (
    WeightGradient,
    add_rows,
    added_up,
    sums_by_part,
    transposed_copy,
    weight_gradients,
)
from npswin.backends.cpu.tile.weight_panels import panels_product, transposed_panels
from npswin.backends.cpu.tile.window_tokens import TILE_TOKEN_BYTES, WindowLayout, locate_windows, make_tile_tokens
from npswin.ops.window_attention import AttentionSpec, AttentionWeights
from npswin.types import Array


class _Chunk(NamedTuple):
    """What the backward pass of a chunk of tiles leaves for the gradients of the weights.

    Attributes:
        dqkv: (tiles, 3hd, tile) in lanes.
        attended: (tiles, hd, tile) o in lanes.
        normed: (tokens, C) x̂ in window order.
        dout: (tokens, C) the derivative by the projection's output in window order.
    """

    dqkv: Array
    attended: Array
    normed: Array
    dout: Array


@kernel
def _forward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    maps: BranchMaps,
    windows: WindowLayout,
    sizes: AttentionSizes,
    weights: BranchWeights,
    mask_value: float,
    saved: BranchSaved,
    shared: Array,
) -> None:
    """first, stop: tiles; or heads of the only tile, whose outputs o go to `shared`."""
    channels, heads, group, head_sizes = sizes.channels, sizes.heads, sizes.heads_per_group, sizes.head
    per_window, dim, per_step, tile = head_sizes.tokens, head_sizes.dim, head_sizes.windows_per_step, windows.tile
    split_by_heads = shared.size > 0
    first_tile, stop_tile = (0, 1) if split_by_heads else (first, stop)
    first_head, stop_head = (first, stop) if split_by_heads else (0, heads)
    vector = lanes_of(maps.x)
    inner_dim = heads * dim
    bias_stride = per_window * per_step * head_sizes.padded_tokens if sizes.bias_heads > 1 else 0
    xhat, out = (scratch, 0, tile), (scratch, channels * tile, tile)
    attended = (shared, 0, tile) if split_by_heads else (scratch, 2 * channels * tile, tile)
    qkv_start = (2 * channels + inner_dim) * tile
    free = (scratch, qkv_start + 3 * group * dim * tile)
    tokens = make_tile_tokens(windows, stack_memory(TILE_TOKEN_BYTES * tile), maps.x)
    for t in range(first_tile, stop_tile):
        window = t * windows.windows_per_tile
        count = min(windows.windows_per_tile, windows.windows - window)
        token_count = count * per_window
        width = round_up(token_count, vector)
        padded = locate_windows(window, count, windows, channels, maps.image_scales, tokens)
        gather(maps.x, tokens.offsets, token_count, channels, xhat)
        if weights.norm_weight.size:
            norm = weights.norm_weight, weights.norm_bias
            normalize(xhat, width, channels, norm, (saved.stats, t * 2 * tile) if saved.stats.size else free)
        if padded:
            zero_padding(xhat, token_count, channels, tokens.in_map)
        for head in range(first_head, stop_head, group):
            some = min(group, stop_head - head)
            save = saved.qkv.size > 0
            qkv = saved.qkv if save else scratch
            q_start = (t * 3 * inner_dim + head * dim) * tile if save else qkv_start
            q_to_k = (inner_dim if save else group * dim) * tile
            for which in range(3):
                row = which * inner_dim + head * dim
                into = (qkv, q_start + which * q_to_k, tile)
                left = (weights.qkv_weight, row * channels, channels, 1)
                lanes_product(some * dim, width, channels, left, xhat, into, FROM_BIAS, (weights.qkv_bias, row))
            for h in range(some):
                for w in range(0, count, per_step):
                    at = q_start + h * dim * tile + w * per_window
                    q, k, v = (qkv, at, tile), (qkv, at + q_to_k, tile), (qkv, at + 2 * q_to_k, tile)
                    o = (attended[0], attended[1] + (head + h) * dim * tile + w * per_window, tile)
                    added = BiasAndMask(
                        weights.bias,
                        (head + h) * bias_stride,
                        tokens.regions,
                        w * per_window,
                        tokens.needs_mask,
                        w,
                        mask_value,
                    )
                    head_forward(q, k, v, o, min(per_step, count - w), head_sizes, added, free)
        if not split_by_heads:
            left = (weights.proj_weight, 0, inner_dim, 1)
            lanes_product(channels, width, inner_dim, left, attended, out, FROM_BIAS, (weights.proj_bias, 0))
            scatter_residual(
                out, tokens.scales, maps.shortcut, maps.y, tokens.offsets, tokens.in_map, token_count, channels
            )


@kernel
def _backward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    chunk_first: int,
    dy: Array,
    maps: BranchMaps,
    windows: WindowLayout,
    sizes: AttentionSizes,
    weights: BranchWeights,
    transposes: BranchTransposes,
    mask_value: float,
    saved: BranchSaved,
    chunk: _Chunk,
    own: BranchOwnSums,
    sums: BranchSums,
) -> None:
    """first, stop: tiles of the chunk that begins with tile `chunk_first`.

    Where the part has sums of its own, the chunk is a single tile in its working memory.
    """
    channels, heads, group, head_sizes = sizes.channels, sizes.heads, sizes.heads_per_group, sizes.head
    per_window, dim, per_step, tile = head_sizes.tokens, head_sizes.dim, head_sizes.windows_per_step, windows.tile
    vector = lanes_of(maps.x)
    inner_dim = heads * dim
    q_to_k = inner_dim * tile
    bias_size = per_window * per_step * head_sizes.padded_tokens
    bias_stride = bias_size if sizes.bias_heads > 1 else 0
    dy_lanes, xhat, dxhat = (scratch, 0, tile), (scratch, channels * tile, tile), (scratch, 2 * channels * tile, tile)
    by_part, do_start = own.dqkv_weight.size > 0, 3 * channels * tile
    if by_part:
        at, rows = do_start, windows.windows_per_tile * per_window * channels
        chunk = _Chunk(
            view(scratch, at, 3 * inner_dim * tile),
            view(scratch, at + 3 * inner_dim * tile, inner_dim * tile),
            view(scratch, at + 4 * inner_dim * tile, rows),
            view(scratch, at + 4 * inner_dim * tile + rows, rows),
        )
        do_start += 4 * inner_dim * tile + 2 * rows
    free = (scratch, do_start + group * dim * tile)
    tokens = make_tile_tokens(windows, stack_memory(TILE_TOKEN_BYTES * tile), maps.x)
    for place in range(first, stop):
        t, here = chunk_first + place, 0 if by_part else place
        window = t * windows.windows_per_tile
        count = min(windows.windows_per_tile, windows.windows - window)
        token_count = count * per_window
        width = round_up(token_count, vector)
        sums_at = t * (3 * channels + 3 * inner_dim)
        padded = locate_windows(window, count, windows, channels, maps.image_scales, tokens)
        gather(dy, tokens.offsets, token_count, channels, dy_lanes)
        scale_tokens(dy_lanes, width, channels, tokens.scales)
        if padded:
            zero_padding(dy_lanes, token_count, channels, tokens.in_map)
        sum_tokens(dy_lanes, token_count, channels, sums.by_tile, sums_at + 2 * channels)
        for head in range(0, heads, group):
            some = min(group, heads - head)
            into = (scratch, do_start, tile)
            left = transposes.proj, head * dim * channels, channels
            panels_product(some * dim, width, channels, left, dy_lanes, into, FROM_ZERO)
            for h in range(some):
                for which in range(3):
                    rows = which * q_to_k + (head + h) * dim * tile
                    prefetch(saved.qkv, t * 3 * q_to_k + rows, dim * tile)
                for w in range(0, count, per_step):
                    lane = (head + h) * dim * tile + w * per_window
                    at, back = t * 3 * q_to_k + lane, here * 3 * q_to_k + lane
                    bias_start = (head + h) * bias_stride
                    added = BiasAndMask(
                        weights.bias,
                        bias_start,
                        tokens.regions,
                        w * per_window,
                        tokens.needs_mask,
                        w,
                        mask_value,
                    )
                    head_backward(
                        ((saved.qkv, at, tile), (saved.qkv, at + q_to_k, tile), (saved.qkv, at + 2 * q_to_k, tile)),
                        (chunk.attended, here * q_to_k + lane, tile),
                        (scratch, do_start + h * dim * tile + w * per_window, tile),
                        (
                            (chunk.dqkv, back, tile),
                            (chunk.dqkv, back + q_to_k, tile),
                            (chunk.dqkv, back + 2 * q_to_k, tile),
                        ),
                        min(per_step, count - w),
                        head_sizes,
                        added,
                        (sums.dbias, part * sizes.bias_heads * bias_size + bias_start),
                        free,
                    )
        right = (chunk.dqkv, here * 3 * q_to_k, tile)
        sum_tokens(right, token_count, 3 * inner_dim, sums.by_tile, sums_at + 3 * channels)
        panels_product(channels, width, 3 * inner_dim, (transposes.qkv, 0, 3 * inner_dim), right, dxhat, FROM_ZERO)
        if padded:
            zero_padding(dxhat, token_count, channels, tokens.in_map)
        gather(maps.x, tokens.offsets, token_count, channels, xhat)
        if weights.norm_weight.size:
            stats = (saved.stats, t * 2 * tile)
            normalize_with_saved_stats(xhat, width, channels, stats)
            normalize_backward(
                dxhat, xhat, token_count, channels, weights.norm_weight, stats, (sums.by_tile, sums_at), free
            )
            scale_and_shift(xhat, width, channels, weights.norm_weight, weights.norm_bias)
        if padded:
            zero_padding(xhat, token_count, channels, tokens.in_map)
        first_row = here * windows.windows_per_tile * per_window
        to_rows(xhat, chunk.normed, first_row, token_count, channels, channels)
        to_rows(dy_lanes, chunk.dout, first_row, token_count, channels, channels)
        if by_part:
            is_first, size = place == first, inner_dim * channels
            dqkv = own.dqkv_weight, part * 3 * size, 3 * inner_dim, channels, is_first
            dproj = own.dproj_transposed, part * size, inner_dim, channels, is_first
            lanes = 0, tile, token_count
            add_rows(WeightGradient(*dqkv, chunk.dqkv, *lanes, chunk.normed, 0, token_count), 0, 3 * inner_dim)
            add_rows(WeightGradient(*dproj, chunk.attended, *lanes, chunk.dout, 0, token_count), 0, inner_dim)
        fill(tokens.scales, 1)
        scatter_residual(
            dxhat, tokens.scales, maps.shortcut, maps.y, tokens.offsets, tokens.in_map, token_count, channels
        )


_Place: TypeAlias = tuple[Array, int, int, int, bool]  # the first fields of a `WeightGradient`


class AttentionCall:
    """One call of an op: its arguments as kernels take them, and what the backward pass needs.

    Args:
        x: (B, H, W, C).
        norm: weight and bias of the norm before attention and with it the residual connection; None for neither.
        weights: of the attention.
        spec: heads, windows, shift and mask.
        path_scale: (B,) drop path's factors, or None.
        for_backward: whether to save what `backward` needs.
    """

    def __init__(
        self,
        x: Array,
        norm: tuple[Array, Array] | None,
        weights: AttentionWeights,
        spec: AttentionSpec,
        path_scale: Array | None = None,
        for_backward: bool = False,
    ) -> None:
        qkv_weight, qkv_bias, proj_weight, proj_bias, table = weights
        self.x, self.shape, self.has_norm, self.for_backward = flat(x), x.shape, norm is not None, for_backward
        self.has_qkv_bias, self.has_proj_bias, self.bias_table = qkv_bias is not None, proj_bias is not None, table
        self.plan = plan_attention(
            *(x.shape, proj_weight.shape, None if table is None else table.shape),
            *(spec, x.dtype, thread_count(), for_backward),
        )
        channels, none = x.shape[3], flat_or_empty(None, x)
        bias = none
        if table is not None:
            layout = self.plan.bias_layout
            # in bfloat16 the products read on behind the last head, to whole tiles of rows
            beyond = (layout.padded_tokens - layout.tokens) * layout.windows_per_step * layout.padded_tokens
            bias = pooled_zeros(layout.size + beyond, x.dtype)
            run_parallel(
                *(expand_bias_table, layout.heads, table.size // layout.heads, x.dtype),
                *(flat(table), self.plan.bias_table_rows, self.plan.root_dim, layout, bias),
            )
        self.weights = BranchWeights(
            *flat_norm_parameters(norm, x),
            flat(qkv_weight),
            flat_or_full(qkv_bias, len(qkv_weight), x),
            flat(proj_weight),
            flat_or_full(proj_bias, channels, x),
            bias,
        )
        self.image_scales = flat_or_full(path_scale, 1 if path_scale is None else len(x), x, fill=1)
        self.saved = BranchSaved(none, none)
        head_dim, inner_dim = self.plan.sizes.head.dim, proj_weight.shape[1]
        self.in_bfloat16 = head_dim % DIM_MULTIPLE == 0 and in_bfloat16(x.dtype, channels, inner_dim)

    def forward(self) -> Array:
        """y (B, H, W, C)."""
        windows, sizes, tiles = self.plan.windows, self.plan.sizes, self.plan.tiles
        split_by_heads, tile = self.plan.split_by_heads, windows.tile
        dtype, dim = self.x.dtype, sizes.head.dim
        inner_dim = sizes.heads * dim
        if self.for_backward:
            stats = pooled_empty(tiles * 2 * tile if self.has_norm else 0, dtype)
            self.saved = BranchSaved(stats, pooled_empty(tiles * 3 * inner_dim * tile, dtype))
        shared = pooled_empty(inner_dim * tile if split_by_heads else 0, "int32" if self.in_bfloat16 else dtype)
        maps, weights = self._maps(self.x), self.weights
        scratch = max(head_scratch_size(sizes.head), 2 * tile)
        scratch += (2 * sizes.channels + inner_dim + 3 * sizes.heads_per_group * dim) * tile
        if self.in_bfloat16:
            scratch = attention_bfloat16.forward_scratch_size(sizes, tile)
            qkv = rounded_weight(weights.qkv_weight, sizes.channels)
            weights = weights._replace(qkv_weight=qkv, proj_weight=rounded_weight(weights.proj_weight, inner_dim))
        run_parallel(
            attention_bfloat16.forward if self.in_bfloat16 else _forward,
            *(sizes.heads if split_by_heads else tiles, scratch, dtype),
            *(maps, windows, sizes, weights, self.plan.mask_value, self.saved, shared),
            parts_per_thread=1 if split_by_heads else PARTS_PER_THREAD,
        )
        if split_by_heads:
            weight, bias = weights.proj_weight, weights.proj_bias
            project_single_tile(shared, inner_dim, weight, bias, maps.image_scales, maps.shortcut, maps.y, windows)
        return maps.y.reshape(self.shape)

    def backward(self, dy: Array) -> tuple[Array | None, ...]:
        """dx, dnorm_weight, dnorm_bias, dqkv_weight, dqkv_bias, dproj_weight, dproj_bias, dbias_table."""
        windows, sizes, tiles = self.plan.windows, self.plan.sizes, self.plan.tiles
        channels, dim, tile, dtype = sizes.channels, sizes.head.dim, windows.tile, self.x.dtype
        inner_dim = sizes.heads * dim
        dy = flat(dy)
        maps = self._maps(dy)
        tokens = windows.windows_per_tile * windows.tokens
        transposed = rounded_transpose if self.in_bfloat16 else transposed_panels
        transposes = BranchTransposes(
            transposed(self.weights.qkv_weight, channels), transposed(self.weights.proj_weight, inner_dim)
        )
        threads, size = thread_count(), inner_dim * channels
        parts = sums_by_part(4 * size * dtype.itemsize, tiles, threads)
        chunk_bytes = (4 * inner_dim + 2 * channels) * tile * dtype.itemsize // (2 if self.in_bfloat16 else 1)
        chunk_size = 0 if parts else tiles_per_chunk(chunk_bytes, tiles, threads)
        chunk = self._chunk(chunk_size)
        own = BranchOwnSums(pooled_empty(parts * 3 * size, dtype), pooled_empty(parts * size, dtype))
        dqkv, dproj = own if parts else (pooled_empty(3 * size, dtype), pooled_empty(size, dtype))
        by_tile = pooled_zeros((tiles, 3 * channels + 3 * inner_dim), dtype)
        dbias = pooled_zeros((part_count(chunk_size or tiles, threads), self.plan.bias_layout.size), dtype)
        scratch = max(head_backward_scratch_size(sizes.head), 2 * tile)
        scratch += (3 * channels + sizes.heads_per_group * dim) * tile
        scratch += 4 * inner_dim * tile + 2 * tokens * channels if parts else 0
        if self.in_bfloat16:
            scratch = attention_bfloat16.backward_scratch_size(sizes, tile, parts > 0)
        for first in range(0, tiles, chunk_size or tiles):
            count = min(chunk_size or tiles, tiles - first)
            run_parallel(
                attention_bfloat16.backward if self.in_bfloat16 else _backward,
                *(count, scratch, dtype, first, dy, maps, windows, sizes, self.weights, transposes),
                *(self.plan.mask_value, self.saved, chunk, own, BranchSums(by_tile.reshape(-1), dbias.reshape(-1))),
                threads=threads,
            )
            if not parts:
                here, shape = (
                    min(count * tokens, windows.windows * windows.tokens - first * tokens),
                    (channels, first == 0),
                )
                self._weight_gradients(chunk, (dqkv, 0, 3 * inner_dim, *shape), (dproj, 0, inner_dim, *shape), here)
        del chunk, transposes  # so that their memory is reused
        dqkv_weight, dproj_transposed = (
            (added_up(d, parts) if parts else d).reshape(rows, channels)
            for d, rows in ((dqkv, 3 * inner_dim), (dproj, inner_dim))
        )
        dnorm_weight, dnorm_bias, dproj_bias, dqkv_bias = np.split(
            by_tile.sum(axis=0), [channels, 2 * channels, 3 * channels]
        )
        dtable = None
        if self.bias_table is not None:
            dtable = np.zeros(self.bias_table.shape, dtype)
            accumulate_bias_table_gradient(
                added_up(dbias.reshape(-1), len(dbias)),
                self.plan.bias_table_rows,
                self.plan.bias_layout,
                dtable.reshape(-1),
            )
        return (
            *(maps.y.reshape(self.shape), dnorm_weight, dnorm_bias),
            *(dqkv_weight, dqkv_bias if self.has_qkv_bias else None),
            *(transposed_copy(dproj_transposed), dproj_bias if self.has_proj_bias else None, dtable),
        )

    def _chunk(self, tiles: int) -> Any:
        windows, sizes = self.plan.windows, self.plan.sizes
        inner_dim = sizes.heads * sizes.head.dim
        if self.in_bfloat16:
            row = pairs_of_lanes(windows.tile)
            rows = 3 * inner_dim, inner_dim, sizes.channels, sizes.channels
            return attention_bfloat16.Chunk(*(pooled_empty(tiles * row * some, "int32") for some in rows))
        lanes, tokens = tiles * inner_dim * windows.tile, tiles * windows.windows_per_tile * windows.tokens
        numbers = 3 * lanes, lanes, tokens * sizes.channels, tokens * sizes.channels
        return _Chunk(*(pooled_empty(some, self.x.dtype) for some in numbers))

    def _weight_gradients(self, chunk: Any, dqkv: _Place, dproj: _Place, tokens: int) -> None:
        """Add a chunk's share to both gradients."""
        windows = self.plan.windows
        per_tile = windows.windows_per_tile * windows.tokens
        if self.in_bfloat16:
            row, (whole, rest), pairs = pairs_of_lanes(windows.tile), divmod(tokens, per_tile), (per_tile + 1) // 2
            tiles = TilesOfPairs(row, row, pairs, whole * pairs + (rest + 1) // 2)
            weight_gradients_bfloat16(
                PairsGradient(*dqkv, chunk.dqkv, chunk.normed, tiles),
                PairsGradient(*dproj, chunk.attended, chunk.dout, tiles),
            )
            return
        lanes = 0, windows.tile, per_tile
        weight_gradients(
            WeightGradient(*dqkv, chunk.dqkv, *lanes, chunk.normed, 0, tokens),
            WeightGradient(*dproj, chunk.attended, *lanes, chunk.dout, 0, tokens),
        )

    def _maps(self, shortcut: Array) -> BranchMaps:
        """With a new y; without a residual connection the shortcut is zeros, those that y begins with."""
        y: Any = pooled_empty(self.x.shape, self.x.dtype) if self.has_norm else pooled_zeros(self.x.shape, self.x.dtype)
        return BranchMaps(self.x, shortcut if self.has_norm else y, y, self.image_scales)
