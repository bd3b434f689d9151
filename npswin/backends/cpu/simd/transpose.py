"""The transposition of a square block, as vector code: tokens as rows become tokens in lanes, and back.

A block of as many rows as a vector has lanes is loaded, and log₂(lanes) rounds of exchanges between pairs of registers
turn it round. On the way in or out, its rows can lie anywhere, be scaled, and be added to something.
"""

from typing import Any

from numba import types
from numba.extending import intrinsic

from npswin.backends.cpu.simd.codegen import VectorCode, constant


def _transposed(v: VectorCode, rows: list[Any]) -> list[Any]:
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


@intrinsic
def transpose_indexed(
    typingctx: Any, source: Any, rows: Any, first_row: Any, column: Any, out: Any, out_offset: Any, out_stride: Any
) -> Any:
    """out[out_offset + j·out_stride + i] = source[rows[first_row + i] + column + j], for i and j below the lanes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, rows, first_row, column, out, out_offset, out_stride = args
        source_type, rows_type, out_type = signature.args[0], signature.args[1], signature.args[4]
        v = VectorCode(context, builder, out_type.dtype)
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
        v = VectorCode(context, builder, out_type.dtype)
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
        v = VectorCode(context, builder, out_type.dtype)
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
        v = VectorCode(context, builder, out_type.dtype)
        loaded = v.load_rows(v.pointer(source_type, source, offset), stride)
        place = v.pointer(out_type, out, out_offset)
        for lane, row in enumerate(_transposed(v, loaded)):
            v.store(row, builder.gep(place, [builder.mul(out_stride, constant(lane))]))
        return context.get_dummy_value()

    number = types.intp
    return types.void(source, number, number, out, number, number), codegen
