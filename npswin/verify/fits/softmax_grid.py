"""Probabilities or exponentials that are multiples of 1/n, rounded or cut off."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.probabilities import Probabilities, RowExplanation, Rows, exponentials, shares

LEVELS = (255, 256, 127, 128, 15, 16, 31, 32, 63, 64, 511, 512, 1023, 1024, 4095, 4096)
WAYS: dict[str, Callable[[Array], Array]] = {"rounded": np.rint, "cut off": np.floor, "rounded up": np.ceil}
NEAR_EDGE = 1e-2  # of a step: there either of two multiples may be the port's
MOST_AT_EDGE = 1e-2  # share of the numbers


def on_a_grid(given: Probabilities) -> Iterator[RowExplanation]:
    """The probabilities; the probabilities, which are then divided by their sum; the exponentials."""
    first = given.scores.argmax(-1)[..., None]
    powers, largest = exponentials(given.scores), np.take_along_axis(given.found, first, -1)
    if largest.min() <= 0:
        return
    right = shares(powers)
    of_largest = np.take_along_axis(right, first, -1)
    for levels in LEVELS:
        if levels * given.tolerance > NEAR_EDGE:
            continue
        for way, rounding in WAYS.items():
            in_steps = rounding(of_largest * levels)
            cases: tuple[tuple[str, Array, Array, Rows, Rows], ...] = (
                ("the probabilities are {}", right, given.found * levels, _softmax, _as_they_are),
                ("the probabilities are {}, and divided by their sum", right, given.found / largest * in_steps,
                 _softmax, shares),
                ("the exponentials are {}", powers, given.found / largest * levels, exponentials, shares),
            )  # fmt: skip
            for words, of, steps, inner, outer in cases:
                moved = _at_edges(of * levels, steps, rounding, levels * given.tolerance)
                if moved is not None:
                    text = words.format(f"{way} to multiples of 1/{levels}")
                    rows = _Steps(inner, outer, rounding, levels, moved)
                    yield RowExplanation(text, rows.of, 0, rows.through)


def _at_edges(right: Array, found: Array, rounding: Callable[[Array], Array], tolerance: float) -> Array | None:
    """By how many steps found multiples differ from rounded right ones at edges; None if they do elsewhere."""
    near = max(NEAR_EDGE, 4 * tolerance)
    every = max(1, found.size // 256)
    few, few_right = found.reshape(-1)[::every], right.reshape(-1)[::every]
    if np.abs(few - np.rint(few)).max() > near * max(1.0, float(few.max()) / 16):
        return None
    moved = np.rint(found) - rounding(right)
    wrong = moved != 0
    at_edge = np.abs(rounding(right + near) - rounding(right - near)) > 0
    if (wrong & ~at_edge).any() or wrong.mean() > MOST_AT_EDGE or not (rounding(few_right) != few_right).any():
        return None
    return moved


class _Steps(NamedTuple):
    """outer(k/n) with k the rounded n inner(scores), moved at edges."""

    inner: Rows
    outer: Rows
    rounding: Callable[[Array], Array]
    levels: int
    moved: Array

    def rounded(self, scores: Array) -> Array:
        """k/n."""
        steps = self.rounding(self.inner(scores) * self.levels)
        return (steps + self.moved if steps.shape == self.moved.shape else steps) / self.levels

    def of(self, scores: Array) -> Array:
        """The probabilities."""
        return self.outer(self.rounded(scores))

    def through(self, scores: Array) -> Rows:
        """With the rounding errors that these scores have."""
        error = self.rounded(scores) - self.inner(scores)
        return lambda near: self.outer(self.inner(near) + error)


def _softmax(scores: Array) -> Array:
    return shares(exponentials(scores))


def _as_they_are(p: Array) -> Array:
    return p
