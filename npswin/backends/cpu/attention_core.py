"""Attention by itself: softmax(q kᵀ/√d + bias + mask) v for each window and head, from q, k and v in one array.

A piece of work is one head of one window. Its scores have a row for each query, padded to whole vectors, so that the
products run over whole vectors too. Each product's operands are used as they lie, but for kᵀ and vᵀ, which are turned
round first. The mathematics is in `npswin.ops.attention`.
"""

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from npswin import ops
from npswin.backends.cpu.arrays import are_floats, flat, flat_derivative, flat_or_none
from npswin.backends.cpu.functions import exp
from npswin.backends.cpu.host import round_up, vector_lanes
from npswin.backends.cpu.jit import inner, kernel, view
from npswin.backends.cpu.lanes import put_in_rows
from npswin.backends.cpu.memory import empty
from npswin.backends.cpu.micro_kernel import ZERO
from npswin.backends.cpu.product import product
from npswin.backends.cpu.threads import part_count, run_parallel, thread_count
from npswin.ops.attention import split_heads
from npswin.types import Array

Sizes: TypeAlias = tuple[int, int, int, int]  # N, h, d, and N up to a whole vector: the scores' rows


@inner
def _places(piece: int, sizes: Sizes) -> tuple[int, int, int, int, int]:
    """Where in qkv the piece's q, k and v begin, where in y its o, and which window it is in."""
    tokens, heads, dim, _ = sizes
    window, head = divmod(piece, heads)
    q = (window * tokens * 3 * heads + head) * dim
    return q, q + heads * dim, q + 2 * heads * dim, (window * tokens * heads + head) * dim, window


@inner
def _attend(
    qkv: Array, bias: Array, mask: Array, piece: int, sizes: Sizes, turned: Array, scores: Array, probabilities: Array
) -> None:
    """The piece's part of the probabilities.

    Args:
        qkv: (B·nW, N, 3hd), flat like all arrays.
        bias: (h, N, N), (1, N, N) or empty.
        mask: (nW, N, N) or empty.
        piece: window · h + head.
        sizes: of a window.
        turned: room for kᵀ.
        scores: room for the scores.
        probabilities: (B·nW, h, N, N), of which the piece's square is filled.
    """
    number = qkv.dtype.type
    tokens, heads, dim, row = sizes
    columns, square = 3 * heads * dim, tokens * tokens
    q, k, _, _, window = _places(piece, sizes)
    put_in_rows((qkv, k, columns), turned, 0, dim, tokens, row)
    product(tokens, row, dim, (qkv, q, columns, 1), (turned, 0, row), (scores, 0, row), ZERO, (scores, 0))
    scale = number(dim) ** number(-0.5)
    for i in range(tokens):
        s, out = view(scores, i * row, row), view(probabilities, piece * square + i * tokens, tokens)
        for j in range(tokens):
            s[j] *= scale
        if bias.size:  # one square for all heads, or one a head
            more = view(bias, piece % heads * square % bias.size + i * tokens, tokens)
            for j in range(tokens):
                s[j] += more[j]
        if mask.size:
            more = view(mask, window * square % mask.size + i * tokens, tokens)
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


@inner
def _kept(probabilities: Array, drop_mask: Array, start: int, square: int, room: Array) -> tuple[Array, int]:
    """D∘P, and where it begins: P itself where nothing is dropped."""
    if drop_mask.size == 0:
        return probabilities, start
    p, factors = view(probabilities, start, square), view(drop_mask, start, square)
    for i in range(square):
        room[i] = p[i] * factors[i]
    return room, 0


@kernel
def _probabilities(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    qkv: Array,
    bias: Array,
    mask: Array,
    sizes: Sizes,
    probabilities: Array,
) -> None:
    tokens, _, dim, row = sizes
    turned, scores = view(scratch, 0, dim * row), view(scratch, dim * row, tokens * row)
    for piece in range(first, stop):
        _attend(qkv, bias, mask, piece, sizes, turned, scores, probabilities)


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
    sizes: Sizes,
    probabilities: Array,
    y: Array,
) -> None:
    tokens, heads, dim, row = sizes
    turned, scores = view(scratch, 0, dim * row), view(scratch, dim * row, tokens * row)
    for piece in range(first, stop):
        _attend(qkv, bias, mask, piece, sizes, turned, scores, probabilities)
        kept, start = _kept(probabilities, drop_mask, piece * tokens * tokens, tokens * tokens, scores)
        _, _, v, o, _ = _places(piece, sizes)
        left, right, out = (kept, start, tokens, 1), (qkv, v, 3 * heads * dim), (y, o, heads * dim)
        product(tokens, dim, tokens, left, right, out, ZERO, (y, 0))


@kernel
def _backward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    dy: Array,
    qkv: Array,
    drop_mask: Array,
    sizes: Sizes,
    probabilities: Array,
    dqkv: Array,
    dbias: Array,
    bias_size: int,
) -> None:
    """`dbias` has the bias' numbers for each part, or none."""
    number = qkv.dtype.type
    tokens, heads, dim, row = sizes
    columns, square, none = 3 * heads * dim, tokens * tokens, (scratch, 0)
    scale = number(dim) ** number(-0.5)
    turned, dscores = view(scratch, 0, dim * row), view(scratch, dim * row, tokens * row)
    room = view(scratch, (dim + tokens) * row, square)
    own_dbias = view(dbias, part * bias_size, bias_size)
    own_dbias[:] = number(0)
    for piece in range(first, stop):
        q, k, v, o, _ = _places(piece, sizes)
        do = dy, o, heads * dim

        # dv_jc = Σ_i D_ij P_ij do_ic
        kept, start = _kept(probabilities, drop_mask, piece * square, square, room)
        product(tokens, dim, tokens, (kept, start, 1, tokens), do, (dqkv, v, columns), ZERO, none)

        # dS = P ∘ (dP − Σ_j P ∘ dP) with dP = D ∘ (do vᵀ)
        put_in_rows((qkv, v, columns), turned, 0, dim, tokens, row)
        product(tokens, row, dim, (*do, 1), (turned, 0, row), (dscores, 0, row), ZERO, none)
        for i in range(tokens):
            ds, at = view(dscores, i * row, tokens), piece * square + i * tokens
            p, total = view(probabilities, at, tokens), number(0)
            if drop_mask.size:
                factors = view(drop_mask, at, tokens)
                for j in range(tokens):
                    ds[j] *= factors[j]
            for j in range(tokens):
                total += p[j] * ds[j]
            for j in range(tokens):
                ds[j] = p[j] * (ds[j] - total)
            if bias_size:
                sums = view(own_dbias, piece % heads * square % bias_size + i * tokens, tokens)
                for j in range(tokens):
                    sums[j] += ds[j]
            for j in range(tokens):
                ds[j] *= scale

        # dq_ic = Σ_j dS_ij k_jc and dk_jc = Σ_i dS_ij q_ic
        product(tokens, dim, tokens, (dscores, 0, row, 1), (qkv, k, columns), (dqkv, q, columns), ZERO, none)
        product(tokens, dim, tokens, (dscores, 0, 1, row), (qkv, q, columns), (dqkv, k, columns), ZERO, none)


@dataclass(frozen=True)
class _Cache:
    """What the backward pass needs: arrays as the kernels take them, the sizes, and the bias' shape."""

    qkv: Array
    probabilities: Array
    drop_mask: Array
    sizes: Sizes
    bias_shape: tuple[int, ...] | None


def _sizes(qkv: Array, num_heads: int) -> Sizes:
    _, heads, tokens, dim = split_heads(qkv, num_heads)[0].shape
    return tokens, heads, dim, round_up(tokens, vector_lanes(qkv.itemsize))


def _taken(qkv: Array, bias: Array | None, mask: Array | None, drop_mask: Array | None, num_heads: int) -> bool:
    """Whether kernels take these. With others, the definition knows what to do, or what is wrong."""
    windows, tokens, _ = qkv.shape
    return (
        are_floats(qkv, bias, mask, drop_mask)
        and (bias is None or bias.shape in ((num_heads, tokens, tokens), (1, tokens, tokens)))
        and (mask is None or (mask.shape[1:] == (tokens, tokens) and len(mask) > 0 and windows % len(mask) == 0))
        and (drop_mask is None or drop_mask.shape == (windows, num_heads, tokens, tokens))
    )


def attention_probabilities(qkv: Array, bias: Array | None, mask: Array | None, num_heads: int) -> Array:
    """See `npswin.ops.attention_probabilities`."""
    if not _taken(qkv, bias, mask, None, num_heads):
        return ops.attention_probabilities(qkv, bias, mask, num_heads)
    tokens, heads, dim, row = sizes = _sizes(qkv, num_heads)
    probabilities = empty((len(qkv), heads, tokens, tokens), qkv.dtype)
    run_parallel(
        *(_probabilities, len(qkv) * heads, (dim + tokens) * row, qkv.dtype),
        *(flat(qkv), flat_or_none(bias, qkv), flat_or_none(mask, qkv), sizes, probabilities.reshape(-1)),
    )
    return probabilities


def attention_forward(
    qkv: Array, bias: Array | None, mask: Array | None, num_heads: int, drop_mask: Array | None = None
) -> tuple[Array, Any]:
    """See `npswin.ops.attention_forward`."""
    if not _taken(qkv, bias, mask, drop_mask, num_heads):
        return ops.attention_forward(qkv, bias, mask, num_heads, drop_mask)
    tokens, heads, dim, row = sizes = _sizes(qkv, num_heads)
    windows = len(qkv)
    y = empty((windows, tokens, heads * dim), qkv.dtype)
    probabilities = empty(windows * heads * tokens * tokens, qkv.dtype)
    source, dropped = flat(qkv), flat_or_none(drop_mask, qkv)
    run_parallel(
        *(_forward, windows * heads, (dim + tokens) * row, qkv.dtype),
        *(source, flat_or_none(bias, qkv), flat_or_none(mask, qkv), dropped, sizes, probabilities, y.reshape(-1)),
    )
    return y, _Cache(source, probabilities, dropped, sizes, None if bias is None else bias.shape)


def attention_backward(dy: Array, cache: Any) -> tuple[Array, Array | None]:
    """See `npswin.ops.attention_backward`."""
    if not isinstance(cache, _Cache):
        return ops.attention_backward(dy, cache)
    tokens, heads, dim, row = cache.sizes
    windows = len(dy)
    bias_shape = cache.bias_shape or (0,)
    dqkv = empty((windows, tokens, 3 * heads * dim), dy.dtype)
    threads = thread_count()
    dbias = empty((part_count(windows * heads, threads), *bias_shape), dy.dtype)
    run_parallel(
        *(_backward, windows * heads, (dim + tokens) * row + tokens * tokens, dy.dtype),
        *(flat_derivative(dy, cache.qkv.size // 3, cache.qkv.dtype), cache.qkv, cache.drop_mask),
        *(cache.sizes, cache.probabilities, dqkv.reshape(-1), dbias.reshape(-1), math.prod(bias_shape)),
        threads=threads,
    )
    return dqkv, None if cache.bias_shape is None else dbias.sum(axis=0)
