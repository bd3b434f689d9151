"""One head of some windows: softmax(q kᵀ/√d + bias + mask) v in lanes, forward and backward.

Sᵀ_ji = Σ_c k_cj q_ci has a row for each key and a lane for each query: the softmax over the keys goes down the rows,
without shuffling, and o_ci = Σ_j v_cj Pᵀ_ji is in lanes like everything else. Small windows are taken several at a
time, their scores side by side, so that a row is long enough to be worth a loop. All of it stays in the first cache.

q, k, v and o are `Lanes` of a tile that holds several windows side by side. The last vector of a window runs on into
the lanes of the next one. What is written there is overwritten when that window's turn comes, and a tile has room for
the last window's excess.
"""

from typing import TypeAlias

import numpy as np

from npswin.backends.cpu.functions import exp
from npswin.backends.cpu.host import VECTOR_BYTES
from npswin.backends.cpu.jit import inner, view
from npswin.backends.cpu.lanes import Lanes
from npswin.backends.cpu.micro_kernel import ZERO, transpose_strided
from npswin.backends.cpu.product import product
from npswin.types import Array

SCORES_BYTES = 16 * 1024  # of the scores that are made together

# The bias as `lay_out_bias` has it, and where the head's begins; the tokens' regions, and where the first window's
# begin; for each window of the tile whether it needs a mask, and which is the first; what masked pairs get.
Added: TypeAlias = tuple[Array, int, Array, int, Array, int, float]


def windows_together(per_window: int, square: int, itemsize: int, tile_windows: int) -> int:
    """How many windows a head takes at a time."""
    return max(1, min(tile_windows, SCORES_BYTES // (per_window * square * itemsize)))


def head_room(per_window: int, square: int, together: int) -> int:
    """Numbers of working memory that `head_forward` needs."""
    return (per_window + 2) * together * square


def head_backward_room(per_window: int, square: int, together: int) -> int:
    """Numbers of working memory that `head_backward` needs."""
    return (2 * square + 2) * together * square + square * square


@inner
def _probabilities(
    q: Lanes,
    k: Lanes,
    windows: int,
    per_window: int,
    dim: int,
    square: int,
    added: Added,
    scores: Lanes,
    sums: Array,
    largest: Array,
) -> None:
    """scores ← Pᵀ = softmax(scale · Sᵀ + bias + mask), the windows side by side."""
    array, offset, stride = scores
    bias, bias_at, regions, first, mixed, first_mixed, mask_value = added
    number = array.dtype.type
    width, scale = windows * square, number(dim) ** number(-0.5)
    for w in range(windows):
        at = w * per_window
        left, right = (k[0], k[1] + at, 1, k[2]), (q[0], q[1] + at, q[2])
        product(per_window, square, dim, left, right, (array, offset + w * square, stride), ZERO, (array, 0))
    sums[:], largest[:] = number(0), number(-np.inf)
    for j in range(per_window):
        row = view(array, offset + j * stride, width)
        if bias.size:
            more = view(bias, bias_at + j * stride, width)
            for i in range(width):
                row[i] = row[i] * scale + more[i]
        else:
            for i in range(width):
                row[i] *= scale
        for w in range(windows):
            if mixed[first_mixed + w]:
                part, own = view(row, w * square, square), view(regions, first + w * per_window, square)
                region = own[j]
                for i in range(square):
                    part[i] += number(0) if own[i] == region else mask_value
        for i in range(width):
            largest[i] = row[i] if row[i] > largest[i] else largest[i]
    for j in range(per_window):
        row = view(array, offset + j * stride, width)
        for i in range(width):
            row[i] = exp(row[i] - largest[i])
            sums[i] += row[i]
    for i in range(width):
        sums[i] = number(1) / sums[i]
    for j in range(per_window):
        row = view(array, offset + j * stride, width)
        for i in range(width):
            row[i] *= sums[i]


@inner
def _attend(p: Lanes, v: Lanes, o: Lanes, windows: int, per_window: int, dim: int, square: int) -> None:
    """o_ci = Σ_j v_cj Pᵀ_ji, window by window."""
    for w in range(windows):
        at = w * per_window
        left, right = (v[0], v[1] + at, v[2], 1), (p[0], p[1] + w * square, p[2])
        product(dim, square, per_window, left, right, (o[0], o[1] + at, o[2]), ZERO, (o[0], 0))


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
    sums, largest = view(scratch, at, stride), view(scratch, at + stride, stride)
    p = (scratch, at + 2 * stride, stride)
    _probabilities(q, k, windows, per_window, dim, square, added, p, sums, largest)
    _attend(p, v, o, windows, per_window, dim, square)


@inner
def _transpose(source: Lanes, out: Lanes, size: int) -> None:
    """A square of whole vectors, turned round."""
    x, at, stride = source
    y, y_at, y_stride = out
    vector = VECTOR_BYTES // x.itemsize
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
    scale, width = number(dim) ** number(-0.5), windows * square
    dots, largest = view(scratch, at, stride), view(scratch, at + stride, stride)
    start, none = at + 2 * stride, (scratch, 0)
    p, ds = (scratch, start, stride), (scratch, start + square * stride, stride)
    turned = (scratch, start + 2 * square * stride, square)

    _probabilities(q, k, windows, per_window, dim, square, added, p, dots, largest)
    _attend(p, v, o, windows, per_window, dim, square)

    for w in range(windows):
        lane, score = w * per_window, w * square
        # dv_cj = Σ_i do_ci P_ij
        _transpose((scratch, p[1] + score, stride), turned, square)
        left = (do[0], do[1] + lane, do[2], 1)
        product(dim, square, per_window, left, turned, (dv[0], dv[1] + lane, dv[2]), ZERO, none)
        # dPᵀ_ji = Σ_c v_cj do_ci
        left, right = (v[0], v[1] + lane, 1, v[2]), (do[0], do[1] + lane, do[2])
        product(per_window, square, dim, left, right, (scratch, ds[1] + score, stride), ZERO, none)

    # dSᵀ = Pᵀ ∘ (dPᵀ − Σ_j Pᵀ ∘ dPᵀ), and the scale 1/√d that q had
    dots[:] = number(0)
    for j in range(per_window):
        row, weight = view(scratch, ds[1] + j * stride, width), view(scratch, p[1] + j * stride, width)
        for i in range(width):
            dots[i] += row[i] * weight[i]
    for j in range(per_window):
        row, weight = view(scratch, ds[1] + j * stride, width), view(scratch, p[1] + j * stride, width)
        if dbias[0].size:
            total = view(dbias[0], dbias[1] + j * stride, width)
            for i in range(width):
                dscore = weight[i] * (row[i] - dots[i])
                total[i] += dscore
                row[i] = dscore * scale
        else:
            for i in range(width):
                row[i] = weight[i] * (row[i] - dots[i]) * scale

    for w in range(windows):
        lane, dscores = w * per_window, (scratch, ds[1] + w * square, stride)
        # dq_ci = Σ_j k_cj dSᵀ_ji
        left = (k[0], k[1] + lane, k[2], 1)
        product(dim, square, per_window, left, dscores, (dq[0], dq[1] + lane, dq[2]), ZERO, none)
        # dk_cj = Σ_i q_ci dS_ij
        _transpose(dscores, turned, square)
        left = (q[0], q[1] + lane, q[2], 1)
        product(dim, square, per_window, left, turned, (dk[0], dk[1] + lane, dk[2]), ZERO, none)
