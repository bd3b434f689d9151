"""A softmax that is computed over one tile of keys after the other (Milakov and Gimelshein 2018), with a mistake.

Each tile's exponentials are those of the scores minus the largest score so far; when that grows, what was computed
before has to be multiplied by exp(old - new).
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import numpy as np

from npswin.types import Array

InTiles = Callable[..., Array]  # (scores, scores with the largest ones or None) -> probabilities
Division = Callable[[int], list[int]]  # how many keys -> where tiles begin
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
SMALLEST = 1e-300  # of a factor that is divided by
KEPT, INVERSE, LATE, OVERWRITTEN = "kept", "inverse", "late", "overwritten"
WORDS = {
    KEPT: "not rescaled when the largest score grows",
    INVERSE: "rescaled by exp(new - old) rather than exp(old - new)",
    LATE: "rescaled after the tile is added rather than before",
    OVERWRITTEN: "overwritten by each tile",
}


def _mistakes(accumulated: str) -> Iterator[tuple[str, str, str]]:
    """In words, what is wrong with the sum, and with the exponentials that are accumulated."""
    for mistake, words in WORDS.items():
        yield f"what was computed before is {words}", mistake, mistake
        yield f"the sum is {words}", mistake, ""
        yield f"{accumulated} {words}, the sum is right", "", mistake


def tile_by_tile(keys: int, accumulated: str = "exponentials are") -> Iterator[tuple[str, InTiles]]:
    """Each mistake with each size of the tiles, and whether the last tile is left out.

    The functions have the scores as argument, and as a second one, if it is given, scores whose largest ones are taken
    in place of their own: those that are constants where the derivative is taken.
    """
    divisions = list(_divisions(keys))
    for divide in divisions:
        tiles = f"online softmax in tiles {_of_sizes(divide, keys)}"
        for words, of_sum, of_exponentials in _mistakes(accumulated):
            yield f"{tiles}: {words}", _online(divide, of_sum, of_exponentials)
    for size in SIZES:
        if size < keys and keys % size:
            yield f"the last tile of {size} keys, which is not full, is not read", _without_rest(keys // size * size)
    for divide in divisions:
        of_sizes = _of_sizes(divide, keys)
        yield f"in tiles {of_sizes}, each minus its own largest score, with one sum", _of_own_largest(divide, False)
        yield f"each tile {of_sizes} has a softmax of its own", _of_own_largest(divide, True)


def _divisions(keys: int) -> Iterator[Division]:
    """Tiles of one size with a rest, and two to four parts as equal as can be, or with a rest; each division once."""
    ways: list[Division] = [partial(_of_size, size) for size in SIZES if size < keys]
    for parts in range(2, min(5, keys)):
        ways += [
            partial(_of_size, -(-keys // parts)),
            partial(_smaller_first, parts),
            partial(_as_equal_as_can_be, parts),
        ]
    different: dict[tuple[int, ...], Division] = {}
    for way in ways:
        different.setdefault(tuple(way(keys)), way)
    yield from different.values()


def _of_size(size: int, keys: int) -> list[int]:
    """Where tiles of a size begin."""
    return list(range(0, keys, size))


def _smaller_first(parts: int, keys: int) -> list[int]:
    """Where parts begin of which the last has what is left."""
    return [part * (keys // parts) for part in range(parts)] if keys >= parts else [0]


def _as_equal_as_can_be(parts: int, keys: int) -> list[int]:
    return [int(part[0]) for part in np.array_split(np.arange(keys), parts) if part.size]


def _of_sizes(divide: Division, keys: int) -> str:
    """In words the sizes of tiles; that of a smaller last one is not told where the others are of one of the SIZES."""
    starts = divide(keys)
    sizes = list(dict.fromkeys(np.diff([*starts, keys]).tolist()))
    if len(sizes) == 2 and sizes[0] in SIZES and len(starts) > 2 and sizes[1] < sizes[0]:
        sizes = sizes[:1]
    return f"of {' and '.join(map(str, sizes))} keys"


def _without_rest(read: int) -> InTiles:
    def rows(scores: Array, _: Array | None = None) -> Array:
        powers = np.exp(scores - scores[..., :read].max(axis=-1, keepdims=True))
        powers[..., read:] = 0
        return powers / powers.sum(axis=-1, keepdims=True)

    return rows


def _of_own_largest(divide: Division, own_sum: bool) -> InTiles:
    def rows(scores: Array, of_largest: Array | None = None) -> Array:
        starts = divide(scores.shape[-1])
        pairs = zip(*(np.split(one, starts[1:], -1) for one in (scores, _or(of_largest, scores))), strict=True)
        tiles = [np.exp(tile - other.max(axis=-1, keepdims=True)) for tile, other in pairs]
        if own_sum:
            tiles = [tile / tile.sum(axis=-1, keepdims=True) for tile in tiles]
        powers = np.concatenate(tiles, axis=-1)
        return powers if own_sum else powers / powers.sum(axis=-1, keepdims=True)

    return rows


def _or(given: Array | None, otherwise: Array) -> Array:
    return otherwise if given is None else given


def _online(divide: Division, of_sum: str, of_exponentials: str) -> InTiles:
    def rows(scores: Array, of_largest: Array | None = None) -> Array:
        largest = np.full((*scores.shape[:-1], 1), -np.inf)
        total, powers = np.zeros_like(largest), np.zeros_like(scores)
        for start, end in pairwise([*divide(scores.shape[-1]), scores.shape[-1]]):
            tile = slice(start, end)
            new = np.maximum(largest, _or(of_largest, scores)[..., tile].max(axis=-1, keepdims=True))
            powers[..., tile] = np.exp(scores[..., tile] - new)
            added = powers[..., tile].sum(axis=-1, keepdims=True)
            change = np.where(np.isfinite(largest), np.exp(largest - new), 1)
            before, late = _changes(change, of_sum)
            total = total * before + added * late
            before, late = _changes(change, of_exponentials)
            powers[..., :start] *= before
            powers[..., tile] *= late
            largest = new
        return powers / total

    return rows


def _changes(change: Array, mistake: str) -> tuple[Array | float, Array | float]:
    """What is multiplied: what was computed before, and what the tile adds."""
    if mistake == KEPT:
        return 1.0, 1.0
    if mistake == INVERSE:
        return 1 / np.maximum(change, SMALLEST), 1.0
    if mistake == OVERWRITTEN:
        return 0.0, 1.0
    return change, change if mistake == LATE else 1.0
