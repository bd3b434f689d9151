"""Linear maps of tokens that are put together from pieces: `linear`, `patch_embed` and `patch_merging`.

A linear layer's token is one piece of the map. Patch merging's is four pieces of C numbers, with a norm on them. The
patch embedding's is one pixel after another. They differ in where a token's pieces start, which is a table; one kernel
gathers the pieces into lanes, normalizes them if there is a norm, and multiplies; nothing is copied beforehand.

    x ──gather pieces──▶ x̂ lanes ──W──▶ lanes ──scatter──▶ y

The backward pass goes by chunks of tokens, as in `npswin.backends.cpu.fused.mlp`.
"""

from typing import NamedTuple

import numpy as np

from npswin.backends.cpu.machine.arrays import (
    flat,
    flat_norm_parameters,
    flat_or_empty,
    flat_or_full,
)
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import elements_at, stack_memory
from npswin.backends.cpu.machine.memory import pooled_empty, pooled_zeros
from npswin.backends.cpu.machine.processor import round_up, vector_lanes
from npswin.backends.cpu.machine.threads import run_parallel, thread_count
from npswin.backends.cpu.simd.intrinsics import lanes_of
from npswin.backends.cpu.simd.matrix_product import lanes_product
from npswin.backends.cpu.simd.micro_kernel import FROM_BIAS, FROM_ZERO
from npswin.backends.cpu.tile.lanes import (
    Lanes,
    gather,
    normalize,
    normalize_backward,
    normalize_with_saved_stats,
    scale_and_shift,
    scatter,
    sum_tokens,
    to_rows,
    zero_padding,
)
from npswin.backends.cpu.tile.sizes import tiles_per_chunk, tokens_per_tile
from npswin.backends.cpu.tile.weight_gradient import WeightGradient, weight_gradients
from npswin.backends.cpu.tile.weight_panels import panels_product, transposed_panels
from npswin.types import Array


class _Pieces(NamedTuple):
    """Where tokens are put together from, and how many there are.

    Attributes:
        table: (tokens of an image · pieces,) where each piece starts in an image; −1 for one in the padding.
        pieces: of a token.
        image_size: numbers of an image.
        tokens: of all images.
        inputs: numbers of a token.
        outputs: numbers of its result.
        tile: lanes of a tile.
    """

    table: Array
    pieces: int
    image_size: int
    tokens: int
    inputs: int
    outputs: int
    tile: int


class _Weights(NamedTuple):
    """All parameters, flat; those of the norm are empty where there is none."""

    norm_weight: Array
    norm_bias: Array
    weight: Array
    bias: Array


class _TilePieces(NamedTuple):
    """What is looked up of a tile's tokens.

    Attributes:
        image_offsets: where each token's image starts in x.
        table_rows: where each token's pieces start in the table.
        offsets: where the current piece of each token starts in x.
        in_map: whether that piece is on the map, and not in the padding.
    """

    image_offsets: Array
    table_rows: Array
    offsets: Array
    in_map: Array


_TILE_PIECE_BYTES = 25  # for each token of a tile, of the memory that `_make_tile_pieces` takes


@inner_function
def _make_tile_pieces(tile: int, memory: int) -> _TilePieces:
    """Arrays at the address `memory`."""
    found = _TilePieces(
        elements_at(memory, 0, tile, np.int64),
        elements_at(memory, tile, tile, np.int64),
        elements_at(memory, 2 * tile, tile, np.int64),
        elements_at(memory + 24 * tile, 0, tile, np.bool_),
    )
    for i in range(tile):
        found.image_offsets[i], found.table_rows[i], found.offsets[i], found.in_map[i] = 0, 0, 0, True
    return found


@inner_function
def _locate_tokens(p: _Pieces, first: int, count: int, found: _TilePieces) -> None:
    """Where each of a tile's tokens finds its image in x, and its row in the table."""
    per_image = p.table.size // p.pieces
    for i in range(count):
        image, token = divmod(first + i, per_image)
        found.image_offsets[i], found.table_rows[i] = image * p.image_size, token * p.pieces


@inner_function
def _locate_piece(p: _Pieces, piece: int, count: int, found: _TilePieces) -> bool:
    """Where this piece of each of a tile's tokens starts; returns whether some are in the padding."""
    for i in range(count, p.tile):
        found.offsets[i], found.in_map[i] = 0, True
    padded = False
    for i in range(count):
        start = p.table[found.table_rows[i] + piece]
        found.in_map[i] = start >= 0
        found.offsets[i] = found.image_offsets[i] + start if start >= 0 else 0
        padded = padded or start < 0
    return padded


@inner_function
def _gather_pieces(x: Array, p: _Pieces, count: int, lanes: Lanes, found: _TilePieces) -> None:
    out, offset, stride = lanes
    length = p.inputs // p.pieces
    for piece in range(p.pieces):
        padded = _locate_piece(p, piece, count, found)
        into = (out, offset + piece * length * stride, stride)
        gather(x, found.offsets, count, length, into)
        if padded:
            zero_padding(into, count, length, found.in_map)


@kernel
def _forward(
    first: int, stop: int, part: int, scratch: Array, x: Array, y: Array, p: _Pieces, weights: _Weights, stats: Array
) -> None:
    """first, stop: tiles; `stats` takes the norm's statistics for the backward pass, or is empty."""
    inputs, outputs, tile = p.inputs, p.outputs, p.tile
    vector = lanes_of(x)
    xhat, out = (scratch, 0, tile), (scratch, inputs * tile, tile)
    free = (scratch, (inputs + outputs) * tile)
    found = _make_tile_pieces(tile, stack_memory(_TILE_PIECE_BYTES * tile))
    for t in range(first, stop):
        count = min(tile, p.tokens - t * tile)
        width = round_up(count, vector)
        _locate_tokens(p, t * tile, count, found)
        _gather_pieces(x, p, count, xhat, found)
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
    p: _Pieces,
    weights: _Weights,
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
    found = _make_tile_pieces(tile, stack_memory(_TILE_PIECE_BYTES * tile))
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
        _locate_tokens(p, t * tile, count, found)
        _gather_pieces(x, p, count, xhat, found)
        if weights.norm_weight.size:
            own_stats = (stats, t * 2 * tile)
            normalize_with_saved_stats(xhat, width, inputs, own_stats)
            normalize_backward(dxhat, xhat, count, inputs, weights.norm_weight, own_stats, (sums, sums_at), free)
            scale_and_shift(xhat, width, inputs, weights.norm_weight, weights.norm_bias)
        to_rows(xhat, normed, here * tile, count, inputs, round_up(inputs, vector))
        for piece in range(p.pieces):
            _locate_piece(p, piece, count, found)
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
        self.weights = _Weights(*flat_norm_parameters(norm, x), flat(weight), flat_or_full(bias, outputs, x))
        tile = tokens_per_tile(max(inputs, outputs), x.itemsize, tokens, thread_count())
        self.tiles = -(-tokens // tile)
        self.pieces = _Pieces(flat(table), pieces, x.size // max(1, images), tokens, inputs, outputs, tile)
        self.stats = flat_or_empty(None, x)

    def forward(self, for_backward: bool) -> Array:
        """(tokens, outputs)."""
        p, dtype = self.pieces, self.x.dtype
        if for_backward and self.has_norm:
            self.stats = pooled_empty(self.tiles * 2 * p.tile, dtype)
        y = pooled_empty((p.tokens, p.outputs), dtype)
        run_parallel(
            *(_forward, self.tiles, (p.inputs + p.outputs + 2) * p.tile, dtype),
            *(self.x, y.reshape(-1), p, self.weights, self.stats),
        )
        return y

    def backward(self, dy: Array) -> tuple[Array, Array, Array | None, Array, Array]:
        """dx, dweight, dbias, dnorm_weight, dnorm_bias."""
        p, dtype = self.pieces, self.x.dtype
        inputs, outputs, tile = p.inputs, p.outputs, p.tile
        dy = flat(dy)
        dx = pooled_empty(self.x.shape, self.x.dtype)
        chunk_size = tiles_per_chunk((inputs + outputs) * tile * dtype.itemsize, self.tiles, thread_count())
        padded = round_up(inputs, vector_lanes(dtype.itemsize))  # whole vectors: an image patch has 12 numbers or 48
        dout, normed = pooled_empty(chunk_size * outputs * tile, dtype), pooled_empty(chunk_size * padded * tile, dtype)
        sums = pooled_zeros((self.tiles, 2 * inputs + outputs), dtype)
        dweight = pooled_empty((outputs, padded), dtype)
        if not self.tiles:
            dweight[...] = 0
        panels = transposed_panels(self.weights.weight, inputs)
        for first in range(0, self.tiles, chunk_size):
            count = min(chunk_size, self.tiles - first)
            run_parallel(
                *(_backward, count, (2 * inputs + 2) * tile, dtype, first, self.x, dy, dx, p),
                *(self.weights, panels, self.stats, dout, normed, sums.reshape(-1)),
            )
            here = min(count * tile, p.tokens - first * tile)
            shape = 0, outputs, padded, first == 0
            weight_gradients(WeightGradient(dweight.reshape(-1), *shape, dout, 0, tile, tile, normed, 0, here))
        dnorm_weight, dnorm_bias, dbias = np.split(sums.sum(axis=0), [inputs, 2 * inputs])
        dbias_or_none = dbias if self.has_bias else None
        dweight = np.ascontiguousarray(dweight[:, :inputs]).reshape(self.weight_shape)
        return dx.reshape(self.shape), dweight, dbias_or_none, dnorm_weight, dnorm_bias
