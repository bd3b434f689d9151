"""Backward passes of the softmax that walk over tiles of keys, with the sum of some of the tiles in place of all.

From p = softmax(s) follows ds_j = p_j (dp_j - D) with D = Σ_k p_k dp_k over all keys k of the row, since each p_k has
s_j in its denominator. A kernel that walks over tiles of keys needs D before the first tile. With a D_j that is the sum
of the tiles seen so far, or of the tile at hand, it computes p_j (dp_j - Σ_k M_jk p_k dp_k), where M_jk is 1 or 0.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node, Operation, Run
from npswin.verify.graph.operations import SOFTMAX
from npswin.verify.mistakes.mistake import Changes, change_node, with_backward
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.mistakes.other_terms import OtherTerms

FEWEST = 64  # numbers of a gradient
TESTED_ROWS = 32
USUAL_SIZES = (4, 8, 16, 32, 2, 1)  # of a tile, which are told first where others fit as well
DESCRIPTION = "the backward pass of the softmax subtracts the sum of p dp over a part of the keys"
FIX = "dscores = p (dp - Σ p dp), the sum over all keys of the row, which is known before the first tile"

Which = Callable[[Array, Array, int], Array]  # the tile of key j, that of key k, the last tile -> whether k is summed
PARTS: Mapping[str, Which] = {
    "of the tiles up to and including the key's own": lambda own, tile, last: tile <= own,
    "of the tiles before the key's own": lambda own, tile, last: tile < own,
    "of the key's own tile alone": lambda own, tile, last: tile == own,
    "of all tiles but the key's own": lambda own, tile, last: tile != own,
    "of the key's own tile and those after it": lambda own, tile, last: tile >= own,
    "of the tiles after the key's own": lambda own, tile, last: tile > own,
    "of the first tile alone": lambda own, tile, last: (tile == 0) & (own >= 0),
    "of the last tile alone": lambda own, tile, last: (tile == last) & (own >= 0),
    "of all tiles but the first": lambda own, tile, last: (tile > 0) & (own >= 0),
    "of all tiles but the last": lambda own, tile, last: (tile < last) & (own >= 0),
}


def fit_tiled_sums(run: Run, symptom: str, found: Array, tolerance: float) -> Iterator[OtherTerms]:
    """Explanations of the gradient of a softmax' scores by the tiles of keys over which Σ p dp goes.

    Args:
        run: the graph on the port's own inputs.
        symptom: the gradient's name.
        found: the port's gradient, (..., keys).
        tolerance: the largest difference of equal numbers.
    """
    tensor = symptom.removeprefix(GRADIENT_PREFIX)
    users = run.graph.differentiable_consumers(tensor)
    if tensor == symptom or len(users) != 1 or not np.isfinite(found).all() or found.size < FEWEST:
        return
    node = run.graph.nodes[users[0]]
    if node.operation is not SOFTMAX or run.value(node.name).shape != found.shape:
        return
    p, dp = run.value(node.name), run.gradient(node.name)
    right = float(np.abs(_derivative(dp, p, np.ones((p.shape[-1],) * 2, bool))).max())
    limit = 2 * tolerance * max(1.0, float(np.abs(found).max()) / max(right, 1e-300))
    rows = np.unique(np.linspace(0, found[..., 0].size - 1, TESTED_ROWS).astype(np.intp))
    few_dp, few_p, few_found = (array.reshape(-1, array.shape[-1])[rows] for array in (dp, p, found))
    for words, size, summed in _sums(found.shape[-1]):
        near = np.abs(_derivative(few_dp, few_p, summed) - few_found).max() <= limit
        if near and np.abs(_derivative(dp, p, summed) - found).max() <= limit:
            yield from _at_places(run.graph, node, words, size)


def _sums(keys: int) -> Iterator[tuple[str, int, Array]]:
    """Which keys are summed for each key, (keys, keys), where these are not all keys or none.

    Tiles of several sizes may sum the same keys of few; blocks with more keys tell them apart.
    """
    for size in dict.fromkeys((*(size for size in USUAL_SIZES if size < keys), *range(1, keys))):
        for words in PARTS:
            summed = _summed(words, size, keys)
            if summed.any() and not summed.all():
                yield words, size, summed


def _summed(words: str, size: int, keys: int) -> Array:
    tile = np.arange(keys) // size
    return np.asarray(PARTS[words](tile[:, None], tile[None, :], int(tile[-1])))


def _derivative(dp: Array, p: Array, summed: Array) -> Array:
    return np.asarray(p * (dp - (p * dp) @ summed.T.astype(p.dtype)))


def _at_places(graph: Graph, node: Node, words: str, size: int) -> Iterator[OtherTerms]:
    """The same tiles in this softmax and in all."""
    alike = [name for name in reversed(graph.nodes) if graph.nodes[name].operation is SOFTMAX]
    tiles = f", of {size} keys each" if size > 1 else ", of one key each"
    for places in [[node.name], *([alike] if len(alike) > 1 else [])]:
        changes: Changes = {}
        for name in places:
            changes |= change_node(graph.nodes[name], _with_tiles(SOFTMAX, words, size))
        where = f"; in all of {len(places)} places" if len(places) > 1 else ""
        yield OtherTerms(DESCRIPTION, f"{words}{tiles}{where}", FIX, places[0], changes, 0, len(places) > 1)


def _with_tiles(operation: Operation, words: str, size: int) -> Operation:
    def backward(dp: Array, cache: Any) -> tuple[Array]:
        if not isinstance(cache, np.ndarray):
            raise NotApplicable("the operation has another cache by another mistake")
        return (_derivative(dp, cache, _summed(words, size, dp.shape[-1])),)

    return with_backward(operation, backward)
