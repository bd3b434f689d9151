"""Tile registers (AMX) as intrinsics: eight of them, each a matrix of up to 16 rows of 64 bytes.

Their shapes are configured first, all together, and they are released at the end of a kernel: a thread whose tiles are
released costs nothing more than any other where threads are switched, and the next user of tiles in the same thread,
such as another library, configures its own. A process has to ask the system first, see
`npswin.backends.cpu.machine.amx`.

    multiply_tiles(c, a, b):   c_ij += Σ_k low(a_ik) low(b_kj) + high(a_ik) high(b_kj)

with c in float32, and a and b of pairs: two numbers in bfloat16 in 32 bits. It takes 16 cycles for up to
16 · 16 · 16 pairs, and numbers that are subnormal count as 0. A tile is named by a literal number.

Source: https://www.intel.com/content/www/us/en/docs/intrinsics-guide/ (AMX-TILE, AMX-BF16)
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import UnsupportedError
from numba.extending import intrinsic

from npswin.backends.cpu.machine.processor import HAS_BFLOAT16_TILES

TILE_SIDE = 16  # rows of a tile, and 32-bit elements of a row
CONFIGURATION_BYTES = 64

_BYTE, _NUMBER, _ADDRESS = ir.IntType(8), ir.IntType(64), ir.IntType(8).as_pointer()


def _call(builder: Any, name: str, *args: Any) -> None:
    if not HAS_BFLOAT16_TILES:
        raise UnsupportedError("the processor has no tile registers for bfloat16 (AMX-BF16)")
    kind = ir.FunctionType(ir.VoidType(), [arg.type for arg in args])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), args)


def _are_literal(*tiles: Any) -> bool:
    return all(isinstance(tile, types.IntegerLiteral) for tile in tiles)


def _register(tile: Any) -> Any:
    return ir.Constant(_BYTE, tile.literal_value)


def _row_and_stride(builder: Any, start: Any, place: Any, stride: Any) -> tuple[Any, Any]:
    """A tile's first row and the bytes from a row to the next; elements have four."""
    row = builder.bitcast(builder.gep(start, [place]), _ADDRESS)
    return row, builder.mul(stride, ir.Constant(_NUMBER, 4))


@intrinsic
def load_configuration(typingctx: Any, address: Any) -> Any:
    """Give all tiles the shapes that are described in CONFIGURATION_BYTES at an address, and zeros."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _call(builder, "ldtilecfg", builder.inttoptr(args[0], _ADDRESS))
        return context.get_dummy_value()

    return types.void(types.intp), codegen


@intrinsic
def release_tiles(typingctx: Any) -> Any:
    """The end of the use of tiles."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _call(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic(prefer_literal=True)
def load_tile(typingctx: Any, tile: Any, start: Any, place: Any, stride: Any) -> Any:
    """Row i of the tile = the elements from start[place + i·stride] on."""
    if not _are_literal(tile):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _call(builder, "tileloadd64", _register(tile), *_row_and_stride(builder, *args[1:]))
        return context.get_dummy_value()

    return types.void(tile, start, types.intp, types.intp), codegen


@intrinsic(prefer_literal=True)
def store_tile(typingctx: Any, tile: Any, start: Any, place: Any, stride: Any) -> Any:
    """The elements from start[place + i·stride] on = row i of the tile."""
    if not _are_literal(tile):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _call(builder, "tilestored64", _register(tile), *_row_and_stride(builder, *args[1:]))
        return context.get_dummy_value()

    return types.void(tile, start, types.intp, types.intp), codegen


@intrinsic(prefer_literal=True)
def multiply_tiles(typingctx: Any, c: Any, a: Any, b: Any) -> Any:
    """c += a b on tiles of pairs."""
    if not _are_literal(c, a, b):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _call(builder, "tdpbf16ps", *map(_register, (c, a, b)))
        return context.get_dummy_value()

    return types.void(c, a, b), codegen
