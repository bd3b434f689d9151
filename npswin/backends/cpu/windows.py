"""Windows as places on the map: padding, shift and cut as a table of where each token is read and written."""

from functools import lru_cache
from typing import TypeAlias

import numpy as np

from npswin.backends.cpu.jit import inner, kernel, view
from npswin.ops.position_bias import relative_position_index
from npswin.ops.windows import shift_regions, window_partition_forward
from npswin.types import Array

# places, regions, mixed (below); N, H·W, windows in the batch, windows in a tile, lanes of a tile
Windows: TypeAlias = tuple[Array, Array, Array, int, int, int, int, int]


@lru_cache(maxsize=64)
def window_table(height: int, width: int, window_size: int, shift: int) -> tuple[Array, Array, Array]:
    """What a kernel has to know of an image's windows.

    Args:
        height, width: H and W.
        window_size: M.
        shift: rows and columns of the cyclic shift.

    Returns:
        places (nW·N,): each token's number on the map, y·W + x, or −1 in the padding;
        regions (nW·N,): the part of the map it comes from, see `npswin.ops.windows.shift_regions`;
        mixed (nW,): whether a window has tokens of several regions, and so needs a mask.
    """
    numbers = np.arange(1, height * width + 1).reshape(1, height, width, 1)
    places = window_partition_forward(numbers, window_size, shift)[0][..., 0] - 1
    regions = shift_regions(height, width, window_size, shift) if shift else np.zeros_like(places)
    mixed = (regions != regions[:, :1]).any(axis=1)
    return places.reshape(-1).astype(np.int64), regions.reshape(-1).astype(np.int32), mixed


@lru_cache(maxsize=64)
def all_tokens(tokens: int) -> tuple[Array, Array, Array]:
    """The table of a map that is taken as a single window, in the order that its tokens have."""
    return np.arange(tokens), np.zeros(tokens, np.int32), np.zeros(1, np.bool_)


@inner
def locate_windows(
    first_window: int,
    count: int,
    windows: Windows,
    channels: int,
    scales: Array,
    places: Array,
    kept: Array,
    factors: Array,
    regions: Array,
    masked: Array,
) -> bool:
    """Where the tokens of some consecutive windows of the batch are, in window order.

    Args:
        first_window, count: which windows.
        windows: the table and sizes.
        channels: C.
        scales: drop path's factors, one an image, or a single one.
        places: filled with where each token starts in the flat map; 0 in the padding and beyond the last.
        kept: filled with whether it is on the map.
        factors: filled with its image's factor.
        regions: filled with its region.
        masked: filled with whether a window needs a mask.

    Returns:
        Whether some tokens are in the padding.
    """
    window_places, window_regions, mixed, per_window, per_map, _, _, _ = windows
    places[:] = 0
    padded = False
    for w in range(count):
        image, window = divmod(first_window + w, mixed.size)
        masked[w] = mixed[window]
        for i in range(per_window):
            token, place = w * per_window + i, window_places[window * per_window + i]
            kept[token] = place >= 0
            if place >= 0:
                places[token] = (image * per_map + place) * channels
            else:
                padded = True
            factors[token] = scales[image if scales.size > 1 else 0]
            regions[token] = window_regions[window * per_window + i]
    return padded


@lru_cache(maxsize=16)
def bias_rows(window_size: int, full: bool) -> Array:
    """For each key and query, N·N in this order, the row of the bias table that they read.

    Args:
        window_size: M.
        full: whether the table has a number for each pair; else one for each relative position.
    """
    tokens = window_size**2
    rows = np.arange(tokens**2).reshape(tokens, tokens) if full else relative_position_index(window_size)
    return np.ascontiguousarray(rows.T).reshape(-1)


@kernel
def lay_out_bias(
    table: Array, index: Array, factor: float, per_window: int, square: int, together: int, heads: int, out: Array
) -> None:
    """out[head][key][window][query] = factor · table [row][head], the queries padded to whole vectors.

    It is the same for all windows, and repeated for as many as a head takes at a time.

    Args:
        table: flat.
        index: the row for each key and query, N·N in this order.
        factor: a number of the table's dtype.
        per_window, square: N, and that up to a whole vector.
        together: windows.
        heads: columns of the table.
        out: zeros, filled.
    """
    column = np.empty(table.size // heads, table.dtype)
    for head in range(heads):
        for row in range(column.size):
            column[row] = factor * table[row * heads + head]
        for j in range(per_window):
            rows = view(index, j * per_window, per_window)
            for window in range(together):
                queries = view(out, ((head * per_window + j) * together + window) * square, per_window)
                for i in range(per_window):
                    queries[i] = column[rows[i]]


@kernel
def collect_bias(
    dbias: Array, index: Array, per_window: int, square: int, together: int, heads: int, dtable: Array
) -> None:
    """The transpose of `lay_out_bias`: each row of the table, zeros at first, sums over the pairs that read it."""
    for head in range(heads):
        for j in range(per_window):
            rows = view(index, j * per_window, per_window)
            for window in range(together):
                queries = view(dbias, ((head * per_window + j) * together + window) * square, per_window)
                for i in range(per_window):
                    dtable[rows[i] * heads + head] += queries[i]
