"""A weight's transpose as the left operand of many tiles' products: panels of as many rows as a register tile has.

In the backward pass a product's left operand is Wᵀ. Of a weight as it lies in the checkpoint, the twelve numbers that
a register tile reads for one k are side by side, but the next k's are in another row: another line of the caches, of
which a part is used, and, where rows are long, another page of memory. So the weight is copied once a call into

    panels[i // TILE_ROWS][k][i % TILE_ROWS] = weight[k, i]

and each tile reads it from its first number to its last one. Every weight is used for many tokens, and copied once.
"""

from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.processor import TILE_ROWS
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.simd.intrinsics import lanes_of, load, prefetch, store
from npswin.backends.cpu.simd.matrix_product import lanes_product
from npswin.types import Array

_PANELS = 16  # that are written together, so that runs of a row are read
_ROWS_AHEAD = 8  # of which row the run is asked for while one is copied


@kernel
def _pack(first: int, stop: int, part: int, scratch: Array, weight: Array, inputs: int, panels: Array) -> None:
    """first, stop: in groups of _PANELS panels."""
    outputs, vector = weight.size // inputs, lanes_of(weight)
    for start in range(first * _PANELS * TILE_ROWS, min(stop * _PANELS * TILE_ROWS, inputs), _PANELS * TILE_ROWS):
        end = min(start + _PANELS * TILE_ROWS, inputs)
        for k in range(outputs):
            if k + _ROWS_AHEAD < outputs:
                prefetch(weight, (k + _ROWS_AHEAD) * inputs + start, end - start)
            for column in range(start, end, TILE_ROWS):
                at, place = k * inputs + column, column * outputs + k * TILE_ROWS
                if k < outputs - 1 and column + TILE_ROWS <= inputs:
                    # whole vectors: what they write beyond the panel's row is overwritten by the next one
                    for i in range(0, TILE_ROWS, vector):
                        store(panels, place + i, load(weight, at + i))
                else:
                    for i in range(min(TILE_ROWS, inputs - column)):
                        panels[place + i] = weight[at + i]


def transposed_panels(weight: Array, inputs: int) -> Array:
    """The panels of a weight's transpose, flat.

    Args:
        weight: (outputs, inputs), flat.
        inputs: its columns.
    """
    panels = pooled_empty(-(-inputs // TILE_ROWS) * TILE_ROWS * (weight.size // inputs), weight.dtype)
    groups = -(-inputs // (_PANELS * TILE_ROWS))
    run_parallel(_pack, groups, 1, weight.dtype, weight, inputs, panels)
    return panels


@inner_function
def panels_product(
    rows: int,
    columns: int,
    depth: int,
    left: tuple[Array, int, int],
    right: tuple[Array, int, int],
    out: tuple[Array, int, int],
    start: int,
) -> None:
    """`lanes_product` with panels on the left.

    Args:
        rows, columns, depth, right, out, start: as there; start is FROM_ZERO or FROM_OUTPUT.
        left: (panels, first row, first k) and how many k a panel has.
    """
    panels, offset, panel_depth = left
    c, c_offset, c_row = out
    for i in range(0, rows, TILE_ROWS):
        at = offset + i * panel_depth
        into = (c, c_offset + i * c_row, c_row)
        lanes_product(min(TILE_ROWS, rows - i), columns, depth, (panels, at, 1, TILE_ROWS), right, into, start, (c, 0))
