"""Resampling along one axis as a matrix: other sizes, cropped and padded, there and back, blurred."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from npswin.types import Array
from npswin.verify.fits.interpolation import METHODS, interpolation

SMALL = 48  # entries up to which all sizes are tried
SHARES = (0.25, 0.5, 0.75, 0.8, 0.85, 0.875, 0.9, 0.95, 1.05, 1.1, 8 / 7, 1.15, 1.2, 1.25, 4 / 3, 1.5, 2.0)
STEPS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 64)
LARGEST_CUT = 1.6  # times a side that is resized and cut
PAD_MODES = {"its edge repeated": "edge", "mirrored there": "reflect", "zeros around it": "constant"}
BLURS = {"1, 1, 1": (1, 1, 1), "1, 2, 1": (1, 2, 1), "1, 4, 6, 4, 1": (1, 4, 6, 4, 1), "1, 1": (1, 1)}


PADDED = tuple(METHODS)[:6]  # with which images are also padded


@dataclass(frozen=True)
class Way:
    """An axis of n entries that was resampled: y = then · first · x.

    Attributes:
        words: what was done.
        first: (m, n).
        then: (n, m).
    """

    words: str
    first: Array
    then: Array

    @property
    def matrix(self) -> Array:
        """(n, n)."""
        return np.asarray(self.then @ self.first)


def groups_of_ways(size: int) -> Iterator[tuple[str, list[Way]]]:
    """Ways to resample an axis of this length, those that are alike in a list, the simplest first."""
    larger, smaller = _sizes(size)
    eye = np.eye(size)
    for method in METHODS:
        for part, start in STARTS.items():
            cuts = [
                Way(
                    f"it is resized to {most} and entries {start(most - size)} to {start(most - size) + size - 1} are "
                    f"taken, {part} ({method})",
                    interpolation(method, most, size),
                    np.eye(most)[start(most - size) :][:size],
                )
                for most in larger
                if most <= LARGEST_CUT * size
            ]
            yield f"cut {part} {method}", cuts
            enlarged = [
                Way(
                    f"it is cropped to entries {start(size - least)} to {start(size - least) + least - 1}, {part}, and "
                    f"resized to {size} ({method})",
                    eye[start(size - least) :][:least],
                    interpolation(method, size, least),
                )
                for least in smaller
            ]
            yield f"crop {part} {method}", enlarged
        yield (
            f"back {method}",
            [
                Way(
                    f"it is resized to {other} and back ({method})",
                    interpolation(method, other, size),
                    interpolation(method, size, other),
                )
                for other in smaller + larger
            ],
        )
        for words, mode in PAD_MODES.items():
            yield (
                f"pad {words} {method}",
                [
                    Way(
                        f"it is resized to {least} and padded to {size} on both sides, {words} ({method})",
                        interpolation(method, least, size),
                        _padding(least, size, (size - least) // 2, mode),
                    )
                    for least in smaller
                    if least > (size - least + 1) // 2
                ],
            )
            yield (
                f"padded first {words} {method}",
                [
                    Way(
                        f"it is padded to {most} on both sides, {words}, and resized to {size} ({method})",
                        _padding(size, most, (most - size) // 2, mode),
                        interpolation(method, size, most),
                    )
                    for most in larger
                    if most < 2 * size
                ],
            )
        yield (
            f"zeros at its end {method}",
            [
                Way(
                    f"it is resized to {least} and zeros follow up to {size} ({method})",
                    interpolation(method, least, size),
                    _padding(least, size, 0, "constant"),
                )
                for least in smaller
            ],
        )
    blurred = [
        Way(f"it is blurred by {words}, {edge}", _blur(size, np.array(kernel, float) / sum(kernel), mode), eye)
        for words, kernel in BLURS.items()
        for edge, mode in PAD_MODES.items()
    ]
    blurred.append(Way("it is blurred by the mean of three, or of two at the edge", _mean_of_neighbours(size), eye))
    yield "blur", blurred
    yield "mirror", [Way("it is the mean of itself and its mirror image", (eye + eye[::-1]) / 2, eye)]
    if size <= SMALL:
        for method in PADDED:
            windows = [
                Way(
                    f"it is cropped to entries {first} to {first + length - 1} and resized to {size} ({method})",
                    eye[first : first + length],
                    interpolation(method, size, length),
                )
                for length in range(size - 1, size // 3, -1)
                for first in range(size - length + 1)
            ]
            yield f"window {method}", windows


STARTS: dict[str, Callable[[int], int]] = {
    "at the centre": lambda more: more // 2,
    "at the centre, rounded up": lambda more: (more + 1) // 2,
    "at the beginning": lambda more: 0,
    "at the end": lambda more: more,
}


def _sizes(size: int) -> tuple[list[int], list[int]]:
    """Larger and smaller sizes, those near first."""
    if size <= SMALL:
        sizes = set(range(2, 2 * size + 1))
    else:
        sizes = {round(share * size) for share in SHARES} | {size + sign * step for step in STEPS for sign in (1, -1)}
    ordered = sorted((other for other in sizes if other >= 2 and other != size), key=lambda other: abs(other - size))
    return [other for other in ordered if other > size], [other for other in ordered if other < size]


@lru_cache(maxsize=512)
def _padding(size_in: int, size_out: int, before: int, mode: str) -> Array:
    after = size_out - size_in - before
    return np.asarray(np.pad(np.eye(size_in), ((before, after), (0, 0)), mode=mode))  # type: ignore[call-overload]


def _blur(size: int, kernel: Array, mode: str) -> Array:
    before = (len(kernel) - 1) // 2
    padded = _padding(size, size + len(kernel) - 1, before, mode)
    return sum((weight * padded[place : place + size] for place, weight in enumerate(kernel)), np.zeros((size, size)))


def _mean_of_neighbours(size: int) -> Array:
    near = (np.abs(np.arange(size)[:, None] - np.arange(size)) <= 1).astype(float)
    return near / near.sum(1, keepdims=True)
