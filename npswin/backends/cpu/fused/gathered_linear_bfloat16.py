"""The kernels of `npswin.backends.cpu.fused.gathered_linear` with products of bfloat16 numbers."""

from npswin.backends.cpu.fused.token_pieces import (
    TILE_PIECE_BYTES,
    LinearWeights,
    Pieces,
    gather_pieces,
    locate_piece,
    locate_tokens,
    make_tile_pieces,
)
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import stack_memory
from npswin.backends.cpu.machine.processor import round_up
from npswin.backends.cpu.simd.bfloat16 import LANES, pair_rows, pairs_view
from npswin.backends.cpu.simd.bfloat16_product import bfloat16_product
from npswin.backends.cpu.simd.micro_kernel import FROM_BIAS, FROM_ZERO
from npswin.backends.cpu.tile.bfloat16_gradient import pairs_of_lanes, round_lanes, transpose_pairs
from npswin.backends.cpu.tile.bfloat16_lanes import normalize_to_pairs
from npswin.backends.cpu.tile.bfloat16_weights import pairs_per_row
from npswin.backends.cpu.tile.lanes import (
    gather,
    normalize_backward,
    normalize_with_saved_stats,
    scale_and_shift,
    scatter,
    sum_tokens,
    to_rows,
)
from npswin.types import Array


@kernel
def forward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    x: Array,
    y: Array,
    p: Pieces,
    weights: LinearWeights,
    stats: Array,
) -> None:
    """As in `gathered_linear.py`, with the weight as `rounded_weight` has it."""
    inputs, outputs, tile, row = p.inputs, p.outputs, p.tile, pairs_per_row(p.inputs)
    xhat, out = (scratch, 0, tile), (scratch, inputs * tile, tile)
    normed, free = (pairs_view(scratch, 0, inputs * tile), 0, tile), (scratch, (inputs + outputs) * tile)
    found = make_tile_pieces(tile, stack_memory(TILE_PIECE_BYTES * tile))
    for t in range(first, stop):
        count = min(tile, p.tokens - t * tile)
        width = round_up(count, LANES)
        locate_tokens(p, t * tile, count, found)
        gather_pieces(x, p, count, xhat, found)
        if weights.norm_weight.size:
            norm = weights.norm_weight, weights.norm_bias
            own_stats = (stats, t * 2 * tile) if stats.size else free
            normalize_to_pairs(xhat, width, inputs, norm, own_stats, normed)
        else:
            pair_rows(inputs, width, xhat, normed)
        left, bias = (weights.weight, 0, row), (weights.bias, 0)
        bfloat16_product(outputs, width, (inputs + 1) // 2, left, normed, out, FROM_BIAS, bias)
        to_rows(out, y, t * tile, count, outputs, outputs)


def backward_scratch_size(p: Pieces) -> int:
    """Numbers of working memory that `backward` needs."""
    return (p.outputs + 2 * p.inputs + 2) * p.tile + round_up(p.inputs, LANES) * pairs_of_lanes(p.tile)


@kernel
def backward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    chunk_first: int,
    x: Array,
    dy: Array,
    dx: Array,
    p: Pieces,
    weights: LinearWeights,
    transpose: Array,
    stats: Array,
    dout: Array,
    normed: Array,
    sums: Array,
) -> None:
    """As in `gathered_linear.py`, with the transpose as `rounded_transpose` has it.

    `dout` takes dy as rows of bfloat16, and `normed` x̂ as pair rows of tokens, padded to whole vectors of inputs.
    """
    inputs, outputs, tile, row = p.inputs, p.outputs, p.tile, pairs_of_lanes(p.tile)
    dy_lanes, xhat_start, padded = (scratch, 0, tile), outputs * tile, round_up(inputs, LANES)
    dy_pairs, xhat = (pairs_view(scratch, 0, outputs * tile), 0, tile), (scratch, xhat_start, tile)
    dxhat, free = (scratch, xhat_start + inputs * tile, tile), (scratch, xhat_start + 2 * inputs * tile)
    token_rows = (pairs_view(scratch, free[1] + 2 * tile, padded * row), 0, row)
    found = make_tile_pieces(tile, stack_memory(TILE_PIECE_BYTES * tile))
    length, weight_row = inputs // p.pieces, pairs_per_row(outputs)
    for here in range(first, stop):
        t = chunk_first + here
        count = min(tile, p.tokens - t * tile)
        width = round_up(count, LANES)
        sums_at = t * (2 * inputs + outputs)
        for i in range(tile):
            found.offsets[i] = (t * tile + i if i < count else 0) * outputs
        gather(dy, found.offsets, count, outputs, dy_lanes)
        sum_tokens(dy_lanes, count, outputs, sums, sums_at + 2 * inputs)
        round_lanes(dy_lanes, outputs, count, (dout, here * outputs * row, row))
        pair_rows(outputs, width, dy_lanes, dy_pairs)
        left = transpose, 0, weight_row
        bfloat16_product(inputs, width, (outputs + 1) // 2, left, dy_pairs, dxhat, FROM_ZERO, (scratch, 0))
        locate_tokens(p, t * tile, count, found)
        gather_pieces(x, p, count, xhat, found)
        if weights.norm_weight.size:
            own_stats = (stats, t * 2 * tile)
            normalize_with_saved_stats(xhat, width, inputs, own_stats)
            normalize_backward(dxhat, xhat, count, inputs, weights.norm_weight, own_stats, (sums, sums_at), free)
            scale_and_shift(xhat, width, inputs, weights.norm_weight, weights.norm_bias)
        round_lanes(xhat, inputs, count, token_rows)
        transpose_pairs(token_rows, padded, (count + 1) // 2, (normed, here * row * padded, padded))
        for piece in range(p.pieces):
            locate_piece(p, piece, count, found)
            dpiece = (scratch, dxhat[1] + piece * length * tile, tile)
            scatter(dpiece, dx, found.offsets, found.in_map, count, length)
