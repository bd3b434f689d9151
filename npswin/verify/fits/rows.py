"""Functions of the rows of an array: divided by their length, normalized, a softmax, along any axis."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, Pair
from npswin.verify.fits.factors import simple_factor
from npswin.verify.fits.words import Axis, join

SMALLEST = 1e-12  # norm by which a row is divided
LONGEST = 1024  # numbers of a row: its Jacobian has as many columns
MOST_NUMBERS = 2**18  # of an array of which such functions are tried
ROUNDINGS = 4.0  # times the tolerance, which is that of a single rounding

RowFunction = Callable[[Array], Array]  # (..., n) -> (..., n), of complex numbers too


def after_row(function: RowFunction) -> Pair:
    """A function of each row along the last axis; its derivative is the row's Jacobian, by complex steps."""

    def forward(x: Array) -> tuple[Array, Array]:
        return function(x).astype(x.dtype), x

    def backward(dy: Array, x: object) -> Array:
        assert isinstance(x, np.ndarray)
        return derivative_by_rows(function, dy, x)

    return forward, backward


def derivative_by_rows(function: RowFunction, dy: Array, x: Array) -> Array:
    """Σ dy ∂y/∂x of a function of each row (..., n) -> (..., m), by complex steps."""
    step, dx = 1e-30, np.zeros_like(x)
    for channel in range(x.shape[-1]):
        moved = x.astype(np.complex128)
        moved[..., channel] += 1j * step
        dx[..., channel] = (dy * function(moved).imag / step).sum(-1)
    return dx


def unit_rows(x: Array) -> Array:
    """Each row over its length."""
    return x / np.sqrt((x * x).sum(-1, keepdims=True) + SMALLEST)


def centred(x: Array) -> Array:
    """Each row without its mean."""
    return x - x.mean(-1, keepdims=True)


def standardized(x: Array, eps: float = 1e-5) -> Array:
    """Each row with mean 0 and deviation 1."""
    rest = centred(x)
    return rest / np.sqrt((rest * rest).mean(-1, keepdims=True) + eps)


def softmax(x: Array) -> Array:
    """The softmax of each row."""
    e = np.exp(x - x.real.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(x: Array) -> Array:
    """The logarithm of the softmax of each row."""
    rest = x - x.real.max(-1, keepdims=True)
    return rest - np.log(np.exp(rest).sum(-1, keepdims=True))


def _over_largest(x: Array) -> Array:
    at = np.abs(x).argmax(-1)[..., None]
    largest = np.take_along_axis(x, at, -1)
    return x / (largest * np.sign(largest.real))


def _over_root_mean_square(x: Array) -> Array:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + SMALLEST)


FUNCTIONS_OF_ROWS: dict[str, RowFunction] = {
    "the mean over {} is subtracted": centred,
    "it is divided by its length over {}": unit_rows,
    "it is normalized to mean 0 and deviation 1 over {}": standardized,
    "it is normalized to mean 0 and deviation 1 over {}, without eps": lambda x: standardized(x, SMALLEST),
    "it is divided by its root mean square over {}": _over_root_mean_square,
    "it is divided by its sum over {}": lambda x: x / x.sum(-1, keepdims=True),
    "it is divided by the largest magnitude over {}": _over_largest,
    "a softmax over {} is applied": softmax,
    "a log-softmax over {} is applied": log_softmax,
}

MULTIPLIED = (  # by a factor: these forget that of the right rows
    "it is divided by its length over {}",
    "it is normalized to mean 0 and deviation 1 over {}, without eps",
)


def function_of_rows(evidence: Evidence) -> Iterator[Explanation]:
    """A function of the numbers along one part of an axis, one axis, all but the first one, or all of them."""
    parts = [part for axis in evidence.axes for part in axis]
    sizes = [part.size for part in parts]
    if not 2 * len(sizes) <= evidence.found.size <= MOST_NUMBERS:
        return
    for first, last in _groups(evidence.axes):
        length = int(np.prod(sizes[first:last]))
        shape = (int(np.prod(sizes[:first])), length, int(np.prod(sizes[last:])))
        if not 2 < length <= LONGEST:
            continue
        found, right = (np.moveaxis(array.reshape(shape), 1, 2) for array in (evidence.found, evidence.right))
        over = f"the {join(parts[first:last]).plural}" if last - first < len(parts) else "all numbers"
        for words, function in FUNCTIONS_OF_ROWS.items():
            if _agrees(found, right, function, evidence.tolerance):
                yield Explanation(words.format(over), _along(shape, function), terms=length)
                return
        for words in MULTIPLIED:
            function = FUNCTIONS_OF_ROWS[words]
            factor = _factor(found, function(right), evidence.tolerance)
            multiple = _times(function, factor)
            if factor and _agrees(found, right, multiple, evidence.tolerance):
                text = f"{words.format(over)} and multiplied by {factor:.6g}"
                yield Explanation(text, _along(shape, multiple), 1, terms=length)
                return


def _factor(found: Array, value: Array, tolerance: float) -> float:
    """The number by which a function of rows is multiplied, as far as it is known."""
    squares = float((value * value).sum())
    if not squares or found.shape[0] * found.shape[1] <= 2:
        return 0.0
    return simple_factor(float((found * value).sum()) / squares, tolerance / float(np.abs(value).max()))[0]


def _times(function: RowFunction, factor: float) -> RowFunction:
    return lambda x: factor * function(x)


def _groups(axes: Sequence[Sequence[Axis]]) -> list[tuple[int, int]]:
    """First and last part of each group of neighbouring parts, the smallest groups first."""
    ends = np.cumsum([0, *(len(axis) for axis in axes)]).tolist()
    count = ends[-1]
    groups = [(place, place + 1) for place in range(count)]
    groups += [*pairwise(ends), (ends[min(1, len(axes))], count), (0, count)]
    return [group for group in dict.fromkeys(groups) if group[0] < group[1]]


def _agrees(found: Array, right: Array, function: RowFunction, tolerance: float) -> bool:
    """Whether rows (a, b, n) are this function of the right ones; the first row is tried first."""
    for part in ((slice(0, 1), slice(0, 1)), (slice(None), slice(None))):
        there, value = found[part], function(right[part])
        larger = max(1.0, float(np.abs(value).max()) / max(float(np.abs(right[part]).max()), SMALLEST))
        if not np.abs(value - there).max() <= ROUNDINGS * larger * tolerance:
            return False
    return True


def _along(shape: tuple[int, int, int], function: RowFunction) -> Pair:
    """The function along the middle axis of an array that is read in this shape."""
    row_forward, row_backward = after_row(function)

    def forward(x: Array) -> tuple[Array, object]:
        y, cache = row_forward(np.moveaxis(x.reshape(shape), 1, 2))
        return np.moveaxis(y, 2, 1).reshape(x.shape), cache

    def backward(dy: Array, cache: object) -> Array:
        return np.moveaxis(row_backward(np.moveaxis(dy.reshape(shape), 1, 2), cache), 2, 1).reshape(dy.shape)

    return forward, backward
