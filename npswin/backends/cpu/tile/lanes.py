"""A tile of tokens with the tokens side by side, and what is done to it on the way in and out.

A map keeps a token's channels side by side. A kernel transposes a tile of some two hundred tokens, to one row for each
channel, so that a vector holds one channel of several tokens, each in its *lane*:

    array[offset + c·stride + i] = channel c of the tile's token i

Such a tile is passed as `(array, offset, stride)`.

The forward pass combines no lanes. Sums over a token's channels, as in layer normalization, need no shuffling; a linear
map is `lanes_product` with the weight as it is on the left and the tile on the right, and its result is again a tile,
ready for the next; and lanes that hold no token (a tile rarely fills its last vector) may hold any number.
"""

from typing import TypeAlias

import numpy as np

from npswin.backends.cpu.machine.compilation import inner_function, shared_function
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.simd.intrinsics import lanes_of, load, prefetch, store
from npswin.backends.cpu.simd.transpose import add_transposed, put_transposed, transpose_indexed, transpose_strided
from npswin.types import Array

Lanes: TypeAlias = tuple[Array, int, int]


@shared_function
def gather(x: Array, offsets: Array, count: int, channels: int, lanes: Lanes) -> None:
    """Turn `count` tokens of a map into lanes.

    Args:
        x: the map, flat.
        offsets: where in x each token starts; anything valid up to the next whole vector of tokens.
        count, channels: of the tile.
        lanes: filled.
    """
    out, offset, stride = lanes
    vector = lanes_of(x)
    whole = channels - channels % vector
    for i in range(0, count, vector):
        more = i + vector < count
        for c in range(0, whole, vector):
            if more:
                for token in range(i + vector, i + 2 * vector):
                    prefetch(x, offsets[token] + c, 1)
            transpose_indexed(x, offsets, i, c, out, offset + c * stride + i, stride)
    for c in range(whole, channels):
        for i in range(count):
            out[offset + c * stride + i] = x[offsets[i] + c]


@shared_function
def scatter(lanes: Lanes, out: Array, offsets: Array, in_map: Array, count: int, channels: int) -> None:
    """Turn lanes back into tokens of a map.

    Args:
        lanes: the tile.
        out: the map, flat.
        offsets: where in it each token starts.
        in_map: False for a token that stands in the padding, and on no map.
        count, channels: of the tile.
    """
    source, offset, stride = lanes
    vector = lanes_of(out)
    whole = channels - channels % vector
    for first in range(0, count, vector):
        all_in_map = _all_in_map(in_map, first, vector, count)
        if all_in_map:
            for c in range(0, whole, vector):
                put_transposed(source, offset + c * stride + first, stride, out, offsets, first, c)
        for i in range(first, min(first + vector, count)):
            if in_map[i]:
                for c in range(whole if all_in_map else 0, channels):
                    out[offsets[i] + c] = source[offset + c * stride + i]


@shared_function
def scatter_residual(
    lanes: Lanes, scales: Array, shortcut: Array, out: Array, offsets: Array, in_map: Array, count: int, channels: int
) -> None:
    """out = shortcut + scale · lanes, turned back, with one scale a token; else as `scatter`."""
    source, offset, stride = lanes
    vector = lanes_of(out)
    whole = channels - channels % vector
    for first in range(0, count, vector):
        all_in_map = _all_in_map(in_map, first, vector, count)
        if all_in_map:
            for c in range(0, whole, vector):
                if first + vector < count:
                    for token in range(first + vector, first + 2 * vector):
                        prefetch(shortcut, offsets[token] + c, 1)
                        prefetch(out, offsets[token] + c, 1)
                add_transposed(source, offset + c * stride + first, stride, scales, shortcut, out, offsets, first, c)
        for i in range(first, min(first + vector, count)):
            if in_map[i]:
                for c in range(whole if all_in_map else 0, channels):
                    place = offsets[i] + c
                    out[place] = shortcut[place] + scales[i] * source[offset + c * stride + i]


@inner_function
def _all_in_map(in_map: Array, first: int, vector: int, count: int) -> bool:
    if first + vector > count:
        return False
    for i in range(first, first + vector):  # noqa: SIM110 (numba knows no all())
        if not in_map[i]:
            return False
    return True


@shared_function
def to_rows(lanes: Lanes, out: Array, first: int, count: int, channels: int, row: int) -> None:
    """Turn lanes back into tokens that lie one after the other.

    Args:
        lanes: the tile.
        out: filled from token `first` on, flat.
        first, count: which tokens.
        channels: of the tile.
        row: numbers from one token to the next in `out`.
    """
    source, offset, stride = lanes
    vector = lanes_of(out)
    whole = channels - channels % vector
    for i in range(0, count, vector):
        full = i + vector <= count
        if full:
            for c in range(0, whole, vector):
                transpose_strided(source, offset + c * stride + i, stride, out, (first + i) * row + c, row)
        for token in range(i, min(i + vector, count)):
            for c in range(whole if full else 0, channels):
                out[(first + token) * row + c] = source[offset + c * stride + token]


@shared_function
def normalize_to_rows(
    x: Array,
    offsets: Array,
    count: int,
    channels: int,
    norm: tuple[Array, Array],
    stats: Lanes,
    out: Array,
    at: int,
) -> None:
    """Tokens of a map, normalized, one after the other: out[at + i·C + c] = (x_ic − μ_i) rstd_i weight_c + bias_c.

    Args:
        x: the map, flat.
        offsets: where in x each token starts.
        count, channels: of the tile.
        norm: weight and bias, (C,) each.
        stats: what `normalize` saved, and the lanes of a row.
        out, at: filled from `at` on.
    """
    weight, bias = norm
    vector = lanes_of(x)
    whole = channels - channels % vector
    for i in range(count):
        mean, rstd = stats[0][stats[1] + i], stats[0][stats[1] + stats[2] + i]
        token, row = offsets[i], at + i * channels
        for c in range(0, whole, vector):
            store(out, row + c, (load(x, token + c) - mean) * rstd * load(weight, c) + load(bias, c))
        for c in range(whole, channels):
            out[row + c] = (x[token + c] - mean) * rstd * weight[c] + bias[c]


@shared_function
def zero_padding(lanes: Lanes, count: int, channels: int, in_map: Array) -> None:
    """Zeros for those tokens that stand in the padding."""
    x, offset, stride = lanes
    for i in range(count):
        if not in_map[i]:
            for c in range(channels):
                x[offset + c * stride + i] = 0


@shared_function
def normalize(lanes: Lanes, count: int, channels: int, norm: tuple[Array, Array], stats: tuple[Array, int]) -> None:
    """x_c ← (x_c − μ) / √(σ² + eps) · weight_c + bias_c in place, eps = 1e-5.

    Args:
        lanes: the tile.
        count, channels: of the tile.
        norm: weight and bias, (C,) each.
        stats: an array, and where in it each token's μ goes, and after a row of lanes 1/√(σ² + eps).
    """
    x, offset, stride = lanes
    weight, bias = norm
    compute_stats(lanes, count, channels, stats)
    mean, rstd = view(stats[0], stats[1], count), view(stats[0], stats[1] + stride, count)
    for c in range(channels):
        row = view(x, offset + c * stride, count)
        gain, shift = weight[c], bias[c]
        for i in range(count):
            row[i] = (row[i] - mean[i]) * rstd[i] * gain + shift


@inner_function
def compute_stats(lanes: Lanes, count: int, channels: int, stats: tuple[Array, int]) -> None:
    """Each token's μ and 1/√(σ² + eps), as `normalize` saves them."""
    x, offset, stride = lanes
    number = x.dtype.type
    mean, rstd = view(stats[0], stats[1], count), view(stats[0], stats[1] + stride, count)
    fill(mean, 0)
    fill(rstd, 0)
    for c in range(channels):
        row = view(x, offset + c * stride, count)
        for i in range(count):
            mean[i] += row[i]
    for i in range(count):
        mean[i] /= number(channels)
    for c in range(channels):
        row = view(x, offset + c * stride, count)
        for i in range(count):
            rstd[i] += (row[i] - mean[i]) * (row[i] - mean[i])
    for i in range(count):
        rstd[i] = number(1) / np.sqrt(rstd[i] / number(channels) + number(1e-5))


@shared_function
def normalize_with_saved_stats(lanes: Lanes, count: int, channels: int, stats: tuple[Array, int]) -> None:
    """x ← (x − μ) / √(σ² + eps) with the statistics that `normalize` saved."""
    x, offset, stride = lanes
    mean, rstd = view(stats[0], stats[1], count), view(stats[0], stats[1] + stride, count)
    for c in range(channels):
        row = view(x, offset + c * stride, count)
        for i in range(count):
            row[i] = (row[i] - mean[i]) * rstd[i]


@shared_function
def scale_and_shift(lanes: Lanes, count: int, channels: int, weight: Array, bias: Array) -> None:
    """x_c ← x_c · weight_c + bias_c in place."""
    x, offset, stride = lanes
    for c in range(channels):
        row = view(x, offset + c * stride, count)
        gain, shift = weight[c], bias[c]
        for i in range(count):
            row[i] = row[i] * gain + shift


@shared_function
def normalize_backward(
    gradient: Lanes,
    normalized: Lanes,
    count: int,
    channels: int,
    weight: Array,
    stats: tuple[Array, int],
    sums: tuple[Array, int],
    scratch: tuple[Array, int],
) -> None:
    """dy ← the derivative by x of y = x̂ · weight + bias; see `npswin.ops.layer_norm`.

    dx = rstd ( g − ⟨g⟩ − x̂ ⟨g x̂⟩ ) with g = dy · weight

    Args:
        gradient: dy, overwritten by dx.
        normalized: x̂.
        count, channels: of the tile.
        weight: (C,).
        stats: what `normalize` saved.
        sums: an array, and where in it the tile's Σ dy x̂ (C) and after it Σ dy (C) go.
        scratch: an array, and where in it there is scratch for two rows of lanes.
    """
    dy, offset, stride = gradient
    xhat, xhat_offset, xhat_stride = normalized
    number = dy.dtype.type
    rstd = view(stats[0], stats[1] + stride, count)
    dweight, dbias = view(sums[0], sums[1], channels), view(sums[0], sums[1] + channels, channels)
    mean_g, mean_g_xhat = view(scratch[0], scratch[1], count), view(scratch[0], scratch[1] + stride, count)
    fill(mean_g, 0)
    fill(mean_g_xhat, 0)
    for c in range(channels):
        row, hat = view(dy, offset + c * stride, count), view(xhat, xhat_offset + c * xhat_stride, count)
        gain, sum_dy, sum_dy_xhat = weight[c], number(0), number(0)
        for i in range(count):
            both = row[i] * hat[i]
            sum_dy += row[i]
            sum_dy_xhat += both
            mean_g[i] += row[i] * gain
            mean_g_xhat[i] += both * gain
        dweight[c], dbias[c] = sum_dy_xhat, sum_dy
    for i in range(count):
        mean_g[i] /= number(channels)
        mean_g_xhat[i] /= number(channels)
    for c in range(channels):
        row, hat = view(dy, offset + c * stride, count), view(xhat, xhat_offset + c * xhat_stride, count)
        gain = weight[c]
        for i in range(count):
            row[i] = rstd[i] * (row[i] * gain - mean_g[i] - hat[i] * mean_g_xhat[i])


@shared_function
def scale_tokens(lanes: Lanes, count: int, channels: int, scales: Array) -> None:
    """Multiply each token by its factor, in place."""
    x, offset, stride = lanes
    for c in range(channels):
        row = view(x, offset + c * stride, count)
        for i in range(count):
            row[i] *= scales[i]


@shared_function
def sum_tokens(lanes: Lanes, count: int, channels: int, out: Array, at: int) -> None:
    """out[at + c] = Σ_i x_ci."""
    x, offset, stride = lanes
    for c in range(channels):
        row = view(x, offset + c * stride, count)
        total = x.dtype.type(0)
        for i in range(count):
            total += row[i]
        out[at + c] = total
