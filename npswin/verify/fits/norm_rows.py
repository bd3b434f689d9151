"""How a norm's mean and deviation follow from its tokens: of which channels, rounded how, by which function.

A norm gives y = (x - m) r w + b. With w and b known, (y - b) / w is linear in the token's channels: its slope r and its
offset give the mean m that was subtracted and the factor r for each token, which are compared with the token's mean and
variance.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from npswin.types import Array
from npswin.verify.fits.tables import Function, Known, tables

FEWEST_CHANNELS = 4
MARGIN = 3.0  # times the tolerance, for numbers that follow from fitted ones
NEAR = 1e-4
POINTS = (0.0, 0.5, 1.0)  # quantiles at which an unknown function is told
FEWEST_TOKENS = 16
ROOT_BITS = (0x5F3759DF, 0x5F375A86, 0x5F37642F)  # of id Software, and of Lomont 2003
SMALLEST = 1e-12  # variance of which a root is taken

Statistics = Callable[[Array, float], tuple[Array, Array]]  # (tokens, eps) -> the mean and the factor of each


@dataclass(frozen=True)
class NormExplanation:
    """Another mean or another factor.

    Attributes:
        words: of it.
        statistics: the function.
        fitted: how many numbers of it were fitted.
        by_channels: whether other channels are summed, which changes the derivative's formula, too; otherwise it is
            that of the right norm with this mean and factor, as a kernel has it that keeps them.
        slopes: other derivatives that a port may take of the factor by the variance, by words: (variance + eps,) -> it.
    """

    words: str
    statistics: Statistics
    fitted: int = 0
    by_channels: bool = False
    slopes: Mapping[str, Function] = field(default_factory=dict)


@dataclass(frozen=True)
class NormedTokens:
    """A port's normalized tokens and what they should be computed from; all but `eps` in rows.

    Attributes:
        found: the port's, (tokens, C), before weight and bias.
        x: (tokens, C).
        eps: of the norm.
        tolerance: the largest difference of equal numbers, (C,).
    """

    found: Array
    x: Array
    eps: float
    tolerance: Array

    def agrees(self, mean: Array, factor: Array) -> bool:
        """Whether a mean and a factor, (tokens, 1), give the found tokens."""
        return bool((np.abs((self.x - mean) * factor - self.found) <= MARGIN * self.tolerance).all())


def mean_of(x: Array) -> Array:
    """The mean over the channels, (tokens, 1)."""
    return x.mean(axis=-1, keepdims=True)


def variance_of(x: Array) -> Array:
    """The biased variance over the channels, (tokens, 1)."""
    return ((x - mean_of(x)) ** 2).mean(axis=-1, keepdims=True)


def norm_explanations(given: NormedTokens) -> Iterator[NormExplanation]:
    """Explanations of a norm's result by other statistics, the simplest first."""
    if given.x.shape[-1] < FEWEST_CHANNELS or not np.isfinite(given.found).all():
        return
    centred = given.x - mean_of(given.x)
    squares = (centred * centred).sum(axis=-1, keepdims=True)
    with np.errstate(all="ignore"):
        factor = (centred * given.found).sum(axis=-1, keepdims=True) / squares
        mean = mean_of(given.x) - mean_of(given.found) / factor
        if not given.agrees(mean, factor):
            return
        for family in FAMILIES:
            for one in family(given, mean, factor):
                if given.agrees(*one.statistics(given.x, given.eps)):
                    yield one


def _of_some_channels(given: NormedTokens, _: Array, factor: Array) -> Iterator[NormExplanation]:
    """Mean or variance leave out channels at an end, or are divided by another number."""
    channels = given.x.shape[-1]
    for left_out in range(1, channels - 1):
        for part, which in ((slice(0, channels - left_out), "last"), (slice(left_out, None), "first")):
            words = f"leaves out the {which} {f'{left_out} channels' if left_out > 1 else 'channel'}"
            yield NormExplanation(f"the mean {words}", _with_mean_of(part, False), 0, True)
            yield NormExplanation(f"the variance {words}", _with_variance_of(part), 0, True)
            yield NormExplanation(
                f"mean and variance {words.replace('leaves', 'leave')}", _with_mean_of(part, True), 0, True
            )
    for count in range(1, 2 * channels + 1):
        if count != channels:
            words = f"divided by {count} rather than by {channels}"
            yield NormExplanation(f"the sum for the mean is {words}", _divided(count, True, False), 0, True)
            yield NormExplanation(f"the sum for the variance is {words}", _divided(count, False, True), 0, True)
            yield NormExplanation(f"the sums for mean and variance are {words}", _divided(count, True, True), 0, True)


def _with_mean_of(part: slice, variance_too: bool) -> Statistics:
    def statistics(x: Array, eps: float) -> tuple[Array, Array]:
        of = x[:, part]
        return mean_of(of), 1 / np.sqrt(variance_of(of if variance_too else x) + eps)

    return statistics


def _with_variance_of(part: slice) -> Statistics:
    def statistics(x: Array, eps: float) -> tuple[Array, Array]:
        squares = (x - mean_of(x))[:, part] ** 2
        return mean_of(x), 1 / np.sqrt(mean_of(squares) + eps)

    return statistics


def _divided(count: int, of_mean: bool, of_variance: bool) -> Statistics:
    def statistics(x: Array, eps: float) -> tuple[Array, Array]:
        channels = x.shape[-1]
        mean = x.sum(axis=-1, keepdims=True) / (count if of_mean else channels)
        variance = ((x - mean) ** 2).sum(axis=-1, keepdims=True) / (count if of_variance else channels)
        return mean, 1 / np.sqrt(variance + eps)

    return statistics


def from_bits(v: Array, magic: int) -> Array:
    """1/√v nearly, from the bits of a float32 (Lomont 2003); they have no derivative."""
    bits = v.astype(np.float32).view(np.int32)
    return (np.int32(magic) - (bits >> 1)).astype(np.int32).view(np.float32).astype(np.float64)


def _newton(start: Known, steps: int) -> Known:
    """Newton's steps y ← y (3 - v y²)/2, whose derivative by v is y' ← 3 y' (1 - v y²)/2 - y³/2."""

    def iterated(v: Array) -> tuple[Array, Array]:
        y, slope = start.value(v), start.slope(v)
        for _ in range(steps):
            y, slope = y * (1.5 - 0.5 * v * y * y), slope * (1.5 - 1.5 * v * y * y) - 0.5 * y**3
        return y, slope

    return Known(lambda v: iterated(v)[0], lambda v: iterated(v)[1])


INVERSE_ROOT = Known(lambda v: 1 / np.sqrt(np.maximum(v, SMALLEST)), lambda v: -0.5 * np.maximum(v, SMALLEST) ** -1.5)
STARTS = {"1": Known(np.ones_like, np.zeros_like), "1/v": Known(np.reciprocal, lambda v: -1 / (v * v))}
ROOTS: dict[str, Known] = {
    f"the fast inverse square root by a float's bits, with {steps} of Newton's steps{words}": _newton(
        Known(partial(from_bits, magic=magic), np.zeros_like), steps
    )
    for magic, words in zip(ROOT_BITS, ("", *(f", from {magic:#x}" for magic in ROOT_BITS[1:])), strict=True)
    for steps in range(4)
}
ROOTS |= {
    f"Newton's iteration for 1/√v from {words}, after {steps} step{'s' if steps > 1 else ''}": _newton(start, steps)
    for words, start in STARTS.items()
    for steps in range(1, 9)
}


def _by_another_root(given: NormedTokens, mean: Array, factor: Array) -> Iterator[NormExplanation]:
    right: dict[str, Function] = {"its derivative is that of 1/√v": INVERSE_ROOT.slope}
    constant: dict[str, Function] = {"its derivative is taken to be 0": np.zeros_like}
    for words, root in ROOTS.items():
        slopes = {"its derivative is that of these steps": root.slope, **right, **constant}
        yield NormExplanation(f"1 / the deviation is {words}", _with_root(root.value), slopes=slopes)
    v = variance_of(given.x) + given.eps
    tolerance = NEAR * float(INVERSE_ROOT.value(v).min())
    for table in tables(INVERSE_ROOT, v, factor, tolerance, True, {"1/√v": INVERSE_ROOT}):
        slopes = {"its derivative is read from such a table": table.slope, **right, **constant}
        yield NormExplanation(f"1 / the deviation is read {table.words}", _with_root(table.read), slopes=slopes)


def _with_root(root: Function) -> Statistics:
    return lambda x, eps: (mean_of(x), root(variance_of(x) + eps))


def _by_unknown_function(given: NormedTokens, mean: Array, factor: Array) -> Iterator[NormExplanation]:
    """A curve of the variance."""
    v, order = np.unique(variance_of(given.x) + given.eps, return_index=True)
    r = factor.reshape(-1)[order]
    if len(v) < FEWEST_TOKENS or np.abs(mean - mean_of(given.x)).max() > NEAR * float(np.abs(given.x).max()):
        return
    deviation = np.sqrt(v) * r  # 1 where it is right
    between = deviation[:-2] + (deviation[2:] - deviation[:-2]) * (v[1:-1] - v[:-2]) / (v[2:] - v[:-2])
    if np.abs(between - deviation[1:-1]).max() > 0.05 * np.abs(deviation - 1).max():
        return
    listed = ", ".join(f"{np.interp(p, v, deviation):.5g} at variance {p:.3g}" for p in np.quantile(v, POINTS))
    words = f"1 / the deviation is multiplied by a function of the variance: {listed}"
    yield NormExplanation(words, _with_root(lambda u: np.interp(u, v, deviation) / np.sqrt(u)), len(v))


FAMILIES = (_of_some_channels, _by_another_root, _by_unknown_function)
