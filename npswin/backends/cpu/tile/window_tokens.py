"""Windows as positions on the map: padding, shift and cut as a table of where each token is read and written."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from npswin.backends.cpu.machine.compilation import inner_function, shared_function
from npswin.backends.cpu.machine.flat_array import elements_at, fill
from npswin.ops.windows import shift_regions, window_partition_forward
from npswin.types import Array


class WindowPositions(NamedTuple):
    """Where the tokens of an image's windows are, window after window.

    Attributes:
        positions: (nW·N,) each token's number on the map, y·W + x, or −1 in the padding.
        regions: (nW·N,) the part of the map that it comes from, see `npswin.ops.windows.shift_regions`.
        needs_mask: (nW,) whether a window has tokens of several regions.
    """

    positions: Array
    regions: Array
    needs_mask: Array


class WindowLayout(NamedTuple):
    """What a kernel needs to find the windows of a batch: `WindowPositions`, and sizes.

    Attributes:
        positions, regions, needs_mask: as in `WindowPositions`.
        tokens: N, in a window.
        tokens_per_image: H·W.
        windows: of the batch.
        windows_per_tile: of a tile.
        tile: lanes of a tile.
    """

    positions: Array
    regions: Array
    needs_mask: Array
    tokens: int
    tokens_per_image: int
    windows: int
    windows_per_tile: int
    tile: int


class TileTokens(NamedTuple):
    """What `locate_windows` finds of the tokens of a tile.

    Attributes:
        offsets: where each token's channels start in the flat map; 0 in the padding and beyond the last token, where
            the other arrays may have what an earlier tile left.
        in_map: whether it is on the map, and not in the padding.
        scales: drop path's factor of its image.
        regions: the part of the map that it comes from.
        needs_mask: whether a window of the tile needs a mask.
    """

    offsets: Array
    in_map: Array
    scales: Array
    regions: Array
    needs_mask: Array


@lru_cache(maxsize=64)
def window_positions(height: int, width: int, window_size: int, shift_size: int) -> WindowPositions:
    """Where the tokens of an image's windows are.

    Args:
        height, width: H and W.
        window_size: M.
        shift_size: rows and columns of the cyclic shift.
    """
    numbers = np.arange(1, height * width + 1).reshape(1, height, width, 1)
    positions = window_partition_forward(numbers, window_size, shift_size)[0][..., 0] - 1
    regions = shift_regions(height, width, window_size, shift_size) if shift_size else np.zeros_like(positions)
    needs_mask = (regions != regions[:, :1]).any(axis=1)
    return WindowPositions(positions.reshape(-1).astype(np.int64), regions.reshape(-1).astype(np.int32), needs_mask)


@lru_cache(maxsize=64)
def single_window_layout(tokens: int, tile: int) -> WindowLayout:
    """A batch of this many tokens as a single window that fills one tile, in the order that the tokens have."""
    regions, needs_mask = np.zeros(tokens, np.int32), np.zeros(1, np.bool_)
    return WindowLayout(np.arange(tokens), regions, needs_mask, tokens, tokens, 1, 1, tile)


TILE_TOKEN_BYTES = 22  # for each token of a tile, of the memory that `make_tile_tokens` takes


@inner_function
def make_tile_tokens(layout: WindowLayout, memory: int, like: Array) -> TileTokens:
    """Arrays at the address `memory`, for `locate_windows` to fill; the scales in the dtype of `like`."""
    tile = layout.tile
    tokens = TileTokens(
        elements_at(memory, 0, tile, np.int64),
        elements_at(memory + 20 * tile, 0, tile, np.bool_),
        elements_at(memory + 8 * tile, 0, tile, like),
        elements_at(memory + 16 * tile, 0, tile, np.int32),
        elements_at(memory + 21 * tile, 0, layout.windows_per_tile, np.bool_),
    )
    for i in range(tile):
        tokens.offsets[i], tokens.in_map[i], tokens.scales[i], tokens.regions[i] = 0, True, 1, 0
    for window in range(layout.windows_per_tile):
        tokens.needs_mask[window] = False
    return tokens


@shared_function
def locate_windows(
    first_window: int, count: int, layout: WindowLayout, channels: int, image_scales: Array, tokens: TileTokens
) -> bool:
    """Find the tokens of some consecutive windows of the batch, in window order.

    Args:
        first_window, count: which windows.
        layout: of the batch's windows.
        channels: C.
        image_scales: drop path's factors, one an image, or a single one.
        tokens: filled.

    Returns:
        Whether some tokens are in the padding.
    """
    per_window = layout.tokens
    fill(tokens.offsets, 0)
    padded = False
    for w in range(count):
        image, window = divmod(first_window + w, layout.needs_mask.size)
        tokens.needs_mask[w] = layout.needs_mask[window]
        for i in range(per_window):
            token, position = w * per_window + i, layout.positions[window * per_window + i]
            tokens.in_map[token] = position >= 0
            if position >= 0:
                tokens.offsets[token] = (image * layout.tokens_per_image + position) * channels
            else:
                padded = True
            tokens.scales[token] = image_scales[image if image_scales.size > 1 else 0]
            tokens.regions[token] = layout.regions[window * per_window + i]
    return padded
