"""One head of one window: softmax(q kᵀ/√d + bias + mask) v in lanes, forward and backward.

Sᵀ_ji = Σ_c k_cj q_ci has a row for each key and a lane for each query: the softmax over the keys goes down the rows,
without shuffling, and o_ci = Σ_j v_cj Pᵀ_ji is in lanes like everything else. All of it stays in the first cache.

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

# The bias as `lay_out_bias` has it, and where the head's begins; the regions, and where the window's begin; whether
# the window needs a mask; what masked pairs get.
Added: TypeAlias = tuple[Array, int, Array, int, bool, float]


@inner
def _exponentials(scores: Lanes, per_window: int, scale: float, added: Added, sums: Array, largest: Array) -> None:
    """Sᵀ → E = exp(scale · Sᵀ + bias + mask − the query's largest), in place, and one over each query's sum."""
    array, offset, square = scores
    bias, bias_at, regions, first, mixed, mask_value = added
    number = array.dtype.type
    sums[:], largest[:] = number(0), number(-np.inf)
    own = view(regions, first, square)
    for j in range(per_window):
        row = view(array, offset + j * square, square)
        if bias.size:
            more = view(bias, bias_at + j * square, square)
            for i in range(square):
                row[i] = row[i] * scale + more[i]
        else:
            for i in range(square):
                row[i] *= scale
        if mixed:
            region = regions[first + j]
            for i in range(square):
                row[i] += number(0) if own[i] == region else mask_value
        for i in range(square):
            largest[i] = row[i] if row[i] > largest[i] else largest[i]
    for j in range(per_window):
        row = view(array, offset + j * square, square)
        for i in range(square):
            row[i] = exp(row[i] - largest[i])
            sums[i] += row[i]
    for i in range(square):
        sums[i] = number(1) / sums[i]


@inner
def head_room(per_window: int, vector: int) -> int:
    """Numbers of working memory that `head_forward` needs."""
    square = -(-per_window // vector) * vector
    return (per_window + 2) * square


@inner
def head_forward(
    q: Lanes, k: Lanes, v: Lanes, o: Lanes, per_window: int, dim: int, added: Added, room: tuple[Array, int]
) -> None:
    """o from q, k and v, d rows each."""
    scratch, at = room
    vector = VECTOR_BYTES // scratch.itemsize
    number = scratch.dtype.type
    square = -(-per_window // vector) * vector
    scores, none = (scratch, at + 2 * square, square), (scratch, 0)
    share, largest = view(scratch, at, square), view(scratch, at + square, square)
    product(per_window, square, dim, (k[0], k[1], 1, k[2]), q, scores, ZERO, none)
    _exponentials(scores, per_window, number(dim) ** number(-0.5), added, share, largest)
    product(dim, square, per_window, (v[0], v[1], v[2], 1), scores, o, ZERO, none)
    for c in range(dim):
        row = view(o[0], o[1] + c * o[2], square)
        for i in range(square):
            row[i] *= share[i]


@inner
def _transpose(source: Lanes, out: Lanes) -> None:
    """A square of whole vectors, turned round."""
    x, at, size = source
    y, y_at, _ = out
    vector = VECTOR_BYTES // x.itemsize
    for i in range(0, size, vector):
        for j in range(0, size, vector):
            transpose_strided(x, at + i * size + j, size, y, y_at + j * size + i, size)


@inner
def head_backward_room(per_window: int, vector: int) -> int:
    """Numbers of working memory that `head_backward` needs."""
    square = -(-per_window // vector) * vector
    return (3 * square + 2) * square


@inner
def head_backward(
    q: Lanes,
    k: Lanes,
    v: Lanes,
    o: Lanes,
    do: Lanes,
    dq: Lanes,
    dk: Lanes,
    dv: Lanes,
    per_window: int,
    dim: int,
    added: Added,
    dbias: tuple[Array, int],
    room: tuple[Array, int],
) -> None:
    """o again, dq, dk and dv from q, k, v and do; adds to dbias. The mathematics is in `npswin.ops.attention`.

    Pᵀ and dSᵀ serve where a sum runs over the keys; where one runs over the queries, they are turned round.
    """
    scratch, at = room
    vector = VECTOR_BYTES // scratch.itemsize
    number = scratch.dtype.type
    square = -(-per_window // vector) * vector
    scale = number(dim) ** number(-0.5)
    share, largest = view(scratch, at, square), view(scratch, at + square, square)
    start, none = at + 2 * square, (scratch, 0)
    p, ds, turned = (
        (scratch, start, square),
        (scratch, start + square * square, square),
        (scratch, start + 2 * square * square, square),
    )

    product(per_window, square, dim, (k[0], k[1], 1, k[2]), q, p, ZERO, none)
    _exponentials(p, per_window, scale, added, share, largest)
    for j in range(per_window):
        row = view(scratch, p[1] + j * square, square)
        for i in range(square):
            row[i] *= share[i]
    product(dim, square, per_window, (v[0], v[1], v[2], 1), p, o, ZERO, none)

    # dv_cj = Σ_i do_ci P_ij
    _transpose(p, turned)
    product(dim, square, per_window, (do[0], do[1], do[2], 1), turned, dv, ZERO, none)

    # dSᵀ = Pᵀ ∘ (dPᵀ − Σ_j Pᵀ ∘ dPᵀ) with dPᵀ_ji = Σ_c v_cj do_ci
    product(per_window, square, dim, (v[0], v[1], 1, v[2]), do, ds, ZERO, none)
    share[:] = number(0)
    for j in range(per_window):
        row, weight = view(scratch, ds[1] + j * square, square), view(scratch, p[1] + j * square, square)
        for i in range(square):
            share[i] += row[i] * weight[i]
    for j in range(per_window):
        row, weight = view(scratch, ds[1] + j * square, square), view(scratch, p[1] + j * square, square)
        for i in range(square):
            row[i] = weight[i] * (row[i] - share[i])
        if dbias[0].size:
            total = view(dbias[0], dbias[1] + j * square, square)
            for i in range(square):
                total[i] += row[i]
        for i in range(square):
            row[i] *= scale

    # dq_ci = Σ_j k_cj dSᵀ_ji, dk_cj = Σ_i q_ci dS_ij, with the scale 1/√d in dS
    product(dim, square, per_window, (k[0], k[1], k[2], 1), ds, dq, ZERO, none)
    _transpose(ds, turned)
    product(dim, square, per_window, (q[0], q[1], q[2], 1), turned, dk, ZERO, none)
