"""The derivative of L = Σ r·y along a move, by the forward pass alone, and what else its outputs show.

    central      (8 [y(t + h v) − y(t − h v)] − [y(t + 2h v) − y(t − 2h v)]) / 12h: error O(h⁴) + O(ε/h),
                 for any float64 forward pass
    complex      Im y(t + i h v) / h with h = 1e-30: nothing is subtracted, so it is right to the last digits,
                 for forward passes that are analytic and take complex arrays (Squire and Trapp 1998)

A function that bends sharply (a normalization of nearly equal numbers) needs a short step, one that does not a long
one: where the long step and the backward pass disagree, shorter ones are asked. The same outputs then tell what kind of
place this is, at no further call:

    kink       the slopes to the right, (y(t + 2h v) − y(t)) / 2h, and to the left differ by as much at a shorter step;
               of a smooth function they come together as h shrinks
    jump       what differs is of one size at every step, so that estimates are s + j/h
    rounding   the fourth difference y(−2) − 4 y(−1) + 6 y(0) − 4 y(1) + y(2), in steps of h, is O(h⁴): what is left of
               it is the rounding errors of y, √70 times as large
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.gradcheck.problem import Move, Problem

STEPS = {"central": 2e-5, "complex": 1e-30}
SHORTER = (1.0, 0.2, 0.04)  # of the step
SMALLEST_SHARE = 1e-3  # a gradient that is below this share of the largest, or of the output, is measured against that


@dataclass(frozen=True)
class Evidence:
    """What three steps of different length show around the point.

    Attributes:
        steps: from long to short.
        estimates: the central difference of each.
        left, right: one-sided slopes of L at the middle step.
        kinks: Σ |r|·(the gap between the one-sided slopes), over those outputs whose gap stays as the step shrinks.
        noise: how far rounding alone moves L, as a standard deviation.
    """

    steps: tuple[float, ...]
    estimates: tuple[float, ...]
    left: float
    right: float
    kinks: float
    noise: float


def central(
    problem: Problem, move: Move, step: float, expected: float, tolerance: float
) -> tuple[float, Evidence | None]:
    """Central differences with ever shorter steps, until one is what the backward pass says.

    Args:
        problem: whose L.
        move: along which way.
        step: the longest step, for numbers up to 1; it grows with larger ones.
        expected: what the backward pass says.
        tolerance: a difference of this share from it ends the search.

    Returns:
        The estimate nearest to what is expected; and the evidence, None where the search ended early.
    """
    steps = tuple(step * share * problem.reach(move) for share in SHORTER)
    r, y, nearest = problem.weights, problem.y, np.nan
    estimates, gaps, fourths, slopes = [], [], [], []
    for h in steps:
        before2, before, after, after2 = problem.outputs(move, (-2 * h, -h, h, 2 * h))
        with np.errstate(all="ignore"):
            estimate = float(np.vdot(r, 8 * (after - before) - (after2 - before2)) / (12 * h))
            fourths.append(before2 - 4 * before + 6 * y - 4 * after + after2)
            left, right = (y - before2) / (2 * h), (after2 - y) / (2 * h)
            gaps.append(right - left)
            slopes.append((float(np.vdot(r, left)), float(np.vdot(r, right))))
        estimates.append(estimate)
        if not abs(estimate - expected) >= abs(nearest - expected):
            nearest = estimate
        if abs(estimate - expected) <= tolerance * max(abs(estimate), SMALLEST_SHARE * problem.output_scale):
            return nearest, None
    return nearest, Evidence(
        steps, tuple(estimates), *slopes[1], _kinks(r, gaps, fourths), _noise(problem, fourths, steps, estimates)
    )


def complex_step(problem: Problem, move: Move, step: float) -> float:
    """The complex-step derivative of L along a move."""
    return float(np.vdot(problem.weights, problem.imaginary_output(move, step)) / step)


def _kinks(r: Array, gaps: list[Array], fourths: list[Array]) -> float:
    """A smooth output's gaps shrink with the step, 5 times from each to the next. Those of rounding grow as much, and
    its fourth differences stay, which shrink at a kink."""
    with np.errstate(all="ignore"):
        long, middle, short = gaps
        stays = (long * middle > 0) & (abs(long) < 1.5 * abs(middle)) & (abs(middle) < 1.5 * abs(long))
        stays &= (short * middle > 0) & (abs(short) < 1.5 * abs(middle)) & (abs(fourths[0]) > 3 * abs(fourths[2]))
        return float(np.abs(r * middle)[stays].sum())


def _noise(problem: Problem, fourths: list[Array], steps: Sequence[float], estimates: Sequence[float]) -> float:
    """The largest of four measures, as each may be small by chance, or blind where y has few digits.

    A bend may show in the long steps' fourth differences: the shortest one's count, and the median of all. Rounding
    drives the estimates of short steps the farthest apart, or leaves y as it is.
    """
    r, y = problem.weights, problem.y
    with np.errstate(all="ignore"):
        sizes = [float(np.linalg.norm(r * fourth)) / 70**0.5 for fourth in fourths]
        floor = float(np.finfo(float).eps * np.linalg.norm(r * y))
        far, near = np.abs(np.diff(estimates))
        spread = max(far * steps[1], near * steps[2]) if near >= far or near == 0 else 0.0
        return float(max(np.median(sizes), sizes[-1], floor, spread))
