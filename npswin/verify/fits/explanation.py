"""What relates a port's array to the right one, in words and as a change of the computation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from npswin.types import Array
from npswin.verify.fits.combinations import Combination
from npswin.verify.fits.words import Axis

Pair = tuple[Callable[[Array], tuple[Array, object]], Callable[[Array, object], Array]]  # forward, backward


@dataclass(frozen=True)
class Explanation:
    """How a found array follows from the right one.

    Attributes:
        words: such as "q and k are exchanged"; they continue "in the tensor ...".
        pair: the forward function from the right array to the found one, and the derivative.
        fitted: how many numbers in it were fitted.
        source: the other array that the found one is, or is made with, if there is one.
        combination: of the right array and the source, if the found one is made of both.
        also: other words that fit as well.
        terms: how many terms are summed for a number: the rounding error of a sum grows with them.
        vectors: the fitted numbers, if these are added or multiplied on for each entry along some axes.
    """

    words: str
    pair: Pair
    fitted: int = 0
    source: str = ""
    combination: Combination | None = None
    terms: int = 1
    also: tuple[str, ...] = ()
    vectors: "tuple[Vector, ...]" = ()


@dataclass(frozen=True)
class Vector:
    """Numbers that are added to an array, or by which it is multiplied.

    Attributes:
        numbers: of as many axes as `shape`, 1 along those along which they are the same.
        shape: of the array, its axes split into parts.
        multiplies: whether the array is multiplied.
        where: what has a number each, such as "hidden".
    """

    numbers: Array
    shape: tuple[int, ...]
    multiplies: bool
    where: str


@dataclass(frozen=True)
class Evidence:
    """Two arrays of one shape to explain, and what is known about them.

    Attributes:
        found: the port's.
        right: the one that it should be.
        axes: for each axis its parts.
        tolerance: the largest difference of numbers that are equal.
        others: further arrays of the same size by name, that may be there in place of the right one.
        conditions: arrays of the same shape by name, whose signs may decide which numbers are wrong.
    """

    found: Array
    right: Array
    axes: Sequence[Sequence[Axis]]
    tolerance: float
    others: Mapping[str, Array]
    conditions: Mapping[str, Array] = field(default_factory=dict)

    def agrees(self, array: Array, margin: float = 1.0) -> bool:
        """Whether an array is the found one."""
        if array.shape != self.found.shape:
            return False
        with np.errstate(all="ignore"):
            return bool((np.abs(array - self.found) <= margin * self.tolerance).all())


Family = Callable[[Evidence], Iterator[Explanation]]


def times(scale: Array | float) -> Pair:
    """A product with constants."""
    return (lambda x: (x * np.asarray(scale, x.dtype), None)), (lambda dy, _: dy * np.asarray(scale, dy.dtype))


def plus(offset: Array | float) -> Pair:
    """A sum with constants."""
    return (lambda x: (x + np.asarray(offset, x.dtype), None)), (lambda dy, _: dy)


def replaced_by(array: Array) -> Pair:
    """Constant numbers in place of the array."""
    return (lambda x: (array.astype(x.dtype).reshape(x.shape), None)), (lambda dy, _: dy)


def replaced_where(places: Array, array: Array) -> Pair:
    """Constant numbers in some places, which then have no derivative; what is NaN passes on the NaN that it gets."""
    constant = places & ~np.isnan(array)

    def forward(x: Array) -> tuple[Array, object]:
        return np.where(places, array.astype(x.dtype), x), None

    return forward, lambda dy, _: np.where(constant, 0, dy)


def gathered(positions: Array) -> Pair:
    """Each number from a position of the flattened array, or 0 where the position is -1."""

    def forward(x: Array) -> tuple[Array, object]:
        flat = np.concatenate([x.reshape(-1), np.zeros(1, x.dtype)])
        return flat[positions], x.shape

    def backward(dy: Array, shape: object) -> Array:
        size = int(np.prod(shape, dtype=int))  # type: ignore[call-overload]
        sums = np.bincount(positions.reshape(-1) % (size + 1), dy.reshape(-1).astype(np.float64), size + 1)
        return sums[:size].reshape(shape).astype(dy.dtype)  # type: ignore[call-overload]

    return forward, backward


def mapped(function: Callable[[Array], Array]) -> Pair:
    """A function of each number; its derivative is a difference quotient."""

    def forward(x: Array) -> tuple[Array, object]:
        with np.errstate(all="ignore"):
            return function(x).astype(x.dtype), x

    def backward(dy: Array, x: object) -> Array:
        assert isinstance(x, np.ndarray)
        step = 1e-6
        wide = x.astype(np.float64)
        with np.errstate(all="ignore"):
            slope = (function(wide + step) - function(wide - step)) / (2 * step)
        return (dy * np.where(np.isfinite(slope), slope, 0)).astype(dy.dtype)

    return forward, backward
