"""The innermost loop of every matrix product, as vector code.

NumPy and Numba give no control over which values stay in registers. So this is written in LLVM's intermediate language,
through `numba.extending.intrinsic`; all that calls it is plain Numba. LLVM turns a vector of this width into whatever
the processor has.

A tile of C = A B with `rows` rows and `vectors` vectors a row. For each k, load the vectors b_k of B's row k once, and
for each row i of the tile multiply them by the one number a_ik, copied to all lanes:

    c_i += a_ik · b_k        rows × vectors fused multiply-adds for rows + vectors loads

B's rows are contiguous. A is read one number at a time, so it can lie either way round: its rows may be contiguous
(a_ik at i·stride + k) or its columns (a_ik at k·stride + i). So a linear weight is read in its official layout in the
forward pass, by rows. In the backward pass it would be by columns; there the weight's transpose is copied into panels,
see `npswin.backends.cpu.tile.weight_panels`.

The multiply-adds occupy two of the processor's ports in every cycle, and where additions of addresses take such a port,
it is missed: they cost an eighth of the speed. So most tiles take four k in a step, and by rows the addresses are
few: every third row's, from which the next two are reached by multiples of the stride, as an x86 instruction can add
them. LLVM would compute others by itself. What keeps it from that are two kinds of empty assembly: one through which
an address passes, so that nothing is known of it; and one between two k, across which nothing is loaded early.
"""

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from npswin.backends.cpu.machine.processor import LAST_TILE_ROWS, ONE_VECTOR_ROWS, TILE_ROWS
from npswin.backends.cpu.simd.bfloat16_codegen import BFloat16Code
from npswin.backends.cpu.simd.codegen import VectorCode, constant

# what a tile starts from: 0, what C holds, one number a row, a matrix that is laid out as C
FROM_ZERO, FROM_OUTPUT, FROM_BIAS, FROM_MATRIX = 0, 1, 2, 3
# Rows of a tile, by the vectors of its rows. What is left over below TILE_ROWS is taken by four, then one by one.
TILE_HEIGHTS = {2: {LAST_TILE_ROWS, TILE_ROWS, 4, 1}, 1: {ONE_VECTOR_ROWS, LAST_TILE_ROWS, TILE_ROWS, 4, 1}}
FEW_ROWS = 4
_DEPTH_STEP = 4  # of the tiles that are used most
_ROW_STEP = 3  # rows that are reached from one address


class _Shape(NamedTuple):
    """Of a tile, and whether A's rows are contiguous."""

    rows: int
    vectors: int
    row_contiguous: bool


class _State(NamedTuple):
    """What changes from one k to the next.

    Attributes:
        k: the next one.
        a: addresses in A: those of every _ROW_STEP-th row at k if its rows are contiguous, else that of column k.
        b: the address of B's row k.
        sums: the tile, row by row; LLVM keeps it in registers.
    """

    k: Any
    a: list[Any]
    b: Any
    sums: list[Any]

    def values(self) -> list[Any]:
        """All of them, in this order."""
        return [self.k, *self.a, self.b, *self.sums]


@intrinsic
def tile_product(
    typingctx: Any,
    a: Any,
    a_offset: Any,
    a_stride: Any,
    b: Any,
    b_offset: Any,
    b_stride: Any,
    c: Any,
    c_offset: Any,
    c_stride: Any,
    depth: Any,
    start: Any,
    bias: Any,
    bias_offset: Any,
    by_row: Any,
    rows: Any,
    vectors: Any,
    c_next: Any,
) -> Any:
    """One tile of C = A B, on flat arrays.

    Args:
        a, a_offset, a_stride: a_ik is a[a_offset + i·a_stride + k] if by_row else a[a_offset + k·a_stride + i].
        b, b_offset, b_stride: row k of B starts at b_offset + k·b_stride.
        c, c_offset, c_stride: row i of C starts at c_offset + i·c_stride.
        depth: how many k.
        start: what the sums begin with: FROM_ZERO, FROM_OUTPUT for what C holds, FROM_BIAS for bias[bias_offset + i],
            FROM_MATRIX for bias[bias_offset + i·c_stride + j].
        bias, bias_offset: read where start is FROM_BIAS or FROM_MATRIX.
        by_row: 1 or 0.
        rows: of the tile, one of TILE_HEIGHTS[vectors].
        vectors: a row of the tile, 1 or 2.
        c_next: where the tile begins in C that comes next, and is brought into the L1 cache meanwhile.
    """
    number = types.intp
    signature = types.void(
        *(a, number, number), *(b, number, number), *(c, number, number), number, number, *(bias, number), *[number] * 4
    )
    return signature, _tile_product_code


def _tile_product_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    *operands, by_row, rows, vectors, c_next = args
    key = builder.add(builder.mul(builder.add(builder.mul(rows, constant(2)), by_row), constant(4)), vectors)
    end = builder.append_basic_block("tile.end")
    choice = builder.switch(key, end)
    for width, heights in TILE_HEIGHTS.items():
        for height in heights:
            for row_contiguous in (True, False):
                block = builder.append_basic_block(f"tile.{height}.{width}")
                choice.add_case(constant((height * 2 + row_contiguous) * 4 + width), block)
                builder.position_at_end(block)
                _one_tile(context, builder, signature, (*operands, c_next), _Shape(height, width, row_contiguous))
                builder.branch(end)
    builder.position_at_end(end)
    return context.get_dummy_value()


def _one_tile(context: Any, builder: Any, signature: Any, operands: Any, shape: _Shape) -> None:
    rows, vectors = shape.rows, shape.vectors
    a, a_offset, a_stride, b, b_offset, b_stride, c, c_offset, c_stride, depth, start, bias, bias_offset = operands[:-1]
    a_type, b_type, c_type, bias_type = (signature.args[place] for place in (0, 3, 6, 11))
    v = BFloat16Code(context, builder) if a_type.dtype == types.int32 else VectorCode(context, builder, c_type.dtype)
    a_start, b_start = v.pointer(a_type, a, a_offset), v.pointer(b_type, b, b_offset)
    c_start, bias_start = v.pointer(c_type, c, c_offset), v.pointer(bias_type, bias, bias_offset)
    c_offsets = [
        builder.add(builder.mul(c_stride, constant(row)), constant(vector * v.lanes))
        for row in range(rows)
        for vector in range(vectors)
    ]
    c_places = [builder.gep(c_start, [offset]) for offset in c_offsets]
    c_next = v.pointer(c_type, c, operands[-1])

    # what the sums begin with
    begin = builder.append_basic_block("begin")
    with builder.goto_block(begin):
        sums = [builder.phi(v.type) for _ in c_places]
    cases = builder.switch(start, builder.append_basic_block("begin.zero"))
    for case, block in ((FROM_OUTPUT, "begin.accumulate"), (FROM_BIAS, "begin.bias"), (FROM_MATRIX, "begin.matrix")):
        cases.add_case(constant(case), builder.append_basic_block(block))
    for block, values in (
        (cases.default, lambda: [ir.Constant(v.type, None)] * len(c_places)),
        (cases.cases[0][1], lambda: [v.load(place) for place in c_places]),
        (
            cases.cases[1][1],
            lambda: [
                value
                for row in range(rows)
                for value in [v.broadcast(builder.load(builder.gep(bias_start, [constant(row)])))] * vectors
            ],
        ),
        (cases.cases[2][1], lambda: [v.load(builder.gep(bias_start, [offset])) for offset in c_offsets]),
    ):
        builder.position_at_end(block)
        for phi, value in zip(sums, values(), strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(begin)

    builder.position_at_end(begin)
    for offset in c_offsets:
        v.prefetch(builder.gep(c_next, [offset]))
    addresses = [a_start]
    if shape.row_contiguous:
        addresses = [builder.gep(a_start, [builder.mul(a_stride, constant(row))]) for row in range(0, rows, _ROW_STEP)]
    state = _State(constant(0), addresses, b_start, sums)
    if rows >= TILE_ROWS:
        state = _depth_loop(v, shape, state, depth, a_stride, b_stride, _DEPTH_STEP)
    state = _depth_loop(v, shape, state, depth, a_stride, b_stride, 1)
    for value, place in zip(state.sums, c_places, strict=True):
        v.store(value, place)


def _depth_loop(
    v: VectorCode, shape: _Shape, before: _State, depth: Any, a_stride: Any, b_stride: Any, step: int
) -> _State:
    """`step` k at a time while so many are left; returns what it ends with."""
    builder, entry = v.builder, v.builder.block
    head, body, end = (builder.append_basic_block(f"depth.{part}") for part in ("head", "body", "end"))
    builder.branch(head)
    builder.position_at_end(head)
    phis = [builder.phi(value.type) for value in before.values()]
    for phi, value in zip(phis, before.values(), strict=True):
        phi.add_incoming(value, entry)
    addresses = len(before.a)
    state = _State(phis[0], phis[1 : 1 + addresses], phis[1 + addresses], phis[2 + addresses :])
    following = builder.add(state.k, constant(step))
    builder.cbranch(builder.icmp_signed("<=", following, depth), body, end)

    builder.position_at_end(body)
    a, b, sums = [v.opaque(address) for address in state.a], state.b, list(state.sums)
    for k in range(step):
        if k:
            v.load_nothing_early()
        b_vectors = [v.load(builder.gep(b, [constant(vector * v.lanes)])) for vector in range(shape.vectors)]
        for row in range(shape.rows):
            if shape.row_contiguous:
                group, rest = divmod(row, _ROW_STEP)
                place = builder.gep(builder.gep(a[group], [builder.mul(a_stride, constant(rest))]), [constant(k)])
            else:
                place = builder.gep(a[0], [builder.add(builder.mul(a_stride, constant(k)), constant(row))])
            a_ik = v.broadcast(builder.load(place))
            for vector, b_vector in enumerate(b_vectors, row * shape.vectors):
                sums[vector] = v.multiply_add(a_ik, b_vector, sums[vector])
        b = builder.gep(b, [b_stride])
    advance = constant(step) if shape.row_contiguous else builder.mul(a_stride, constant(step))
    after = _State(following, [builder.gep(address, [advance]) for address in a], b, sums)
    for phi, value in zip(phis, after.values(), strict=True):
        phi.add_incoming(value, body)
    builder.branch(head)
    builder.position_at_end(end)
    return state
