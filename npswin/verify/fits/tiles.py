"""A softmax that is computed over one tile of keys after the other (Milakov and Gimelshein 2018), with a mistake.

Each tile's exponentials are those of the scores minus the largest score so far; when that grows, what was computed
before has to be multiplied by exp(old - new).
"""

from collections.abc import Callable, Iterator

import numpy as np

from npswin.types import Array

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
MISTAKES = {
    "what was computed before is not rescaled when the largest score grows": "kept",
    "the sum is not rescaled when the largest score grows": "sum",
    "exponentials are not rescaled when the largest score grows, the sum is": "exponentials",
    "the sum is rescaled by exp(new - old) rather than exp(old - new)": "inverse",
    "each tile has its own largest score, and only the last one's is used": "own",
}


def tile_by_tile(keys: int) -> Iterator[tuple[str, Callable[[Array], Array]]]:
    """Each mistake with each size of the tiles, and whether the last tile is left out."""
    for size in SIZES:
        if size >= keys:
            break
        for words, mistake in MISTAKES.items():
            yield f"online softmax in tiles of {size} keys: {words}", _online(size, mistake)
        if keys % size:
            yield f"the last tile of {size} keys, which is not full, is not read", _without_rest(keys // size * size)


def _without_rest(read: int) -> Callable[[Array], Array]:
    def rows(scores: Array) -> Array:
        powers = np.exp(scores - scores[..., :read].max(axis=-1, keepdims=True))
        powers[..., read:] = 0
        return powers / powers.sum(axis=-1, keepdims=True)

    return rows


def _online(size: int, mistake: str) -> Callable[[Array], Array]:
    def rows(scores: Array) -> Array:
        largest = np.full((*scores.shape[:-1], 1), -np.inf)
        total = np.zeros_like(largest)
        parts: list[tuple[Array, Array]] = []
        for start in range(0, scores.shape[-1], size):
            tile = scores[..., start : start + size]
            own = tile.max(axis=-1, keepdims=True)
            new = own if mistake == "own" else np.maximum(largest, own)
            powers = np.exp(tile - new)
            change = np.where(np.isfinite(largest), np.exp(largest - new), 0)
            if mistake in ("kept", "sum"):
                change = np.ones_like(change)
            elif mistake == "inverse":
                change = np.where(change, 1 / change, 0)
            total, largest = total * change + powers.sum(axis=-1, keepdims=True), new
            parts.append((powers, new))
        rescaled = mistake not in ("kept", "exponentials")
        every = [powers * (np.exp(own - largest) if rescaled else 1) for powers, own in parts]
        return np.concatenate(every, axis=-1) / total

    return rows
