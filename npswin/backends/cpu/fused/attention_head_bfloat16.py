"""`npswin.backends.cpu.fused.attention_head` with products of bfloat16 numbers.

Of a head's q, k, v and do some products need pairs of channels and others pairs of tokens. Pairs of channels are made
for a whole tile: as pair rows, or, turned round, as a left operand that has a row for each key. Pairs of tokens belong
to a window, whose first token may be an odd one of the tile. All are filled up to whole
tiles: with zeros where a product sums over tokens, else with anything.

The softmax is float32. What is rounded of it are the exponentials, before the division by their sum.
"""

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from npswin.backends.cpu.fused.attention_head import BiasAndMask, HeadSizes, add_mask, largest
from npswin.backends.cpu.machine.compilation import inner_function, shared_function
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.simd.bfloat16 import LANES, NUMBERS, pair_rows, pairs_view, store_paired, store_rounded
from npswin.backends.cpu.simd.bfloat16_product import begin_whole_tiles, end_whole_tiles, whole_tiles_product
from npswin.backends.cpu.simd.elementary_functions import exp
from npswin.backends.cpu.simd.intrinsics import broadcast, if_less, load, store
from npswin.backends.cpu.simd.micro_kernel import FROM_MATRIX, FROM_ZERO
from npswin.backends.cpu.tile.bfloat16_gradient import lane_numbers, pairs_of_lanes, round_lanes, transpose_pairs
from npswin.backends.cpu.tile.lanes import Lanes
from npswin.types import Array

DIM_MULTIPLE = NUMBERS  # of a head's channels: pairs of them are whole vectors


class HeadMemory(NamedTuple):
    """Working memory of a head.

    Attributes:
        q: (d / 2, tile) pair rows.
        k: (tile, d / 2) a row for each key.
        v: (d, pairs) of a window, rows of bfloat16.
        e: (pairs, stride) pair rows of the exponentials, zeros beyond the keys.
        turned: (d / 2, tile) pair rows that are turned round.
        scores: (padded_tokens, stride) float32, as in `attention_head`.
        inverses: (stride,) the softmax's 1/Σ.
        o: (d, padded_tokens) float32.
    """

    q: Array
    k: Array
    v: Array
    e: Array
    turned: Array
    scores: Array
    inverses: Array
    o: Array


@register_jitable  # kernels call it too
def head_memory_size(sizes: HeadSizes, tile: int) -> int:
    """Numbers of working memory that `head_memory` cuts up."""
    dim, padded_tokens = sizes.dim, sizes.padded_tokens
    stride = sizes.windows_per_step * padded_tokens
    row = pairs_of_lanes(padded_tokens)
    return 3 * (dim // 2) * tile + dim * (row + padded_tokens) + (row + padded_tokens + 1) * stride


@inner_function
def head_memory(scratch: Array, at: int, sizes: HeadSizes, tile: int) -> HeadMemory:
    """The memory of a head from scratch[at] on."""
    dim, padded_tokens = sizes.dim, sizes.padded_tokens
    stride, size, row = sizes.windows_per_step * padded_tokens, dim // 2 * tile, pairs_of_lanes(padded_tokens)
    k, turned, v = at + size, at + 2 * size, at + 3 * size
    e = v + dim * row
    scores = e + row * stride
    inverses = scores + padded_tokens * stride
    memory = HeadMemory(
        pairs_view(scratch, at, size),
        pairs_view(scratch, k, size),
        pairs_view(scratch, v, dim * row),
        pairs_view(scratch, e, row * stride),
        pairs_view(scratch, turned, size),
        view(scratch, scores, padded_tokens * stride),
        view(scratch, inverses, stride),
        view(scratch, inverses + stride, dim * padded_tokens),
    )
    fill(memory.e, 0)
    return memory


@shared_function
def pair_heads(q: Lanes, k: Lanes, dim: int, memory: HeadMemory) -> None:
    """A head's q as pair rows and k with a row for each key, of all windows of a tile."""
    tile = q[2]
    pair_rows(dim, tile, q, (memory.q, 0, tile))
    key_rows(k, dim, memory.turned, memory.k)


@inner_function
def key_rows(lanes: Lanes, dim: int, turned: Array, out: Array) -> None:
    """Channels of a tile as rows of bfloat16, one for each token."""
    tile = lanes[2]
    pair_rows(dim, tile, lanes, (turned, 0, tile))
    transpose_pairs((turned, 0, tile), dim // 2, tile, (out, 0, dim // 2))


@inner_function
def exponentials(
    first_token: int, tile: int, windows: int, sizes: HeadSizes, added: BiasAndMask, m: HeadMemory
) -> None:
    """`attention_head`'s exponentials and 1/Σ; the scores are overwritten by the exponentials in float32."""
    tokens, padded_tokens, pairs = sizes.tokens, sizes.padded_tokens, sizes.dim // 2
    stride = sizes.windows_per_step * padded_tokens
    start = FROM_MATRIX if added.bias.size else FROM_ZERO
    zero, scale = broadcast(np.float32(0)), np.float32(sizes.dim) ** np.float32(-0.5)
    for w in range(windows):
        at, score = w * tokens, w * padded_tokens
        left, right = (m.k, (first_token + at) * pairs, pairs), (m.q, first_token + at, tile)
        bias = (added.bias, added.bias_start + score)
        whole_tiles_product(padded_tokens, padded_tokens, pairs, left, right, (m.scores, score, stride), start, bias)
        if added.needs_mask[added.first_window + w]:
            add_mask((m.scores, score, stride), at, sizes, added)
    for i in range(0, windows * padded_tokens, LANES):
        top_score = largest(m.scores, i, stride, tokens)
        total = zero
        for j in range(0, tokens, 2):
            place = i + j * stride
            low, high = exp((load(m.scores, place) - top_score) * scale), zero
            store(m.scores, place, low)
            if j + 1 < tokens:
                high = exp((load(m.scores, place + stride) - top_score) * scale)
                store(m.scores, place + stride, high)
            store_paired(m.e, i + j // 2 * stride, low, high)
            total = total + low + high
        store(m.inverses, i, broadcast(np.float32(1)) / total)


@inner_function
def weighted_values(v: Lanes, at: int, window: int, sizes: HeadSizes, m: HeadMemory) -> None:
    """o of one of the windows, whose first token is the tile's token `at`, before the division by Σ."""
    tokens, dim, padded_tokens = sizes.tokens, sizes.dim, sizes.padded_tokens
    row, stride = pairs_of_lanes(padded_tokens), sizes.windows_per_step * padded_tokens
    round_lanes((v[0], v[1] + at, v[2]), dim, tokens, (m.v, 0, row))
    left, right, out = (m.v, 0, row), (m.e, window * padded_tokens, stride), (m.o, 0, padded_tokens)
    whole_tiles_product(dim, padded_tokens, row, left, right, out, FROM_ZERO, (m.o, 0))


@shared_function
def head_forward(
    v: Lanes,
    first_token: int,
    o: tuple[Array, int, int],
    windows: int,
    sizes: HeadSizes,
    added: BiasAndMask,
    memory: HeadMemory,
) -> None:
    """o of some windows, of whose head `pair_heads` has been called.

    Args:
        v: of the tile.
        first_token: of the first window, in the tile.
        o: pair rows of the tile, filled.
        windows: how many.
        sizes: of a window and a head.
        added: bias and mask.
        memory: see `head_memory`.
    """
    tokens, dim, padded_tokens = sizes.tokens, sizes.dim, sizes.padded_tokens
    begin_whole_tiles()
    exponentials(first_token, v[2], windows, sizes, added, memory)
    for w in range(windows):
        at = first_token + w * tokens
        weighted_values(v, at, w, sizes, memory)
        for i in range(0, padded_tokens, LANES):
            inverse = load(memory.inverses, w * padded_tokens + i)
            for c in range(0, dim, 2):
                low, high = load(memory.o, c * padded_tokens + i), load(memory.o, (c + 1) * padded_tokens + i)
                store_paired(o[0], o[1] + c // 2 * o[2] + at + i, low * inverse, high * inverse)
    end_whole_tiles()


class BackwardMemory(NamedTuple):
    """Working memory of a head's backward pass beside `HeadMemory`.

    Attributes:
        v: (tile, d / 2) a row for each key.
        do: (d / 2, tile) pair rows.
        left: (d, pairs) of a window, rows of bfloat16.
        p, ds: (windows, padded_tokens, pairs) Pᵀ and dSᵀ, rows of bfloat16.
        ds_pairs: (pairs, stride) pair rows of dSᵀ, zeros beyond the keys.
        turned: (pairs, padded_tokens) pair rows of P or dS.
        dp: (padded_tokens, stride) dPᵀ, float32.
        dots: (stride,) Σ_j P_ij dP_ij.
    """

    v: Array
    do: Array
    left: Array
    p: Array
    ds: Array
    ds_pairs: Array
    turned: Array
    dp: Array
    dots: Array


@register_jitable  # kernels call it too
def backward_memory_size(sizes: HeadSizes, tile: int) -> int:
    """Numbers of working memory that `backward_memory` cuts up."""
    dim, padded_tokens, row = sizes.dim, sizes.padded_tokens, pairs_of_lanes(sizes.padded_tokens)
    stride = sizes.windows_per_step * padded_tokens
    return dim * tile + dim * row + (3 * stride + padded_tokens) * row + (padded_tokens + 1) * stride


@inner_function
def backward_memory(scratch: Array, at: int, sizes: HeadSizes, tile: int) -> BackwardMemory:
    """The memory of a head's backward pass from scratch[at] on."""
    dim, padded_tokens, row = sizes.dim, sizes.padded_tokens, pairs_of_lanes(sizes.padded_tokens)
    stride, size = sizes.windows_per_step * padded_tokens, dim // 2 * tile
    left = at + 2 * size
    p = left + dim * row
    ds = p + stride * row
    ds_pairs = ds + stride * row
    turned = ds_pairs + stride * row
    dp = turned + padded_tokens * row
    memory = BackwardMemory(
        pairs_view(scratch, at, size),
        pairs_view(scratch, at + size, size),
        pairs_view(scratch, left, dim * row),
        pairs_view(scratch, p, stride * row),
        pairs_view(scratch, ds, stride * row),
        pairs_view(scratch, ds_pairs, stride * row),
        pairs_view(scratch, turned, padded_tokens * row),
        view(scratch, dp, padded_tokens * stride),
        view(scratch, dp + padded_tokens * stride, stride),
    )
    fill(memory.ds_pairs, 0)
    return memory


@shared_function
def pair_gradient(v: Lanes, do: Lanes, dim: int, memory: HeadMemory, b: BackwardMemory) -> None:
    """A head's v with a row for each key and do as pair rows, of all windows of a tile."""
    key_rows(v, dim, memory.turned, b.v)
    pair_rows(dim, do[2], do, (b.do, 0, do[2]))


@inner_function
def _score_gradients(
    windows: int, sizes: HeadSizes, dbias: tuple[Array, int], m: HeadMemory, b: BackwardMemory
) -> None:
    """Pᵀ = Eᵀ / Σ, and dSᵀ = Pᵀ ∘ (dPᵀ − Σ_j Pᵀ ∘ dPᵀ), times the 1/√d of the exponent; adds dSᵀ to dbias."""
    tokens, padded_tokens, row = sizes.tokens, sizes.padded_tokens, pairs_of_lanes(sizes.padded_tokens)
    stride = sizes.windows_per_step * padded_tokens
    scale, zero = broadcast(np.float32(sizes.dim) ** np.float32(-0.5)), broadcast(np.float32(0))
    lanes = lane_numbers()
    for w in range(windows):
        for i in range(0, padded_tokens, NUMBERS):
            at = w * padded_tokens + i
            left, next_left = np.float32(tokens - i), np.float32(tokens - i - LANES)
            is_whole = i + LANES < padded_tokens
            inverse, dot = load(m.inverses, at), load(b.dots, at)
            next_inverse, next_dot = inverse, dot
            if is_whole:
                next_inverse, next_dot = load(m.inverses, at + LANES), load(b.dots, at + LANES)
            for j in range(0, tokens, 2):
                place, into = at + j * stride, (w * padded_tokens + j) * row + i // 2
                low = next_low = high = next_high = zero
                for odd in range(min(2, tokens - j)):
                    weight = if_less(lanes, left, load(m.scores, place) * inverse, zero)
                    dscore = if_less(lanes, left, weight * (load(b.dp, place) - dot), zero)
                    next_weight = next_dscore = zero
                    if dbias[0].size:
                        store(dbias[0], dbias[1] + place, load(dbias[0], dbias[1] + place) + dscore)
                    if is_whole:
                        after = place + LANES
                        next_weight = if_less(lanes, next_left, load(m.scores, after) * next_inverse, zero)
                        next_dscore = if_less(lanes, next_left, next_weight * (load(b.dp, after) - next_dot), zero)
                        if dbias[0].size:
                            store(dbias[0], dbias[1] + after, load(dbias[0], dbias[1] + after) + next_dscore)
                    dscore, next_dscore = dscore * scale, next_dscore * scale
                    store_rounded(b.p, into, weight, next_weight)
                    store_rounded(b.ds, into, dscore, next_dscore)
                    if odd:
                        high, next_high = dscore, next_dscore
                    else:
                        low, next_low = dscore, next_dscore
                    place, into = place + stride, into + row
                store_paired(b.ds_pairs, at + j // 2 * stride, low, high)
                if is_whole:
                    store_paired(b.ds_pairs, at + LANES + j // 2 * stride, next_low, next_high)


@shared_function
def head_backward(
    qkv: tuple[Lanes, Lanes, Lanes],
    o: Lanes,
    do: Lanes,
    dqkv: tuple[Lanes, Lanes, Lanes],
    first_token: int,
    windows: int,
    sizes: HeadSizes,
    added: BiasAndMask,
    dbias: tuple[Array, int],
    memory: HeadMemory,
    b: BackwardMemory,
) -> None:
    """o again, dq, dk and dv of some windows from q, k, v and do; adds to dbias.

    Args:
        qkv, o, do, dqkv: of the tile, float32; o and dqkv are filled.
        first_token: of the first window, in the tile.
        windows, sizes, added: as in `head_forward`.
        dbias: an array as the bias is laid out, and where the head's begins.
        memory, b: of whose head `pair_heads` and `pair_gradient` have been called.
    """
    q, k, v = qkv
    dq, dk, dv = dqkv
    tokens, dim, padded_tokens, row = sizes.tokens, sizes.dim, sizes.padded_tokens, pairs_of_lanes(sizes.padded_tokens)
    stride, pairs = sizes.windows_per_step * padded_tokens, sizes.dim // 2
    none = (memory.o, 0)
    begin_whole_tiles()
    exponentials(first_token, q[2], windows, sizes, added, memory)
    for w in range(windows):
        at, score = first_token + w * tokens, w * padded_tokens
        weighted_values(v, at, w, sizes, memory)
        # Σ_j P_ij dP_ij = Σ_c do_ci o_ci
        for i in range(0, padded_tokens, LANES):
            inverse, dot = load(memory.inverses, score + i), broadcast(np.float32(0))
            for c in range(dim):
                value = load(memory.o, c * padded_tokens + i) * inverse
                store(o[0], o[1] + c * o[2] + at + i, value)
                dot = dot + load(do[0], do[1] + c * do[2] + at + i) * value
            store(b.dots, score + i, dot)
        # dPᵀ_ji = Σ_c v_cj do_ci
        left, right = (b.v, at * pairs, pairs), (b.do, at, do[2])
        whole_tiles_product(padded_tokens, padded_tokens, pairs, left, right, (b.dp, score, stride), FROM_ZERO, none)
    _score_gradients(windows, sizes, dbias, memory, b)
    left = (b.left, 0, row)
    for w in range(windows):
        at, score = first_token + w * tokens, w * padded_tokens
        turned, rows = (b.turned, 0, padded_tokens), score * row
        # dv_cj = Σ_i do_ci P_ij
        round_lanes((do[0], do[1] + at, do[2]), dim, tokens, left)
        transpose_pairs((b.p, rows, row), padded_tokens, row, turned)
        whole_tiles_product(dim, padded_tokens, row, left, turned, (dv[0], dv[1] + at, dv[2]), FROM_ZERO, none)
        # dq_ci = Σ_j k_cj dSᵀ_ji
        round_lanes((k[0], k[1] + at, k[2]), dim, tokens, left)
        right = (b.ds_pairs, score, stride)
        whole_tiles_product(dim, padded_tokens, row, left, right, (dq[0], dq[1] + at, dq[2]), FROM_ZERO, none)
        # dk_cj = Σ_i q_ci dS_ij
        round_lanes((q[0], q[1] + at, q[2]), dim, tokens, left)
        transpose_pairs((b.ds, rows, row), padded_tokens, row, turned)
        whole_tiles_product(dim, padded_tokens, row, left, turned, (dk[0], dk[1] + at, dk[2]), FROM_ZERO, none)
    end_whole_tiles()
