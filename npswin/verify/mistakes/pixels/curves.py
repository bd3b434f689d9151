"""Functions of a pixel's value, recognized from a table of their values."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.pixels.prepared import LEVELS, WHITE

Curve = Callable[[Array], Array]

FEWEST = 8  # points of a curve with fitted numbers
NEARER = 1.5  # times nearer a curve has to be than a simpler one that agrees too
SMALL = 1e-3  # a distance of pixels that is rounding
SIMPLE_POWERS = (1.5, 1.7, 1.8, 2.0, 2.2, 2.4, 2.6, 3.0)
CUT_OFFSET = 0.5  # by which numbers that were cut to integers are smaller, on average
ROUNDINGS: dict[str, Curve] = {
    "": lambda x: x,
    ", rounded to integers": np.rint,
    ", rounded to integers, halves up": lambda x: np.floor(x + 0.5),
    ", cut to integers": np.trunc,
}


class Points(NamedTuple):
    """Some points of a curve: `value` (n) from 0 to 255, what it becomes (n), and the tolerance."""

    value: Array
    becomes: Array
    tolerance: float

    def number(self, value: float) -> str:
        """A number of the curve in words."""
        return f"{0.0 if abs(value) <= self.tolerance else value:.4g}"

    def distance(self, curve: Curve) -> float:
        """The root mean square distance of the points from a curve."""
        return float(np.sqrt(np.mean((curve(self.value) - self.becomes) ** 2)))

    def agree(self, curve: Curve) -> bool:
        """Whether the points are on a curve."""
        with np.errstate(all="ignore"):
            return bool((np.abs(curve(self.value) - self.becomes) <= self.tolerance).all())


class Recognized(NamedTuple):
    """A curve in words, and how many of its numbers were fitted."""

    words: str
    curve: Curve
    fitted: int = 0


def _srgb_to_linear(x: Array) -> Array:
    p = x / WHITE
    return WHITE * np.where(p <= 0.04045, p / 12.92, ((np.maximum(p, 0) + 0.055) / 1.055) ** 2.4)


def _linear_to_srgb(x: Array) -> Array:
    p = x / WHITE
    return WHITE * np.where(p <= 0.0031308, 12.92 * p, 1.055 * np.maximum(p, 0) ** (1 / 2.4) - 0.055)


def _bt709_to_linear(x: Array) -> Array:
    p = x / WHITE
    return WHITE * np.where(p < 0.081, p / 4.5, ((np.maximum(p, 0) + 0.099) / 1.099) ** (1 / 0.45))


def _linear_to_bt709(x: Array) -> Array:
    p = x / WHITE
    return WHITE * np.where(p < 0.018, 4.5 * p, 1.099 * np.maximum(p, 0) ** 0.45 - 0.099)


def _limited(x: Array) -> Array:
    return x * (219 / WHITE) + 16


def _expanded(x: Array) -> Array:
    return (x - 16) * (WHITE / 219)


def _clipped(curve: Curve) -> Curve:
    return lambda x: np.clip(curve(x), 0, WHITE)


KNOWN: dict[str, Curve] = {
    "sRGB values are made linear (the gamma is undone)": _srgb_to_linear,
    "sRGB's gamma is applied once more, as if the values were linear": _linear_to_srgb,
    "BT.709's gamma is undone": _bt709_to_linear,
    "BT.709's gamma is applied once more": _linear_to_bt709,
    "the range 0 ... 255 is brought to 16 ... 235 (limited range)": _limited,
    "the range 16 ... 235 is expanded to 0 ... 255, though it is 0 ... 255 already": _expanded,
    "the range 16 ... 235 is expanded to 0 ... 255 and limited, though it is 0 ... 255 already": _clipped(_expanded),
    "pixels are inverted: 255 - pixel": lambda x: WHITE - x,
    "pixels are squared: pixel² / 255": lambda x: x * x / WHITE,
    "the root is taken: 255 (pixel / 255)^0.5": lambda x: WHITE * np.sqrt(np.maximum(x, 0) / WHITE),
    "the four higher and the four lower bits are exchanged": lambda x: (x % 16) * 16 + x // 16,
    "the bits are in reversed order": lambda x: _reversed_bits(np.rint(x).astype(np.int64)),
}


def _reversed_bits(x: Array) -> Array:
    return np.asarray(sum(((x >> bit) & 1) << (7 - bit) for bit in range(8)), np.float64)


def recognized(points: Points) -> Recognized | None:
    """The curve through points: the simplest of those that are about as near as any; None where none is known."""
    near = [one for one in _candidates(points) if points.agree(one.curve)]
    if not near:
        return None
    distances = [points.distance(one.curve) for one in near]
    return next(one for one, far in zip(near, distances, strict=True) if far <= NEARER * min(distances) + SMALL)


def _candidates(points: Points) -> Iterator[Recognized]:
    for words, curve in KNOWN.items():
        for how, rounding in ROUNDINGS.items():
            yield Recognized(words + how, _after(curve, rounding))
    for family in (_added_bits, _levels, _solarized, _power, _line, _wrapped) if len(points.value) >= FEWEST else ():
        yield from family(points)


def _after(curve: Curve, rounding: Curve) -> Curve:
    return lambda x: rounding(curve(x))


def _added_bits(points: Points) -> Iterator[Recognized]:
    """Modulo 256, or with some bits inverted."""
    before, after = points.value.astype(np.int64), np.rint(points.becomes).astype(np.int64)
    constant, mask = int(after[0] - before[0]) % LEVELS, int(after[0] ^ before[0])
    yield Recognized(f"{constant} is added modulo 256", partial(_modulo, 1, constant), 1)
    yield Recognized(f"bits are inverted: pixel XOR {mask:#04x}", partial(_inverted_bits, mask), 1)
    for factor in range(2, 9):
        yield Recognized(f"pixels are multiplied by {factor} modulo 256", partial(_modulo, factor, 0))


def _modulo(factor: int, constant: int, x: Array) -> Array:
    return (factor * x + constant) % LEVELS


def _inverted_bits(mask: int, x: Array) -> Array:
    return np.asarray(np.rint(x).astype(np.int64) ^ mask, np.float64)


def _levels(points: Points) -> Iterator[Recognized]:
    """Fewer levels than 256, by cutting or rounding."""
    ordered = np.sort(points.becomes)
    count = int((np.diff(ordered) > points.tolerance).sum()) + 1
    if not 2 <= count < len(points.value):
        return
    for bits in range(1, 8):
        step = 2**bits
        words = f"the {bits} lowest bits are dropped" if bits > 1 else "the lowest bit is dropped"
        yield Recognized(words, partial(_cut, 1 / step, step, 0))
        yield Recognized(f"pixels become the middle of steps of {step}", partial(_cut, 1 / step, step, step / 2))
        yield Recognized(
            f"pixels have {8 - bits} bits: pixel >> {bits}, not shifted back", partial(_cut, 1 / step, 1, 0)
        )
    for number in dict.fromkeys((count, *range(max(count - 2, 2), count + 3))):
        last, p = number - 1, "with p = pixel / 255"
        words = f"pixels are rounded to {number} levels: round({last} p) / {last} {p}"
        yield Recognized(words, partial(_rounded_levels, last))
        words = f"pixels are cut to {number} levels: floor({last} p) / {last} {p}"
        yield Recognized(words, partial(_cut, last / WHITE, WHITE / last, 0))
        words = f"pixels have {number} levels: floor({number} pixel / 256) / {last}"
        yield Recognized(words, partial(_cut, number / LEVELS, WHITE / last, 0))
    if count == 2:
        low, high = float(ordered[0]), float(ordered[-1])
        first = float(points.value[points.becomes > low + points.tolerance].min())
        words = f"pixels are {points.number(low)} below {first:g} and {points.number(high)} from it on"
        yield Recognized(words, lambda x: np.where(x < first, low, high), 3)


def _cut(factor: float, step: float, offset: float, x: Array) -> Array:
    return np.floor(x * factor + 1e-9) * step + offset


def _rounded_levels(last: int, x: Array) -> Array:
    return np.rint(x / WHITE * last) * WHITE / last


def _solarized(points: Points) -> Iterator[Recognized]:
    same = np.abs(points.becomes - points.value) <= points.tolerance
    if same.any() and not same.all():
        first = float(points.value[~same].min())
        words = f"pixels from {first:g} on are inverted: 255 - pixel (solarized)"
        yield Recognized(words, lambda x: np.where(x < first, x, WHITE - x), 1)


def _power(points: Points) -> Iterator[Recognized]:
    """255 (pixel / 255)^γ."""
    inside = (points.value > 0) & (points.value < WHITE) & (points.becomes > 0) & (points.becomes < WHITE)
    if inside.sum() < FEWEST:
        return
    logs = np.log(points.value[inside] / WHITE), np.log(points.becomes[inside] / WHITE)
    exponent = float((logs[0] * logs[1]).sum() / (logs[0] ** 2).sum())
    simple = [number for power in SIMPLE_POWERS for number in (power, 1 / power)]
    nearest = min(simple, key=lambda number: abs(number - exponent))
    tries = [(nearest, 0)] if abs(nearest - exponent) < 1e-2 * exponent else []
    tries += [(round(exponent, digits), 1) for digits in (2, 3)] + [(exponent, 1)]
    for gamma, fitted in tries:
        words = f"1 / {1 / gamma:.4g}" if gamma < 1 else f"{gamma:.4g}"
        for how, rounding in ROUNDINGS.items():
            curve = _after(partial(_raised, gamma), rounding)
            yield Recognized(f"a gamma is applied: 255 (pixel / 255)^({words}){how}", curve, fitted)


def _raised(gamma: float, x: Array) -> Array:
    return np.asarray(WHITE * (np.maximum(x, 0) / WHITE) ** gamma)


def _wrapped(points: Points) -> Iterator[Recognized]:
    """(pixel - c) modulo 256, and a constant: c is subtracted from bytes without a sign."""
    change = points.becomes - points.value
    low, high = float(change.min()), float(change.max())
    is_high = change > (low + high) / 2
    least = int(np.count_nonzero(is_high))
    flat = np.where(is_high, change - 256, change)
    if abs(high - low - 256) > 2 * points.tolerance or np.ptp(flat) > 2 * points.tolerance:
        return
    if not is_high[:least].all():
        return
    first = int(points.value[least])
    constant = f"; {low:.4g} is added to all" if abs(low) > points.tolerance else ""
    why = f"as where {first} is subtracted from bytes without a sign"
    words = f"pixels below {first} wrap around and are larger by 256, {why}"
    yield Recognized(words + constant, lambda x: x + low + 256 * (x < first), 1)


def _line(points: Points) -> Iterator[Recognized]:
    """a pixel + b, limited to a range, and perhaps rounded."""
    low, high = float(points.becomes.min()), float(points.becomes.max())
    inside = (points.becomes > low + points.tolerance) & (points.becomes < high - points.tolerance)
    if inside.sum() < FEWEST:
        return
    slope, offset = (float(one) for one in np.polyfit(points.value[inside], points.becomes[inside], 1))
    for digits in (0, 1, None):
        for how, rounding in ROUNDINGS.items():
            number = offset + CUT_OFFSET * (rounding is np.trunc)
            factor = slope if digits is None else round(slope, 2)
            number = number if digits is None else round(number, digits)
            line = factor * points.value + number
            least = low if (line < low - CUT_OFFSET).any() else -np.inf
            most = high if (line > high + CUT_OFFSET).any() else np.inf
            ends = [f"at least {points.number(low)}"] * bool(least > -np.inf)
            ends += [f"at most {points.number(high)}"] * bool(most < np.inf)
            constant = f" {'+' if number > 0 else '-'} {abs(number):.4g}" * (abs(number) > points.tolerance)
            words = "pixels are limited" if factor == 1 and not constant else f"{factor:.5g} pixel{constant}"
            curve = _after(
                _after(partial(_on_line, factor, number), rounding), partial(np.clip, a_min=least, a_max=most)
            )
            yield Recognized(words + how + (f", {' and '.join(ends)}" if ends else ""), curve, 2 + len(ends))


def _on_line(factor: float, number: float, x: Array) -> Array:
    return factor * x + number
