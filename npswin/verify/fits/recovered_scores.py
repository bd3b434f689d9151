"""The scores of which found probabilities are the softmax: log p, up to a number for each query."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Pair, mapped
from npswin.verify.fits.families import first_explanation, linear_explanations
from npswin.verify.fits.functions import FUNCTIONS
from npswin.verify.fits.words import Axis

FAINT = 300.0  # times the tolerance: a smaller probability's logarithm is not known well
MOST_UNKNOWN = 0.7  # share of the pairs whose scores are not known
OF_NO_EFFECT = ("1 is added", "1 is subtracted", "1 - x is taken")  # a constant has none, and -x is a factor
SHARE_OF_RIGHT = 4  # of a query's scores so many are right at least, where others are not
CAPS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 50.0)
Recovered = tuple[str, Pair, int]  # words, the function of the scores with its derivative, how many numbers were fitted


def other_scores(found: Array, scores: Array, axes: Sequence[Sequence[Axis]], tolerance: float) -> Iterator[Recovered]:
    """How the scores differ, of which the probabilities are the softmax.

    Args:
        found: probabilities with sum 1 for each query.
        scores: the right ones.
        axes: of both, for each axis its parts.
        tolerance: the largest difference of equal probabilities.
    """
    known = (found > FAINT * tolerance) & (scores > scores.max(axis=-1, keepdims=True) + np.log(FAINT * tolerance))
    if known.mean() < 1 - MOST_UNKNOWN or not known.any(axis=-1).all():
        return
    logarithms = np.log(np.where(known, found, 1))
    error = 4 * tolerance / float(found[known].min()) + 1e-6 * float(np.abs(scores[known]).max())
    recovered, right = _centred(logarithms, known), _centred(scores, known)
    for one in linear_explanations(Evidence(recovered, right, axes, error, {})):
        yield f"of other scores: {one.words}", one.pair, one.fitted
    for words, function in FUNCTIONS.items():
        if words in OF_NO_EFFECT:
            continue
        value = function(np.where(known, scores, 0))
        if np.isfinite(value).all() and np.abs(_centred(value, known) - recovered).max() <= 2 * error:
            yield f"of other scores: {words}", mapped(function), 0
    for cap in CAPS:
        value = _capped(np.where(known, scores, 0), cap)
        if np.abs(_centred(value, known) - recovered).max() <= 2 * error:
            yield f"of other scores: capped, {cap:g} tanh(x / {cap:g})", mapped(partial(_capped, cap=cap)), 0
    shifted = np.where(known, logarithms - _offset(np.where(known, logarithms - scores, np.inf)), scores)
    one_more = first_explanation(Evidence(shifted, scores, axes, 2 * error, {}))
    if one_more is not None:
        yield f"of other scores: {one_more.words}", one_more.pair, one_more.fitted


def _capped(x: Array, cap: float) -> Array:
    return cap * np.tanh(x / cap)


def _offset(differences: Array) -> Array:
    """The number by which log p differs from the scores of a query, if some of them are right: the most frequent."""
    ordered = np.sort(differences, axis=-1)
    some = max(1, differences.shape[-1] // SHARE_OF_RIGHT)
    spread = ordered[..., some:] - ordered[..., :-some]
    start = np.where(np.isfinite(spread), spread, np.inf).argmin(axis=-1)[..., None]
    return np.take_along_axis(ordered, start + some // 2, -1)


def _centred(array: Array, known: Array) -> Array:
    """Without the mean of each query's known numbers; 0 where a number is not known."""
    mean = np.where(known, array, 0).sum(axis=-1, keepdims=True) / known.sum(axis=-1, keepdims=True)
    return np.where(known, array - mean, 0)
