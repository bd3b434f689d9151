"""The product of bfloat16 numbers with the processor's instructions for it: tiles (AMX), or else vectors (AVX512-BF16).

Products of two bfloat16 numbers and their sums are float32. Elsewhere there is none: numbers that are rounded and
widened again would save memory, but no time.
"""

from npswin.backends.cpu.machine.amx import why_tiles_are_refused
from npswin.backends.cpu.machine.compilation import inner_function
from npswin.backends.cpu.machine.processor import HAS_BFLOAT16_TILES, HAS_BFLOAT16_VECTORS
from npswin.backends.cpu.simd import amx_product as amx
from npswin.backends.cpu.simd.amx_product import amx_product
from npswin.backends.cpu.simd.matrix_product import lanes_product
from npswin.types import Array


def why_no_bfloat16() -> str | None:
    """Whether `bfloat16_product` may run; to be called before, since a process has to ask for tiles.

    Returns:
        None if it may, else the reason, in one line.
    """
    if not HAS_BFLOAT16_VECTORS:
        return "the processor has no instructions for bfloat16 (AVX512-BF16 or AMX-BF16)"
    return why_tiles_are_refused() if HAS_BFLOAT16_TILES else None


@inner_function
def vectors_product(
    rows: int,
    columns: int,
    pairs: int,
    left: tuple[Array, int, int],
    right: tuple[Array, int, int],
    out: tuple[Array, int, int],
    start: int,
    bias: tuple[Array, int],
) -> None:
    """`amx_product` with vectors: the micro-kernel of float32 numbers, of which each step adds two products."""
    a, offset, row = left
    lanes_product(rows, columns, pairs, (a, offset, row, 1), right, out, start, bias)


@inner_function
def _nothing() -> None:
    pass


bfloat16_product = amx_product if HAS_BFLOAT16_TILES else vectors_product
begin_whole_tiles = amx.begin_whole_tiles if HAS_BFLOAT16_TILES else _nothing
end_whole_tiles = amx.end_whole_tiles if HAS_BFLOAT16_TILES else _nothing
whole_tiles_product = amx.amx_whole_tiles if HAS_BFLOAT16_TILES else vectors_product
