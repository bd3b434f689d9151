"""Windows as places on the map: padding, shift and cut as a table of where each token is read and written."""

from functools import lru_cache
from typing import TypeAlias

import numpy as np

from npswin.backends.cpu.jit import inner, kernel
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


@kernel
def lay_out_bias(
    table: Array, index: Array, per_window: int, square: int, together: int, heads: int, out: Array
) -> None:
    """out[head][key][window][query] from a table [row][head], the queries padded to whole vectors.

    It is the same for all windows, and repeated for as many as a head takes at a time.
    """
    for i in range(per_window):
        for j in range(per_window):
            row = index[i * per_window + j] * heads
            for head in range(heads):
                for window in range(together):
                    out[((head * per_window + j) * together + window) * square + i] = table[row + head]


@kernel
def collect_bias(
    dbias: Array, index: Array, per_window: int, square: int, together: int, heads: int, dtable: Array
) -> None:
    """The transpose of `lay_out_bias`: each row of the table sums over the pairs that read it."""
    for i in range(per_window):
        for j in range(per_window):
            row = index[i * per_window + j] * heads
            for head in range(heads):
                for window in range(together):
                    dtable[row + head] += dbias[((head * per_window + j) * together + window) * square + i]
