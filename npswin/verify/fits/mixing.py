"""Entries along an axis that are mixed: each is a sum of several right ones, as a mean over heads or a grey image."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, Pair
from npswin.verify.fits.words import Axis, join

MOST_ENTRIES = 32  # along an axis
ROWS_PER_NUMBER = 2.0  # numbers for each weight of a mixture
ROUND = 1e-4  # a weight is 0 up to here
MOST_LISTED = 4


def mixed_entries(evidence: Evidence) -> Iterator[Explanation]:
    """found[i] = Σ w_ij right[j] along one part of an axis, or two neighbouring ones."""
    parts = [part for axis in evidence.axes for part in axis]
    groups = [(place, place + 1) for place in range(len(parts))]
    groups += [(place, place + 2) for place in range(len(parts) - 1)]
    shape = [part.size for part in parts]
    for first, last in groups:
        size = int(np.prod(shape[first:last]))
        if not 2 <= size <= MOST_ENTRIES or evidence.found.size < ROWS_PER_NUMBER * size * size:
            continue
        before, after = int(np.prod(shape[:first])), int(np.prod(shape[last:]))
        found, right = (
            array.reshape(before, size, after).swapaxes(0, 1).reshape(size, -1)
            for array in (evidence.found, evidence.right)
        )
        weights = _weights(found, right, evidence.tolerance)
        if weights is None or ((weights != 0).sum(axis=1) == 1).all():  # entries in other places, or factors
            continue
        if not np.array_equal(weights, np.diag(np.diag(weights))):
            part = parts[first] if last == first + 1 else join(parts[first:last])
            pair = mixture(weights, (before, size, after))
            yield Explanation(mixture_words(part, weights), pair, different_weights(weights))
            return


def _weights(found: Array, right: Array, tolerance: float) -> Array | None:
    solution, _, rank, singular = np.linalg.lstsq(right.T, found.T, rcond=1e-8)
    if rank < len(right) or singular.min() < 1e-5 * singular.max():
        return None
    weights = solution.T
    weights = np.where(np.abs(weights) < ROUND, 0.0, np.where(np.abs(weights - 1) < ROUND, 1.0, weights))
    reach = max(1.0, float(np.abs(weights).sum(axis=1).max()))
    return weights if np.abs(weights @ right - found).max() <= 2 * reach * tolerance else None


def different_weights(weights: Array) -> int:
    """How many different weights there are, besides 0 and 1."""
    values = np.unique(np.round(weights[(weights != 0) & (np.abs(weights - 1) > ROUND)], 4))
    return len(values)


def mixture(weights: Array, shape: tuple[int, int, int]) -> Pair:
    """Entries along the middle axis of (before, entries, after) that are sums of entries, with these weights."""

    def forward(x: Array) -> tuple[Array, object]:
        return np.einsum("ij,bja->bia", weights.astype(x.dtype), x.reshape(shape)).reshape(x.shape), None

    def backward(dy: Array, _: object) -> Array:
        return np.einsum("ij,bia->bja", weights.astype(dy.dtype), dy.reshape(shape)).reshape(dy.shape)

    return forward, backward


def mixture_words(part: Axis, weights: Array) -> str:
    size = len(weights)
    name = {"B": "image", "C": "channel"}.get(part.name, part.name)
    if np.abs(weights - 1 / size).max() < ROUND:
        return f"all {part.plural} are their mean"
    if np.abs(weights - 1).max() < ROUND:
        return f"all {part.plural} are their sum"
    if np.abs(weights - np.eye(size) + 1 / size).max() < ROUND:
        return f"the mean over the {part.plural} is subtracted"
    if np.ptp(weights, axis=0).max() < ROUND:
        return f"each {name} is {_sum(weights[0], name)}"
    chosen = weights.argmax(axis=1)
    if np.array_equal(np.eye(size)[chosen], weights) and np.ptp(chosen) == 0:
        return f"all {part.plural} are {name} {chosen[0]}"
    rows = [row for row in range(size) if np.abs(weights[row] - np.eye(size)[row]).max() > ROUND]
    listed = "; ".join(f"{name} {row} is {_sum(weights[row], name)}" for row in rows[:MOST_LISTED])
    return listed + ("; ..." if len(rows) > MOST_LISTED else "")


def _sum(weights: Array, name: str) -> str:
    terms = [
        f"{name} {place}" if weight == 1 else f"{weight:.4g} of {name} {place}"
        for place, weight in enumerate(weights)
        if weight
    ]
    return " + ".join(terms[: 2 * MOST_LISTED]) or "0"
