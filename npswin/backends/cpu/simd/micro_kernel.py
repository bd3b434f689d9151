"""The innermost loop of every matrix product, as vector code.

NumPy and Numba give no control over which values stay in registers. So this is written in LLVM's intermediate language,
through `numba.extending.intrinsic`; all that calls it is plain Numba. LLVM turns a vector of this width into whatever
the processor has.

A tile of C = A B with `rows` rows and `vectors` vectors a row. For each k, load the vectors b_k of B's row k once, and
for each row i of the tile multiply them by the one number a_ik, copied to all lanes:

    c_i += a_ik · b_k        rows × vectors fused multiply-adds for rows + vectors loads

B's rows are contiguous. A is read one number at a time, so it can lie either way round without being repacked: its rows
may be contiguous (a_ik at i·stride + k) or its columns (a_ik at k·stride + i). This is what makes packing, and with it
a pass over the weights, unnecessary: a linear weight is read in its official layout in the forward pass (by rows) and
in the backward pass (by columns).
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from npswin.backends.cpu.machine.processor import ONE_VECTOR_ROWS, TILE_ROWS
from npswin.backends.cpu.simd.codegen import INDEX, VectorCode, constant

# what a tile starts from: 0, what C holds, one number a row, a matrix that is laid out as C
FROM_ZERO, FROM_OUTPUT, FROM_BIAS, FROM_MATRIX = 0, 1, 2, 3
# Rows of a tile, by the vectors of its rows. What is left over below TILE_ROWS is taken by four, then one by one.
TILE_HEIGHTS = {2: (TILE_ROWS, 4, 1), 1: (ONE_VECTOR_ROWS, TILE_ROWS, 4, 1)}


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
    """
    number = types.intp
    signature = types.void(
        *(a, number, number), *(b, number, number), *(c, number, number), number, number, *(bias, number), *[number] * 3
    )
    return signature, _tile_product_code


def _tile_product_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    *operands, by_row, rows, vectors = args
    key = builder.add(builder.mul(builder.add(builder.mul(rows, constant(2)), by_row), constant(4)), vectors)
    end = builder.append_basic_block("tile.end")
    choice = builder.switch(key, end)
    for width, heights in TILE_HEIGHTS.items():
        for height in heights:
            for row_contiguous in (True, False):
                block = builder.append_basic_block(f"tile.{height}.{width}")
                choice.add_case(constant((height * 2 + row_contiguous) * 4 + width), block)
                builder.position_at_end(block)
                _one_tile(context, builder, signature, operands, height, width, row_contiguous)
                builder.branch(end)
    builder.position_at_end(end)
    return context.get_dummy_value()


def _one_tile(
    context: Any, builder: Any, signature: Any, operands: Any, rows: int, vectors: int, row_contiguous: bool
) -> None:
    a, a_offset, a_stride, b, b_offset, b_stride, c, c_offset, c_stride, depth, start, bias, bias_offset = operands
    a_type, b_type, c_type, bias_type = (signature.args[place] for place in (0, 3, 6, 11))
    v = VectorCode(context, builder, c_type.dtype)
    a_start, b_start = v.pointer(a_type, a, a_offset), v.pointer(b_type, b, b_offset)
    c_start, bias_start = v.pointer(c_type, c, c_offset), v.pointer(bias_type, bias, bias_offset)
    c_offsets = [
        builder.add(builder.mul(c_stride, constant(row)), constant(vector * v.lanes))
        for row in range(rows)
        for vector in range(vectors)
    ]
    c_places = [builder.gep(c_start, [offset]) for offset in c_offsets]

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

    # the loop over k; LLVM keeps `running` in registers
    builder.position_at_end(begin)
    head, body, end = (builder.append_basic_block(f"depth.{part}") for part in ("head", "body", "end"))
    builder.branch(head)
    builder.position_at_end(head)
    k, a_k, b_k = builder.phi(INDEX), builder.phi(a_start.type), builder.phi(b_start.type)
    running = [builder.phi(v.type) for _ in sums]
    for phi, value in zip((k, a_k, b_k, *running), (constant(0), a_start, b_start, *sums), strict=True):
        phi.add_incoming(value, begin)
    builder.cbranch(builder.icmp_signed("<", k, depth), body, end)

    builder.position_at_end(body)
    b_vectors = [v.load(builder.gep(b_k, [constant(vector * v.lanes)])) for vector in range(vectors)]
    following = []
    a_place = a_k
    for row in range(rows):
        a_ik = v.broadcast(builder.load(a_place))
        for vector in range(vectors):
            following.append(v.multiply_add(a_ik, b_vectors[vector], running[row * vectors + vector]))
        a_place = builder.gep(a_place, [a_stride if row_contiguous else constant(1)])
    next_a = builder.gep(a_k, [constant(1) if row_contiguous else a_stride])
    next_b = builder.gep(b_k, [b_stride])
    next_k = builder.add(k, constant(1))
    for phi, value in zip((k, a_k, b_k, *running), (next_k, next_a, next_b, *following), strict=True):
        phi.add_incoming(value, body)
    builder.branch(head)

    builder.position_at_end(end)
    for value, place in zip(running, c_places, strict=True):
        v.store(value, place)
