"""One head of some windows: softmax(q kᵀ/√d + bias + mask) v in lanes, forward and backward.

Sᵀ_ji = Σ_c k_cj q_ci has a row for each key and a lane for each query: the softmax over the keys goes down the rows,
without shuffling, and o_ci = Σ_j v_cj Pᵀ_ji is in lanes like everything else. Small windows are taken several at a
time, their scores side by side, so that a row is long enough to be worth a loop. All of it stays in the first cache.

q, k, v and o are `Lanes` of a tile that holds several windows side by side. The last vector of a window runs on into
the lanes of the next one. What is written there is overwritten when that window's turn comes, and a tile has room for
the last window's excess.
"""

from typing import Any, TypeAlias

from npswin.backends.cpu.functions import exp
from npswin.backends.cpu.jit import inner, view
from npswin.backends.cpu.lanes import Lanes
from npswin.backends.cpu.micro_kernel import MATRIX, ZERO
from npswin.backends.cpu.product import product
from npswin.backends.cpu.transposition import transpose_strided
from npswin.backends.cpu.vectors import if_less, lanes_of, load, spread, store
from npswin.types import Array

SCORES_BYTES = 16 * 1024  # of the scores that are made together

# The bias as `lay_out_bias` has it, and where the head's begins; the tokens' regions, and where the first window's
# begin; for each window of the tile whether it needs a mask, and which is the first; what masked pairs get. Bias and
# mask are multiplied by √d.
Added: TypeAlias = tuple[Array, int, Array, int, Array, int, float]


def windows_together(per_window: int, square: int, itemsize: int, tile_windows: int) -> int:
    """How many windows a head takes at a time."""
    return max(1, min(tile_windows, SCORES_BYTES // (per_window * square * itemsize)))


def head_room(per_window: int, square: int, together: int) -> int:
    """Numbers of working memory that `head_forward` needs."""
    return (per_window + 1) * together * square


def head_backward_room(per_window: int, square: int, together: int) -> int:
    """Numbers of working memory that `head_backward` needs."""
    return (2 * square + 2) * together * square + square * square


@inner
def _exponentials(
    q: Lanes,
    k: Lanes,
    windows: int,
    per_window: int,
    dim: int,
    square: int,
    added: Added,
    scores: Lanes,
    inverses: int,
) -> None:
    """scores ← Eᵀ = exp(Sᵀ/√d + bias + mask − the query's largest), the windows side by side.

    Bias and mask come multiplied by √d, so that the product can begin with the bias and 1/√d is a factor of the
    exponent. What the softmax divides by, Σ_j E_ij, is better divided out of o, which has fewer rows: 1/Σ goes to
    `inverses` in the scores' array.
    """
    array, offset, stride = scores
    bias, bias_at, regions, first, mixed, first_mixed, mask_value = added
    number = array.dtype.type
    vector, scale = lanes_of(array), number(dim) ** number(-0.5)
    start = MATRIX if bias.size else ZERO
    for w in range(windows):
        at, score = w * per_window, offset + w * square
        left, right = (k[0], k[1] + at, 1, k[2]), (q[0], q[1] + at, q[2])
        product(per_window, square, dim, left, right, (array, score, stride), start, (bias, bias_at + w * square))
        if mixed[first_mixed + w]:
            own = view(regions, first + at, square)
            for j in range(per_window):
                row, region = view(array, score + j * stride, square), own[j]
                for i in range(square):
                    row[i] += number(0) if own[i] == region else mask_value
    for i in range(0, windows * square, vector):
        top = offset + i
        largest = _largest(array, top, stride, per_window)
        total = spread(number(0))
        for j in range(per_window):
            e = exp((load(array, top + j * stride) - largest) * scale)
            store(array, top + j * stride, e)
            total = total + e
        store(array, inverses + i, spread(number(1)) / total)


@inner
def _largest(array: Array, top: int, stride: int, rows: int) -> Any:
    """The largest of each lane, down the rows; by fours, since each comparison waits for the one before."""
    one = other = third = fourth = load(array, top)
    whole = rows - rows % 4
    for place in range(top, top + whole * stride, 4 * stride):
        one = _larger(one, load(array, place))
        other = _larger(other, load(array, place + stride))
        third = _larger(third, load(array, place + 2 * stride))
        fourth = _larger(fourth, load(array, place + 3 * stride))
    for place in range(top + whole * stride, top + rows * stride, stride):
        one = _larger(one, load(array, place))
    return _larger(_larger(one, other), _larger(third, fourth))


@inner
def _larger(one: Any, other: Any) -> Any:
    return if_less(one, other, other, one)


@inner
def _attend(e: Lanes, inverses: int, v: Lanes, o: Lanes, window: int, per_window: int, dim: int, square: int) -> None:
    """o_ci = Σ_j v_cj Eᵀ_ji / Σ_j E_ij for one of the windows."""
    at, score = window * per_window, window * square
    vector = lanes_of(o[0])
    left, right = (v[0], v[1] + at, v[2], 1), (e[0], e[1] + score, e[2])
    product(dim, square, per_window, left, right, (o[0], o[1] + at, o[2]), ZERO, (o[0], 0))
    for i in range(0, square, vector):
        inverse = load(e[0], inverses + score + i)
        for place in range(o[1] + at + i, o[1] + at + i + dim * o[2], o[2]):
            store(o[0], place, load(o[0], place) * inverse)


@inner
def head_forward(
    q: Lanes, k: Lanes, v: Lanes, o: Lanes, windows: int, sizes: tuple[int, ...], added: Added, room: tuple[Array, int]
) -> None:
    """o from q, k and v, d rows each.

    Args:
        q, k, v: from the first window's lanes on.
        o: filled.
        windows: how many.
        sizes: N, d, N up to a whole vector, and the scores' stride.
        added: bias and mask.
        room: working memory, see `head_room`.
    """
    per_window, dim, square, stride = sizes
    scratch, at = room
    e = (scratch, at + stride, stride)
    _exponentials(q, k, windows, per_window, dim, square, added, e, at)
    for w in range(windows):
        _attend(e, at, v, o, w, per_window, dim, square)


@inner
def _transpose(source: Lanes, out: Lanes, size: int) -> None:
    """A square of whole vectors, turned round."""
    x, at, stride = source
    y, y_at, y_stride = out
    vector = lanes_of(x)
    for i in range(0, size, vector):
        for j in range(0, size, vector):
            transpose_strided(x, at + i * stride + j, stride, y, y_at + j * y_stride + i, y_stride)


@inner
def head_backward(
    qkv: tuple[Lanes, Lanes, Lanes],
    o: Lanes,
    do: Lanes,
    dqkv: tuple[Lanes, Lanes, Lanes],
    windows: int,
    sizes: tuple[int, ...],
    added: Added,
    dbias: tuple[Array, int],
    room: tuple[Array, int],
) -> None:
    """o again, dq, dk and dv from q, k, v and do; adds to dbias. The mathematics is in `npswin.ops.attention`.

    Pᵀ and dSᵀ serve where a sum runs over the keys; where one runs over the queries, they are turned round.

    Args:
        qkv: q, k, v.
        o: filled.
        do: the derivative by o.
        dqkv: filled.
        windows, sizes, added: as in `head_forward`.
        dbias: an array as the bias is laid out, and where the head's begins.
        room: working memory, see `head_backward_room`.
    """
    q, k, v = qkv
    dq, dk, dv = dqkv
    per_window, dim, square, stride = sizes
    scratch, at = room
    number = scratch.dtype.type
    vector, scale = lanes_of(scratch), spread(number(dim) ** number(-0.5))
    inverses, dots, none = at, at + stride, (scratch, 0)
    p, ds = (scratch, at + 2 * stride, stride), (scratch, at + (2 + square) * stride, stride)
    turned = (scratch, at + (2 + 2 * square) * stride, square)

    _exponentials(q, k, windows, per_window, dim, square, added, p, inverses)
    for w in range(windows):
        lane, score = w * per_window, w * square
        _attend(p, inverses, v, o, w, per_window, dim, square)
        # Σ_j P_ij dP_ij = Σ_c do_ci o_ci
        for i in range(0, square, vector):
            dot = spread(number(0))
            for c in range(dim):
                dot = dot + load(do[0], do[1] + c * do[2] + lane + i) * load(o[0], o[1] + c * o[2] + lane + i)
            store(scratch, dots + score + i, dot)
        # dPᵀ_ji = Σ_c v_cj do_ci
        left, right = (v[0], v[1] + lane, 1, v[2]), (do[0], do[1] + lane, do[2])
        product(per_window, square, dim, left, right, (scratch, ds[1] + score, stride), ZERO, none)

    # Pᵀ; and dSᵀ = Pᵀ ∘ (dPᵀ − Σ_j Pᵀ ∘ dPᵀ), times the 1/√d of the exponent
    for i in range(0, windows * square, vector):
        inverse, dot = load(scratch, inverses + i), load(scratch, dots + i)
        for j in range(per_window):
            place = j * stride + i
            weight = load(scratch, p[1] + place) * inverse
            dscore = weight * (load(scratch, ds[1] + place) - dot)
            store(scratch, p[1] + place, weight)
            store(scratch, ds[1] + place, dscore * scale)
            if dbias[0].size:
                store(dbias[0], dbias[1] + place, load(dbias[0], dbias[1] + place) + dscore)

    for w in range(windows):
        lane, score = w * per_window, w * square
        dscores = (scratch, ds[1] + score, stride)
        # dv_cj = Σ_i do_ci P_ij
        _transpose((scratch, p[1] + score, stride), turned, square)
        left = (do[0], do[1] + lane, do[2], 1)
        product(dim, square, per_window, left, turned, (dv[0], dv[1] + lane, dv[2]), ZERO, none)
        # dq_ci = Σ_j k_cj dSᵀ_ji
        left = (k[0], k[1] + lane, k[2], 1)
        product(dim, square, per_window, left, dscores, (dq[0], dq[1] + lane, dq[2]), ZERO, none)
        # dk_cj = Σ_i q_ci dS_ij
        _transpose(dscores, turned, square)
        left = (q[0], q[1] + lane, q[2], 1)
        product(dim, square, per_window, left, turned, (dk[0], dk[1] + lane, dk[2]), ZERO, none)
