"""A mask with other numbers than 0 and its value: added to the scores, or in place of them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Node, Run
from npswin.verify.mistakes.fitted import Fit, FittedMistake
from npswin.verify.mistakes.mistake import Changes, change_node, is_output_of

NEAR = 1e-4  # of the scores' largest number: differences of equal numbers
SAME = 1e-5  # of a number that is there in place of a score


class _Part(NamedTuple):
    """What becomes of the scores of masked pairs, or of the others.

    Attributes:
        set_to: the number in place of them; None if they stay.
        added: the number that is added to them.
    """

    set_to: float | None
    added: float

    def words(self) -> str:
        """Such as "are set to -1e+09"."""
        if self.set_to is not None:
            return f"are set to {self.set_to:.6g}"
        return f"get {self.added:+.6g}" if self.added else "stay"

    def of(self, scores: Array) -> Array:
        """The scores with it."""
        return np.full_like(scores, self.set_to) if self.set_to is not None else scores + scores.dtype.type(self.added)


def _fit(run: Run, symptom: str, found: Array, place: str) -> Iterator[Fit]:
    node = run.graph.nodes[place]
    if place != symptom or not is_output_of(node, "add_mask"):
        return
    scores, mask = (np.asarray(run.value(read), np.float64) for read in node.inputs)
    if scores.shape != found.shape or not np.isfinite(scores).all() or np.isnan(found).any():
        return
    masked = np.broadcast_to((mask != 0)[:, None], scores.shape)
    if masked.all() or not masked.any():
        return
    found = np.asarray(found, np.float64)
    parts = [_part(found[where], scores[where]) for where in (masked, ~masked)]
    if parts[0] is None or parts[1] is None:
        return
    words = f"masked scores {parts[0].words()}, the others {parts[1].words()}"
    yield words, _changes(node, parts[0], parts[1])


def _part(found: Array, scores: Array) -> _Part | None:
    added = found - scores
    reach = max(1.0, float(np.abs(scores).max()), float(np.abs(found[np.isfinite(found)]).max(initial=0)))
    if np.isfinite(found).all() and np.ptp(added) <= NEAR * reach and np.ptp(scores) > NEAR * reach:
        number = float(np.median(added))
        return _Part(None, number if abs(number) > NEAR else 0.0)
    same = (found == found.flat[0]).all() or np.ptp(found) <= SAME * abs(float(found.flat[0]))
    return _Part(float(np.median(found)), 0.0) if same else None


def _changes(node: Node, of_masked: _Part, of_others: _Part) -> Changes:
    def forward(scores: Array, mask: Array) -> tuple[Array, Any]:
        masked = (mask != 0)[:, None]
        kept = np.where(masked, of_masked.set_to is None, of_others.set_to is None)
        return np.where(masked, of_masked.of(scores), of_others.of(scores)), kept

    def backward(dy: Array, kept: Any) -> tuple[Array, None]:
        return np.where(kept, dy, 0), None

    assert node.operation is not None
    return change_node(node, replace(node.operation, forward=forward, backward=backward))


MASK_VALUES = (
    FittedMistake(
        "mask-values", "the mask has other numbers", "masked scores get -100, or what the key says, the others 0", _fit
    ),
)
