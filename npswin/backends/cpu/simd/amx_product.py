"""C = A B of bfloat16 numbers, in the processor's tile registers (AMX).

Four tiles hold 32 rows × 32 columns of C, two hold 32 rows of A, two 32 columns of B, each for 16 pairs of k:

            b₀  b₁
        a₀  c₀₀ c₀₁       four products for four loads, 16 cycles each against 8 or, from the L2 cache, 24
        a₁  c₁₀ c₁₁

So one of the operands has to come from the L1 cache. The loops take 32 rows of A and some `_SPAN` pairs of k, 16 KiB,
which stay there while B passes, 32 columns wide; the next rows are meanwhile brought into the L2 cache. Where there are
more k, the sums go through C. Where rows or pairs are left over, tiles are configured to be so much smaller; columns
are a multiple of 16. To configure the tiles takes 44 ns, to release them 4.
"""

from typing import Any

import numpy as np

from npswin.backends.cpu.machine.compilation import inner_function, shared_function
from npswin.backends.cpu.machine.flat_array import elements_at, fill, stack_memory, view
from npswin.backends.cpu.simd.amx_tiles import (
    CONFIGURATION_BYTES,
    TILE_SIDE,
    load_configuration,
    load_tile,
    multiply_tiles,
    release_tiles,
    store_tile,
)
from npswin.backends.cpu.simd.intrinsics import pointer, prefetch
from npswin.backends.cpu.simd.micro_kernel import FROM_BIAS, FROM_MATRIX, FROM_OUTPUT, FROM_ZERO
from npswin.types import Array

_SPAN = 128  # pairs
_BLOCK = 2 * TILE_SIDE  # rows and columns of C that are in tiles


@inner_function
def amx_product(
    rows: int,
    columns: int,
    pairs: int,
    left: tuple[Array, int, int],
    right: tuple[Array, int, int],
    out: tuple[Array, int, int],
    start: int,
    bias: tuple[Array, int],
) -> None:
    """c_ij = start + Σ_k low(a_ik) low(b_kj) + high(a_ik) high(b_kj), k < pairs; the process must have asked for tiles.

    Args:
        rows, columns, pairs: the sizes; columns is a multiple of 16.
        left: (a, offset, row): pair a_ik is a[offset + i·row + k], int32.
        right: (b, offset, row): pair b_kj is b[offset + k·row + j], int32.
        out: (c, offset, row): c_ij is c[offset + i·row + j], float32.
        start, bias: as of `lanes_product`.
    """
    a, a_offset, a_row = left
    b, b_offset, b_row = right
    c, c_offset, c_row = out
    biases, bias_offset = bias
    _blocks(
        *(rows, columns, pairs, pointer(a, a_offset), a_row, pointer(b, b_offset), b_row),
        *(pointer(c, c_offset), c_row, start, pointer(biases, bias_offset)),
    )


@shared_function
def _blocks(
    rows: int,
    columns: int,
    pairs: int,
    a: Any,
    a_row: int,
    b: Any,
    b_row: int,
    c: Any,
    c_row: int,
    start: int,
    bias: Any,
) -> None:
    memory = stack_memory(CONFIGURATION_BYTES + 4 * _BLOCK * TILE_SIDE)
    configuration = elements_at(memory, 0, CONFIGURATION_BYTES, np.uint8)
    begin = elements_at(memory + CONFIGURATION_BYTES, 0, _BLOCK * TILE_SIDE, np.float32)
    fill(configuration, 0)
    fill(begin, 0)
    shape = 0, 0, 0
    share = -(-_BLOCK // -(-columns // _BLOCK))  # of the rows of A that come next, which each block asks for
    for i in range(0, rows, _BLOCK):
        height = min(_BLOCK, rows - i)
        upper = min(TILE_SIDE, height)
        if start == FROM_BIAS:
            for row in range(height):
                fill(view(begin, row * TILE_SIDE, TILE_SIDE), bias[i + row])
        k = 0
        while True:
            span = _span(pairs - k)
            depth = min(TILE_SIDE, span)
            if shape != (upper, height - upper, depth):
                shape = upper, height - upper, depth
                _configure(configuration, memory, *shape)
            # what the sums begin with: rows of an array, and from tile to tile of a row
            if k > 0 or start == FROM_OUTPUT:
                sums, first, row, step = c, i * c_row, c_row, TILE_SIDE
            elif start == FROM_MATRIX:
                sums, first, row, step = bias, i * c_row, c_row, TILE_SIDE
            else:
                sums, first, row, step = pointer(begin, 0), 0, TILE_SIDE if start == FROM_BIAS else 0, 0
            following = i * a_row + k + span if k + span < pairs else (i + _BLOCK) * a_row
            for j in range(0, columns, _BLOCK):
                _block(
                    *(height > TILE_SIDE, columns - j > TILE_SIDE, -(-span // TILE_SIDE)),
                    *((a, i * a_row + k, a_row), (b, k * b_row + j, b_row), (c, i * c_row + j, c_row)),
                    *((sums, first + j // TILE_SIDE * step, row), step, following, share),
                )
                following += share * a_row
            k += span
            if k >= pairs:
                break
    release_tiles()


@inner_function
def _span(pairs: int) -> int:
    """How many of the pairs that are left are summed together: whole tiles, or less than a tile."""
    if pairs < TILE_SIDE:
        return pairs
    return pairs - pairs % TILE_SIDE if pairs < 2 * _SPAN else _SPAN


@inner_function
def _configure(configuration: Array, address: int, upper: int, lower: int, depth: int) -> None:
    """Tiles 0, 1, 4 with the upper rows, 2, 3, 5 with the lower ones, 6, 7 with a row for each pair.

    Byte 0 of a configuration is 1; tile t's bytes in a row are a 16-bit number at 16 + 2 t, its rows byte 48 + t. A
    tile without rows may have no columns, so one that is not used has a row, too.
    """
    configuration[0] = 1
    for tile in range(8):
        columns = depth if tile in (4, 5) else TILE_SIDE
        rows = upper if tile in (0, 1, 4) else lower if tile in (2, 3, 5) else depth
        configuration[16 + 2 * tile] = 4 * max(1, columns)
        configuration[48 + tile] = max(1, rows)
    load_configuration(address)


@inner_function
def _block(
    is_high: bool,
    is_wide: bool,
    steps: int,
    left: tuple[Any, int, int],
    right: tuple[Any, int, int],
    out: tuple[Any, int, int],
    begin: tuple[Any, int, int],
    begin_step: int,
    following: int,
    share: int,
) -> None:
    """One block of C.

    Args:
        is_high, is_wide: whether it has two tiles' rows, and columns.
        steps: tiles along k.
        left, right, out, begin: (pointer, place, row) of A, B, C, and of what the sums begin with.
        begin_step: elements from the latter's first tile to the one beside it.
        following, share: rows of A, from a place on, that are brought into the L2 cache meanwhile. Behind the last row
            there may be nothing, which does no harm.
    """
    a, a_place, a_row = left
    b, b_place, b_row = right
    c, c_place, c_row = out
    sums, place, row = begin
    a_lower, c_lower, lower = TILE_SIDE * a_row, c_place + TILE_SIDE * c_row, place + TILE_SIDE * row
    load_tile(0, sums, place, row)
    if is_wide:
        load_tile(1, sums, place + begin_step, row)
    if is_high:
        load_tile(2, sums, lower, row)
        if is_wide:
            load_tile(3, sums, lower + begin_step, row)
    for _ in range(steps):
        load_tile(4, a, a_place, a_row)
        load_tile(6, b, b_place, b_row)
        multiply_tiles(0, 4, 6)
        if is_wide:
            load_tile(7, b, b_place + TILE_SIDE, b_row)
            multiply_tiles(1, 4, 7)
        if is_high:
            load_tile(5, a, a_place + a_lower, a_row)
            multiply_tiles(2, 5, 6)
            if is_wide:
                multiply_tiles(3, 5, 7)
        for next_row in range(share):
            prefetch(view(a, following + next_row * a_row, TILE_SIDE), 0, TILE_SIDE)
        a_place += TILE_SIDE
        b_place += TILE_SIDE * b_row
        following += TILE_SIDE
    store_tile(0, c, c_place, c_row)
    if is_wide:
        store_tile(1, c, c_place + TILE_SIDE, c_row)
    if is_high:
        store_tile(2, c, c_lower, c_row)
        if is_wide:
            store_tile(3, c, c_lower + TILE_SIDE, c_row)


@shared_function
def begin_whole_tiles() -> None:
    """All tiles get 16 rows of 64 bytes, for some calls of `amx_whole_tiles` until `end_whole_tiles`."""
    memory = stack_memory(CONFIGURATION_BYTES)
    configuration = elements_at(memory, 0, CONFIGURATION_BYTES, np.uint8)
    fill(configuration, 0)
    _configure(configuration, memory, TILE_SIDE, TILE_SIDE, TILE_SIDE)


@inner_function
def end_whole_tiles() -> None:
    """Nothing but `amx_whole_tiles` may use tiles before this."""
    release_tiles()


@inner_function
def amx_whole_tiles(
    rows: int,
    columns: int,
    pairs: int,
    left: tuple[Array, int, int],
    right: tuple[Array, int, int],
    out: tuple[Array, int, int],
    start: int,
    bias: tuple[Array, int],
) -> None:
    """`amx_product` of small matrices whose rows, columns and pairs are multiples of 16; start is not FROM_BIAS.

    For them to configure the tiles takes as long as the product. That is done once, by `begin_whole_tiles`.
    """
    a, a_offset, a_row = left
    b, b_offset, b_row = right
    c, c_offset, c_row = out
    biases, bias_offset = bias
    _whole_blocks(
        *(rows, columns, pairs, pointer(a, a_offset), a_row, pointer(b, b_offset), b_row),
        *(pointer(c, c_offset), c_row, start, pointer(biases, bias_offset)),
    )


@shared_function
def _whole_blocks(
    rows: int,
    columns: int,
    pairs: int,
    a: Any,
    a_row: int,
    b: Any,
    b_row: int,
    c: Any,
    c_row: int,
    start: int,
    bias: Any,
) -> None:
    begin = elements_at(stack_memory(4 * TILE_SIDE), 0, TILE_SIDE, np.float32)
    fill(begin, 0)
    for i in range(0, rows, _BLOCK):
        for j in range(0, columns, _BLOCK):
            place = i * c_row + j
            sums, first, row, step = pointer(begin, 0), 0, 0, 0
            if start != FROM_ZERO:
                sums, first, row, step = c if start == FROM_OUTPUT else bias, place, c_row, TILE_SIDE
            _block(
                *(rows - i > TILE_SIDE, columns - j > TILE_SIDE, pairs // TILE_SIDE),
                *((a, i * a_row, a_row), (b, j, b_row), (c, place, c_row)),
                *((sums, first, row), step, 0, 0),
            )
