"""Which steps of a layer norm have few bits, from the mean and the deviation that it used for each token."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import chain, product
from typing import Any, NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.recovered_statistics import Recovered, recovered_statistics
from npswin.verify.fits.row_statistics import mean, variance
from npswin.verify.fits.short_numbers import of_short_numbers
from npswin.verify.graph import Node, Operation
from npswin.verify.graph.operations import LAYER_NORM
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
LEFT, EXACT = 0.5, 0.15  # of the error, at most: of a way that is told, and of one that is followed exactly
SURE = 0.02  # no other precision leaves less
FAR = 1.2  # of the error: what follows from such a variance does not make up for it
AS_NEAR = 1.1  # times the least error: as likely, so that the way with the fewest steps is told
Steps = tuple[tuple[str, ...], ...]
TAILS: Steps = tuple(
    (*eps, *root) for eps in ((), (WITH_EPS,)) for root in ((), (FACTOR,), (DEVIATION,), (DEVIATION, FACTOR))
)
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
    plain = recovered_statistics(x, weight, bias, found, tolerance)
    for precision in SIXTEEN_BITS:
        r = to_precision(precision)
        if best is not None and best[0].left < SURE:
            break
        for base in (x, r(x)) if plain is None else (x,):
            used = plain if base is x else recovered_statistics(base, weight, bias, found, tolerance)
            way = None if used is None else _best_way(used, r, eps)
            if way is not None and (best is None or way.left < best[0].left):
                best = way, precision, base is not x
    if plain is not None and (best is None or best[0].left > EXACT):
        yield from _short_numbers(plain, eps)
    if best is None:
        return
    (norm, _), precision, of_rounded = best
    r, words = to_precision(precision), norm.words(precision)
    words = f"its first input is rounded to {precision}, and {words}" if of_rounded else words
    ways = [(norm, False, False), (norm, True, False), (norm, True, True)]
    if MEAN in norm.steps and not norm.exact_centre:
        ways.append((replace(norm, exact_variance=True), True, False))
    for each, differentiated, straight_through in ways:
        operation = each.operation(r, differentiated, straight_through)
        if of_rounded:
            operation = with_rounded_inputs(operation, r, (0,))
        yield RoundedOperation(precision, words, operation)


def _best_way(used: Recovered, r: Rounding, eps: float) -> _Way | None:
    """The way that gives a port's means and deviations best, of several that with the fewest steps; or None."""
    rows = (one.reshape(-1, one.shape[-1]) for one in (used.x, used.centre, used.scale))
    tokens = _Tokens(used.near, *rows)
    sample = tokens.some(SAMPLE)
    largest = LEFT * sum(_left(right, right, found, near) for right, found, near in sample.exact(eps))
    few = [way for way in _ways(sample, _moments(), r, eps) if way.norm.steps and way.left <= largest]
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

    def exact(self, eps: float) -> tuple[tuple[Array, Array, float], ...]:
        """Without rounding, the centres, and the factors over the found ones: each with its found numbers, and near."""
        factors = self.scale / np.sqrt(variance(self.x) + eps)
        return (mean(self.x), self.centre, self.near), (factors, np.ones(1), self.near / float(self.scale.min()))


def _ways(tokens: _Tokens, moments: Iterable[RoundedNorm], r: Rounding, eps: float) -> Iterator[_Way]:
    """For each way to get mean and variance all ways to get the rest, with what they leave."""
    _, x, _, scale = tokens
    (right_mean, centre, near), (right, ones, relative) = tokens.exact(eps)
    for norm in moments:
        values = norm.moments(r, x)
        centred = replace(norm, exact_centre=True), _left(right_mean, right_mean, centre, near)
        own = norm, _left(values[MEAN], right_mean, centre, near)
        norm, left = min((own, centred), key=lambda one: one[1])
        for tail in TAILS if left <= LEFT else ():
            full = replace(norm, steps=norm.steps.union(tail))
            factor = scale * full.factor(full.root(values[VARIANCE], eps, r), r)
            left_too = _left(factor, right, ones, relative)
            yield _Way(full, left + left_too)
            if left_too > FAR:
                break


def _left(value: Array, right: Array, found: Array, near: float) -> float:
    """A distance from the found numbers over that of the right ones, or over the largest one of equal numbers."""
    distance, of_right = (float(np.linalg.norm(one - found)) / len(one) ** 0.5 for one in (value, right))
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


def _short_numbers(used: Recovered, eps: float) -> Iterator[RoundedOperation]:
    """Means and deviations that are numbers of 16 bits, in whichever way they were computed."""
    for precision in ("bfloat16", "float16"):  # which represents the numbers of bfloat16, too
        words: list[str] = []
        right = mean(used.x), np.sqrt(variance(used.x) + eps)
        for steps, found, of in ((CENTRES, used.centre, right[0]), (SCALES, used.scale, right[1])):
            if np.abs(found - of).max() <= used.near:
                continue
            told = (
                of_short_numbers(
                    f"{name} of each token", f(found, eps), f(of, eps), f(used.near + found, eps), precision
                )
                for name, f in steps
            )
            words.append(next(filter(None, told), ""))
        if words and all(words):
            moved = used.centre - right[0], used.scale - right[1]
            yield RoundedOperation(precision, ", and ".join(words), _with_moved(*moved))
            return


def _with_moved(of_centre: Array, of_scale: Array) -> Operation:
    """A norm whose means and deviations are moved by so much."""

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        factor = 1 / (np.sqrt(variance(x) + eps) + of_scale)
        xhat = (x - mean(x) - of_centre) * factor
        return xhat * weight + bias, (xhat, factor, weight)

    return replace(LAYER_NORM, forward=forward)


Function = Callable[[Array, float], Array]  # of a statistic and eps
CENTRES: tuple[tuple[str, Function], ...] = ((MEAN, lambda c, _: c),)
SCALES: tuple[tuple[str, Function], ...] = (
    (VARIANCE, lambda d, eps: d * d - eps),
    (FACTOR, lambda d, _: 1 / d),
    (DEVIATION, lambda d, _: d),
    (WITH_EPS, lambda d, _: d * d),
)
