"""Numbers in bfloat16, two in 32 bits: rounding, and the layouts that the products of `bfloat16_product.py` read.

A bfloat16 is the upper half of a float32: sign, 8 bits of exponent, 7 of fraction. float32 is rounded to the nearest
one, to the even one of two that are equally near; NaN stays NaN; and a subnormal number becomes 0, as the processor's
instructions have it. A *pair* of two numbers is an int32, the first one in its low half. There are two layouts:

    rows        pair a[i·row + k] = (a_i,2k  a_i,2k+1)        what is on the left of a product, such as a weight
    pair rows   pair b[k·row + j] = (b_2k,j  b_2k+1,j)        what is on the right, such as tokens in lanes

The last pair of an odd number of k has a 0 in its high half.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from npswin.backends.cpu.machine.compilation import shared_function
from npswin.backends.cpu.machine.flat_array import (
    FlatArray,
    address_of_data,
    elements_at,
    fill,
    flat_array,
    stack_memory,
)
from npswin.backends.cpu.machine.processor import vector_lanes
from npswin.backends.cpu.simd.bfloat16_codegen import BFloat16Code
from npswin.backends.cpu.simd.intrinsics import broadcast, load
from npswin.backends.cpu.simd.transpose import transpose_strided
from npswin.types import Array

LANES = vector_lanes(4)  # pairs in a vector
NUMBERS = 2 * LANES  # bfloat16 numbers in a vector

# What is turned round is read in runs of so many columns, since memory is fastest where few rows are read at a time. A
# run's rows of pairs do not begin at the same place of a page.
_RUN = 256
_RUN_ROW = _RUN + LANES


@intrinsic
def pairs_view(typingctx: Any, array: Any, start: Any, count: Any) -> Any:
    """The memory of a float32 array's elements start … start + count, as so many pairs."""
    kind = FlatArray(types.int32)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = builder.gep(address_of_data(context, builder, signature.args[0], args[0]), [args[1]])
        data = builder.bitcast(data, context.get_data_type(types.int32).as_pointer())
        return flat_array(context, builder, kind, data, args[2])

    return kind(array, types.intp, types.intp), codegen


@intrinsic
def store_rounded(typingctx: Any, pairs: Any, place: Any, first: Any, second: Any) -> Any:
    """A vector of pairs from pairs[place] on = the numbers of two vectors, one after the other."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = BFloat16Code(context, builder)
        code.store_pairs(code.rounded(*args[2:]), code.pointer(signature.args[0], *args[:2]))
        return context.get_dummy_value()

    return types.void(pairs, types.intp, first, second), codegen


@intrinsic
def store_paired(typingctx: Any, pairs: Any, place: Any, low: Any, high: Any) -> Any:
    """A vector of pairs from pairs[place] on = the numbers of two vectors, lane by lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = BFloat16Code(context, builder)
        code.store_pairs(code.paired(*args[2:]), code.pointer(signature.args[0], *args[:2]))
        return context.get_dummy_value()

    return types.void(pairs, types.intp, low, high), codegen


@shared_function
def round_rows(rows: int, columns: int, source: tuple[Array, int, int], out: tuple[Array, int, int]) -> None:
    """Rows of bfloat16 out of rows of float32.

    Args:
        rows, columns: of the matrix.
        source: (x, offset, row): x_ij is x[offset + i·row + j].
        out: (pairs, offset, row); a row is filled up with zeros to a whole vector of pairs.
    """
    x, x_offset, x_row = source
    pairs, offset, row = out
    rest = elements_at(stack_memory(4 * NUMBERS), 0, NUMBERS, np.float32)
    whole = columns - columns % NUMBERS
    fill(rest, 0)
    for i in range(rows):
        at, place = x_offset + i * x_row, offset + i * row
        for j in range(0, whole, NUMBERS):
            store_rounded(pairs, place + j // 2, load(x, at + j), load(x, at + j + LANES))
        if whole < columns:
            for j in range(columns - whole):
                rest[j] = x[at + whole + j]
            store_rounded(pairs, place + whole // 2, load(rest, 0), load(rest, LANES))


@shared_function
def pair_rows(rows: int, columns: int, source: tuple[Array, int, int], out: tuple[Array, int, int]) -> None:
    """Pair rows out of rows of float32.

    Args:
        rows, columns: of the matrix; columns is a multiple of a vector's lanes.
        source: (x, offset, row): x_ij is x[offset + i·row + j].
        out: (pairs, offset, row), filled with (rows + 1) // 2 rows; may be the source's own memory, from the same place
            on and with as long rows.
    """
    x, x_offset, x_row = source
    pairs, offset, row = out
    for k in range(rows // 2):
        at, place = x_offset + 2 * k * x_row, offset + k * row
        for j in range(0, columns, LANES):
            store_paired(pairs, place + j, load(x, at + j), load(x, at + x_row + j))
    if rows % 2:
        at, place = x_offset + (rows - 1) * x_row, offset + rows // 2 * row
        for j in range(0, columns, LANES):
            store_paired(pairs, place + j, load(x, at + j), broadcast(np.float32(0)))


@shared_function
def round_transposed(rows: int, columns: int, source: tuple[Array, int, int], out: tuple[Array, int, int]) -> None:
    """Rows of bfloat16 out of columns of float32: `round_rows` of the transpose.

    Args:
        rows, columns: of the source.
        source: (x, offset, row): x_ij is x[offset + i·row + j].
        out: (pairs, offset, row), filled with `columns` rows; each is filled up with zeros to a whole vector of pairs.
    """
    x, x_offset, x_row = source
    pairs, offset, row = out
    run_size, square_size, rest_size = LANES * _RUN_ROW, LANES * LANES, NUMBERS * LANES
    memory = stack_memory(4 * (run_size + square_size + rest_size))
    run, square = elements_at(memory, 0, run_size, np.int32), elements_at(memory, run_size, square_size, np.int32)
    rest = elements_at(memory, run_size + square_size, rest_size, np.float32)
    for i in range(0, rows, NUMBERS):
        height = min(NUMBERS, rows - i)
        if height < NUMBERS:
            fill(run, 0)
            fill(rest, 0)
        for j in range(0, columns, _RUN):
            width = min(_RUN, columns - j)
            whole = width - width % LANES
            at, place = x_offset + i * x_row + j, offset + j * row + i // 2
            pair_rows(height, whole, (x, at, x_row), (run, 0, _RUN_ROW))
            for s in range(0, whole, LANES):
                transpose_strided(run, s, _RUN_ROW, pairs, place + s * row, row)
            if whole < width:
                for r in range(height):
                    for s in range(width - whole):
                        rest[r * LANES + s] = x[at + r * x_row + whole + s]
                pair_rows(NUMBERS, LANES, (rest, 0, LANES), (run, 0, _RUN_ROW))
                transpose_strided(run, 0, _RUN_ROW, square, 0, LANES)
                for s in range(width - whole):
                    for r in range(LANES):
                        pairs[place + (whole + s) * row + r] = square[s * LANES + r]
