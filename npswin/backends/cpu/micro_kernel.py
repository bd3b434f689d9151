"""The innermost loop of every matrix product, and the transposition of a block, as vector code.

NumPy's operations cannot say "keep these 24 vectors in registers while k runs", and neither can a Numba loop: the
compiler decides. So these two are written in LLVM's intermediate language, through `numba.extending.intrinsic`; all
that calls them is plain Numba. LLVM turns a vector of this width into whatever the processor has.

**The product.** A tile of C = A B with `rows` rows and `vectors` vectors a row. For each k, load the vectors b_k of B's
row k once, and for each row i of the tile multiply them by the one number a_ik, copied to all lanes:

    c_i += a_ik · b_k        rows × vectors fused multiply-adds for rows + vectors loads

B's rows are contiguous. A is read one number at a time, so it can lie either way round without being repacked: its
rows may be contiguous (a_ik at i·stride + k) or its columns (a_ik at k·stride + i). This is what makes packing, and
with it a pass over the weights, unnecessary: a linear weight is read in its official layout in the forward pass (by
rows) and in the backward pass (by columns).

**The transposition.** A square block of as many rows as a vector has lanes is loaded, and log₂(lanes) rounds of
exchanges between pairs of registers turn it round.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from npswin.backends.cpu.host import ONE_VECTOR_ROWS, TILE_ROWS, vector_lanes
from npswin.backends.cpu.jit import inner
from npswin.types import Array

INDEX = ir.IntType(64)
# what a tile starts from: 0, what C holds, one number a row, a matrix that is laid out as C
ZERO, ACCUMULATE, BIAS, MATRIX = 0, 1, 2, 3
# Rows of a tile, by the vectors of its rows. What is left over below TILE_ROWS is taken by four, then one by one.
TILE_HEIGHTS = {2: (TILE_ROWS, 4, 1), 1: (ONE_VECTOR_ROWS, TILE_ROWS, 4, 1)}


class _Vectors:
    """Loads, stores and copies of vectors of one array type, in one function that is being built."""

    def __init__(self, context: Any, builder: Any, array_type: Any) -> None:
        self.context, self.builder = context, builder
        self.size = array_type.dtype.bitwidth // 8
        self.lanes = vector_lanes(self.size)
        self.type = ir.VectorType(context.get_data_type(array_type.dtype), self.lanes)

    def pointer(self, array_type: Any, array: Any, offset: Any) -> Any:
        return self.builder.gep(self.context.make_array(array_type)(self.context, self.builder, array).data, [offset])

    def load(self, pointer: Any) -> Any:
        return self.builder.load(self.builder.bitcast(pointer, self.type.as_pointer()), align=self.size)

    def load_rows(self, pointer: Any, stride: Any) -> list[Any]:
        places = [self.builder.gep(pointer, [self.builder.mul(stride, constant(lane))]) for lane in range(self.lanes)]
        return [self.load(place) for place in places]

    def store(self, value: Any, pointer: Any) -> None:
        self.builder.store(value, self.builder.bitcast(pointer, self.type.as_pointer()), align=self.size)

    def broadcast(self, scalar: Any) -> Any:
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
        return self.shuffle(first, undefined, [0] * self.lanes)

    def shuffle(self, one: Any, other: Any, order: list[int]) -> Any:
        return self.builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), order))

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        # `contract` lets LLVM fuse the two where the processor can, and does not force it where it cannot
        return self.builder.fadd(c, self.builder.fmul(a, b, flags=("contract",)), flags=("contract",))


def constant(value: int) -> Any:
    """An index constant."""
    return ir.Constant(INDEX, value)


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
        start: what the sums begin with: ZERO, ACCUMULATE for what C holds, BIAS for bias[bias_offset + i], MATRIX for
            bias[bias_offset + i·c_stride + j].
        bias, bias_offset: read where start is BIAS or MATRIX.
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
    v = _Vectors(context, builder, c_type)
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
    for case, block in ((ACCUMULATE, "begin.accumulate"), (BIAS, "begin.bias"), (MATRIX, "begin.matrix")):
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


@intrinsic
def transpose_indexed(
    typingctx: Any, source: Any, rows: Any, first_row: Any, column: Any, out: Any, out_offset: Any, out_stride: Any
) -> Any:
    """out[out_offset + j·out_stride + i] = source[rows[first_row + i] + column + j], for i and j below the lanes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, rows, first_row, column, out, out_offset, out_stride = args
        source_type, rows_type, out_type = signature.args[0], signature.args[1], signature.args[4]
        v = _Vectors(context, builder, out_type)
        starts = v.pointer(rows_type, rows, first_row)
        loaded = []
        for lane in range(v.lanes):
            offset = builder.add(builder.load(builder.gep(starts, [constant(lane)])), column)
            loaded.append(v.load(v.pointer(source_type, source, offset)))
        place = v.pointer(out_type, out, out_offset)
        for lane, row in enumerate(_transposed(v, loaded)):
            v.store(row, builder.gep(place, [builder.mul(out_stride, constant(lane))]))
        return context.get_dummy_value()

    number = types.intp
    return types.void(source, rows, number, number, out, number, number), codegen


@intrinsic
def add_transposed(
    typingctx: Any,
    source: Any,
    offset: Any,
    stride: Any,
    scales: Any,
    base: Any,
    out: Any,
    rows: Any,
    first_row: Any,
    column: Any,
) -> Any:
    """out[p + j] = base[p + j] + scales[r] · source[offset + j·stride + i], p = rows[r] + column, r = first_row + i."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, offset, stride, scales, base, out, rows, first_row, column = args
        source_type, scales_type, base_type, out_type, rows_type = (signature.args[place] for place in (0, 3, 4, 5, 6))
        v = _Vectors(context, builder, out_type)
        scale_start = v.pointer(scales_type, scales, first_row)
        starts = v.pointer(rows_type, rows, first_row)
        for lane, value in enumerate(_transposed(v, v.load_rows(v.pointer(source_type, source, offset), stride))):
            place = builder.add(builder.load(builder.gep(starts, [constant(lane)])), column)
            scale = v.broadcast(builder.load(builder.gep(scale_start, [constant(lane)])))
            total = v.multiply_add(scale, value, v.load(v.pointer(base_type, base, place)))
            v.store(total, v.pointer(out_type, out, place))
        return context.get_dummy_value()

    number = types.intp
    return types.void(source, number, number, scales, base, out, rows, number, number), codegen


@intrinsic
def put_transposed(
    typingctx: Any, source: Any, offset: Any, stride: Any, out: Any, rows: Any, first_row: Any, column: Any
) -> Any:
    """out[rows[first_row + i] + column + j] = source[offset + j·stride + i], for i and j below the lanes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, offset, stride, out, rows, first_row, column = args
        source_type, out_type, rows_type = (signature.args[place] for place in (0, 3, 4))
        v = _Vectors(context, builder, out_type)
        starts = v.pointer(rows_type, rows, first_row)
        for lane, value in enumerate(_transposed(v, v.load_rows(v.pointer(source_type, source, offset), stride))):
            place = builder.add(builder.load(builder.gep(starts, [constant(lane)])), column)
            v.store(value, v.pointer(out_type, out, place))
        return context.get_dummy_value()

    number = types.intp
    return types.void(source, number, number, out, rows, number, number), codegen


@intrinsic
def transpose_strided(
    typingctx: Any, source: Any, offset: Any, stride: Any, out: Any, out_offset: Any, out_stride: Any
) -> Any:
    """out[out_offset + j·out_stride + i] = source[offset + i·stride + j], for i and j below the lanes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, offset, stride, out, out_offset, out_stride = args
        source_type, out_type = signature.args[0], signature.args[3]
        v = _Vectors(context, builder, out_type)
        loaded = v.load_rows(v.pointer(source_type, source, offset), stride)
        place = v.pointer(out_type, out, out_offset)
        for lane, row in enumerate(_transposed(v, loaded)):
            v.store(row, builder.gep(place, [builder.mul(out_stride, constant(lane))]))
        return context.get_dummy_value()

    number = types.intp
    return types.void(source, number, number, out, number, number), codegen


@intrinsic
def _prefetch_line(typingctx: Any, array: Any, place: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        pointer = builder.bitcast(builder.gep(data, [args[1]]), byte)
        builder.call(prefetch, [pointer, *(ir.Constant(number, value) for value in (0, 2, 1))])
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@inner
def prefetch(array: Array, start: int, count: int) -> None:
    """Ask for array[start : start + count] to be brought into the second cache.

    Before memory is read in short pieces: the processor sees long runs coming by itself, but not these.
    """
    for place in range(start, start + count, 64 // array.itemsize):
        _prefetch_line(array, place)


def _transposed(v: _Vectors, rows: list[Any]) -> list[Any]:
    """Round r exchanges, between registers i and i + 2ʳ, the off-diagonal halves of their blocks of 2ʳ⁺¹ lanes."""
    distance = 1
    while distance < v.lanes:
        low = [lane if lane & distance == 0 else v.lanes + lane - distance for lane in range(v.lanes)]
        high = [lane + distance if lane & distance == 0 else v.lanes + lane for lane in range(v.lanes)]
        for lane in range(v.lanes):
            if lane & distance == 0:
                one, other = rows[lane], rows[lane + distance]
                rows[lane], rows[lane + distance] = v.shuffle(one, other, low), v.shuffle(one, other, high)
        distance *= 2
    return rows
