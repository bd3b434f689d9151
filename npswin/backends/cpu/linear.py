"""Linear maps of tokens that are put together from pieces: `linear`, `patch_embed` and `patch_merging`.

A linear layer's token is one piece of the map. Patch merging's is four pieces of C numbers, with a norm on them. The
patch embedding's is one pixel after another. They differ in where a token's pieces start, which is a table; one kernel
gathers the pieces into lanes, normalizes them if there is a norm, and multiplies; nothing is copied beforehand.

    x ──gather pieces──▶ x̂ lanes ──W──▶ lanes ──scatter──▶ y

The backward pass goes by chunks of tokens, as in `npswin.backends.cpu.mlp`.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from npswin.backends.cpu.host import VECTOR_BYTES
from npswin.backends.cpu.jit import inner, kernel
from npswin.backends.cpu.lanes import (
    clear,
    gather,
    normalize,
    normalize_again,
    normalize_backward,
    scale_and_shift,
    scatter,
    sum_tokens,
)
from npswin.backends.cpu.micro_kernel import BIAS, ZERO
from npswin.backends.cpu.product import product
from npswin.backends.cpu.threads import run_parallel, thread_count
from npswin.backends.cpu.tiles import CHUNK_BYTES, token_tile
from npswin.backends.cpu.weight_gradients import weight_gradient
from npswin.ops.patch_merging import GROUP_ORDER
from npswin.types import Array


@inner
def _places(
    table: Array, pieces: int, piece: int, image_size: int, first: int, count: int, out: Array, kept: Array
) -> bool:
    """Where this piece of each of a tile's tokens starts; returns whether some are in the padding."""
    per_image = table.size // pieces
    out[:], kept[:] = 0, True
    any_padding = False
    for i in range(count):
        image, token = divmod(first + i, per_image)
        place = table[token * pieces + piece]
        kept[i] = place >= 0
        if place >= 0:
            out[i] = image * image_size + place
        else:
            any_padding = True
    return any_padding


@inner
def _gather_pieces(
    x: Array,
    table: Array,
    pieces: int,
    image_size: int,
    first: int,
    count: int,
    length: int,
    out: Array,
    offset: int,
    stride: int,
    places: Array,
    kept: Array,
) -> None:
    for piece in range(pieces):
        padded = _places(table, pieces, piece, image_size, first, count, places, kept)
        gather(x, places, count, length, out, offset + piece * length * stride, stride)
        if padded:
            clear(out, offset + piece * length * stride, stride, count, length, kept)


@kernel
def _forward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    x: Array,
    y: Array,
    table: Array,
    pieces: int,
    image_size: int,
    tokens: int,
    inputs: int,
    outputs: int,
    tile: int,
    norm_weight: Array,
    norm_bias: Array,
    weight: Array,
    bias: Array,
    stats: Array,
) -> None:
    lanes = VECTOR_BYTES // x.itemsize
    xhat, out = 0, inputs * tile
    room = out + outputs * tile
    places, kept = np.zeros(tile, np.int64), np.ones(tile, np.bool_)
    for t in range(first, stop):
        count = min(tile, tokens - t * tile)
        width = -(-count // lanes) * lanes
        length = inputs // pieces
        _gather_pieces(x, table, pieces, image_size, t * tile, count, length, scratch, xhat, tile, places, kept)
        if norm_weight.size:
            if stats.size:
                normalize(scratch, xhat, tile, width, inputs, stats, t * 2 * tile)
            else:
                normalize(scratch, xhat, tile, width, inputs, scratch, room)
            scale_and_shift(scratch, xhat, tile, width, inputs, norm_weight, norm_bias)
        right, into = (scratch, xhat, tile), (scratch, out, tile)
        product(outputs, width, inputs, (weight, 0, inputs, 1), right, into, BIAS, (bias, 0))
        for i in range(tile):
            places[i] = (t * tile + i) * outputs
        kept[:] = True
        scatter(scratch, out, tile, y, places, kept, count, outputs)


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
    pieces: int,
    image_size: int,
    tokens: int,
    inputs: int,
    outputs: int,
    tile: int,
    norm_weight: Array,
    norm_bias: Array,
    weight: Array,
    stats: Array,
    dout: Array,
    normed: Array,
    sums: Array,
) -> None:
    """`sums` has a row a tile: dnorm_weight, dnorm_bias (inputs each), dbias (outputs)."""
    lanes = VECTOR_BYTES // x.itemsize
    xhat, dxhat = 0, inputs * tile
    work = 2 * inputs * tile
    places, kept = np.zeros(tile, np.int64), np.ones(tile, np.bool_)
    length = inputs // pieces
    for here in range(first, stop):
        t = chunk_first + here
        count = min(tile, tokens - t * tile)
        width = -(-count // lanes) * lanes
        sums_at = t * (2 * inputs + outputs)
        dout_at = here * outputs * tile
        for i in range(tile):
            places[i] = (t * tile + i) * outputs if i < count else 0
        gather(dy, places, count, outputs, dout, dout_at, tile)
        sum_tokens(dout, dout_at, tile, count, outputs, sums, sums_at + 2 * inputs)
        right, into = (dout, dout_at, tile), (scratch, dxhat, tile)
        product(inputs, width, outputs, (weight, 0, 1, inputs), right, into, ZERO, (scratch, 0))
        _gather_pieces(x, table, pieces, image_size, t * tile, count, length, scratch, xhat, tile, places, kept)
        if norm_weight.size:
            normalize_again(scratch, xhat, tile, width, inputs, stats, t * 2 * tile)
            statistics = (stats, t * 2 * tile)
            normalize_backward(
                (scratch, dxhat),
                (scratch, xhat),
                tile,
                count,
                inputs,
                norm_weight,
                statistics,
                (sums, sums_at),
                (scratch, work),
            )
            scale_and_shift(scratch, xhat, tile, width, inputs, norm_weight, norm_bias)
        kept[:] = True
        for i in range(tile):
            places[i] = (here * tile + i) * inputs
        scatter(scratch, xhat, tile, normed, places, kept, count, inputs)
        for piece in range(pieces):
            _places(table, pieces, piece, image_size, t * tile, count, places, kept)
            scatter(scratch, dxhat + piece * length * tile, tile, dx, places, kept, count, length)


def _flat(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1)


class _Map:
    """What both passes know of one call."""

    def __init__(
        self,
        x: Array,
        table: Array,
        weight: Array,
        bias: Array | None,
        norm: tuple[Array, Array] | None = None,
    ) -> None:
        self.shape, self.dtype = x.shape, x.dtype
        self.x, self.table = _flat(x), table.reshape(-1)
        per_image, self.pieces = table.shape
        images = x.size // x[0].size if x.ndim == 4 else x.size // x.shape[-1]
        self.image_size = x.size // images
        self.tokens = images * per_image
        self.outputs, self.weight, self.weight_shape = len(weight), _flat(weight), weight.shape
        self.inputs = weight[0].size
        self.has_bias, self.norm = bias is not None, norm
        self.bias = np.zeros(self.outputs, x.dtype) if bias is None else bias
        none = np.empty(0, x.dtype)
        self.norm_weight, self.norm_bias = (none, none) if norm is None else norm
        self.tile = token_tile(self.inputs, x.itemsize, self.tokens, thread_count())
        self.tiles = -(-self.tokens // self.tile)
        self.stats = none

    def _sizes(self) -> tuple[Any, ...]:
        return (
            *(self.table, self.pieces, self.image_size, self.tokens, self.inputs, self.outputs, self.tile),
            *(self.norm_weight, self.norm_bias, self.weight),
        )

    def forward(self, keep: bool) -> Array:
        """(tokens, outputs)."""
        if keep and self.norm is not None:
            self.stats = np.empty(self.tiles * 2 * self.tile, self.dtype)
        y = np.empty((self.tokens, self.outputs), self.dtype)
        size = (self.inputs + self.outputs + 2) * self.tile
        run_parallel(
            *(_forward, self.tiles, size, self.dtype, self.x, y.reshape(-1), *self._sizes(), self.bias, self.stats)
        )
        return y

    def backward(self, dy: Array) -> tuple[Array, Array, Array | None, Array | None, Array | None]:
        """dx, dweight, dbias, dnorm_weight, dnorm_bias."""
        dy = _flat(dy)
        tile, inputs, outputs = self.tile, self.inputs, self.outputs
        dx = np.empty_like(self.x)
        per_tile = (inputs + outputs) * tile * dx.itemsize
        chunk = min(self.tiles, max(thread_count(), CHUNK_BYTES // per_tile))
        dout, normed = (np.empty(chunk * channels * tile, self.dtype) for channels in (outputs, inputs))
        sums = np.zeros((self.tiles, 2 * inputs + outputs), self.dtype)
        dweight = np.empty((outputs, inputs), self.dtype)
        for first in range(0, self.tiles, chunk):
            count = min(chunk, self.tiles - first)
            run_parallel(
                *(_backward, count, (2 * inputs + 2) * tile, self.dtype),
                *(first, self.x, dy, dx, *self._sizes(), self.stats, dout, normed, sums.reshape(-1)),
            )
            here = min(count * tile, self.tokens - first * tile)
            weight_gradient(dout, tile, tile, normed, 0, here, dweight, first == 0)
        dnorm_weight, dnorm_bias, dbias = np.split(sums.sum(axis=0), [inputs, 2 * inputs])
        return (
            dx.reshape(self.shape),
            dweight.reshape(self.weight_shape),
            dbias if self.has_bias else None,
            None if self.norm is None else dnorm_weight,
            None if self.norm is None else dnorm_bias,
        )


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


def _linear(x: Array, weight: Array, bias: Array | None, keep: bool) -> tuple[Array, Any]:
    call = _Map(x.reshape(-1, x.shape[-1]), _ONE_PIECE, weight, bias)
    call.shape = x.shape
    return call.forward(keep).reshape(*x.shape[:-1], -1), call


def _patch_embed(images: Array, weight: Array, bias: Array | None, keep: bool) -> tuple[Array, Any]:
    batch, in_chans, height, width = images.shape
    side = weight.shape[-1]
    call = _Map(images, _patch_places(in_chans, height, width, side), weight, bias)
    return call.forward(keep).reshape(batch, -(-height // side), -(-width // side), -1), call


def _patch_merging(
    x: Array, norm_weight: Array | None, norm_bias: Array | None, weight: Array, bias: Array | None, keep: bool
) -> tuple[Array, Any]:
    batch, height, width, channels = x.shape
    norm = None if norm_weight is None or norm_bias is None else (norm_weight, norm_bias)
    call = _Map(x, _group_places(height, width, channels), weight, bias, norm)
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
    return dx, dnorm_weight, dnorm_bias, dweight, dbias
