"""How far two tensors are apart."""

from dataclasses import dataclass

import numpy as np

from npswin.types import Array


@dataclass(frozen=True)
class Distance:
    """Of a tensor from the one it should be.

    Attributes:
        largest: the largest absolute difference.
        relative: the root mean square of the differences, over that of the right numbers.
        peak: the largest absolute difference, over the same.
        cosine: of the angle between the two, each taken as one long vector.
        where: the index of the largest difference.
        wrong: what stands there.
        right: what should.
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
        """Whether each number is one."""
        return bool(np.isfinite(self.largest))


def distance(found: Array, right: Array, scale: float = 0.0) -> Distance:
    """How far `found` is from `right`, of the same shape; where all that is right is 0, differences are relative to
    `scale`.

    Infinity where infinity should be is no difference. NaN, and infinity elsewhere, make every measure infinite.
    """
    found, right = np.asarray(found, np.float64), np.asarray(right, np.float64)
    difference = _difference(found, right)
    place = int(difference.argmax()) if difference.size else 0
    where = tuple(int(i) for i in np.unravel_index(place, difference.shape)) if difference.size else ()
    largest = float(difference.max(initial=0))
    relative, peak = _over(difference, right, scale)
    norms = _rms(_finite(found)), _rms(_finite(right))
    cosine = (
        float(np.mean((_finite(found) / norms[0]) * (_finite(right) / norms[1]))) if all(norms) else float(not largest)
    )
    return Distance(largest, relative, peak, cosine, where, float(found[where]), float(right[where]))


def spread(found: Array, right: Array, scale: float = 0.0) -> tuple[float, float]:
    """The `relative` and `peak` of a distance, by themselves."""
    return _over(_difference(found, right), right, scale)


def _difference(found: Array, right: Array) -> Array:
    """|found - right|, infinite where one of them is no number."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(np.subtract(found, right, dtype=np.float64))
    if not np.isfinite(difference).all():
        difference = np.where(found == right, 0.0, np.where(np.isfinite(difference), difference, np.inf))
    return difference


def _over(difference: Array, right: Array, scale: float) -> tuple[float, float]:
    """Root mean square and maximum of the differences, over the root mean square of the right numbers."""
    largest, usual = float(difference.max(initial=0)), _rms(_finite(right)) or scale
    if not np.isfinite(largest) or not usual:
        share = 0.0 if largest == 0 else np.inf
        return share, share
    return _rms(difference) / usual, largest / usual


def _finite(array: Array) -> Array:
    return array if np.isfinite(array).all() else np.where(np.isfinite(array), array, 0.0)


def _rms(array: Array) -> float:
    """Root mean square, without overflow or underflow of the squares."""
    flat = array.reshape(-1)
    square = float(np.vdot(flat, flat)) if flat.size else 0.0
    if 1e-250 < square < 1e250:
        return float(np.sqrt(square / flat.size))
    top = float(np.abs(flat).max(initial=0))
    return top * float(np.sqrt(np.mean((flat / top) ** 2))) if top else 0.0
