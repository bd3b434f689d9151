"""`attention`: softmax(q kᵀ/√d + bias + mask) v for each window and head, from q, k and v in one array.

A piece of work is one head of one window. Its scores have a row for each query, padded to whole vectors, so that the
products run over whole vectors too. Each product's operands are used as they lie, but for kᵀ and vᵀ, which are
transposed first. The mathematics is in `npswin.ops.attention`.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cpu.machine.arrays import flat, flat_or_empty
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.processor import round_up, vector_lanes
from npswin.backends.cpu.machine.threads import part_count, run_parallel, thread_count
from npswin.backends.cpu.simd.elementary_functions import exp
from npswin.backends.cpu.simd.matrix_product import lanes_product, product
from npswin.backends.cpu.simd.micro_kernel import FROM_ZERO
from npswin.backends.cpu.tile.lanes import to_rows
from npswin.ops.attention import split_heads
from npswin.types import Array


class _Sizes(NamedTuple):
    """N, h, d, and the length of a row of scores: N up to a whole vector."""

    tokens: int
    heads: int
    dim: int
    row: int


class _Offsets(NamedTuple):
    """Where in qkv the q, k and v of a piece begin, where in y its o, and which window it is in."""

    q: int
    k: int
    v: int
    o: int
    window: int


@inner_function
def _offsets(piece: int, sizes: _Sizes) -> _Offsets:
    tokens, heads, dim = sizes.tokens, sizes.heads, sizes.dim
    window, head = divmod(piece, heads)
    q = (window * tokens * 3 * heads + head) * dim
    return _Offsets(q, q + heads * dim, q + 2 * heads * dim, (window * tokens * heads + head) * dim, window)


@inner_function
def _attend(
    qkv: Array,
    bias: Array,
    mask: Array,
    piece: int,
    sizes: _Sizes,
    transposed: Array,
    scores: Array,
    probabilities: Array,
) -> None:
    """The piece's part of the probabilities.

    Args:
        qkv: (B·nW, N, 3hd), flat like all arrays.
        bias: (h, N, N), (1, N, N) or empty.
        mask: (nW, N, N) or empty.
        piece: window · h + head.
        sizes: of a window.
        transposed: working memory for kᵀ.
        scores: working memory for the scores.
        probabilities: (B·nW, h, N, N), of which the piece's pairs is filled.
    """
    number = qkv.dtype.type
    tokens, heads, dim, row = sizes
    columns, pairs = 3 * heads * dim, tokens * tokens
    at = _offsets(piece, sizes)
    to_rows((qkv, at.k, columns), transposed, 0, dim, tokens, row)
    lanes_product(
        tokens, row, dim, (qkv, at.q, columns, 1), (transposed, 0, row), (scores, 0, row), FROM_ZERO, (scores, 0)
    )
    scale = number(dim) ** number(-0.5)
    for i in range(tokens):
        s, out = view(scores, i * row, row), view(probabilities, piece * pairs + i * tokens, tokens)
        for j in range(tokens):
            s[j] *= scale
        if bias.size:  # one pairs for all heads, or one a head
            more = view(bias, piece % heads * pairs % bias.size + i * tokens, tokens)
            for j in range(tokens):
                s[j] += more[j]
        if mask.size:
            more = view(mask, at.window * pairs % mask.size + i * tokens, tokens)
            for j in range(tokens):
                s[j] += more[j]
        for j in range(tokens, row):
            s[j] = -np.inf
        largest, total = s[0], number(0)
        for j in range(row):
            largest = s[j] if s[j] > largest else largest
        for j in range(row):
            s[j] = exp(s[j] - largest)
        for j in range(row):
            total += s[j]
        for j in range(tokens):
            out[j] = s[j] / total


@inner_function
def _after_dropout(probabilities: Array, drop_mask: Array, start: int, pairs: int, free: Array) -> tuple[Array, int]:
    """D∘P, and where it begins: P itself where nothing is dropped."""
    if drop_mask.size == 0:
        return probabilities, start
    p, factors = view(probabilities, start, pairs), view(drop_mask, start, pairs)
    for i in range(pairs):
        free[i] = p[i] * factors[i]
    return free, 0


@kernel
def _probabilities(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    qkv: Array,
    bias: Array,
    mask: Array,
    sizes: _Sizes,
    probabilities: Array,
) -> None:
    tokens, _, dim, row = sizes
    transposed, scores = view(scratch, 0, dim * row), view(scratch, dim * row, tokens * row)
    for piece in range(first, stop):
        _attend(qkv, bias, mask, piece, sizes, transposed, scores, probabilities)


@kernel
def _forward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    qkv: Array,
    bias: Array,
    mask: Array,
    drop_mask: Array,
    sizes: _Sizes,
    probabilities: Array,
    y: Array,
) -> None:
    tokens, heads, dim, row = sizes
    transposed, scores = view(scratch, 0, dim * row), view(scratch, dim * row, tokens * row)
    for piece in range(first, stop):
        _attend(qkv, bias, mask, piece, sizes, transposed, scores, probabilities)
        dropped, start = _after_dropout(probabilities, drop_mask, piece * tokens * tokens, tokens * tokens, scores)
        at = _offsets(piece, sizes)
        left, right, out = (dropped, start, tokens, 1), (qkv, at.v, 3 * heads * dim), (y, at.o, heads * dim)
        product(tokens, dim, tokens, left, right, out, FROM_ZERO, (y, 0))


@kernel
def _backward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    dy: Array,
    qkv: Array,
    drop_mask: Array,
    sizes: _Sizes,
    probabilities: Array,
    dqkv: Array,
    dbias: Array,
    bias_size: int,
) -> None:
    """`dbias` has the bias' numbers for each part, or none."""
    number = qkv.dtype.type
    tokens, heads, dim, row = sizes
    columns, pairs, none = 3 * heads * dim, tokens * tokens, (scratch, 0)
    scale = number(dim) ** number(-0.5)
    transposed, dscores = view(scratch, 0, dim * row), view(scratch, dim * row, tokens * row)
    free = view(scratch, (dim + tokens) * row, pairs)
    own_dbias = view(dbias, part * bias_size, bias_size)
    fill(own_dbias, 0)
    for piece in range(first, stop):
        at = _offsets(piece, sizes)
        do = dy, at.o, heads * dim

        # dv_jc = Σ_i D_ij P_ij do_ic
        dropped, start = _after_dropout(probabilities, drop_mask, piece * pairs, pairs, free)
        product(tokens, dim, tokens, (dropped, start, 1, tokens), do, (dqkv, at.v, columns), FROM_ZERO, none)

        # dS = P ∘ (dP − Σ_j P ∘ dP) with dP = D ∘ (do vᵀ)
        to_rows((qkv, at.v, columns), transposed, 0, dim, tokens, row)
        lanes_product(tokens, row, dim, (*do, 1), (transposed, 0, row), (dscores, 0, row), FROM_ZERO, none)
        for i in range(tokens):
            ds, row_start = view(dscores, i * row, tokens), piece * pairs + i * tokens
            p, total = view(probabilities, row_start, tokens), number(0)
            if drop_mask.size:
                factors = view(drop_mask, row_start, tokens)
                for j in range(tokens):
                    ds[j] *= factors[j]
            for j in range(tokens):
                total += p[j] * ds[j]
            for j in range(tokens):
                ds[j] = p[j] * (ds[j] - total)
            if bias_size:
                sums = view(own_dbias, piece % heads * pairs % bias_size + i * tokens, tokens)
                for j in range(tokens):
                    sums[j] += ds[j]
            for j in range(tokens):
                ds[j] *= scale

        # dq_ic = Σ_j dS_ij k_jc and dk_jc = Σ_i dS_ij q_ic
        product(tokens, dim, tokens, (dscores, 0, row, 1), (qkv, at.k, columns), (dqkv, at.q, columns), FROM_ZERO, none)
        product(tokens, dim, tokens, (dscores, 0, 1, row), (qkv, at.q, columns), (dqkv, at.k, columns), FROM_ZERO, none)


@dataclass(frozen=True)
class _Cache:
    """What the backward pass needs: arrays as the kernels take them, the sizes, and the bias' shape."""

    qkv: Array
    probabilities: Array
    drop_mask: Array
    sizes: _Sizes
    bias_shape: tuple[int, ...] | None


def _sizes(qkv: Array, num_heads: int) -> _Sizes:
    _, heads, tokens, dim = split_heads(qkv, num_heads)[0].shape
    return _Sizes(tokens, heads, dim, round_up(tokens, vector_lanes(qkv.itemsize)))


def attention_probabilities(qkv: Array, bias: Array | None, mask: Array | None, num_heads: int) -> Array:
    """See `npswin.ops.attention_probabilities`."""
    tokens, heads, dim, row = sizes = _sizes(qkv, num_heads)
    probabilities = pooled_empty((len(qkv), heads, tokens, tokens), qkv.dtype)
    run_parallel(
        *(_probabilities, len(qkv) * heads, (dim + tokens) * row, qkv.dtype),
        *(flat(qkv), flat_or_empty(bias, qkv), flat_or_empty(mask, qkv), sizes, probabilities.reshape(-1)),
    )
    return probabilities


def attention_forward(
    qkv: Array, bias: Array | None, mask: Array | None, num_heads: int, drop_mask: Array | None = None
) -> tuple[Array, Any]:
    """See `npswin.ops.attention_forward`."""
    tokens, heads, dim, row = sizes = _sizes(qkv, num_heads)
    windows = len(qkv)
    y = pooled_empty((windows, tokens, heads * dim), qkv.dtype)
    probabilities = pooled_empty(windows * heads * tokens * tokens, qkv.dtype)
    source, mask_or_empty = flat(qkv), flat_or_empty(drop_mask, qkv)
    run_parallel(
        *(_forward, windows * heads, (dim + tokens) * row, qkv.dtype),
        *(
            source,
            flat_or_empty(bias, qkv),
            flat_or_empty(mask, qkv),
            mask_or_empty,
            sizes,
            probabilities,
            y.reshape(-1),
        ),
    )
    return y, _Cache(source, probabilities, mask_or_empty, sizes, None if bias is None else bias.shape)


def attention_backward(dy: Array, cache: Any) -> tuple[Array, Array | None]:
    """See `npswin.ops.attention_backward`."""
    tokens, heads, dim, row = cache.sizes
    windows = len(dy)
    bias_shape = cache.bias_shape or (0,)
    dqkv = pooled_empty((windows, tokens, 3 * heads * dim), dy.dtype)
    threads = thread_count()
    dbias = pooled_empty((part_count(windows * heads, threads), *bias_shape), dy.dtype)
    run_parallel(
        *(_backward, windows * heads, (dim + tokens) * row + tokens * tokens, dy.dtype),
        *(flat(dy), cache.qkv, cache.drop_mask),
        *(cache.sizes, cache.probabilities, dqkv.reshape(-1), dbias.reshape(-1), math.prod(bias_shape)),
        threads=threads,
    )
    return dqkv, None if cache.bias_shape is None else dbias.sum(axis=0)
