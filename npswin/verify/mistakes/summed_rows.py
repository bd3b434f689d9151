"""Sums over the first or the last rows of a batch, such as those of whole tiles, in place of all of them."""

from collections.abc import Callable

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.terms.derivative import Known
from npswin.verify.mistakes.terms.norm import TENSORS

FEWEST_NUMBERS = 4  # of a gradient, one of which says how many rows are summed
MOST_COLUMNS = 64  # of a gradient's numbers, for which the sums are computed
LARGEST_TILE = 1024

Choice = Callable[[int], Array]  # how many rows there are -> which of them are summed


def summed_rows(known: Known, operation: str, index: int, found: Array, tolerance: float) -> Array | None:
    """Which rows are summed, the first or the last of them, in a gradient of a parameter; None if it is no such sum.

    Args:
        known: what the backward pass reads.
        operation: its name.
        index: of the parameter among the inputs.
        found: the port's gradient.
        tolerance: the largest difference of equal numbers.
    """
    if found.size < FEWEST_NUMBERS:
        return None
    columns = np.unique(np.linspace(0, found.size - 1, min(found.size, MOST_COLUMNS)).astype(np.intp))
    shares = shares_of_rows(known, operation, index, columns)
    if shares is None or len(shares) < 2:
        return None
    firsts = np.cumsum(shares, axis=0)
    wanted = found.reshape(-1)[columns]
    rows, best, best_error = len(shares), None, 2 * tolerance
    for last, sums in ((False, firsts[:-1]), (True, firsts[-1] - firsts[:-1])):
        errors = np.abs(sums - wanted).max(axis=1)
        place = int(errors.argmin())
        if errors[place] <= best_error:
            best, best_error = (np.arange(rows) > place) == last, float(errors[place])
    return best


def shares_of_rows(known: Known, operation: str, index: int, columns: Array) -> Array | None:
    """The share of each row in some of a parameter's gradient's numbers: (rows, columns).

    Args:
        known: what the backward pass reads.
        operation: its name.
        index: of the parameter among the inputs.
        columns: of the gradient's numbers, in memory order.

    Returns:
        None for another operation.
    """
    dy = known.dy.reshape(-1, known.dy.shape[-1]).astype(np.float64)
    if index == 2:
        return dy[:, columns]
    if operation == "linear" and index == 1:
        x = known.inputs[0].reshape(len(dy), -1)
        return dy[:, columns // x.shape[-1]] * x[:, columns % x.shape[-1]]
    if operation == "layer_norm" and index == 1:
        return (dy * TENSORS["x̂"](known).reshape(dy.shape))[:, columns]
    return None


def words_and_choice(kept: Array) -> tuple[str, Choice]:
    """The first or last entries of an axis in words, and the same choice among another number of entries.

    Where they are those of whole tiles, or of the last tile, of a size that is a power of two, other places share this
    size; the largest one where several are possible.

    Args:
        kept: (entries,), True for the first ones or for the last ones.
    """
    size, count, last = len(kept), int(kept.sum()), bool(kept[-1])
    sizes = [2**power for power in range(1, LARGEST_TILE.bit_length())]
    tiles = [tile for tile in sizes if np.array_equal(_tiles(tile, last)(size), kept)]
    side = "last" if last else "first"
    text = f"the {side} {count} of {size} {{}}"
    if not tiles:
        return text, lambda other: kept if other == size else np.ones(other, bool)
    return f"{text}, as in tiles of {' or '.join(map(str, tiles))}", _tiles(tiles[-1], last)


def _tiles(tile: int, last: bool) -> Choice:
    """The rows of the last tile, which may be smaller than others; or those of all whole tiles."""
    if last:
        return lambda size: np.arange(size) >= (size - 1) // tile * tile
    return lambda size: np.arange(size) < size // tile * tile
