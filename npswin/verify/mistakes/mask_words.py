"""The words for a mask of shifted windows, given by the pairs that are masked."""

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.map_of_windows import MapOfWindows
from npswin.verify.mistakes.mask_family import all_masks

TOLD_WINDOWS, TOLD_NAMES = 3, 2


def pairs_in_words(windows: MapOfWindows, masked: Array, known: Array) -> tuple[str, Array]:
    """What a port masks, "" for the correct pairs, and the mask with its unknown pairs filled in.

    Args:
        windows: the map.
        masked: (nW, query, key), which pairs are masked.
        known: of the same shape, where that is known.
    """
    right = windows.right
    if not ((masked != right) & known).any():
        return "", right
    alike: list[tuple[str, Array]] = []
    for words, other in all_masks(windows):
        mask = other()
        if not ((masked != mask) & known).any():
            alike.append((words, mask))
            if len(alike) == TOLD_NAMES:
                break
    if alike:
        return "; or ".join(words for words, _ in alike), alike[0][1]
    filled = np.where(known, masked, right)
    wrong = np.flatnonzero((filled != right).any(axis=(1, 2)))
    columns = windows.windows[1]
    told = [
        f"window ({one // columns}, {one % columns}) is {_cuts_in_words(filled[one], windows.side)}, "
        f"correct: {_cuts_in_words(right[one], windows.side)}"
        for one in wrong[:TOLD_WINDOWS]
    ]
    more = [f"and {len(wrong) - TOLD_WINDOWS} other windows"] if len(wrong) > TOLD_WINDOWS else []
    return "; ".join(told + more), filled


def _cuts_in_words(mask: Array, side: int) -> str:
    """Where a window (query, key) is cut between rows and between columns, if that is all that the mask does."""
    grid, index = mask.reshape(side, side, side, side), np.arange(side)
    between_rows = [row for row in range(side - 1) if grid[row, index, row + 1, index].all()]
    between_columns = [column for column in range(side - 1) if grid[index, column, index, column + 1].all()]
    rows, columns = (np.cumsum(np.isin(index - 1, cuts)) for cuts in (between_rows, between_columns))
    regions = (side * rows[:, None] + columns[None, :]).reshape(-1)
    if not np.array_equal(regions[:, None] != regions[None, :], mask):
        return f"masked in {int(mask.sum())} of {mask.size} pairs"
    cuts = [f"rows {row} and {row + 1}" for row in between_rows]
    cuts += [f"columns {column} and {column + 1}" for column in between_columns]
    return f"cut between {', '.join(cuts)}" if cuts else "not cut"
