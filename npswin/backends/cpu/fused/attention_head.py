"""One head of some windows: softmax(q kᵀ/√d + bias + mask) v in lanes, forward and backward.

Sᵀ_ji = Σ_c k_cj q_ci has a row for each key and a lane for each query: the softmax over the keys goes down the rows,
without shuffling, and o_ci = Σ_j v_cj Pᵀ_ji is in lanes like everything else. Small windows are taken several at a
time, their scores side by side, so that a row is long enough to be worth a loop. All of it stays in the L1 cache.

q, k, v and o are `Lanes` of a tile that holds several windows side by side. The last vector of a window extends into
the lanes of the next one. What is written there is overwritten when that window is computed, and a tile has lanes to
spare for the last window.
"""

from typing import Any, NamedTuple

from npswin.backends.cpu.machine.compilation import inner_function, shared_function
from npswin.backends.cpu.machine.flat_array import view
from npswin.backends.cpu.simd.elementary_functions import exp
from npswin.backends.cpu.simd.intrinsics import broadcast, if_less, lanes_of, load, store
from npswin.backends.cpu.simd.matrix_product import lanes_product
from npswin.backends.cpu.simd.micro_kernel import FROM_MATRIX, FROM_ZERO
from npswin.backends.cpu.simd.transpose import transpose_strided
from npswin.backends.cpu.tile.lanes import Lanes
from npswin.types import Array

SCORES_BYTES = 16 * 1024  # of the scores that are computed together


class HeadSizes(NamedTuple):
    """Sizes within a head.

    Attributes:
        tokens: N, in a window.
        dim: d, channels of a head.
        padded_tokens: N up to a whole vector.
        windows_per_step: windows whose scores are computed together, side by side.
    """

    tokens: int
    dim: int
    padded_tokens: int
    windows_per_step: int


class BiasAndMask(NamedTuple):
    """What is added to the scores of some windows; bias and mask are multiplied by √d.

    Attributes:
        bias: as `expand_bias_table` has it; empty for none.
        bias_start: where the head's begins.
        regions: of the tile's tokens: two of different regions are masked from each other.
        first_token: of the first window, in `regions`.
        needs_mask: for each window of the tile.
        first_window: in `needs_mask`.
        mask_value: added to the scores of masked pairs.
    """

    bias: Array
    bias_start: int
    regions: Array
    first_token: int
    needs_mask: Array
    first_window: int
    mask_value: Any


def windows_per_step(tokens: int, padded_tokens: int, itemsize: int, windows_per_tile: int) -> int:
    """How many windows a head takes at a time."""
    return max(1, min(windows_per_tile, SCORES_BYTES // (tokens * padded_tokens * itemsize)))


def head_scratch_size(sizes: HeadSizes) -> int:
    """Numbers of working memory that `head_forward` needs."""
    return (sizes.tokens + 1) * sizes.windows_per_step * sizes.padded_tokens


def head_backward_scratch_size(sizes: HeadSizes) -> int:
    """Numbers of working memory that `head_backward` needs."""
    padded_tokens = sizes.padded_tokens
    return (2 * padded_tokens + 2) * sizes.windows_per_step * padded_tokens + padded_tokens * padded_tokens


@shared_function
def _exponentials(
    q: Lanes, k: Lanes, windows: int, sizes: HeadSizes, added: BiasAndMask, scores: Lanes, inverses: int
) -> None:
    """scores ← Eᵀ = exp(Sᵀ/√d + bias + mask − the query's largest), the windows side by side.

    Bias and mask come multiplied by √d, so that the product can begin with the bias and 1/√d is a factor of the
    exponent. The softmax's denominator Σ_j E_ij is divided out of o, which has fewer rows: 1/Σ goes to `inverses` in
    the scores' array.
    """
    tokens, padded_tokens = sizes.tokens, sizes.padded_tokens
    array, offset, stride = scores
    number = array.dtype.type
    vector, scale = lanes_of(array), number(sizes.dim) ** number(-0.5)
    start = FROM_MATRIX if added.bias.size else FROM_ZERO
    for w in range(windows):
        at, score = w * tokens, offset + w * padded_tokens
        left, right = (k[0], k[1] + at, 1, k[2]), (q[0], q[1] + at, q[2])
        bias = (added.bias, added.bias_start + w * padded_tokens)
        lanes_product(tokens, padded_tokens, sizes.dim, left, right, (array, score, stride), start, bias)
        if added.needs_mask[added.first_window + w]:
            add_mask((array, score, stride), at, sizes, added)
    for i in range(0, windows * padded_tokens, vector):
        top = offset + i
        top_score = largest(array, top, stride, tokens)
        total = broadcast(number(0))
        for j in range(tokens):
            e = exp((load(array, top + j * stride) - top_score) * scale)
            store(array, top + j * stride, e)
            total = total + e
        store(array, inverses + i, broadcast(number(1)) / total)


@inner_function
def add_mask(scores: Lanes, at: int, sizes: HeadSizes, added: BiasAndMask) -> None:
    """Mask pairs of different regions in the scores of the window whose first token is the tile's token `at`."""
    array, score, stride = scores
    number, padded_tokens = array.dtype.type, sizes.padded_tokens
    regions = view(added.regions, added.first_token + at, padded_tokens)
    for j in range(sizes.tokens):
        row, region = view(array, score + j * stride, padded_tokens), regions[j]
        for i in range(padded_tokens):
            row[i] += number(0) if regions[i] == region else added.mask_value


@inner_function
def largest(array: Array, top: int, stride: int, rows: int) -> Any:
    """The largest of each lane, down the rows; in four independent chains, which hide the latency of a comparison."""
    first = second = third = fourth = load(array, top)
    whole = rows - rows % 4
    for at in range(top, top + whole * stride, 4 * stride):
        first = _larger(first, load(array, at))
        second = _larger(second, load(array, at + stride))
        third = _larger(third, load(array, at + 2 * stride))
        fourth = _larger(fourth, load(array, at + 3 * stride))
    for at in range(top + whole * stride, top + rows * stride, stride):
        first = _larger(first, load(array, at))
    return _larger(_larger(first, second), _larger(third, fourth))


@inner_function
def _larger(x: Any, y: Any) -> Any:
    return if_less(x, y, y, x)


@inner_function
def _weighted_values(e: Lanes, inverses: int, v: Lanes, o: Lanes, window: int, sizes: HeadSizes) -> None:
    """o_ci = Σ_j v_cj Eᵀ_ji / Σ_j E_ij for one of the windows."""
    tokens, dim, padded_tokens = sizes.tokens, sizes.dim, sizes.padded_tokens
    at, score = window * tokens, window * padded_tokens
    vector = lanes_of(o[0])
    left, right = (v[0], v[1] + at, v[2], 1), (e[0], e[1] + score, e[2])
    lanes_product(dim, padded_tokens, tokens, left, right, (o[0], o[1] + at, o[2]), FROM_ZERO, (o[0], 0))
    for i in range(0, padded_tokens, vector):
        inverse = load(e[0], inverses + score + i)
        for place in range(o[1] + at + i, o[1] + at + i + dim * o[2], o[2]):
            store(o[0], place, load(o[0], place) * inverse)


@shared_function
def head_forward(
    q: Lanes,
    k: Lanes,
    v: Lanes,
    o: Lanes,
    windows: int,
    sizes: HeadSizes,
    added: BiasAndMask,
    scratch: tuple[Array, int],
) -> None:
    """o from q, k and v, d rows each.

    Args:
        q, k, v: from the first window's lanes on.
        o: filled.
        windows: how many.
        sizes: of a window and a head.
        added: bias and mask.
        scratch: working memory, see `head_scratch_size`, and where it begins.
    """
    stride = sizes.windows_per_step * sizes.padded_tokens
    array, at = scratch
    e = (array, at + stride, stride)
    _exponentials(q, k, windows, sizes, added, e, at)
    for w in range(windows):
        _weighted_values(e, at, v, o, w, sizes)


@inner_function
def _transpose(source: Lanes, out: Lanes, size: int) -> None:
    """The transpose of a square matrix whose sides are whole vectors."""
    x, at, stride = source
    y, y_at, y_stride = out
    vector = lanes_of(x)
    for i in range(0, size, vector):
        for j in range(0, size, vector):
            transpose_strided(x, at + i * stride + j, stride, y, y_at + j * y_stride + i, y_stride)


@shared_function
def head_backward(
    qkv: tuple[Lanes, Lanes, Lanes],
    o: Lanes,
    do: Lanes,
    dqkv: tuple[Lanes, Lanes, Lanes],
    windows: int,
    sizes: HeadSizes,
    added: BiasAndMask,
    dbias: tuple[Array, int],
    scratch: tuple[Array, int],
) -> None:
    """o again, dq, dk and dv from q, k, v and do; adds to dbias. The mathematics is in `npswin.ops.attention`.

    Pᵀ and dSᵀ are used where a sum runs over the keys; where one runs over the queries, they are transposed.

    Args:
        qkv: q, k, v.
        o: filled.
        do: the derivative by o.
        dqkv: filled.
        windows, sizes, added: as in `head_forward`.
        dbias: an array as the bias is laid out, and where the head's begins.
        scratch: working memory, see `head_backward_scratch_size`, and where it begins.
    """
    q, k, v = qkv
    dq, dk, dv = dqkv
    tokens, dim, padded_tokens = sizes.tokens, sizes.dim, sizes.padded_tokens
    stride = sizes.windows_per_step * padded_tokens
    array, at = scratch
    number = array.dtype.type
    vector, scale = lanes_of(array), broadcast(number(dim) ** number(-0.5))
    inverses, dots, none = at, at + stride, (array, 0)
    p, ds = (array, at + 2 * stride, stride), (array, at + (2 + padded_tokens) * stride, stride)
    transposed = (array, at + (2 + 2 * padded_tokens) * stride, padded_tokens)

    _exponentials(q, k, windows, sizes, added, p, inverses)
    for w in range(windows):
        lane, score = w * tokens, w * padded_tokens
        _weighted_values(p, inverses, v, o, w, sizes)
        # Σ_j P_ij dP_ij = Σ_c do_ci o_ci
        for i in range(0, padded_tokens, vector):
            dot = broadcast(number(0))
            for c in range(dim):
                dot = dot + load(do[0], do[1] + c * do[2] + lane + i) * load(o[0], o[1] + c * o[2] + lane + i)
            store(array, dots + score + i, dot)
        # dPᵀ_ji = Σ_c v_cj do_ci
        left, right = (v[0], v[1] + lane, 1, v[2]), (do[0], do[1] + lane, do[2])
        lanes_product(tokens, padded_tokens, dim, left, right, (array, ds[1] + score, stride), FROM_ZERO, none)

    # Pᵀ; and dSᵀ = Pᵀ ∘ (dPᵀ − Σ_j Pᵀ ∘ dPᵀ), times the 1/√d of the exponent
    for i in range(0, windows * padded_tokens, vector):
        inverse, dot = load(array, inverses + i), load(array, dots + i)
        for j in range(tokens):
            place = j * stride + i
            weight = load(array, p[1] + place) * inverse
            dscore = weight * (load(array, ds[1] + place) - dot)
            store(array, p[1] + place, weight)
            store(array, ds[1] + place, dscore * scale)
            if dbias[0].size:
                store(dbias[0], dbias[1] + place, load(dbias[0], dbias[1] + place) + dscore)

    for w in range(windows):
        lane, score = w * tokens, w * padded_tokens
        dscores = (array, ds[1] + score, stride)
        # dv_cj = Σ_i do_ci P_ij
        _transpose((array, p[1] + score, stride), transposed, padded_tokens)
        left = (do[0], do[1] + lane, do[2], 1)
        lanes_product(dim, padded_tokens, tokens, left, transposed, (dv[0], dv[1] + lane, dv[2]), FROM_ZERO, none)
        # dq_ci = Σ_j k_cj dSᵀ_ji
        left = (k[0], k[1] + lane, k[2], 1)
        lanes_product(dim, padded_tokens, tokens, left, dscores, (dq[0], dq[1] + lane, dq[2]), FROM_ZERO, none)
        # dk_cj = Σ_i q_ci dS_ij
        _transpose(dscores, transposed, padded_tokens)
        left = (q[0], q[1] + lane, q[2], 1)
        lanes_product(dim, padded_tokens, tokens, left, transposed, (dk[0], dk[1] + lane, dk[2]), FROM_ZERO, none)
