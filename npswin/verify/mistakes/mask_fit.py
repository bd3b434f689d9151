"""The mask that a port used, recovered from its scores or its probabilities, and described.

The masked scores minus the scores are the mask; so are the logarithms of the probabilities minus the scores, except for
a number for each query. Which pairs are masked is compared with the family of `mask_family`, also for each image and
each head alone. Where no member masks these pairs, the cuts of each window are told.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Node, Run
from npswin.verify.mistakes.fitted import Fit, FittedMistake
from npswin.verify.mistakes.map_of_windows import MapOfWindows
from npswin.verify.mistakes.mask import map_of_windows, with_mask
from npswin.verify.mistakes.mask_words import pairs_in_words
from npswin.verify.mistakes.mistake import Changes, change_node, in_same_module, is_output_of

SMALLEST_VALUE = 1.0  # of a mask: rounding makes no larger numbers of scores
ALIKE = 0.02  # deviation of the mask's numbers from 0 and from their common value, as a share of it
SURE = 5.0  # a probability below exp(-5) times what the scores lead to is masked
LARGEST_ERROR = 1.0  # of a probability's logarithm, from rounding of large scores
FAINT = 8.0  # a score so far below the query's largest gives a probability near rounding: no mask is seen there
TOLD = 3  # images or heads
IMAGE, HEAD = 0, 2  # axes of a mask (B, nW, heads, query, key)


@dataclass(frozen=True)
class _Recovered:
    """A mask with the axes (B, nW, heads, query, key), of which B and heads may be 1.

    Attributes:
        masked: which pairs are masked.
        known: where that can be seen.
        value: what masked pairs get.
    """

    masked: Array
    known: Array
    value: float

    def common(self, *axes: int) -> "_Recovered | None":
        """The mask of all images, or all heads, with length 1 on these axes; None if they have different ones."""
        seen = self.masked & self.known
        masked, known = (np.asarray(array.any(axes, keepdims=True)) for array in (seen, self.known))
        return _Recovered(masked, known, self.value) if np.array_equal(seen, masked & self.known) else None


def _fit(run: Run, symptom: str, found: Array, place: str) -> Iterator[Fit]:
    node, found = run.graph.nodes[place], np.asarray(found, np.float64)
    if is_output_of(node, "shift_mask"):
        if place == symptom and (of_mask := _from_numbers(found[None, :, None])) is not None:
            yield _described(map_of_windows(run.graph, node), node, node, of_mask)
        return
    if not is_output_of(node, "add_mask") or not is_output_of(run.graph.nodes[node.inputs[1]], "shift_mask"):
        return
    mask, scores = run.graph.nodes[node.inputs[1]], np.asarray(run.value(node.inputs[0]), np.float64)
    if scores.shape != found.shape:
        return
    recovered = None
    if symptom == place:
        recovered = _from_numbers(found - scores)
    elif symptom == in_same_module(place, "probabilities"):
        recovered = _from_probabilities(found, scores, mask.settings["mask_value"])
    if recovered is not None:
        yield _described(map_of_windows(run.graph, mask), node, mask, recovered)


def _from_numbers(added: Array) -> _Recovered | None:
    """The mask, if what was added is 0 for some pairs, and for the others a number that they have in common."""
    finite = np.where(np.isneginf(added), -np.finfo(np.float64).max, added)
    value = float(finite.reshape(-1)[np.abs(finite).argmax()])
    masked = np.abs(finite) > abs(value) / 2
    rest = np.where(masked, finite - value, finite)
    if not np.isfinite(finite).all() or abs(value) < SMALLEST_VALUE or np.abs(rest).max() > ALIKE * abs(value):
        return None
    return _Recovered(masked, np.ones_like(masked), float(np.median(added[masked])))


def _from_probabilities(found: Array, scores: Array, value: float) -> _Recovered | None:
    """The mask, if the probabilities are a softmax of the scores but for pairs without a probability."""
    known = scores > scores.max(axis=-1, keepdims=True) - FAINT
    logarithms = np.log(np.maximum(found, np.finfo(np.float64).tiny)) - scores
    logarithms -= np.where(known, logarithms, -np.inf).max(axis=-1, keepdims=True)
    masked = logarithms < -SURE
    if not np.abs(logarithms[known & ~masked]).max(initial=0) < LARGEST_ERROR:
        return None
    return _Recovered(masked, known, value)


def _described(windows: MapOfWindows, node: Node, mask: Node, recovered: _Recovered) -> Fit:
    """The detail and the change; a mask that is the same for all images and heads replaces the mask's node."""
    value, right_value = recovered.value, mask.settings["mask_value"]
    words = [] if np.isclose(value, right_value, rtol=1e-3) else [f"with {value:.5g} rather than {right_value:g}"]
    if one := recovered.common(IMAGE, HEAD):
        text, masked = pairs_in_words(windows, one.masked[0, :, 0], one.known[0, :, 0])
        return "; ".join([text] * bool(text) + words), with_mask(mask, lambda: np.where(masked, value, 0.0))
    if parts := recovered.common(HEAD):
        text, masked = _each(windows, parts, IMAGE)
    elif parts := recovered.common(IMAGE):
        text, masked = _each(windows, parts, HEAD)
    else:
        text = "the mask depends on the image and on the head"
        masked = np.where(recovered.known, recovered.masked, windows.right[:, None])
    return "; ".join([text, *words]), _adding(node, np.where(masked, value, 0.0))


def _each(windows: MapOfWindows, recovered: _Recovered, axis: int) -> tuple[str, Array]:
    """The description of the masks of images, or of heads, and which pairs they mask."""
    texts, masks, other = [], [], HEAD if axis == IMAGE else IMAGE
    for index in range(recovered.masked.shape[axis]):
        one, known = (np.take(array, index, axis).squeeze(other - (axis < other)) for array in _arrays(recovered))
        text, masked = pairs_in_words(windows, one, known)
        texts.append(f"{'image' if axis == IMAGE else 'head'} {index}: {text or 'correct'}")
        masks.append(np.expand_dims(masked, (IMAGE, HEAD)))
    more = [f"and {len(texts) - TOLD} more"] if len(texts) > TOLD else []
    return "; ".join(texts[:TOLD] + more), np.concatenate(masks, axis)


def _arrays(recovered: _Recovered) -> tuple[Array, Array]:
    return recovered.masked, recovered.known


def _adding(node: Node, added: Array) -> Changes:
    assert node.operation is not None

    def forward(scores: Array, _: Array) -> tuple[Array, Any]:
        return scores + added.astype(scores.dtype), None

    return change_node(node, replace(node.operation, forward=forward, backward=lambda dy, _: (dy, None)))


MASK_FIT = (
    FittedMistake(
        "mask-pairs",
        "other pairs are masked",
        "number the regions of the rolled, padded map: bands [0, Hp - M), [Hp - M, Hp - M//2), [Hp - M//2, Hp)",
        _fit,
    ),
)
