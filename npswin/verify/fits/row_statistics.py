"""Statistics of rows: what was subtracted from each, and by what it was divided.

Each is a function of the rows (…, C) to one number for each, (…, 1), and of complex numbers too, so that its derivative
is a complex step.
"""

from collections.abc import Callable, Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.combinations import rounded_factor

NEAR = 1e-4  # of numbers to a fitted line, as a share of their deviation
SAME = 1e-5  # of numbers that are the same, as a share of the largest
UNCERTAIN = 1e-6  # of a fitted offset, as a share of the largest number
USUAL = (1e-5, 1e-6, 1e-3, 1e-12, 1e-8, 1e-4, 1e-7, 1e-2, 0.1, 1.0)  # numbers that are added against division by 0
MOST_ROWS = 4096  # of a linear system
LARGEST_SPREAD = 1e-2  # of weights that are one number, as a share of it
LISTED = 8
TINY = 1e-30  # under a root, for its derivative at 0

Row = Callable[[Array], Array]
Scale = Callable[[Array, Array], Array]  # of rows as they are and of rows from which the centre was subtracted


def mean(x: Array) -> Array:
    """The mean of each row."""
    return x.mean(-1, keepdims=True)


def mean_square(x: Array) -> Array:
    """The mean square of each row."""
    return mean(x * x)


def variance(x: Array) -> Array:
    """The variance of each row."""
    return mean_square(x - mean(x))


def _largest(x: Array) -> Array:
    return np.take_along_axis(x, x.real.argmax(-1)[..., None], -1)


def _magnitude(x: Array) -> Array:
    return np.where(x.real < 0, -x, x)


def _median(x: Array) -> Array:
    order = np.argsort(x.real, -1)
    return np.take_along_axis(x, order[..., [(x.shape[-1] - 1) // 2]], -1)


def _by_halves(x: Array) -> Array:
    """The second half is added to the first until one number is left; of an odd count the last number is lost."""
    part, half = x, x.shape[-1] // 2
    while half:
        part = part[..., :half] + part[..., half : 2 * half]
        half //= 2
    return part / x.shape[-1]


def _variance_of_parts(x: Array, count: int) -> Array:
    """The mean of the variances of so many parts, without what the parts' means differ."""
    parts = np.array_split(x, count, axis=-1)
    return sum((variance(part) * part.shape[-1] for part in parts), start=0 * x[..., :1]) / x.shape[-1]


CENTRES: dict[str, Row] = {
    "its mean is subtracted": mean,
    "nothing is subtracted": lambda x: 0 * x[..., :1],
    "its median is subtracted": _median,
    "its smallest number is subtracted": lambda x: -_largest(-x),
    "its largest number is subtracted": _largest,
    "its first number is subtracted": lambda x: x[..., :1],
    "the mean of all channels but the last is subtracted": lambda x: mean(x[..., :-1]),
    "the mean of all channels but the first is subtracted": lambda x: mean(x[..., 1:]),
    "the mean of the first half of its channels is subtracted": lambda x: mean(x[..., : x.shape[-1] // 2]),
    "the middle of its range is subtracted": lambda x: (_largest(x) - _largest(-x)) / 2,
    "its mean, summed by halves that lose the last of an odd count, is subtracted": _by_halves,
    "its mean is added": lambda x: -mean(x),
    "its sum is subtracted": lambda x: x.sum(-1, keepdims=True),
}
ROOTS: dict[str, Scale] = {  # whose root is the scale
    "the variance": lambda x, z: variance(x),
    "the mean square of what is left": lambda x, z: mean_square(z),
    "the mean square": lambda x, z: mean_square(x),
    "the variance of all channels but the last": lambda x, z: variance(x[..., :-1]),
    "the variance of all channels but the first": lambda x, z: variance(x[..., 1:]),
    "the mean of two halves' variances, without that of their means": lambda x, z: _variance_of_parts(x, 2),
    "the mean of four quarters' variances, without that of their means": lambda x, z: _variance_of_parts(x, 4),
    "the variance of the first half of the channels": lambda x, z: variance(x[..., : x.shape[-1] // 2]),
}
SCALES: dict[str, Scale] = {
    "the deviation": lambda x, z: np.sqrt(variance(x) + TINY),
    "the root of the mean square": lambda x, z: np.sqrt(mean_square(x) + TINY),
    "the variance": lambda x, z: variance(x),
    "the range": lambda x, z: _largest(x) + _largest(-x),
    "the mean magnitude of what is left": lambda x, z: mean(_magnitude(z)),
    "the largest magnitude": lambda x, z: _largest(_magnitude(x)),
    "the largest magnitude of what is left": lambda x, z: _largest(_magnitude(z)),
    "the mean magnitude": lambda x, z: mean(_magnitude(x)),
    "the median magnitude of what is left": lambda x, z: _median(_magnitude(z)),
}


def centres(x: Array, found: Array) -> Iterator[tuple[str, Row]]:
    """What may have been subtracted from rows, where the numbers are known."""
    size, known = np.abs(x).max(initial=0), False
    for words, centre in CENTRES.items():
        if np.abs(centre(x) - found).max() <= NEAR * size:
            known = True
            yield words, centre
    if not known:
        yield from _sum_of_some(x, found)
    if np.ptp(found) <= NEAR * size:
        constant = float(found.mean())
        yield f"{constant:.5g} is subtracted", lambda x: constant + 0 * x[..., :1]


def _sum_of_some(x: Array, found: Array) -> Iterator[tuple[str, Row]]:
    """The sum of some numbers of each row, the same ones in all rows, times one factor."""
    rows, wanted = x.reshape(-1, x.shape[-1])[:MOST_ROWS], found.reshape(-1)[:MOST_ROWS]
    channels = rows.shape[1]
    if len(rows) < 2 * channels:
        return
    weights, *_ = np.linalg.lstsq(rows, wanted, rcond=None)
    used = np.abs(weights) > np.abs(weights).max() / 2
    factor = float(weights[used].mean())
    chosen = np.where(used, 1.0, 0.0)
    if used.all() or np.abs(weights - factor * chosen).max() > LARGEST_SPREAD * abs(factor):
        return
    if np.abs(factor * (x * chosen).sum(-1, keepdims=True) - found).max() > NEAR * np.abs(x).max():
        return
    inverse = round(1 / factor)
    if inverse not in (used.sum(), channels) or abs(inverse * factor - 1) > LARGEST_SPREAD:
        return
    listed = ", ".join(map(str, np.flatnonzero(used)[:LISTED])) + (", ..." if used.sum() > LISTED else "")
    words = f"the sum of {used.sum()} of its {channels} channels ({listed}), divided by {inverse}, is subtracted"
    yield words, lambda x: (x * chosen).sum(-1, keepdims=True) / inverse


def scales(x: Array, z: Array, found: Array) -> Iterator[tuple[str, Scale, int]]:
    """By what rows may have been divided: words, the function, and how many numbers in it were fitted.

    Args:
        x: the rows.
        z: the rows, with what is subtracted from each.
        found: by what each was divided.
    """
    if np.ptp(found) <= SAME * np.abs(found).max():
        constant = float(found.mean())
        yield f"{constant:.6g}", lambda x, z: constant + 0 * x[..., :1], int(abs(constant - 1) > SAME)
        return
    yield from _limited_root(x, found)
    for words, statistic in ROOTS.items():
        if line := fitted_line(statistic(x, z), found * found):
            factor, offset = line
            words = f"the root of {_times(factor, x.shape[-1])}{words}{_plus(offset)}"
            yield words, _root_of(statistic, factor, offset), _count(factor, offset)
    for words, statistic in SCALES.items():
        if line := fitted_line(statistic(x, z), found):
            factor, offset = line
            words = f"{_times(factor**2, x.shape[-1], root=True)}{words}{_plus(offset)}"
            yield words, _line_of(statistic, factor, offset), _count(factor, offset)


def _root_of(statistic: Scale, factor: float, offset: float) -> Scale:
    return lambda x, z: np.sqrt(factor * statistic(x, z) + offset + TINY)


def _line_of(statistic: Scale, factor: float, offset: float) -> Scale:
    return lambda x, z: factor * statistic(x, z) + offset


def _limited_root(x: Array, found: Array) -> Iterator[tuple[str, Scale, int]]:
    """The root of the variance, of which the small ones or the large ones are a limit."""
    right = variance(x)
    for bound, words in ((np.maximum, "at least"), (np.minimum, "at most")):
        best, nearest = None, NEAR
        for eps in (0.0, *USUAL[:4]):
            own = found * found - eps
            at_limit = np.abs(own - right) > NEAR * right
            if not 2 <= at_limit.sum() < at_limit.size:
                continue
            limit = float(own[at_limit].mean())
            error = float(np.abs(own - bound(right, limit)).max() / abs(limit))
            if error < nearest:
                best, nearest = (limit, eps), error
        if best is not None:
            text = f"the root of the variance limited to {words} {best[0]:.5g}{_plus(best[1])}"
            yield text, _limited(*best, words == "at least"), 1


def _limited(limit: float, eps: float, below: bool) -> Scale:
    def scale(x: Array, _: Array) -> Array:
        own = variance(x)
        outside = own.real < limit if below else own.real > limit
        return np.sqrt(np.where(outside, limit, own) + eps)

    return scale


def fitted_line(statistic: Array, found: Array) -> tuple[float, float] | None:
    """Factor and offset for which the found numbers are on a line over the statistic's, or None."""
    centred = statistic - statistic.mean()
    squares = float((centred * centred).sum())
    if squares <= (SAME * np.abs(statistic).max()) ** 2 * statistic.size:
        return None
    factor = rounded_factor(float((centred * found).sum()) / squares)
    offset = float((found - factor * statistic).mean())
    if np.abs(factor * statistic + offset - found).max() > NEAR * found.std():
        return None
    uncertain = UNCERTAIN * float(np.abs(found).max())
    nearest = min((0.0, *USUAL), key=lambda one: abs(offset - one))
    return factor, nearest if abs(offset - nearest) <= uncertain else offset


def _count(factor: float, offset: float) -> int:
    return int(rounded_factor(factor) not in (1.0, 2.0)) + int(offset not in (0.0, *USUAL))


def _times(factor: float, channels: int, root: bool = False) -> str:
    """Words for a factor of a mean square, or of its root."""
    if abs(factor - 1) < NEAR:
        return ""
    for words, known in ((("C/(C - 1)"), channels / (channels - 1)), ("C", channels), ("1/C", 1 / channels)):
        if abs(factor / known - 1) < NEAR:
            return f"√({words}) times " if root else f"{words} times "
    return f"{factor**0.5 if root else factor:.5g} times "


def _plus(offset: float) -> str:
    return f" + {offset:.3g}" if offset else ""
