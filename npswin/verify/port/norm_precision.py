"""Which steps of a layer norm have few bits, from the mean and the deviation that it used for each token."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import chain, product
from typing import NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.recovered_statistics import Recovered, recovered_statistics
from npswin.verify.graph import Node
from npswin.verify.port.operation_steps import Rounding
from npswin.verify.port.rounded_norms import (
    CENTRED,
    DEVIATION,
    FACTOR,
    MEAN,
    MEAN_SQUARE,
    SQUARE_OF_MEAN,
    SQUARES,
    SUM,
    SUM_OF_SQUARES,
    VARIANCE,
    WITH_EPS,
    RoundedNorm,
    X,
)
from npswin.verify.port.rounded_operation import RoundedOperation, with_rounded_inputs
from npswin.verify.port.rounded_operations import SIXTEEN_BITS, to_precision

SAMPLE = 64  # tokens for which each way is tried first
MOST_TOKENS = 4096
LEFT = 0.5  # of the error, at most
AS_NEAR = 1.1  # times the least error: as likely, so that the way with the fewest steps is told
Steps = tuple[tuple[str, ...], ...]
TAILS: Steps = tuple((*eps, *root) for eps in ((), (WITH_EPS,)) for root in ((), (FACTOR,), (DEVIATION,)))
TAIL = frozenset((WITH_EPS, FACTOR, DEVIATION))


class _Way(NamedTuple):
    """Rounded steps, and how much of the error they leave, of the means and of the deviations."""

    norm: RoundedNorm
    left: float


def rounded_norms(node: Node, inputs: list[Array], found: Array, tolerance: float) -> Iterator[RoundedOperation]:
    """The norm with the rounded steps that give the found tensor best: a kernel's derivative, and that of the steps.

    Args:
        node: of the norm.
        inputs: x (..., C), weight and bias (C,).
        found: the port's result.
        tolerance: the largest difference of equal numbers.
    """
    if len(inputs) != 3 or inputs[0].shape != found.shape or not np.isfinite(found).all():
        return
    x, weight, bias = (np.asarray(one, np.float64) for one in inputs)
    eps, best = float(node.settings["eps"]), None
    for precision in SIXTEEN_BITS:
        r = to_precision(precision)
        for base in (x, r(x)):
            used = recovered_statistics(base, weight, bias, found, tolerance)
            way = None if used is None else _best_way(used, r, eps)
            if way is not None and (best is None or way.left < best[0].left):
                best = way, precision, base is not x
    if best is None:
        return
    (norm, _), precision, of_rounded = best
    r, words = to_precision(precision), norm.words(precision)
    for differentiated in (False, True):
        operation = norm.operation(r, differentiated)
        if of_rounded:
            operation, words = with_rounded_inputs(operation, r, (0,)), f"its first input, and {norm.words(precision)}"
        yield RoundedOperation(precision, words, operation)


def _best_way(used: Recovered, r: Rounding, eps: float) -> _Way | None:
    """The way that gives a port's means and deviations best, of several that with the fewest steps; or None."""
    rows = (one.reshape(-1, one.shape[-1]) for one in (used.x, used.centre, used.scale))
    tokens = _Tokens(used.near, *rows)
    few = [way for way in _ways(tokens.some(SAMPLE), _moments(), r, eps) if way.left <= LEFT]
    if not few:
        return None
    near = AS_NEAR * min(way.left for way in few)
    chosen = dict.fromkeys(replace(way.norm, steps=way.norm.steps - TAIL) for way in few if way.left <= near)
    ways = list(_ways(tokens.some(MOST_TOKENS), chosen, r, eps))
    near = AS_NEAR * min(way.left for way in ways)
    return min((way for way in ways if way.left <= near), key=lambda way: (len(way.norm.steps), way.left))


class _Tokens(NamedTuple):
    """Tokens (tokens, C), and their means and deviations in the port, (tokens, 1); as `Recovered`."""

    near: float
    x: Array
    centre: Array
    scale: Array

    def some(self, most: int) -> "_Tokens":
        """Some of them."""
        every = max(1, len(self.x) // most)
        return _Tokens(self.near, *(one[::every] for one in (self.x, self.centre, self.scale)))


def _ways(tokens: _Tokens, moments: Iterable[RoundedNorm], r: Rounding, eps: float) -> Iterator[_Way]:
    """For each way to get mean and variance all ways to get the rest, with what they leave."""
    near, x, centre, scale = tokens
    none, mean = RoundedNorm(frozenset()), x.mean(-1, keepdims=True)
    right = scale * none.factor(none.root(x.var(-1, keepdims=True), eps, r), r)
    relative = near / float(scale.min())
    for norm in moments:
        values = norm.moments(r, x)
        centred = replace(norm, exact_centre=True), _left(mean, mean, centre, near)
        own = norm, _left(values[MEAN], mean, centre, near)
        (norm, left), tails = min((own, centred), key=lambda one: one[1]), TAILS
        for tail in tails if left <= LEFT else ():
            full = replace(norm, steps=norm.steps.union(tail))
            factor = scale * full.factor(full.root(values[VARIANCE], eps, r), r)
            yield _Way(full, left + _left(factor, right, np.ones(1), relative))


def _left(value: Array, right: Array, found: Array, near: float) -> float:
    """A distance from the found numbers over that of the right ones, or over the largest one of equal numbers."""
    distance, of_right = (float(np.sqrt(np.mean((one - found) ** 2))) for one in (value, right))
    return distance / max(near, of_right)


@cache
def _moments() -> tuple[RoundedNorm, ...]:
    """Ways to get mean and variance."""
    means: Steps = ((), (MEAN,), (SUM, MEAN))
    squares: Steps = ((), (SQUARES,))
    mean_squares: Steps = ((), (MEAN_SQUARE,), (SUM_OF_SQUARES, MEAN_SQUARE))
    variances: Steps = ((), (VARIANCE,), (SUM_OF_SQUARES, VARIANCE))
    one_pass = product(((), (X,)), means, squares, mean_squares, ((), (SQUARE_OF_MEAN,)), ((), (VARIANCE,)))
    two_passes = product(((), (X,)), means, ((), (CENTRED,)), squares, variances)
    ways = [RoundedNorm(frozenset(chain(*each))) for each in two_passes]
    return *ways, *(RoundedNorm(frozenset(chain(*each)), True) for each in one_pass)
