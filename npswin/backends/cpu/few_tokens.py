"""The second half of a branch where a map has few tokens: y = x + s · (W a + b), the rows of W shared by the threads.

Usually the threads share a map's tokens, and each reads all weights. One image's last stages have no more than a window
or four: then most of a vector's lanes would be empty, or threads idle, and the weights, which are most of what is to be
read, would be read by each thread. So all tokens make one tile, and the threads share the rows of the weights. That
takes two kernels, since each row of the second weight needs all rows of the first one's result:

    x ──norm, rows of W₁, GELU──▶ a      or      x ──norm, heads──▶ a        a ──rows of W₂, + x──▶ some channels of y

The first is the branch's own kernel, which stops halfway; a is in lanes.
"""

import numpy as np

from npswin.backends.cpu.host import TILE_ROWS, round_up
from npswin.backends.cpu.jit import kernel
from npswin.backends.cpu.lanes import scatter_add
from npswin.backends.cpu.micro_kernel import BIAS
from npswin.backends.cpu.product import product
from npswin.backends.cpu.threads import run_parallel, thread_count
from npswin.backends.cpu.vectors import lanes_of
from npswin.backends.cpu.windows import Windows, locate_windows
from npswin.types import Array


@kernel
def _project(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    a: Array,
    depth: int,
    tile: int,
    weight: Array,
    bias: Array,
    scales: Array,
    base: Array,
    y: Array,
    table: Windows,
) -> None:
    """first, stop: in groups of TILE_ROWS rows of the weight."""
    _, _, _, per_window, _, windows, _, _ = table
    channels, count = bias.size, windows * per_window
    vector = lanes_of(a)
    row = first * TILE_ROWS
    rows = min(channels, stop * TILE_ROWS) - row
    places, kept = np.zeros(tile, np.int64), np.ones(tile, np.bool_)
    factors, regions, masked = np.ones(tile, a.dtype), np.zeros(tile, np.int32), np.zeros(windows, np.bool_)
    locate_windows(0, windows, table, channels, scales, places, kept, factors, regions, masked)
    places += row
    out, width = (scratch, 0, tile), round_up(count, vector)
    product(rows, width, depth, (weight, row * depth, depth, 1), (a, 0, tile), out, BIAS, (bias, row))
    scatter_add(out, factors, base, y, places, kept, count, rows)


def project_windows(
    a: Array,
    depth: int,
    tile: int,
    weight: Array,
    bias: Array,
    scales: Array,
    base: Array,
    y: Array,
    table: Windows,
) -> None:
    """y = base + s · (W a + b), where the table says that the tokens are.

    Args:
        a: (depth, tile) flat, the tokens in lanes.
        depth: columns of W.
        tile: numbers from one row of `a` to the next.
        weight, bias: W (C, depth) flat and b (C,).
        scales: s, one an image, or a single one.
        base, y: maps, flat.
        table: the windows, all of which are in the tile.
    """
    rows, parts = len(bias), thread_count()
    run_parallel(
        *(_project, -(-rows // TILE_ROWS), (-(-rows // parts) + TILE_ROWS) * tile, a.dtype),
        *(a, depth, tile, weight, bias, scales, base, y, table),
        threads=parts,
        each=1,
    )
