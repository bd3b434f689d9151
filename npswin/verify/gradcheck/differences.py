"""The derivative of L = Σ r·y along a direction, from the forward pass alone, and other measures of the same outputs.

    central      (8 [y(t + h v) − y(t − h v)] − [y(t + 2h v) − y(t − 2h v)]) / 12h: error O(h⁴) + O(ε/h),
                 for any float64 forward pass
    complex      Im y(t + i h v) / h with h = 1e-30: nothing is subtracted, so it is exact to the last digits,
                 for forward passes that are analytic and take complex arrays (Squire and Trapp 1998)

A function that bends sharply (a normalization of nearly equal numbers) needs a short step, another one a long step.
Where the longest step and the backward pass differ, shorter ones are tried. The outputs also show, without further
calls, why the two differ:

    kink       the slopes to the right, (y(t + 2h v) − y(t)) / 2h, and to the left differ by as much at a shorter step;
               for a smooth function their difference shrinks with h
    jump       the difference has one size at every step, so that estimates are s + j/h
    rounding   the fourth difference y(−2) − 4 y(−1) + 6 y(0) − 4 y(1) + y(2), in steps of h, is O(h⁴); the rest of it
               consists of the rounding errors of y, √70 times as large
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.gradcheck.problem import Direction, ScalarLoss

STEPS = {"central": 2e-5, "complex": 1e-30}
STEP_FACTORS = (1.0, 0.2, 0.04)  # of the longest step
SMALLEST_SHARE = 1e-3  # a gradient below this share of the largest one, or of the output, is compared with that share


@dataclass(frozen=True)
class Evidence:
    """Measures of the outputs at three steps of different length around the point.

    Attributes:
        steps: from long to short.
        estimates: the central difference of each step.
        left, right: one-sided slopes of L at the middle step.
        kinks: Σ |r|·(the difference of the one-sided slopes), over those outputs whose difference does not shrink with
            the step.
        noise: the standard deviation of L by rounding alone.
    """

    steps: tuple[float, ...]
    estimates: tuple[float, ...]
    left: float
    right: float
    kinks: float
    noise: float


def central_difference(
    problem: ScalarLoss, direction: Direction, step: float, expected: float, tolerance: float
) -> tuple[float, Evidence | None]:
    """Central differences with shorter and shorter steps, until one agrees with the backward pass.

    Args:
        problem: with the function L.
        direction: of the derivative.
        step: the longest step, for numbers up to 1; it is multiplied by larger ones.
        expected: the backward pass's derivative.
        tolerance: relative difference from it that ends the search.

    Returns:
        The estimate nearest to the expected one; and the evidence, None where the search ended early.
    """
    steps = tuple(step * factor * problem.step_unit(direction) for factor in STEP_FACTORS)
    r, y, nearest = problem.weights, problem.y, np.nan
    estimates, slope_differences, fourth_differences, slopes = [], [], [], []
    for h in steps:
        before2, before, after, after2 = problem.outputs(direction, (-2 * h, -h, h, 2 * h))
        with np.errstate(all="ignore"):
            estimate = float(np.vdot(r, 8 * (after - before) - (after2 - before2)) / (12 * h))
            fourth_differences.append(before2 - 4 * before + 6 * y - 4 * after + after2)
            left, right = (y - before2) / (2 * h), (after2 - y) / (2 * h)
            slope_differences.append(right - left)
            slopes.append((float(np.vdot(r, left)), float(np.vdot(r, right))))
        estimates.append(estimate)
        if not abs(estimate - expected) >= abs(nearest - expected):
            nearest = estimate
        if abs(estimate - expected) <= tolerance * max(abs(estimate), SMALLEST_SHARE * problem.output_scale):
            return nearest, None
    kinks = _kinks(r, slope_differences, fourth_differences)
    noise = _noise(problem, fourth_differences, steps, estimates)
    return nearest, Evidence(steps, tuple(estimates), *slopes[1], kinks, noise)


def complex_step(problem: ScalarLoss, direction: Direction, step: float) -> float:
    """The complex-step derivative of L along a direction."""
    return float(np.vdot(problem.weights, problem.imaginary_output(direction, step)) / step)


def _kinks(r: Array, slope_differences: list[Array], fourth_differences: list[Array]) -> float:
    """The attribute `kinks` of `Evidence`.

    A smooth output's slope difference shrinks 5 times from each step to the next. A slope difference by rounding grows
    as much, and its fourth difference stays, which shrinks at a kink.
    """
    with np.errstate(all="ignore"):
        long, middle, short = slope_differences
        stays = (long * middle > 0) & (abs(long) < 1.5 * abs(middle)) & (abs(middle) < 1.5 * abs(long))
        stays &= (short * middle > 0) & (abs(short) < 1.5 * abs(middle))
        stays &= abs(fourth_differences[0]) > 3 * abs(fourth_differences[2])
        return float(np.abs(r * middle)[stays].sum())


def _noise(
    problem: ScalarLoss, fourth_differences: list[Array], steps: Sequence[float], estimates: Sequence[float]
) -> float:
    """The attribute `noise` of `Evidence`: the largest of four measures, as each may be too small by chance.

    A bend may increase the fourth differences of long steps, so the shortest one's is used, and the median of all.
    Rounding moves the estimates of short steps the farthest apart, or does not change y at all.
    """
    r, y = problem.weights, problem.y
    with np.errstate(all="ignore"):
        sizes = [float(np.linalg.norm(r * difference)) / 70**0.5 for difference in fourth_differences]
        last_digit = float(np.finfo(float).eps * np.linalg.norm(r * y))
        far, near = np.abs(np.diff(estimates))
        from_estimates = max(far * steps[1], near * steps[2]) if near >= far or near == 0 else 0.0
        return float(max(np.median(sizes), sizes[-1], last_digit, from_estimates))
