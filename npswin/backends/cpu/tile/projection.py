"""The second half of a branch where a map has few tokens: y = x + s · (W a + b), the rows of W shared by the threads.

Usually the threads share a map's tokens, and each reads all weights. One image's last stages have no more than a window
or four: then most of a vector's lanes would be empty, or threads idle, and the weights, which are most of what is to be
read, would be read by each thread. So all tokens make one tile, and the threads share the rows of the weights. That
takes two kernels, since each row of the second weight needs all rows of the first one's result:

    x ──norm, rows of W₁, GELU──▶ a      or      x ──norm, heads──▶ a        a ──rows of W₂, + x──▶ some channels of y

The first is the branch's own kernel, which stops halfway; a is in lanes.
"""

import numpy as np

from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import stack_memory
from npswin.backends.cpu.machine.processor import TILE_ROWS, round_up
from npswin.backends.cpu.machine.threads import run_parallel, thread_count
from npswin.backends.cpu.simd.bfloat16_product import bfloat16_product
from npswin.backends.cpu.simd.intrinsics import lanes_of
from npswin.backends.cpu.simd.matrix_product import lanes_product
from npswin.backends.cpu.simd.micro_kernel import FROM_BIAS
from npswin.backends.cpu.tile.bfloat16_weights import pairs_per_row
from npswin.backends.cpu.tile.lanes import Lanes, scatter_residual
from npswin.backends.cpu.tile.window_tokens import TILE_TOKEN_BYTES, WindowLayout, locate_windows, make_tile_tokens
from npswin.types import Array


@kernel
def _project(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    a: Array,
    depth: int,
    weight: Array,
    bias: Array,
    image_scales: Array,
    shortcut: Array,
    y: Array,
    windows: WindowLayout,
) -> None:
    """first, stop: in groups of TILE_ROWS rows of the weight."""
    tile, row = windows.tile, first * TILE_ROWS
    rows, width = min(bias.size, stop * TILE_ROWS) - row, round_up(windows.windows * windows.tokens, lanes_of(y))
    left, right, out = (weight, row * depth, depth, 1), (a, 0, tile), (scratch, 0, tile)
    lanes_product(rows, width, depth, left, right, out, FROM_BIAS, (bias, row))
    _scatter(out, row, rows, bias.size, image_scales, shortcut, y, windows)


@kernel
def _project_bfloat16(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    a: Array,
    depth: int,
    weight: Array,
    bias: Array,
    image_scales: Array,
    shortcut: Array,
    y: Array,
    windows: WindowLayout,
) -> None:
    """`_project` with a in pair rows, and W in rows of pairs."""
    tile, row, weight_row = windows.tile, first * TILE_ROWS, pairs_per_row(depth)
    rows, width = min(bias.size, stop * TILE_ROWS) - row, round_up(windows.windows * windows.tokens, lanes_of(y))
    left, right, out = (weight, row * weight_row, weight_row), (a, 0, tile), (scratch, 0, tile)
    bfloat16_product(rows, width, depth // 2, left, right, out, FROM_BIAS, (bias, row))
    _scatter(out, row, rows, bias.size, image_scales, shortcut, y, windows)


@inner_function
def _scatter(
    out: Lanes,
    row: int,
    rows: int,
    channels: int,
    image_scales: Array,
    shortcut: Array,
    y: Array,
    windows: WindowLayout,
) -> None:
    """Some channels of y from a tile of them that begins with channel `row`."""
    tile = windows.tile
    tokens = make_tile_tokens(windows, stack_memory(TILE_TOKEN_BYTES * tile), y)
    locate_windows(0, windows.windows, windows, channels, image_scales, tokens)
    for i in range(tile):
        tokens.offsets[i] += row
    count = windows.windows * windows.tokens
    scatter_residual(out, tokens.scales, shortcut, y, tokens.offsets, tokens.in_map, count, rows)


def project_single_tile(
    a: Array,
    depth: int,
    weight: Array,
    bias: Array,
    image_scales: Array,
    shortcut: Array,
    y: Array,
    windows: WindowLayout,
) -> None:
    """y = shortcut + s · (W a + b), at the positions of the windows' tokens.

    Args:
        a: (depth, tile) flat, the tokens in lanes; in bfloat16 their pair rows.
        depth: columns of W.
        weight, bias: W (C, depth) flat, in bfloat16 as `rounded_weight` has it, and b (C,).
        image_scales: s, one an image, or a single one.
        shortcut, y: maps, flat.
        windows: all of which are in the one tile.
    """
    rows, parts = len(bias), thread_count()
    run_parallel(
        *(
            _project_bfloat16 if weight.dtype == np.int32 else _project,
            -(-rows // TILE_ROWS),
            (-(-rows // parts) + TILE_ROWS) * windows.tile,
            y.dtype,
        ),
        *(a, depth, weight, bias, image_scales, shortcut, y, windows),
        threads=parts,
        parts_per_thread=1,
    )
