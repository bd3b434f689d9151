"""Linear maps of tokens that are put together from pieces: `linear`, `patch_embed` and `patch_merging`.

A linear layer's token is one piece of the map. Patch merging's is four pieces of C numbers, with a norm on them. The
patch embedding's is one pixel after another. They differ in where a token's pieces start, which is a table; one kernel
gathers the pieces into lanes, normalizes them if there is a norm, and multiplies; nothing is copied beforehand.

    x ──gather pieces──▶ x̂ lanes ──W──▶ lanes ──scatter──▶ y

The backward pass goes by chunks of tokens, as in `npswin.backends.cpu.fused.mlp`.
"""

import numpy as np

from npswin.backends.cpu.fused import gathered_linear_bfloat16
from npswin.backends.cpu.fused.token_pieces import (
    TILE_PIECE_BYTES,
    LinearWeights,
    Pieces,
    gather_pieces,
    locate_piece,
    locate_tokens,
    make_tile_pieces,
)
from npswin.backends.cpu.machine.arrays import (
    flat,
    flat_norm_parameters,
    flat_or_empty,
    flat_or_full,
)
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import stack_memory
from npswin.backends.cpu.machine.memory import pooled_empty, pooled_zeros
from npswin.backends.cpu.machine.processor import round_up, vector_lanes
from npswin.backends.cpu.machine.threads import run_parallel, thread_count
from npswin.backends.cpu.simd.intrinsics import lanes_of
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
    scatter,
    sum_tokens,
    to_rows,
)
from npswin.backends.cpu.tile.precision import in_bfloat16
from npswin.backends.cpu.tile.sizes import tiles_per_chunk, tokens_per_tile
from npswin.backends.cpu.tile.weight_gradient import WeightGradient, weight_gradients
from npswin.backends.cpu.tile.weight_panels import panels_product, transposed_panels
from npswin.types import Array


@kernel
def _forward(
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
    """first, stop: tiles; `stats` takes the norm's statistics for the backward pass, or is empty."""
    inputs, outputs, tile = p.inputs, p.outputs, p.tile
    vector = lanes_of(x)
    xhat, out = (scratch, 0, tile), (scratch, inputs * tile, tile)
    free = (scratch, (inputs + outputs) * tile)
    found = make_tile_pieces(tile, stack_memory(TILE_PIECE_BYTES * tile))
    for t in range(first, stop):
        count = min(tile, p.tokens - t * tile)
        width = round_up(count, vector)
        locate_tokens(p, t * tile, count, found)
        gather_pieces(x, p, count, xhat, found)
        if weights.norm_weight.size:
            norm = weights.norm_weight, weights.norm_bias
            normalize(xhat, width, inputs, norm, (stats, t * 2 * tile) if stats.size else free)
        lanes_product(outputs, width, inputs, (weights.weight, 0, inputs, 1), xhat, out, FROM_BIAS, (weights.bias, 0))
        to_rows(out, y, t * tile, count, outputs, outputs)


@kernel
def _backward(
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
    panels: Array,
    stats: Array,
    dout: Array,
    normed: Array,
    sums: Array,
) -> None:
    """first, stop: tiles of the chunk that begins with tile `chunk_first`.

    `dout` takes dy in lanes and `normed` x̂ in rows, for the gradient of the weight; `sums` has a row a tile:
    dnorm_weight, dnorm_bias (inputs each), dbias (outputs).
    """
    inputs, outputs, tile = p.inputs, p.outputs, p.tile
    vector = lanes_of(x)
    xhat, dxhat, free = (scratch, 0, tile), (scratch, inputs * tile, tile), (scratch, 2 * inputs * tile)
    found = make_tile_pieces(tile, stack_memory(TILE_PIECE_BYTES * tile))
    length = inputs // p.pieces
    for here in range(first, stop):
        t = chunk_first + here
        count = min(tile, p.tokens - t * tile)
        width = round_up(count, vector)
        sums_at = t * (2 * inputs + outputs)
        dy_lanes = (dout, here * outputs * tile, tile)
        for i in range(tile):
            found.offsets[i] = (t * tile + i if i < count else 0) * outputs
        gather(dy, found.offsets, count, outputs, dy_lanes)
        sum_tokens(dy_lanes, count, outputs, sums, sums_at + 2 * inputs)
        panels_product(inputs, width, outputs, (panels, 0, outputs), dy_lanes, dxhat, FROM_ZERO)
        locate_tokens(p, t * tile, count, found)
        gather_pieces(x, p, count, xhat, found)
        if weights.norm_weight.size:
            own_stats = (stats, t * 2 * tile)
            normalize_with_saved_stats(xhat, width, inputs, own_stats)
            normalize_backward(dxhat, xhat, count, inputs, weights.norm_weight, own_stats, (sums, sums_at), free)
            scale_and_shift(xhat, width, inputs, weights.norm_weight, weights.norm_bias)
        to_rows(xhat, normed, here * tile, count, inputs, round_up(inputs, vector))
        for piece in range(p.pieces):
            locate_piece(p, piece, count, found)
            dpiece = (scratch, dxhat[1] + piece * length * tile, tile)
            scatter(dpiece, dx, found.offsets, found.in_map, count, length)


class GatheredLinearCall:
    """One call of an op: its arguments as kernels take them, and what the backward pass needs.

    Args:
        x: all images, in whatever shape.
        images: how many.
        table: (tokens, pieces) where each piece of an image's tokens starts in the image; −1 for one in the padding.
        weight: (outputs, ...), with as many numbers a row as a token has.
        bias: (outputs,) or None.
        norm: weight and bias (inputs,) each, or None for no norm.

    Attributes:
        has_norm: whether there is a norm.
        in_bfloat16: whether the operands of its products are rounded.
    """

    def __init__(
        self,
        x: Array,
        images: int,
        table: Array,
        weight: Array,
        bias: Array | None,
        norm: tuple[Array, Array] | None = None,
    ) -> None:
        self.x, self.shape = flat(x), x.shape
        self.has_bias, self.has_norm = bias is not None, norm is not None
        per_image, pieces = table.shape
        tokens, outputs, inputs = images * per_image, len(weight), weight[0].size
        self.weight_shape = weight.shape
        self.weights = LinearWeights(*flat_norm_parameters(norm, x), flat(weight), flat_or_full(bias, outputs, x))
        tile = tokens_per_tile(max(inputs, outputs), x.itemsize, tokens, thread_count())
        self.tiles = -(-tokens // tile)
        self.pieces = Pieces(flat(table), pieces, x.size // max(1, images), tokens, inputs, outputs, tile)
        self.stats = flat_or_empty(None, x)
        self.in_bfloat16 = in_bfloat16(x.dtype)

    def forward(self, for_backward: bool) -> Array:
        """(tokens, outputs)."""
        p, dtype = self.pieces, self.x.dtype
        if for_backward and self.has_norm:
            self.stats = pooled_empty(self.tiles * 2 * p.tile, dtype)
        y = pooled_empty((p.tokens, p.outputs), dtype)
        weights = self.weights
        if self.in_bfloat16:
            weights = weights._replace(weight=rounded_weight(weights.weight, p.inputs))
        run_parallel(
            gathered_linear_bfloat16.forward if self.in_bfloat16 else _forward,
            *(self.tiles, (p.inputs + p.outputs + 2) * p.tile, dtype),
            *(self.x, y.reshape(-1), p, weights, self.stats),
        )
        return y

    def backward(self, dy: Array) -> tuple[Array, Array, Array | None, Array, Array]:
        """dx, dweight, dbias, dnorm_weight, dnorm_bias."""
        p, dtype = self.pieces, self.x.dtype
        inputs, outputs, tile = p.inputs, p.outputs, p.tile
        dy = flat(dy)
        dx = pooled_empty(self.x.shape, self.x.dtype)
        bytes_per_number = 2 if self.in_bfloat16 else dtype.itemsize
        chunk_size = tiles_per_chunk((inputs + outputs) * tile * bytes_per_number, self.tiles, thread_count())
        padded = round_up(inputs, vector_lanes(dtype.itemsize))  # whole vectors: an image patch has 12 numbers or 48
        row, kind = (pairs_of_lanes(tile), "int32") if self.in_bfloat16 else (tile, dtype)
        dout, normed = pooled_empty(chunk_size * outputs * row, kind), pooled_empty(chunk_size * padded * row, kind)
        sums = pooled_zeros((self.tiles, 2 * inputs + outputs), dtype)
        dweight = pooled_empty((outputs, padded), dtype)
        if not self.tiles:
            dweight[...] = 0
        transposed = rounded_transpose if self.in_bfloat16 else transposed_panels
        weight, scratch = transposed(self.weights.weight, inputs), (2 * inputs + 2) * tile
        if self.in_bfloat16:
            scratch = gathered_linear_bfloat16.backward_scratch_size(p)
        for first in range(0, self.tiles, chunk_size):
            count = min(chunk_size, self.tiles - first)
            run_parallel(
                gathered_linear_bfloat16.backward if self.in_bfloat16 else _backward,
                *(count, scratch, dtype, first, self.x, dy, dx, p),
                *(self.weights, weight, self.stats, dout, normed, sums.reshape(-1)),
            )
            here = min(count * tile, p.tokens - first * tile)
            gradient = dweight.reshape(-1), 0, outputs, padded, first == 0
            if self.in_bfloat16:
                tiles = TilesOfPairs(row, row, tile // 2, (here + 1) // 2)
                weight_gradients_bfloat16(PairsGradient(*gradient, dout, normed, tiles))
            else:
                weight_gradients(WeightGradient(*gradient, dout, 0, tile, tile, normed, 0, here))
        dnorm_weight, dnorm_bias, dbias = np.split(sums.sum(axis=0), [inputs, 2 * inputs])
        dbias_or_none = dbias if self.has_bias else None
        dweight = np.ascontiguousarray(dweight[:, :inputs]).reshape(self.weight_shape)
        return dx.reshape(self.shape), dweight, dbias_or_none, dnorm_weight, dnorm_bias
