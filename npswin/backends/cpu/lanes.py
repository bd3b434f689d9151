"""A tile of tokens with the tokens side by side, and what is done to it on the way in and out.

A map keeps a token's channels side by side. A kernel turns a tile of some two hundred tokens round, to one row a
channel, so that a vector holds one channel of several tokens, each in its *lane*:

    lanes[c·stride + i] = channel c of the tile's token i

Lanes have no dealings with each other. Sums over a token's channels, as in layer normalization, need no shuffling; a
linear map W x is `product(W, lanes)`, with W read as it is, and its result is again in lanes, ready for the next; lanes
that hold no token (a tile rarely fills its last vector) may hold any number and do no harm.
"""

import numpy as np

from npswin.backends.cpu.host import VECTOR_BYTES
from npswin.backends.cpu.jit import inner, view
from npswin.backends.cpu.micro_kernel import add_transposed, put_transposed, transpose_indexed
from npswin.types import Array


@inner
def gather(x: Array, places: Array, count: int, channels: int, out: Array, out_offset: int, stride: int) -> None:
    """Turn `count` tokens of a map into lanes.

    Args:
        x: the map, flat.
        places: where in x each token starts; anything valid up to the next whole vector of tokens.
        count, channels: of the tile.
        out, out_offset, stride: the lanes.
    """
    lanes = VECTOR_BYTES // x.itemsize
    whole = channels - channels % lanes
    for i in range(0, count, lanes):
        for c in range(0, whole, lanes):
            transpose_indexed(x, places, i, c, out, out_offset + c * stride + i, stride)
    for c in range(whole, channels):
        for i in range(count):
            out[out_offset + c * stride + i] = x[places[i] + c]


@inner
def scatter_add(
    source: Array,
    offset: int,
    stride: int,
    scales: Array,
    base: Array,
    out: Array,
    places: Array,
    kept: Array,
    count: int,
    channels: int,
) -> None:
    """out = base + scale · lanes, turned back, for those of the tile's tokens that the map has.

    Args:
        source, offset, stride: the lanes.
        scales: one factor a token.
        base, out: maps, flat.
        places: where in the maps each token starts.
        kept: False for a token that stands in the padding.
        count, channels: of the tile.
    """
    lanes = VECTOR_BYTES // out.itemsize
    whole = channels - channels % lanes
    for first in range(0, count, lanes):
        stop = min(first + lanes, count)
        together = _all_kept(kept, first, lanes, count)
        if together:
            for c in range(0, whole, lanes):
                add_transposed(source, offset + c * stride + first, stride, scales, base, out, places, first, c)
        for i in range(first, stop):
            if kept[i]:
                for c in range(whole if together else 0, channels):
                    place = places[i] + c
                    out[place] = base[place] + scales[i] * source[offset + c * stride + i]


@inner
def scatter(
    source: Array,
    offset: int,
    stride: int,
    out: Array,
    places: Array,
    kept: Array,
    count: int,
    channels: int,
) -> None:
    """out = lanes, turned back; see `scatter_add`."""
    lanes = VECTOR_BYTES // out.itemsize
    whole = channels - channels % lanes
    for first in range(0, count, lanes):
        stop = min(first + lanes, count)
        together = _all_kept(kept, first, lanes, count)
        if together:
            for c in range(0, whole, lanes):
                put_transposed(source, offset + c * stride + first, stride, out, places, first, c)
        for i in range(first, stop):
            if kept[i]:
                for c in range(whole if together else 0, channels):
                    out[places[i] + c] = source[offset + c * stride + i]


@inner
def _all_kept(kept: Array, first: int, lanes: int, count: int) -> bool:
    if first + lanes > count:
        return False
    for i in range(first, first + lanes):
        if not kept[i]:
            return False
    return True


@inner
def clear(x: Array, offset: int, stride: int, count: int, channels: int, kept: Array) -> None:
    """Zeros for those of the tile's tokens that stand in the padding."""
    for i in range(count):
        if not kept[i]:
            for c in range(channels):
                x[offset + c * stride + i] = 0


@inner
def normalize(x: Array, offset: int, stride: int, count: int, channels: int, stats: Array, at: int) -> None:
    """x ← (x − μ) / √(σ² + eps) in place, eps = 1e-5; μ and 1/√(σ² + eps) go to stats[at ...] and stats[at + stride ...].

    Args:
        x, offset, stride: the lanes.
        count, channels: of the tile.
        stats, at: where each token's two statistics are kept.
    """
    number = x.dtype.type
    mean, rstd = view(stats, at, count), view(stats, at + stride, count)
    mean[:], rstd[:] = number(0), number(0)
    for c in range(channels):
        row = view(x, offset + c * stride, count)
        for i in range(count):
            mean[i] += row[i]
    for i in range(count):
        mean[i] /= number(channels)
    for c in range(channels):
        row = view(x, offset + c * stride, count)
        for i in range(count):
            centred = row[i] - mean[i]
            row[i] = centred
            rstd[i] += centred * centred
    for i in range(count):
        rstd[i] = number(1) / np.sqrt(rstd[i] / number(channels) + number(1e-5))
    for c in range(channels):
        row = view(x, offset + c * stride, count)
        for i in range(count):
            row[i] *= rstd[i]


@inner
def normalize_again(x: Array, offset: int, stride: int, count: int, channels: int, stats: Array, at: int) -> None:
    """x ← (x − μ) / √(σ² + eps) with the statistics that `normalize` kept."""
    mean, rstd = view(stats, at, count), view(stats, at + stride, count)
    for c in range(channels):
        row = view(x, offset + c * stride, count)
        for i in range(count):
            row[i] = (row[i] - mean[i]) * rstd[i]


@inner
def scale_and_shift(x: Array, offset: int, stride: int, count: int, channels: int, weight: Array, bias: Array) -> None:
    """x_c ← x_c · weight_c + bias_c in place."""
    for c in range(channels):
        row = view(x, offset + c * stride, count)
        gain, shift = weight[c], bias[c]
        for i in range(count):
            row[i] = row[i] * gain + shift


@inner
def normalize_backward(
    gradient: tuple[Array, int],
    normalized: tuple[Array, int],
    stride: int,
    count: int,
    channels: int,
    weight: Array,
    kept: tuple[Array, int],
    shares: tuple[Array, int],
    room: tuple[Array, int],
) -> None:
    """dy ← the derivative by x of y = x̂ · weight + bias; see `npswin.ops.layer_norm`.

    dx = rstd ( g − ⟨g⟩ − x̂ ⟨g x̂⟩ ) with g = dy · weight

    Args:
        gradient: dy in lanes and its offset, overwritten by dx.
        normalized: x̂ in lanes and its offset.
        stride, count, channels: of the tile.
        weight: (C,).
        kept: the statistics that `normalize` kept, and their offset.
        shares: an array, and where in it the tile's Σ dy x̂ (C) and after it Σ dy (C) go.
        room: an array, and where in it there is room for two numbers a lane.
    """
    dy, offset = gradient
    xhat, xhat_offset = normalized
    number = dy.dtype.type
    rstd = view(kept[0], kept[1] + stride, count)
    dweight, dbias = view(shares[0], shares[1], channels), view(shares[0], shares[1] + channels, channels)
    mean_g, mean_g_xhat = view(room[0], room[1], count), view(room[0], room[1] + stride, count)
    mean_g[:], mean_g_xhat[:] = number(0), number(0)
    for c in range(channels):
        row, hat = view(dy, offset + c * stride, count), view(xhat, xhat_offset + c * stride, count)
        gain, sum_dy, sum_dy_xhat = weight[c], number(0), number(0)
        for i in range(count):
            product = row[i] * hat[i]
            sum_dy += row[i]
            sum_dy_xhat += product
            mean_g[i] += row[i] * gain
            mean_g_xhat[i] += product * gain
        dweight[c], dbias[c] = sum_dy_xhat, sum_dy
    for i in range(count):
        mean_g[i] /= number(channels)
        mean_g_xhat[i] /= number(channels)
    for c in range(channels):
        row, hat = view(dy, offset + c * stride, count), view(xhat, xhat_offset + c * stride, count)
        gain = weight[c]
        for i in range(count):
            row[i] = rstd[i] * (row[i] * gain - mean_g[i] - hat[i] * mean_g_xhat[i])


@inner
def scale_tokens(x: Array, offset: int, stride: int, count: int, channels: int, scales: Array) -> None:
    """Multiply each token by its factor, in place."""
    for c in range(channels):
        row = view(x, offset + c * stride, count)
        for i in range(count):
            row[i] *= scales[i]


@inner
def sum_tokens(x: Array, offset: int, stride: int, count: int, channels: int, out: Array, at: int) -> None:
    """out[at + c] = Σ_i x_c,i."""
    for c in range(channels):
        row = view(x, offset + c * stride, count)
        total = x.dtype.type(0)
        for i in range(count):
            total += row[i]
        out[at + c] = total
