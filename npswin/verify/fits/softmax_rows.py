"""How found probabilities follow from the scores: the sum that they are divided by, other scores, another function.

A softmax gives p = exp(s) / D, with D the sum over the keys. log p - s is -log D then, the same number for all keys of
a query. Where it is, D is known for each query, and is compared with the sum; where it is not, the scores or the
exponential are others.
"""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.optimize import minimize_scalar

from npswin.types import Array
from npswin.verify.fits.exponentials import EXPONENTIALS, LARGEST_OFFSET, OFFSET_STEP, from_bits
from npswin.verify.fits.functions import FUNCTIONS
from npswin.verify.fits.left_out import left_out_words
from npswin.verify.fits.probabilities import (
    MARGIN,
    SMALLEST,
    Probabilities,
    RowExplanation,
    Rows,
    exponentials,
    shares,
)
from npswin.verify.fits.recovered_scores import other_scores
from npswin.verify.fits.softmax_grid import on_a_grid
from npswin.verify.fits.softmax_sums import other_sum
from npswin.verify.fits.tables import Known, tables
from npswin.verify.fits.tiles import InTiles, tile_by_tile

SUMS_TO_ONE = 1e-4
FEW_ROWS = 64  # of queries in which a softmax in tiles is tried first
NAMED_ELSEWHERE = ("2ˣ is taken", "a sigmoid is applied", "a ReLU is applied", "the exponential is taken")


def row_explanations(given: Probabilities) -> Iterator[RowExplanation]:
    """Explanations of probabilities, the simplest first; those that do not give the found ones are left out."""
    finite = np.isfinite(given.found).all() and np.isfinite(given.scores).all()
    if not finite or given.found.shape != given.scores.shape or given.found.ndim != 5:
        return
    with np.errstate(all="ignore"):
        if given.agrees(shares(exponentials(given.scores))):
            return
        for family in FAMILIES:
            for one in family(given):
                if given.agrees(one.rows(given.scores)):
                    yield one


def _some_left_out(given: Probabilities) -> Iterator[RowExplanation]:
    """Some pairs of query and key have the probability 0; the others share the rest, or keep theirs."""
    right = shares(exponentials(given.scores))
    hidden = (given.found <= SMALLEST) & (right > MARGIN * given.tolerance)
    if not hidden.any() or hidden.all():
        return
    words, fitted = left_out_words(hidden, given.scores)
    if not words:
        return
    ways: dict[str, Rows] = {
        "the other keys share all": lambda s: shares(np.where(hidden, 0, exponentials(s))),
        "the others keep their probabilities, which do not sum up to 1": lambda s: np.where(
            hidden, 0, shares(exponentials(s))
        ),
    }
    for way, rows in ways.items():
        yield RowExplanation(f"left out: {words}; {way}", rows, fitted)


SUMS = {"queries": (-2,), "heads": (-3,), "windows": (-4,), "images": (0,), "windows of all images": (0, 1)}


def _sum_along_other_axes(_: Probabilities) -> Iterator[RowExplanation]:
    for words, axes in SUMS.items():
        subtracted = "the largest score of each query is subtracted, and the sum runs over the"
        yield RowExplanation(f"{subtracted} {words}", _over(axes, (-1,)))
        yield RowExplanation(f"the sum runs over the {words}", _over(axes, axes))


def _over(axes: tuple[int, ...], of_largest: tuple[int, ...]) -> Rows:
    def rows(scores: Array) -> Array:
        powers = np.exp(scores - scores.max(axis=of_largest, keepdims=True))
        return powers / powers.sum(axis=axes, keepdims=True)

    return rows


def _term_for_each(given: Probabilities) -> Iterator[RowExplanation]:
    """(e + c) / Σ (e + c): c follows from p Σ e - e = c (1 - N p)."""
    powers = exponentials(given.scores)
    left = given.found * powers.sum(axis=-1, keepdims=True) - powers
    right = 1 - powers.shape[-1] * given.found
    squares = float((right * right).sum())
    constant = float((left * right).sum()) / squares if squares else 0.0
    if abs(constant) > MARGIN * given.tolerance:
        words = f"{constant:.4g} is added to each exponential"
        yield RowExplanation(words, lambda s: shares(exponentials(s) + constant), 1)


def _other_function(given: Probabilities) -> Iterator[RowExplanation]:
    """Another function than exp, divided by its sum."""
    largest = given.scores.max(axis=-1, keepdims=True)
    for words, function in EXPONENTIALS.items():
        for of, shift in (("the scores minus their largest", True), ("the scores", False)):
            yield RowExplanation(f"{words} in place of exp, of {of}", _shares_of(function, shift))
    yield _by_bits(given)
    for words, function in FUNCTIONS.items():
        if words in NAMED_ELSEWHERE:
            continue
        yield RowExplanation(f"{words} in place of exp, divided by the sum", _shares_of(function, False))
    first = np.take_along_axis(given.found, given.scores.argmax(axis=-1)[..., None], -1)
    if first.min() > 0:
        powers, below = given.found / first, {"0": Known(np.zeros_like, np.zeros_like), "exp": Known(np.exp, np.exp)}
        for table in tables(
            Known(np.exp, np.exp), given.scores - largest, powers, _relative(given, first), False, below, np.inf
        ):
            yield RowExplanation(f"exp is read {table.words}", _shares_of(table.read, True))


def _by_bits(given: Probabilities) -> RowExplanation:
    """Schraudolph's exponential with the offset of the bits that is nearest."""

    def error(offset: float) -> float:
        return float(np.square(_shares_of(from_bits(offset), True)(given.scores) - given.found).sum())

    near = minimize_scalar(error, bounds=(0, LARGEST_OFFSET), method="bounded", options={"xatol": OFFSET_STEP}).x
    offset = min((np.rint(near / OFFSET_STEP) + np.arange(-4, 5)) * OFFSET_STEP, key=error)
    words = f"Schraudolph's exponential, which writes the bits of a float32, {offset:.6g} subtracted from the bits"
    return RowExplanation(words, _shares_of(from_bits(offset), True), 1)


def _relative(given: Probabilities, largest: Array) -> float:
    """The tolerance of probabilities over the largest one of their query."""
    return MARGIN * given.tolerance / float(largest.min())


def _shares_of(function: Rows, shift: bool) -> Rows:
    return lambda s: shares(function(s - s.max(axis=-1, keepdims=True) if shift else s))


def _least_largest(given: Probabilities) -> Iterator[RowExplanation]:
    """The range of the scores is mapped to 0 ... 1."""
    lowest = lambda s: s - s.min(axis=-1, keepdims=True)  # noqa: E731
    yield RowExplanation(
        "the scores minus the least one, over their range", lambda s: lowest(s) / np.ptp(s, -1)[..., None]
    )
    yield RowExplanation("the scores minus the least one, divided by the sum", lambda s: shares(lowest(s)))
    yield RowExplanation(
        "the scores are divided by their deviation first", lambda s: shares(np.exp(s / s.std(-1, keepdims=True)))
    )
    yield RowExplanation("sparsemax: the scores minus a threshold, no less than 0, with sum 1", _sparsemax)


def _sparsemax(scores: Array) -> Array:
    """Martins and Astudillo 2016, algorithm 1."""
    ordered = np.sort(scores, axis=-1)[..., ::-1]
    count = np.arange(1, scores.shape[-1] + 1)
    sums = np.cumsum(ordered, axis=-1)
    kept = (1 + count * ordered > sums).sum(axis=-1, keepdims=True)
    threshold = (np.take_along_axis(sums, kept - 1, -1) - 1) / kept
    return np.maximum(scores - threshold, 0)


def _of_other_scores(given: Probabilities) -> Iterator[RowExplanation]:
    if np.abs(given.found.sum(axis=-1) - 1).max() > SUMS_TO_ONE:
        return
    for words, (forward, _), fitted in other_scores(given.found, given.scores, given.axes, given.tolerance):
        yield RowExplanation(words, _softmax_of(forward), fitted)


def _softmax_of(forward: Callable[[Array], tuple[Array, object]]) -> Rows:
    return lambda s: shares(exponentials(forward(s)[0]))


def _in_tiles(given: Probabilities) -> Iterator[RowExplanation]:
    keys = given.scores.shape[-1]
    step = max(1, given.found.size // keys // FEW_ROWS)
    scores, found = (each.reshape(-1, keys)[::step] for each in (given.scores, given.found))
    for words, rows in tile_by_tile(keys):
        if np.abs(rows(scores) - found).max() <= MARGIN * given.tolerance:
            yield RowExplanation(words, rows, of_constants=_of_constants(rows))


def _of_constants(rows: InTiles) -> Callable[[Array], Rows]:
    return lambda at: lambda scores: rows(scores, at)


FAMILIES: tuple[Callable[[Probabilities], Iterator[RowExplanation]], ...] = (
    on_a_grid,
    _some_left_out,
    _sum_along_other_axes,
    _term_for_each,
    _other_function,
    _least_largest,
    _of_other_scores,
    _in_tiles,
    other_sum,
)
