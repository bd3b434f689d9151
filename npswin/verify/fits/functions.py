"""A function of each number: of a list, a limit at both ends, or any curve."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import erf

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, Pair, mapped
from npswin.verify.fits.factors import decimal
from npswin.verify.fits.limits import range_of_an_image

FEWEST_WRAPPED = 3  # numbers that wrap around
FEWEST_OF_A_CURVE = 64  # numbers from which an unknown curve is recognized
SHARE_OF_DIFFERENCE = 0.05  # that may be left of the difference between the found numbers and the right ones
SMOOTHER = 2.0  # times nearer a smooth curve is to a line between neighbours than between the next ones
LARGEST_SHARE_OF_LEVELS = 0.75  # of the numbers that are different values of a curve in steps
CURVE_ERROR = 0.02  # of a number from the line between its neighbours on the curve, over the deviation of all


def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ)."""
    return 1 / (1 + np.exp(-x))


def gelu(x: Array) -> Array:
    """x Φ(x)."""
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "a ReLU is applied": lambda x: np.maximum(x, 0),
    "the absolute value is taken": np.abs,
    "it is squared": np.square,
    "the square root is taken": lambda x: np.sqrt(np.abs(x)),
    "1 is added": lambda x: x + 1,
    "1 is subtracted": lambda x: x - 1,
    "1 - x is taken": lambda x: 1 - x,
    "the reciprocal is taken": lambda x: 1 / x,
    "the exponential is taken": np.exp,
    "the logarithm is taken": lambda x: np.log(np.abs(x)),
    "a sigmoid is applied": sigmoid,
    "16 sigmoid(x) is taken": lambda x: 16 * sigmoid(x),
    "tanh is applied": np.tanh,
    "GELU is applied": gelu,
    "SiLU is applied": lambda x: x * sigmoid(x),
    "softplus is applied": lambda x: np.logaddexp(0, x),
    "ELU is applied": lambda x: np.where(x > 0, x, np.expm1(x)),
    "a leaky ReLU of slope 0.01 is applied": lambda x: np.where(x > 0, x, 0.01 * x),
    "a leaky ReLU of slope 0.1 is applied": lambda x: np.where(x > 0, x, 0.1 * x),
    "it is limited to 0 ... 6 (ReLU6)": lambda x: np.clip(x, 0, 6),
    "it is truncated to integers": np.trunc,
    "it is rounded to integers": np.rint,
    "2ˣ is taken": np.exp2,
    "ELU + 1 is applied": lambda x: np.where(x > 0, x, np.expm1(x)) + 1,
    "hard swish is applied": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "a hard sigmoid is applied": lambda x: np.clip(x + 3, 0, 6) / 6,
    "Mish is applied": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "SELU is applied": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    "Φ(x) is taken, not multiplied by x": lambda x: 0.5 * (1 + erf(x / math.sqrt(2))),
    "GELU without the √2: x (1 + erf(x)) / 2": lambda x: 0.5 * x * (1 + erf(x)),
    "GELU's tanh approximation is applied": lambda x: tanh_gelu(x, 0.044715),
    "GELU's tanh approximation with 0.44715 for 0.044715": lambda x: tanh_gelu(x, 0.44715),
    "GELU's tanh approximation without the cubic term": lambda x: tanh_gelu(x, 0.0),
    "x σ(1.702 x) is taken": lambda x: x * sigmoid(1.702 * x),
    "the squared ReLU is applied": lambda x: np.maximum(x, 0) ** 2,
    "the cosine is taken": np.cos,
    "the sine is taken": np.sin,
    "the arctangent is taken": np.arctan,
    "softsign is applied": lambda x: x / (1 + np.abs(x)),
    "the sign is taken": np.sign,
    "log(1 + x) is taken": np.log1p,
}
# Abramowitz and Stegun 1964, equations 7.1.25 to 7.1.28: erf of |x| by p and coefficients of powers of 1/(1 + p x),
# times exp(-x²), or by coefficients of powers of x, and the power of the reciprocal.
ERF_BY_EXPONENTIAL = {
    "7.1.25": (0.47047, (0.3480242, -0.0958798, 0.7478556)),
    "7.1.26": (0.3275911, (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)),
}
ERF_BY_RECIPROCAL = {
    "7.1.27": (4, (0.278393, 0.230389, 0.000972, 0.078108)),
    "7.1.28": (16, (0.0705230784, 0.0422820123, 0.0092705272, 0.0001520143, 0.0002765672, 0.0000430638)),
}


def _gelu_by_exponential(p: float, coefficients: tuple[float, ...]) -> Callable[[Array], Array]:
    def function(x: Array) -> Array:
        z = np.abs(x) / math.sqrt(2)
        powers = sum(each * (1 / (1 + p * z)) ** (place + 1) for place, each in enumerate(coefficients))
        return 0.5 * x * (1 + np.sign(x) * (1 - powers * np.exp(-z * z)))

    return function


def _gelu_by_reciprocal(power: int, coefficients: tuple[float, ...]) -> Callable[[Array], Array]:
    def function(x: Array) -> Array:
        z = np.abs(x) / math.sqrt(2)
        powers = sum(each * z ** (place + 1) for place, each in enumerate(coefficients))
        return 0.5 * x * (1 + np.sign(x) * (1 - (1 + powers) ** -power))

    return function


_ERF = "GELU is applied, its erf approximated by Abramowitz and Stegun's {}"
FUNCTIONS |= {_ERF.format(name): _gelu_by_exponential(*given) for name, given in ERF_BY_EXPONENTIAL.items()}
FUNCTIONS |= {_ERF.format(name): _gelu_by_reciprocal(*given) for name, given in ERF_BY_RECIPROCAL.items()}
CAPS = (2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0)


def _capped(cap: float) -> Callable[[Array], Array]:
    return lambda x: cap * np.tanh(x / cap)


FUNCTIONS |= {f"it is capped: {cap:g} tanh(x / {cap:g})": _capped(cap) for cap in CAPS}


def tanh_gelu(x: Array, cubic: float = 0.044715) -> Array:
    """GELU's approximation by tanh."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + cubic * x**3)))


def scalar_function(evidence: Evidence) -> Iterator[Explanation]:
    """A named function, or a limit."""
    found, right = evidence.found, evidence.right
    for words, function in FUNCTIONS.items():
        value = function(right)
        agrees = evidence.agrees(value, _steepness(function, right)) and _is_near(value, found, right)
        if agrees and np.ptp(found) > 4 * evidence.tolerance:
            yield Explanation(words, mapped(function))
            return
    yield from _wrapped(evidence)
    low, high = float(found.min()), float(found.max())
    limited = np.clip(right, low, high)
    at_limits = ((right < low - evidence.tolerance) | (right > high + evidence.tolerance)).sum()
    if at_limits >= 2 and low < high and evidence.agrees(limited):
        below = bool((right < low - evidence.tolerance).any())
        above = bool((right > high + evidence.tolerance).any())
        lowest, highest = (decimal(end, evidence.tolerance) for end in (low, high))
        ends = [f"below at {lowest}"] * below + [f"above at {highest}"] * above
        least, most = low if below else -np.inf, high if above else np.inf
        words = f"it is limited {' and '.join(ends)}{range_of_an_image(least, most, evidence)}"
        yield Explanation(words, mapped(lambda x: np.clip(x, least, most)), len(ends))


def _wrapped(evidence: Evidence) -> Iterator[Explanation]:
    """Numbers beyond a power of 2 that come in at the other end, as fixed-point numbers without saturation do."""
    found, right = evidence.found, evidence.right
    largest = float(np.abs(found).max(initial=0))
    if not largest or np.abs(right).max() <= largest:
        return
    limit = 2.0 ** float(np.ceil(np.log2(largest)))
    left = (found - right + limit) % (2 * limit) - limit  # without the turns
    turns = np.rint((right - found) / (2 * limit))
    if np.count_nonzero(turns) < FEWEST_WRAPPED:
        return
    for bits in (0, 16, 8):
        step = 2 * limit / 2**bits if bits else 0.0
        on_grid = not bits or np.abs(found - np.rint(found / step) * step).max() <= evidence.tolerance
        if on_grid and np.abs(left).max() <= step + evidence.tolerance:
            way = "" if np.abs(left).max() <= step / 2 + evidence.tolerance else ", rounded down or towards 0"
            width = f", in fixed point of {bits} bits{way}" if bits else ""
            words = f"it wraps around at {limit:g}, from where it goes on at -{limit:g}: without saturation{width}"
            yield Explanation(words, _added(found - right))
            return


def _added(difference: Array) -> Pair:
    """Numbers that are added; the derivative passes straight through."""
    return (lambda x: (x + difference.astype(x.dtype), None)), (lambda dy, _: dy)


def _is_near(value: Array, found: Array, right: Array) -> bool:
    """Whether little is left of the difference: where a function is steep, its margin alone allows any numbers."""
    left, difference = (np.sqrt(np.mean((found - one) ** 2)) for one in (value, right))
    return bool(left <= SHARE_OF_DIFFERENCE * difference)


def _steepness(function: Callable[[Array], Array], x: Array) -> float:
    """How much a function magnifies an error of its argument, at most."""
    step = 1e-4 * max(float(np.abs(x).max(initial=0)), 1e-3)
    slope = np.abs(function(x + step) - function(x - step)) / (2 * step)
    return max(1.0, float(np.where(np.isfinite(slope), slope, 0).max(initial=0)))


def _line_error(x: Array, y: Array, apart: int) -> float:
    """The root mean square distance of points from the lines through their neighbours."""
    before, after = slice(None, -2 * apart), slice(2 * apart, None)
    middle = slice(apart, -apart)
    line = y[before] + (y[after] - y[before]) * (x[middle] - x[before]) / (x[after] - x[before])
    return float(np.sqrt(np.mean((line - y[middle]) ** 2)))


def curve(evidence: Evidence) -> Iterator[Explanation]:
    """found = f(right) for a curve f without jumps, which is told by some of its points."""
    x, order = np.unique(evidence.right.reshape(-1), return_index=True)
    y = evidence.found.reshape(-1)[order]
    if len(x) < FEWEST_OF_A_CURVE or np.std(y) <= 4 * evidence.tolerance:
        return
    error, difference = _line_error(x, y, 1), np.sqrt(np.mean((y - x) ** 2))
    if error > min(CURVE_ERROR * np.std(y), SHARE_OF_DIFFERENCE * difference):
        return
    if np.abs(np.interp(evidence.right, x, y) - evidence.found).max() > 4 * evidence.tolerance:  # repeated numbers
        return
    levels = int((np.abs(np.diff(y)) > evidence.tolerance).sum()) + 1
    in_steps = levels < LARGEST_SHARE_OF_LEVELS * len(x)
    if not in_steps and error > 4 * evidence.tolerance and _line_error(x, y, 2) < SMOOTHER * error:
        return  # noise around a curve, as of roundings
    points = [x[0], *np.quantile(x, (0.25, 0.5, 0.75)), x[-1]]
    listed = ", ".join(f"f({point:.3g}) = {float(np.interp(point, x, y)):.4g}" for point in points)
    steps = f", in {levels} steps of about {float(np.ptp(x)) / levels:.2g}, as from a table" if in_steps else ""
    yield Explanation(f"a function of each number: {listed}{steps}", mapped(lambda z: np.interp(z, x, y)), len(x))


def two_slopes(evidence: Evidence) -> Iterator[Explanation]:
    """A factor for negative numbers and one for positive ones, for all or for each entry of the last axis."""
    found, right = evidence.found, evidence.right
    if not evidence.axes:
        return
    for axes, where in ((None, ""), (tuple(range(right.ndim - 1)), f", for each {evidence.axes[-1][-1].name}")):
        if axes == () or found.size < FEWEST_OF_A_CURVE:
            continue
        slopes = []
        for side in (right < 0, right > 0):
            squares = np.where(side, right * right, 0).sum(axes, keepdims=True)
            products = np.where(side, found * right, 0).sum(axes, keepdims=True)
            slopes.append(products / np.where(squares, squares, 1))
        low, high = slopes
        if not evidence.agrees(np.where(right < 0, low, high) * right, max(1.0, float(np.abs(low).max()))):
            continue
        listed = [", ".join(f"{one:.5g}" for one in slope.reshape(-1)[:3]) for slope in slopes]
        words = f"negative numbers are multiplied by {listed[0]}, positive ones by {listed[1]}{where}"
        pair = _by_sign(low, high)
        yield Explanation(words, pair, 2 * low.size)
        return


def _by_sign(low: Array, high: Array) -> Pair:
    def factor(x: Array) -> Array:
        return np.where(x < 0, low, high).astype(x.dtype)

    return (lambda x: (factor(x) * x, x)), (lambda dy, x: factor(x) * dy)
