"""Rules by which the gradient of a map with padding has numbers in the padding, where it is 0."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.map_size import PADDINGS, padding

Filling = Callable[[Array, tuple[int, int]], Array]  # the map (B, H, W, C), its size with padding -> the padded map

NONE = "it is 0"
MODES = {NONE: "constant", **PADDINGS, "it is mirrored, the edge too": "symmetric"}
MEANS = {
    "it is the map's mean of each channel": (1, 2),
    "it is the mean of each channel over the images": (0, 1, 2),
    "it is the map's mean": (1, 2, 3),
    "it is the mean of all numbers": (0, 1, 2, 3),
}
CONSTANTS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("one number", (0, 1, 2)),
    ("one number for each channel", (0, 1)),
)
FEWEST = 4  # numbers in the padding for each fitted one


def fillings(found: Array, size: tuple[int, int], tolerance: float) -> Iterator[tuple[str, Filling, int]]:
    """The rules that give the numbers in the padding: words, rule, how many numbers are fitted.

    Args:
        found: (B, H, W, C), the gradient of the map with padding, right within `size`.
        size: (H, W) of the map without padding.
        tolerance: the largest difference of equal numbers.
    """
    inside = np.zeros(found.shape[1:3], bool)
    inside[: size[0], : size[1]] = True
    map_, outside = found[:, : size[0], : size[1]], found[:, ~inside]  # the latter (B, places, C)
    near = tolerance * max(1.0, float(np.abs(outside).max() / np.abs(map_).max()))
    given = False
    for words, rule in _rules(found.shape[1] > size[0] and found.shape[2] > size[1]):
        if np.abs(rule(map_, found.shape[1:3]) - found).max() <= near:
            given = True
            yield words, rule, 0
    for words, axes in () if given else CONSTANTS:
        number = (outside.max(axis=axes) + outside.min(axis=axes)) / 2
        if outside.size >= FEWEST * number.size and np.abs(outside - number).max() <= near:
            value = f", {float(number):.4g}" if number.ndim == 0 else ""
            yield f"it is {words}{value}", partial(_constant, number), number.size
            return


def _rules(differ: bool) -> Iterator[tuple[str, Filling]]:
    """The rules without fitted numbers; the rows' and the columns' may differ."""
    for words, mode in MODES.items():
        if words != NONE:
            yield words, partial(_padded, mode, mode)
    for (below, rows), (right, columns) in permutations(MODES.items(), 2) if differ else ():
        yield f"below, {below}; at the right, {right}", partial(_padded, rows, columns)
    for words, axes in MEANS.items():
        yield words, partial(_mean, axes)


def _padded(row_mode: str, column_mode: str, x: Array, size: tuple[int, int]) -> Array:
    below, right = size[0] - x.shape[1], size[1] - x.shape[2]
    return padding(1, (0, 0), (0, right), column_mode)(padding(1, (0, 0), (below, 0), row_mode)(x))


def _mean(axes: tuple[int, ...], x: Array, size: tuple[int, int]) -> Array:
    return _constant(x.mean(axis=axes, keepdims=True), x, size)


def _constant(number: Array, x: Array, size: tuple[int, int]) -> Array:
    y = np.empty((len(x), *size, x.shape[3]), x.dtype)
    y[...] = number
    y[:, : x.shape[1], : x.shape[2]] = x
    return y
