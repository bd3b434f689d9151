"""Many arrays in one job: a model's parameters are a hundred arrays, most of them too small to be worth a call.

A kernel gets a table of addresses and a list of pieces; a piece is a run of elements of one of the arrays.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from npswin.types import Array

PIECE = 1 << 15  # elements


def addresses_of(arrays: Sequence[Array]) -> Array:
    """The address of each of some contiguous arrays, which must stay alive."""
    return np.array([array.__array_interface__["data"][0] for array in arrays], np.int64)


@lru_cache(maxsize=16)
def pieces(sizes: tuple[int, ...]) -> Array:
    """Arrays of these sizes, cut up.

    Returns:
        (pieces·3,): for each piece the array it belongs to, where it starts there, and how many elements it has.
    """
    rows = [
        (place, start, min(PIECE, size - start)) for place, size in enumerate(sizes) for start in range(0, size, PIECE)
    ]
    return np.array(rows, np.int64).reshape(-1)
