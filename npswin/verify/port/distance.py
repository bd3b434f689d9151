"""The distance between two tensors."""

import math
from dataclasses import dataclass

import numpy as np

from npswin.types import Array


@dataclass(frozen=True)
class Distance:
    """The distance of a tensor from the correct one.

    Attributes:
        largest: the largest absolute difference.
        relative: the root mean square of the differences, divided by the root mean square of the correct numbers.
        peak: the largest absolute difference, divided by the root mean square of the correct numbers.
        cosine: of the angle between the two, each flattened to a vector.
        where: the index of the largest difference.
        wrong: the number at this index.
        right: the correct number at this index.
    """

    largest: float
    relative: float
    peak: float
    cosine: float
    where: tuple[int, ...]
    wrong: float
    right: float

    @property
    def finite(self) -> bool:
        """Whether every difference is finite."""
        return bool(np.isfinite(self.largest))


def distance(found: Array, right: Array, scale: float = 0.0) -> Distance:
    """The distance of `found` from `right`.

    An infinite number, or NaN, in both arrays at the same index is no difference. One in only one of them makes every
    measure infinite.

    Args:
        found: the tensor to check.
        right: the correct tensor, of the same shape.
        scale: used in place of the root mean square of `right` where that is 0.
    """
    found, right = np.asarray(found, np.float64), np.asarray(right, np.float64)
    difference = _difference(found, right)
    flat_index = int(difference.argmax()) if difference.size else 0
    where = tuple(int(i) for i in np.unravel_index(flat_index, difference.shape)) if difference.size else ()
    largest = float(difference.max(initial=0))
    finite_found, finite_right = _finite(found), _finite(right)
    norms = _rms(finite_found), _rms(finite_right)
    relative, peak = _divide_by_rms(difference, norms[1], scale)
    cosine = float(np.mean((finite_found / norms[0]) * (finite_right / norms[1]))) if all(norms) else float(not largest)
    return Distance(largest, relative, peak, cosine, where, float(found[where]), float(right[where]))


def relative_and_peak(found: Array, right: Array, scale: float = 0.0) -> tuple[float, float]:
    """The attributes `relative` and `peak` of a `Distance`, without computing the others."""
    return _divide_by_rms(_difference(found, right), finite_rms(right), scale)


def relative_and_peak_to(found: Array, right: Array, rms: float, scale: float = 0.0) -> tuple[float, float]:
    """As `relative_and_peak`, with `finite_rms` of the correct tensor given."""
    return _divide_by_rms(_difference(found, right), rms, scale)


def finite_rms(array: Array) -> float:
    """The root mean square, with zeros in place of numbers that are not finite."""
    return _rms(_finite(array))


def _difference(found: Array, right: Array) -> Array:
    """|found - right|, infinite where only one of the two is finite or one is NaN; 0 where both are NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(np.subtract(found, right, dtype=np.float64))
    if not _all_finite(difference):
        same = (found == right) | (np.isnan(found) & np.isnan(right))
        difference = np.where(same, 0.0, np.where(np.isfinite(difference), difference, np.inf))
    return difference


def _divide_by_rms(difference: Array, rms: float, scale: float) -> tuple[float, float]:
    """Root mean square and maximum of the differences, each divided by the root mean square of the correct numbers."""
    largest, divisor = float(difference.max(initial=0)), rms or scale
    if not math.isfinite(largest) or not divisor:
        quotient = 0.0 if largest == 0 else np.inf
        return quotient, quotient
    return _rms(difference) / divisor, largest / divisor


def _finite(array: Array) -> Array:
    return array if _all_finite(array) else np.where(np.isfinite(array), array, 0.0)


def _all_finite(array: Array) -> bool:
    return bool(np.isfinite(array).all())


def _rms(array: Array) -> float:
    """Root mean square, without overflow or underflow of the squares."""
    flat = array.reshape(-1)
    square = float(np.vdot(flat, flat)) if flat.size else 0.0
    if 1e-250 < square < 1e250:
        return float(np.sqrt(square / flat.size))
    top = float(np.abs(flat).max(initial=0))
    return top * float(np.sqrt(np.mean((flat / top) ** 2))) if top else 0.0
