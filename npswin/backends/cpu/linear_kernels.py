"""Linear maps of tokens that are put together from pieces: `linear`, `patch_embed` and `patch_merging`.

A linear layer's token is one piece of the map. Patch merging's is four pieces of C numbers, with a norm on them. The
patch embedding's is one pixel after another. They differ in where a token's pieces start, which is a table; one kernel
gathers the pieces into lanes, normalizes them if there is a norm, and multiplies; nothing is copied beforehand.

    x ──gather pieces──▶ x̂ lanes ──W──▶ lanes ──scatter──▶ y

The backward pass goes by chunks of tokens, as in `npswin.backends.cpu.mlp_kernels`.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from npswin.backends.cpu.arrays import check_dtypes, flat, flat_derivative, flat_norm, flat_or, flat_or_none
from npswin.backends.cpu.host import round_up, vector_lanes
from npswin.backends.cpu.jit import inner, kernel
from npswin.backends.cpu.lanes import (
    Lanes,
    clear,
    gather,
    normalize,
    normalize_again,
    normalize_backward,
    put_in_rows,
    scale_and_shift,
    scatter,
    sum_tokens,
)
from npswin.backends.cpu.memory import empty
from npswin.backends.cpu.micro_kernel import BIAS, ZERO
from npswin.backends.cpu.product import product
from npswin.backends.cpu.threads import run_parallel, thread_count
from npswin.backends.cpu.tiles import chunk_tiles, token_tile
from npswin.backends.cpu.vectors import lanes_of
from npswin.backends.cpu.weight_gradients import weight_gradient
from npswin.ops.patch_merging import GROUP_ORDER
from npswin.types import Array


@inner
def _locate(table: Array, pieces: int, image_size: int, first: int, count: int, images: Array, rows: Array) -> None:
    """Where each of a tile's tokens finds its image in x, and its row in the table."""
    per_image = table.size // pieces
    for i in range(count):
        image, token = divmod(first + i, per_image)
        images[i], rows[i] = image * image_size, token * pieces


@inner
def _places(table: Array, piece: int, count: int, images: Array, rows: Array, out: Array, kept: Array) -> bool:
    """Where this piece of each of a tile's tokens starts; returns whether some are in the padding."""
    out[count:], kept[count:] = 0, True
    padded = False
    for i in range(count):
        place = table[rows[i] + piece]
        kept[i] = place >= 0
        out[i] = images[i] + place if place >= 0 else 0
        padded = padded or place < 0
    return padded


@inner
def _gather_pieces(
    x: Array,
    table: Array,
    pieces: int,
    count: int,
    length: int,
    lanes: Lanes,
    images: Array,
    rows: Array,
    places: Array,
    kept: Array,
) -> None:
    out, offset, stride = lanes
    for piece in range(pieces):
        padded = _places(table, piece, count, images, rows, places, kept)
        into = (out, offset + piece * length * stride, stride)
        gather(x, places, count, length, into)
        if padded:
            clear(into, count, length, kept)


@kernel
def _forward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    x: Array,
    y: Array,
    table: Array,
    sizes: tuple[int, ...],
    norm: tuple[Array, Array],
    weight: Array,
    bias: Array,
    stats: Array,
) -> None:
    pieces, image_size, tokens, inputs, outputs, tile = sizes
    vector = lanes_of(x)
    xhat, out = (scratch, 0, tile), (scratch, inputs * tile, tile)
    room = (scratch, (inputs + outputs) * tile)
    places, kept = np.zeros(tile, np.int64), np.ones(tile, np.bool_)
    images, rows = np.zeros(tile, np.int64), np.zeros(tile, np.int64)
    for t in range(first, stop):
        count = min(tile, tokens - t * tile)
        width = round_up(count, vector)
        _locate(table, pieces, image_size, t * tile, count, images, rows)
        _gather_pieces(x, table, pieces, count, inputs // pieces, xhat, images, rows, places, kept)
        if norm[0].size:
            normalize(xhat, width, inputs, (stats, t * 2 * tile) if stats.size else room)
            scale_and_shift(xhat, width, inputs, norm[0], norm[1])
        product(outputs, width, inputs, (weight, 0, inputs, 1), xhat, out, BIAS, (bias, 0))
        put_in_rows(out, y, t * tile, count, outputs, outputs)


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
    table: Array,
    sizes: tuple[int, ...],
    norm: tuple[Array, Array],
    weight: Array,
    stats: Array,
    dout: Array,
    normed: Array,
    sums: Array,
) -> None:
    """`sums` has a row a tile: dnorm_weight, dnorm_bias (inputs each), dbias (outputs)."""
    pieces, image_size, tokens, inputs, outputs, tile = sizes
    vector = lanes_of(x)
    xhat, dxhat, room = (scratch, 0, tile), (scratch, inputs * tile, tile), (scratch, 2 * inputs * tile)
    places, kept = np.zeros(tile, np.int64), np.ones(tile, np.bool_)
    images, rows = np.zeros(tile, np.int64), np.zeros(tile, np.int64)
    length = inputs // pieces
    for here in range(first, stop):
        t = chunk_first + here
        count = min(tile, tokens - t * tile)
        width = round_up(count, vector)
        sums_at = t * (2 * inputs + outputs)
        dy_lanes = (dout, here * outputs * tile, tile)
        for i in range(tile):
            places[i] = (t * tile + i if i < count else 0) * outputs
        gather(dy, places, count, outputs, dy_lanes)
        sum_tokens(dy_lanes, count, outputs, sums, sums_at + 2 * inputs)
        product(inputs, width, outputs, (weight, 0, 1, inputs), dy_lanes, dxhat, ZERO, (scratch, 0))
        _locate(table, pieces, image_size, t * tile, count, images, rows)
        _gather_pieces(x, table, pieces, count, length, xhat, images, rows, places, kept)
        if norm[0].size:
            normalize_again(xhat, width, inputs, (stats, t * 2 * tile))
            normalize_backward(dxhat, xhat, count, inputs, norm[0], (stats, t * 2 * tile), (sums, sums_at), room)
            scale_and_shift(xhat, width, inputs, norm[0], norm[1])
        put_in_rows(xhat, normed, here * tile, count, inputs, round_up(inputs, vector))
        for piece in range(pieces):
            _places(table, piece, count, images, rows, places, kept)
            scatter((scratch, dxhat[1] + piece * length * tile, tile), dx, places, kept, count, length)


class _Call:
    """One call of a word: its arguments as kernels take them, and what the backward pass needs."""

    def __init__(
        self,
        x: Array,
        images: int,
        table: Array,
        weight: Array,
        bias: Array | None,
        norm: tuple[Array, Array] | None = None,
    ) -> None:
        check_dtypes(x, weight, bias, *(norm or ()))
        self.x, self.shape, self.table = flat(x), x.shape, flat(table)
        self.has_bias, self.has_norm = bias is not None, norm is not None
        per_image, pieces = table.shape
        tokens, outputs, inputs = images * per_image, len(weight), weight[0].size
        self.weight, self.weight_shape, self.bias = flat(weight), weight.shape, flat_or(bias, outputs, x)
        self.norm = flat_norm(norm, inputs, x)
        tile = token_tile(max(inputs, outputs), x.itemsize, tokens, thread_count())
        self.tiles = -(-tokens // tile)
        self.sizes = pieces, x.size // max(1, images), tokens, inputs, outputs, tile
        self.stats = flat_or_none(None, x)

    def forward(self, keep: bool) -> Array:
        """(tokens, outputs)."""
        _, _, tokens, inputs, outputs, tile = self.sizes
        dtype = self.x.dtype
        if keep and self.has_norm:
            self.stats = empty(self.tiles * 2 * tile, dtype)
        y = empty((tokens, outputs), dtype)
        run_parallel(
            *(_forward, self.tiles, (inputs + outputs + 2) * tile, dtype, self.x, y.reshape(-1)),
            *(self.table, self.sizes, self.norm, self.weight, self.bias, self.stats),
        )
        return y

    def backward(self, dy: Array) -> tuple[Array, Array, Array | None, Array, Array]:
        """dx, dweight, dbias, dnorm_weight, dnorm_bias."""
        _, _, tokens, inputs, outputs, tile = self.sizes
        dtype = self.x.dtype
        dy = flat_derivative(dy, tokens * outputs, dtype)
        dx = empty(self.x.shape, self.x.dtype)
        chunk = chunk_tiles((inputs + outputs) * tile * dtype.itemsize, self.tiles, thread_count())
        padded = round_up(inputs, vector_lanes(dtype.itemsize))  # whole vectors: an image patch has 12 numbers or 48
        dout, normed = empty(chunk * outputs * tile, dtype), empty(chunk * padded * tile, dtype)
        sums = np.zeros((self.tiles, 2 * inputs + outputs), dtype)
        dweight = empty((outputs, padded), dtype)
        for first in range(0, self.tiles, chunk):
            count = min(chunk, self.tiles - first)
            run_parallel(
                *(_backward, count, (2 * inputs + 2) * tile, dtype, first, self.x, dy, dx, self.table, self.sizes),
                *(self.norm, self.weight, self.stats, dout, normed, sums.reshape(-1)),
            )
            here = min(count * tile, tokens - first * tile)
            weight_gradient(dout, tile, tile, normed, 0, here, dweight, first == 0)
        dnorm_weight, dnorm_bias, dbias = np.split(sums.sum(axis=0), [inputs, 2 * inputs])
        dbias_or_none = dbias if self.has_bias else None
        dweight = np.ascontiguousarray(dweight[:, :inputs]).reshape(self.weight_shape)
        return dx.reshape(self.shape), dweight, dbias_or_none, dnorm_weight, dnorm_bias


_ONE_PIECE = np.zeros((1, 1), np.int64)


@lru_cache(maxsize=64)
def _patch_places(in_chans: int, height: int, width: int, patch_size: int) -> Array:
    """(tokens, c·p²): where each token's pixels are in an image (c, H, W), or −1 in the padding."""
    channel = np.arange(in_chans)[:, None, None]
    inside = np.arange(patch_size)
    rows, columns = -(-height // patch_size), -(-width // patch_size)
    y = (np.arange(rows)[:, None] * patch_size + inside)[:, None, None, :, None]
    x = (np.arange(columns)[:, None] * patch_size + inside)[None, :, None, None, :]
    places = (channel * height + y) * width + x
    return np.where((y < height) & (x < width), places, -1).reshape(rows * columns, -1)


@lru_cache(maxsize=64)
def _group_places(height: int, width: int, channels: int) -> Array:
    """(tokens, 4): where each token's four pieces are in a map (H, W, C), or −1 in the padding."""
    rows, columns = -(-height // 2), -(-width // 2)
    offsets = np.array(GROUP_ORDER)
    y = 2 * np.arange(rows)[:, None, None] + offsets[:, 0]
    x = 2 * np.arange(columns)[None, :, None] + offsets[:, 1]
    places = (y * width + x) * channels
    return np.where((y < height) & (x < width), places, -1).reshape(rows * columns, 4)


def _check(weight: Array, inputs: tuple[int, ...]) -> None:
    if weight.shape[1:] != inputs:
        raise ValueError(f"weight: got shape {weight.shape}, expected {inputs} after its first axis")


def _linear(x: Array, weight: Array, bias: Array | None, keep: bool) -> tuple[Array, Any]:
    _check(weight, x.shape[-1:])
    call = _Call(x, x.size // x.shape[-1], _ONE_PIECE, weight, bias)
    return call.forward(keep).reshape(*x.shape[:-1], len(weight)), call


def _patch_embed(images: Array, weight: Array, bias: Array | None, keep: bool) -> tuple[Array, Any]:
    batch, in_chans, height, width = images.shape
    side = weight.shape[-1]
    _check(weight, (in_chans, side, side))
    call = _Call(images, batch, _patch_places(in_chans, height, width, side), weight, bias)
    return call.forward(keep).reshape(batch, -(-height // side), -(-width // side), -1), call


def _patch_merging(
    x: Array, norm_weight: Array | None, norm_bias: Array | None, weight: Array, bias: Array | None, keep: bool
) -> tuple[Array, Any]:
    batch, height, width, channels = x.shape
    _check(weight, (4 * channels,))
    norm = None if norm_weight is None or norm_bias is None else (norm_weight, norm_bias)
    call = _Call(x, batch, _group_places(height, width, channels), weight, bias, norm)
    return call.forward(keep).reshape(batch, -(-height // 2), -(-width // 2), -1), call


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """The forward pass of `npswin.ops.linear_forward`, with nothing kept."""
    return _linear(x, weight, bias, keep=False)[0]


def linear_forward(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Any]:
    """See `npswin.ops.linear_forward`."""
    return _linear(x, weight, bias, keep=True)


def linear_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array | None]:
    """See `npswin.ops.linear_backward`."""
    dx, dweight, dbias, *_ = cache.backward(dy)
    return dx, dweight, dbias


def patch_embed(images: Array, weight: Array, bias: Array | None) -> Array:
    """The forward pass of `npswin.ops.patch_embed_forward`, with nothing kept."""
    return _patch_embed(images, weight, bias, keep=False)[0]


def patch_embed_forward(images: Array, weight: Array, bias: Array | None) -> tuple[Array, Any]:
    """See `npswin.ops.patch_embed_forward`."""
    return _patch_embed(images, weight, bias, keep=True)


def patch_embed_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array | None]:
    """See `npswin.ops.patch_embed_backward`."""
    dx, dweight, dbias, *_ = cache.backward(dy)
    return dx, dweight, dbias


def patch_merging(
    x: Array, norm_weight: Array | None, norm_bias: Array | None, weight: Array, bias: Array | None = None
) -> Array:
    """The forward pass of `npswin.ops.patch_merging_forward`, with nothing kept."""
    return _patch_merging(x, norm_weight, norm_bias, weight, bias, keep=False)[0]


def patch_merging_forward(
    x: Array, norm_weight: Array | None, norm_bias: Array | None, weight: Array, bias: Array | None = None
) -> tuple[Array, Any]:
    """See `npswin.ops.patch_merging_forward`."""
    return _patch_merging(x, norm_weight, norm_bias, weight, bias, keep=True)


def patch_merging_backward(dy: Array, cache: Any) -> tuple[Array, Array | None, Array | None, Array, Array | None]:
    """See `npswin.ops.patch_merging_backward`."""
    dx, dweight, dbias, dnorm_weight, dnorm_bias = cache.backward(dy)
    dnorm = (dnorm_weight, dnorm_bias) if cache.has_norm else (None, None)
    return dx, *dnorm, dweight, dbias
