"""A function of each number: of a list, a limit at both ends, or any curve."""

import math
from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import erf

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, mapped

FEWEST_OF_A_CURVE = 64  # numbers from which an unknown curve is recognized
SHARE_OF_DIFFERENCE = 0.05  # that may be left of the difference between the found numbers and the right ones
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
    "GELU's tanh approximation is applied": lambda x: _tanh_gelu(x, 0.044715),
    "GELU's tanh approximation with 0.44715 for 0.044715": lambda x: _tanh_gelu(x, 0.44715),
    "GELU's tanh approximation without the cubic term": lambda x: _tanh_gelu(x, 0.0),
    "x σ(1.702 x) is taken": lambda x: x * sigmoid(1.702 * x),
    "the squared ReLU is applied": lambda x: np.maximum(x, 0) ** 2,
    "the cosine is taken": np.cos,
    "the sine is taken": np.sin,
    "the arctangent is taken": np.arctan,
    "softsign is applied": lambda x: x / (1 + np.abs(x)),
    "the sign is taken": np.sign,
    "log(1 + x) is taken": np.log1p,
}
CAPS = (2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0)


def _capped(cap: float) -> Callable[[Array], Array]:
    return lambda x: cap * np.tanh(x / cap)


FUNCTIONS |= {f"it is capped: {cap:g} tanh(x / {cap:g})": _capped(cap) for cap in CAPS}


def _tanh_gelu(x: Array, cubic: float) -> Array:
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
    low, high = float(found.min()), float(found.max())
    limited = np.clip(right, low, high)
    at_limits = ((right < low - evidence.tolerance) | (right > high + evidence.tolerance)).sum()
    if at_limits >= 2 and low < high and evidence.agrees(limited):
        ends = []
        if (right < low - evidence.tolerance).any():
            ends.append(f"below at {low:.6g}")
        if (right > high + evidence.tolerance).any():
            ends.append(f"above at {high:.6g}")
        words = f"it is limited {' and '.join(ends)}"
        yield Explanation(words, mapped(lambda x: np.clip(x, low, high)), len(ends))


def _is_near(value: Array, found: Array, right: Array) -> bool:
    """Whether little is left of the difference: where a function is steep, its margin alone allows any numbers."""
    left, difference = (np.sqrt(np.mean((found - one) ** 2)) for one in (value, right))
    return bool(left <= SHARE_OF_DIFFERENCE * difference)


def _steepness(function: Callable[[Array], Array], x: Array) -> float:
    """How much a function magnifies an error of its argument, at most."""
    step = 1e-4 * max(float(np.abs(x).max(initial=0)), 1e-3)
    slope = np.abs(function(x + step) - function(x - step)) / (2 * step)
    return max(1.0, float(np.where(np.isfinite(slope), slope, 0).max(initial=0)))


def curve(evidence: Evidence) -> Iterator[Explanation]:
    """found = f(right) for a curve f without jumps, which is told by some of its points."""
    x, order = np.unique(evidence.right.reshape(-1), return_index=True)
    y = evidence.found.reshape(-1)[order]
    if len(x) < FEWEST_OF_A_CURVE or np.std(y) <= 4 * evidence.tolerance:
        return
    between = y[:-2] + (y[2:] - y[:-2]) * (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    error, difference = np.sqrt(np.mean((between - y[1:-1]) ** 2)), np.sqrt(np.mean((y - x) ** 2))
    if error > min(CURVE_ERROR * np.std(y), SHARE_OF_DIFFERENCE * difference):
        return
    if np.abs(np.interp(evidence.right, x, y) - evidence.found).max() > 4 * evidence.tolerance:  # repeated numbers
        return
    points = [x[0], *np.quantile(x, (0.25, 0.5, 0.75)), x[-1]]
    listed = ", ".join(f"f({point:.3g}) = {float(np.interp(point, x, y)):.4g}" for point in points)
    yield Explanation(f"a function of each number: {listed}", mapped(lambda z: np.interp(z, x, y)), len(x))
