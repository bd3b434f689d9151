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


def distance(found: Array, right: Array) -> Distance:
    """How far `found` is from `right`, of the same shape.

    Infinity where infinity should be is no difference. NaN, and infinity elsewhere, make every measure infinite.
    """
    found, right = np.asarray(found, np.float64), np.asarray(right, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.where(found == right, 0.0, np.abs(found - right))
        difference = np.where(np.isfinite(difference), difference, np.inf)
    place = int(difference.argmax()) if difference.size else 0
    where = tuple(int(i) for i in np.unravel_index(place, difference.shape)) if difference.size else ()
    wrong, should = float(found[where]), float(right[where])
    largest = float(difference.max(initial=0))
    if not np.isfinite(largest):
        return Distance(np.inf, np.inf, np.inf, np.nan, where, wrong, should)
    usual = np.where(np.isfinite(right), right, 0.0)
    scale = _rms(usual)
    error = _rms(difference)
    if scale == 0:
        relative = peak = 0.0 if largest == 0 else np.inf
        return Distance(largest, relative, peak, 1.0 if largest == 0 else 0.0, where, wrong, should)
    other = np.where(np.isfinite(found), found, 0.0)
    norm = _rms(other)
    cosine = float(np.mean((other / norm) * (usual / scale))) if norm else 0.0
    return Distance(largest, error / scale, largest / scale, cosine, where, wrong, should)


def _rms(array: Array) -> float:
    """Root mean square, without overflow or underflow of the squares."""
    top = float(np.abs(array).max(initial=0))
    return top * float(np.sqrt(np.mean((array / top) ** 2))) if top else 0.0
