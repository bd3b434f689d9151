"""The kernels of `npswin.backends.cpu.fused.attention` with products of bfloat16 numbers.

What a product reads is rounded where it is computed; q, k and v, which training saves, and all else are float32.
"""

from typing import NamedTuple

from npswin.backends.cpu.fused.attention_arrays import (
    BranchMaps,
    BranchOwnSums,
    BranchSaved,
    BranchSums,
    BranchTransposes,
    BranchWeights,
)
from npswin.backends.cpu.fused.attention_head import BiasAndMask
from npswin.backends.cpu.fused.attention_head_bfloat16 import (
    backward_memory,
    backward_memory_size,
    head_backward,
    head_forward,
    head_memory,
    head_memory_size,
    pair_gradient,
    pair_heads,
)
from npswin.backends.cpu.fused.attention_plan import AttentionSizes
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import fill, stack_memory
from npswin.backends.cpu.machine.processor import round_up
from npswin.backends.cpu.simd.bfloat16 import LANES, pair_rows, pairs_view
from npswin.backends.cpu.simd.bfloat16_product import bfloat16_product
from npswin.backends.cpu.simd.intrinsics import prefetch
from npswin.backends.cpu.simd.micro_kernel import FROM_BIAS, FROM_ZERO
from npswin.backends.cpu.tile.bfloat16_gradient import (
    PairsGradient,
    TilesOfPairs,
    add_rows_bfloat16,
    pairs_of_lanes,
    round_lanes,
    transpose_pairs,
)
from npswin.backends.cpu.tile.bfloat16_lanes import normalize_to_pairs
from npswin.backends.cpu.tile.bfloat16_weights import pairs_per_row
from npswin.backends.cpu.tile.lanes import (
    gather,
    normalize_backward,
    normalize_with_saved_stats,
    scale_and_shift,
    scale_tokens,
    scatter_residual,
    sum_tokens,
    zero_padding,
)
from npswin.backends.cpu.tile.window_tokens import TILE_TOKEN_BYTES, WindowLayout, locate_windows, make_tile_tokens
from npswin.types import Array


def forward_scratch_size(sizes: AttentionSizes, tile: int) -> int:
    """Numbers of working memory that `forward` needs."""
    inner_dim = sizes.heads * sizes.head.dim
    rows = 2 * sizes.channels + inner_dim // 2 + 3 * sizes.heads_per_group * sizes.head.dim + 2
    return rows * tile + head_memory_size(sizes.head, tile)


@kernel
def forward(
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
    """As in `attention.py`, with the weights as `rounded_weight` has them, and `shared` in pair rows."""
    channels, heads, group, head_sizes = sizes.channels, sizes.heads, sizes.heads_per_group, sizes.head
    per_window, dim, per_step, tile = head_sizes.tokens, head_sizes.dim, head_sizes.windows_per_step, windows.tile
    split_by_heads = shared.size > 0
    first_tile, stop_tile = (0, 1) if split_by_heads else (first, stop)
    first_head, stop_head = (first, stop) if split_by_heads else (0, heads)
    inner_dim = heads * dim
    qkv_row, proj_row = pairs_per_row(channels), pairs_per_row(inner_dim)
    bias_stride = per_window * per_step * head_sizes.padded_tokens if sizes.bias_heads > 1 else 0
    xhat, normed = (scratch, 0, tile), (pairs_view(scratch, 0, channels * tile), 0, tile)
    out, attended = (scratch, channels * tile, tile), shared
    if not split_by_heads:
        attended = pairs_view(scratch, 2 * channels * tile, inner_dim // 2 * tile)
    free = (2 * channels + inner_dim // 2) * tile
    qkv_start = free + 2 * tile
    memory = head_memory(scratch, qkv_start + 3 * group * dim * tile, head_sizes, tile)
    tokens = make_tile_tokens(windows, stack_memory(TILE_TOKEN_BYTES * tile), maps.x)
    for t in range(first_tile, stop_tile):
        window = t * windows.windows_per_tile
        count = min(windows.windows_per_tile, windows.windows - window)
        token_count = count * per_window
        width = round_up(token_count, LANES)
        padded = locate_windows(window, count, windows, channels, maps.image_scales, tokens)
        gather(maps.x, tokens.offsets, token_count, channels, xhat)
        if weights.norm_weight.size:
            norm = weights.norm_weight, weights.norm_bias
            stats = (saved.stats, t * 2 * tile) if saved.stats.size else (scratch, free)
            normalize_to_pairs(xhat, width, channels, norm, stats, normed)
        else:
            pair_rows(channels, width, xhat, normed)
        if padded:
            zero_padding(normed, token_count, channels // 2, tokens.in_map)
        for head in range(first_head, stop_head, group):
            some = min(group, stop_head - head)
            save = saved.qkv.size > 0
            qkv = saved.qkv if save else scratch
            q_start = (t * 3 * inner_dim + head * dim) * tile if save else qkv_start
            q_to_k = (inner_dim if save else group * dim) * tile
            for which in range(3):
                row = which * inner_dim + head * dim
                into, left = (qkv, q_start + which * q_to_k, tile), (weights.qkv_weight, row * qkv_row, qkv_row)
                bias = weights.qkv_bias, row
                bfloat16_product(some * dim, width, channels // 2, left, normed, into, FROM_BIAS, bias)
            for h in range(some):
                q_at = q_start + h * dim * tile
                v = (qkv, q_at + 2 * q_to_k, tile)
                pair_heads((qkv, q_at, tile), (qkv, q_at + q_to_k, tile), dim, memory)
                o = (attended, (head + h) * (dim // 2) * tile, tile)
                for w in range(0, count, per_step):
                    added = BiasAndMask(
                        weights.bias,
                        (head + h) * bias_stride,
                        tokens.regions,
                        w * per_window,
                        tokens.needs_mask,
                        w,
                        mask_value,
                    )
                    head_forward(v, w * per_window, o, min(per_step, count - w), head_sizes, added, memory)
        if not split_by_heads:
            left, right, bias = (weights.proj_weight, 0, proj_row), (attended, 0, tile), (weights.proj_bias, 0)
            bfloat16_product(channels, width, inner_dim // 2, left, right, out, FROM_BIAS, bias)
            scatter_residual(
                out, tokens.scales, maps.shortcut, maps.y, tokens.offsets, tokens.in_map, token_count, channels
            )


class Chunk(NamedTuple):
    """What the backward pass of a chunk of tiles leaves for the gradients of the weights, in pairs of tokens.

    Attributes:
        dqkv: (tiles, 3hd, pairs) rows of bfloat16.
        attended: (tiles, hd, pairs) o, rows of bfloat16.
        normed: (tiles, pairs, C) pair rows of x̂ in window order.
        dout: (tiles, pairs, C) pair rows of the derivative by the projection's output in window order.
    """

    dqkv: Array
    attended: Array
    normed: Array
    dout: Array


def backward_scratch_size(sizes: AttentionSizes, tile: int, by_part: bool) -> int:
    """Numbers of working memory that `backward` needs."""
    channels, dim, inner_dim, row = sizes.channels, sizes.head.dim, sizes.heads * sizes.head.dim, pairs_of_lanes(tile)
    size = (3 * channels + 2 + (sizes.heads_per_group + 4) * dim) * tile + 3 * inner_dim // 2 * tile + channels * row
    size += head_memory_size(sizes.head, tile) + backward_memory_size(sizes.head, tile)
    return size + (4 * inner_dim + 2 * channels) * row if by_part else size


@kernel
def backward(
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
    chunk: Chunk,
    own: BranchOwnSums,
    sums: BranchSums,
) -> None:
    """As in `attention.py`, with the transposes as `rounded_transpose` has them."""
    channels, heads, group, head_sizes = sizes.channels, sizes.heads, sizes.heads_per_group, sizes.head
    per_window, dim, per_step, tile = head_sizes.tokens, head_sizes.dim, head_sizes.windows_per_step, windows.tile
    inner_dim, row = heads * dim, pairs_of_lanes(tile)
    q_to_k = inner_dim * tile
    qkv_row, proj_row = pairs_per_row(3 * inner_dim), pairs_per_row(channels)
    bias_size = per_window * per_step * head_sizes.padded_tokens
    bias_stride = bias_size if sizes.bias_heads > 1 else 0
    dy_lanes, xhat, dxhat = (scratch, 0, tile), (scratch, channels * tile, tile), (scratch, 2 * channels * tile, tile)
    dy_pairs, free = (pairs_view(scratch, 0, channels * tile), 0, tile), (scratch, 3 * channels * tile)
    do_start = free[1] + 2 * tile
    dhead_start = do_start + group * dim * tile
    o_head = (scratch, dhead_start + 3 * dim * tile, tile)
    dqkv_start = o_head[1] + dim * tile
    dqkv_pairs = pairs_view(scratch, dqkv_start, 3 * inner_dim // 2 * tile)
    rows_start = dqkv_start + 3 * inner_dim // 2 * tile
    token_rows = (pairs_view(scratch, rows_start, channels * row), 0, row)
    memory_start = rows_start + channels * row
    memory = head_memory(scratch, memory_start, head_sizes, tile)
    memory_start += head_memory_size(head_sizes, tile)
    b = backward_memory(scratch, memory_start, head_sizes, tile)
    by_part = own.dqkv_weight.size > 0
    if by_part:
        at = memory_start + backward_memory_size(head_sizes, tile)
        chunk = Chunk(
            pairs_view(scratch, at, 3 * inner_dim * row),
            pairs_view(scratch, at + 3 * inner_dim * row, inner_dim * row),
            pairs_view(scratch, at + 4 * inner_dim * row, channels * row),
            pairs_view(scratch, at + (4 * inner_dim + channels) * row, channels * row),
        )
    tokens = make_tile_tokens(windows, stack_memory(TILE_TOKEN_BYTES * tile), maps.x)
    for place in range(first, stop):
        t, here = chunk_first + place, 0 if by_part else place
        window = t * windows.windows_per_tile
        count = min(windows.windows_per_tile, windows.windows - window)
        token_count = count * per_window
        width, pair_count = round_up(token_count, LANES), (token_count + 1) // 2
        sums_at, tokens_at = t * (3 * channels + 3 * inner_dim), here * row * channels
        padded = locate_windows(window, count, windows, channels, maps.image_scales, tokens)
        gather(dy, tokens.offsets, token_count, channels, dy_lanes)
        scale_tokens(dy_lanes, width, channels, tokens.scales)
        if padded:
            zero_padding(dy_lanes, token_count, channels, tokens.in_map)
        sum_tokens(dy_lanes, token_count, channels, sums.by_tile, sums_at + 2 * channels)
        round_lanes(dy_lanes, channels, token_count, token_rows)
        transpose_pairs(token_rows, channels, pair_count, (chunk.dout, tokens_at, channels))
        pair_rows(channels, width, dy_lanes, dy_pairs)
        for head in range(0, heads, group):
            some = min(group, heads - head)
            left, into = (transposes.proj, head * dim * proj_row, proj_row), (scratch, do_start, tile)
            bfloat16_product(some * dim, width, channels // 2, left, dy_pairs, into, FROM_ZERO, (scratch, 0))
            for h in range(some):
                at = t * 3 * q_to_k + (head + h) * dim * tile
                for which in range(3):
                    prefetch(saved.qkv, at + which * q_to_k, dim * tile)
                q, k, v = (saved.qkv, at, tile), (saved.qkv, at + q_to_k, tile), (saved.qkv, at + 2 * q_to_k, tile)
                do = (scratch, do_start + h * dim * tile, tile)
                dq, dk = (scratch, dhead_start, tile), (scratch, dhead_start + dim * tile, tile)
                dv = (scratch, dhead_start + 2 * dim * tile, tile)
                pair_heads(q, k, dim, memory)
                pair_gradient(v, do, dim, memory, b)
                bias_start = (head + h) * bias_stride
                for w in range(0, count, per_step):
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
                        *((q, k, v), o_head, do, (dq, dk, dv), w * per_window, min(per_step, count - w), head_sizes),
                        *(added, (sums.dbias, part * sizes.bias_heads * bias_size + bias_start), memory, b),
                    )
                round_lanes(
                    o_head, dim, token_count, (chunk.attended, (here * inner_dim + (head + h) * dim) * row, row)
                )
                for which in range(3):
                    first_row = which * inner_dim + (head + h) * dim
                    dhead = (scratch, dhead_start + which * dim * tile, tile)
                    sum_tokens(dhead, token_count, dim, sums.by_tile, sums_at + 3 * channels + first_row)
                    round_lanes(dhead, dim, token_count, (chunk.dqkv, (here * 3 * inner_dim + first_row) * row, row))
                    pair_rows(dim, width, dhead, (dqkv_pairs, first_row // 2 * tile, tile))
        left, right = (transposes.qkv, 0, qkv_row), (dqkv_pairs, 0, tile)
        bfloat16_product(channels, width, 3 * inner_dim // 2, left, right, dxhat, FROM_ZERO, (scratch, 0))
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
        round_lanes(xhat, channels, token_count, token_rows)
        transpose_pairs(token_rows, channels, pair_count, (chunk.normed, tokens_at, channels))
        if by_part:
            is_first, size = place == first, inner_dim * channels
            tiles = TilesOfPairs(row, row, pair_count, pair_count)
            dqkv = own.dqkv_weight, part * 3 * size, 3 * inner_dim, channels, is_first
            dproj = own.dproj_transposed, part * size, inner_dim, channels, is_first
            add_rows_bfloat16(PairsGradient(*dqkv, chunk.dqkv, chunk.normed, tiles), 0, 3 * inner_dim)
            add_rows_bfloat16(PairsGradient(*dproj, chunk.attended, chunk.dout, tiles), 0, inner_dim)
        fill(tokens.scales, 1)
        scatter_residual(
            dxhat, tokens.scales, maps.shortcut, maps.y, tokens.offsets, tokens.in_map, token_count, channels
        )
