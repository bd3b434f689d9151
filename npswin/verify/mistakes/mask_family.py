"""The masks that ports build for a shifted map: bands, the numbers of regions, the size and the roll are parameters.

The correct mask numbers the regions of the rolled, padded map by (band of the row, band of the column), each of three
bands, and masks the pairs of a window with different numbers. A port that leaves bands out, numbers two regions alike,
cuts at another place, or builds the mask for a map of another size gets another member of this family.
"""

from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import chain, combinations, product

import numpy as np

from npswin.ops.windows import cyclic_shift
from npswin.types import Array
from npswin.verify.mistakes.map_of_windows import MapOfWindows, Masked, cuts
from npswin.verify.mistakes.mask_sizes import masks_of_any_size, masks_of_other_sizes

BANDS = ("first", "second", "third")


@lru_cache(maxsize=32)
def other_masks(windows: MapOfWindows) -> tuple[tuple[str, Masked], ...]:
    """The masks that ports may build for a map, each with its words, without those that are correct for it.

    Several may mask the same pairs: for another map they differ.
    """
    right = windows.right
    return tuple((words, masked) for words, masked in _family(windows) if not np.array_equal(masked(), right))


def all_masks(windows: MapOfWindows) -> Iterator[tuple[str, Masked]]:
    """The whole family: these masks, and others that few ports will build."""
    return chain(_family(windows), _rare(windows))


def _family(windows: MapOfWindows) -> Iterator[tuple[str, Masked]]:
    def numbered(regions: Array) -> Masked:
        return partial(windows.by_regions, regions)

    (rows, columns), turned = windows.bands(), MapOfWindows(windows.width, windows.height, windows.side, windows.shift)
    yield "no pair is masked, as where window_size and shift are exchanged in the bands", numbered(0 * (rows + columns))
    yield "built for the map with rows and columns exchanged", lambda: turned.right
    yield from _of_padding(windows)
    yield "of the bands of rows alone", numbered(rows + 0 * columns)
    yield "of the bands of columns alone", numbered(0 * rows + columns)
    for other in range(1, windows.side):
        yield f"for a shift by {other} rather than {windows.shift}", numbered(windows.regions(shift=other))
    yield "inverted: neighbours are masked", lambda: ~windows.right
    for direction, shift in (("as the map is", windows.shift), ("the other way than the map", -windows.shift)):
        yield f"rolled, {direction}", numbered(cyclic_shift(windows.regions()[None, :, :, None], shift)[0, :, :, 0])
    for words, regions in {"row + column": rows + columns, "row · column": rows * columns}.items():
        yield f"regions are numbered by {words}, so that different ones get the same number", numbered(regions)
    numbers = windows.cut(windows.regions())
    query, key = numbers[:, :, None], numbers[:, None, :]
    yield "in one direction alone: where the query's region has the larger number", lambda: query > key
    yield "in one direction alone: where the key's region has the larger number", lambda: query < key
    for kept in combinations(range(3), 2):
        yield _with_bands(windows, kept, kept, 0)
    yield from _in_other_order(windows)
    yield "the mask of the last window is taken for all", lambda: windows.right[np.full(len(numbers), -1)]
    yield from _of_othercuts(windows)
    yield from masks_of_other_sizes(windows)


def _rare(windows: MapOfWindows) -> Iterator[tuple[str, Masked]]:
    rows, columns = windows.bands()
    for words, regions in {
        "the larger of row and column": np.maximum(rows, columns),
        "the smaller of row and column": np.minimum(rows, columns),
        "|row - column|": np.abs(rows - columns),
    }.items():
        yield f"regions are numbered by {words}", partial(windows.by_regions, regions)
    count = len(windows.right)
    for words, chosen in {
        "the last window alone is masked": np.arange(count) == count - 1,
        "the last window alone is not masked": np.arange(count) != count - 1,
        "the first row of windows alone is masked": np.arange(count) < windows.windows[1],
        "the last row of windows alone is masked": np.arange(count) >= count - windows.windows[1],
    }.items():
        yield words, partial(np.logical_and, windows.right, chosen[:, None, None])
    tokens = windows.side**2
    causal = np.broadcast_to(np.triu(np.ones((tokens, tokens), bool), 1), windows.right.shape)
    yield "causal: keys after the query are masked", lambda: causal
    yield "causal too: keys after the query are masked", partial(np.logical_or, windows.right, causal)
    subsets = [kept for size in (2, 3, 1) for kept in combinations(range(3), size)]
    for (of_rows, of_columns), start in product(product(subsets, subsets), (0, 1)):
        yield _with_bands(windows, of_rows, of_columns, start)
    yield from masks_of_any_size(windows)


def _of_padding(windows: MapOfWindows) -> Iterator[tuple[str, Masked]]:
    """The mask of a map whose padding is not thought of, or thought of too much."""
    size, padded = (windows.height, windows.width), windows.padded
    if size == padded:
        return
    rest = [(0, total - length) for total, length in zip(padded, size, strict=True)]
    inner = windows.regions(size)
    yield (
        "built without the padding: the map's regions, padded with region 0",
        lambda: windows.by_regions(np.pad(inner, rest)),
    )
    bands = [
        cuts(total, (length - windows.side, length - windows.shift)) for length, total in zip(size, padded, strict=True)
    ]
    yield (
        "built without the padding: bands that end where the map does",
        lambda: windows.by_regions(3 * bands[0][:, None] + bands[1][None, :]),
    )
    yield (
        "built without the padding, which is a region of its own",
        lambda: windows.by_regions(np.pad(inner, rest, constant_values=-1)),
    )
    filled = cyclic_shift(np.pad(np.ones((1, *size, 1), bool), [(0, 0), *rest, (0, 0)]), windows.shift)[0, :, :, 0]
    yield "padding is masked too", lambda: windows.right | ~windows.cut(filled)[:, None, :]
    yield (
        "padding is a region of its own too",
        lambda: windows.by_regions(np.where(filled, windows.regions(), -1)),
    )


def _in_other_order(windows: MapOfWindows) -> Iterator[tuple[str, Masked]]:
    """The correct masks of the windows, in another order of the windows or of their tokens."""
    rows, columns = windows.windows
    side = windows.side

    def turned() -> Array:
        return windows.right.reshape(rows, columns, side**2, side**2).swapaxes(0, 1).reshape(windows.right.shape)

    def turned_tokens(mask: Array) -> Array:
        return mask.reshape(-1, side, side, side, side).transpose(0, 2, 1, 4, 3).reshape(mask.shape)

    yield "its windows are counted column by column", turned
    yield "its windows' tokens are counted column by column", lambda: turned_tokens(windows.right)
    yield "its windows are counted from the last to the first", lambda: windows.right[::-1]


def _of_othercuts(windows: MapOfWindows) -> Iterator[tuple[str, Masked]]:
    """Cuts in the first windows, or in all, rather than in the last ones; by rows, by columns, or both."""
    side, shift = windows.side, windows.shift
    right_rows, right_columns = windows.bands()
    for words, place in (("first windows, as for a map rolled the other way", shift), ("first windows", side - shift)):
        rows, columns = (cuts(length, (place, side)) for length in windows.padded)
        yield f"the cuts are in the {words}", partial(windows.by_regions, 3 * rows[:, None] + columns[None, :])
    rows, columns = (cuts(length, range(-shift, length, side)) for length in windows.padded)
    for words, one, other in (
        ("every window is cut, not the last ones alone", rows[:, None], columns[None, :]),
        ("every row of windows is cut, not the last one alone", rows[:, None], right_columns),
        ("every column of windows is cut, not the last one alone", right_rows, columns[None, :]),
    ):
        yield words, partial(windows.by_regions, max(windows.padded) * one + other)


def _with_bands(
    windows: MapOfWindows, of_rows: tuple[int, ...], of_columns: tuple[int, ...], start: int
) -> tuple[str, Masked]:
    """Some of the three bands of rows, or of columns, get no number: their tokens keep 0."""
    rows, columns = windows.bands()
    regions = 0 * (rows + columns)
    for number, (row, column) in enumerate(product(of_rows, of_columns), start):
        regions[(rows == row) & (columns == column)] = number
    left_out = [_left_out(of_rows, "rows"), _left_out(of_columns, "columns")]
    counted = f", and the others are counted from {start}" if start else ""
    words = f"without {' and '.join(filter(None, left_out))}, whose tokens keep number 0{counted}"
    return words, lambda: windows.by_regions(regions)


def _left_out(kept: tuple[int, ...], what: str) -> str:
    names = [name for band, name in enumerate(BANDS) if band not in kept]
    return f"the {' and '.join(names)} band{'s' * (len(names) > 1)} of {what}" if names else ""
