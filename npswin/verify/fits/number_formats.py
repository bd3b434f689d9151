"""Numbers rounded to few bits, or to a few levels, with a scale: what quantization makes of weights and activations."""

from collections.abc import Callable

import numpy as np

from npswin.types import Array

Rounding = Callable[[Array], Array]  # of rows (rows, numbers); a scale is that of a row

# Dettmers et al. 2023, QLoRA, appendix E.
NF4 = np.array(
    [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
     -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
     0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]
)  # fmt: skip


def to_float(digits: int, least_exponent: int, largest: float) -> Rounding:
    """Rounding to a float of so many binary digits after the first, with subnormal numbers; larger ones saturate."""

    def rounding(x: Array) -> Array:
        _, exponent = np.frexp(x)
        step = np.ldexp(1.0, np.maximum(exponent - 1, least_exponent) - digits)
        return np.clip(np.rint(x / step) * step, -largest, largest)

    return rounding


FLOATS: dict[str, tuple[Rounding, float]] = {  # by name the rounding and the largest number
    "float8 (e4m3)": (to_float(3, -6, 448.0), 448.0),
    "float8 (e5m2)": (to_float(2, -14, 57344.0), 57344.0),
    "float6 (e3m2)": (to_float(2, -2, 28.0), 28.0),
    "float4 (e2m1)": (to_float(1, 0, 6.0), 6.0),
}


def scaled(rounding: Rounding, largest: float) -> Rounding:
    """A rounding of numbers that are scaled so that each row's largest becomes the format's."""

    def rescaled(x: Array) -> Array:
        own = np.abs(x).max(axis=1, keepdims=True)
        factor = largest / np.where(own, own, 1)
        return rounding(x * factor) / factor

    return rescaled


def to_levels(levels: Array) -> Rounding:
    """Rounding to the nearest of some levels, times each row's largest number."""

    def rounding(x: Array) -> Array:
        own = np.abs(x).max(axis=1, keepdims=True)
        unit = x / np.where(own, own, 1)
        middles = (levels[1:] + levels[:-1]) / 2
        return levels[np.searchsorted(middles, unit)] * own

    return rounding


def with_zero_point(steps: int) -> Rounding:
    """Rounding to so many steps from the least number to the largest, with 0 among them."""

    def rounding(x: Array) -> Array:
        low = np.minimum(x.min(axis=1, keepdims=True), 0)
        high = np.maximum(x.max(axis=1, keepdims=True), 0)
        step = np.where(high > low, high - low, 1) / steps
        zero = np.rint(-low / step)
        return (np.clip(np.rint(x / step) + zero, 0, steps) - zero) * step

    return rounding


def _signs(x: Array) -> Array:
    """Rastegari et al. 2016, XNOR-Net: the sign times the mean absolute value."""
    return np.sign(x) * np.abs(x).mean(axis=1, keepdims=True)


def _ternary_mean(x: Array) -> Array:
    """Ma et al. 2024, BitNet b1.58: -1, 0 or 1 times the mean absolute value."""
    mean = np.abs(x).mean(axis=1, keepdims=True)
    return np.clip(np.rint(x / mean), -1, 1) * mean


def _ternary_threshold(x: Array) -> Array:
    """Li et al. 2016, ternary weight networks: 0 below 0.7 of the mean absolute value."""
    kept = np.abs(x) > 0.7 * np.abs(x).mean(axis=1, keepdims=True)
    mean = np.where(kept, np.abs(x), 0).sum(axis=1, keepdims=True) / np.maximum(kept.sum(axis=1, keepdims=True), 1)
    return np.sign(x) * kept * mean


def _powers_of_two(x: Array) -> Array:
    return np.sign(x) * np.exp2(np.rint(np.log2(np.maximum(np.abs(x), 1e-30))))


def _to_decimals(digits: int) -> Rounding:
    return lambda x: np.asarray(np.round(x, digits))


UNSCALED: dict[str, Rounding] = {f"rounded to {name}": rounding for name, (rounding, _) in FLOATS.items()}
UNSCALED |= {"rounded to powers of 2": _powers_of_two}
UNSCALED |= {f"rounded to {digits} decimals": _to_decimals(digits) for digits in range(1, 7)}

SCALED: dict[str, Rounding] = {
    f"rounded to {name}, scaled to its largest number": scaled(rounding, largest)
    for name, (rounding, largest) in FLOATS.items()
}
SCALED |= {
    "rounded to NF4, 16 levels for normal numbers": to_levels(NF4),
    "rounded to uint8 with a zero point, 255 steps from the least to the largest": with_zero_point(255),
    "rounded to uint4 with a zero point, 15 steps from the least to the largest": with_zero_point(15),
    "replaced by their signs times their mean size": _signs,
    "rounded to -1, 0 or 1 times their mean size": _ternary_mean,
    "rounded to -1, 0 or 1 times the mean size of the larger ones (ternary weights)": _ternary_threshold,
}
