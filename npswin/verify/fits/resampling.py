"""Resampling along one axis as a matrix: other sizes, cropped and padded, there and back, blurred."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from npswin.ops.resize import bicubic_matrix, cubic_matrix
from npswin.types import Array
from npswin.verify.fits.resampled import linear_matrix, mean_matrix, nearest_matrix, smoothed_matrix, taken_at

SMALL = 48  # entries up to which all sizes are tried
SHARES = (0.25, 0.5, 0.75, 0.8, 0.85, 0.875, 0.9, 0.95, 1.05, 1.1, 8 / 7, 1.15, 1.2, 1.25, 4 / 3, 1.5, 2.0)
STEPS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 64)
LARGEST_CUT = 1.6  # times a side that is resized and cut
LANCZOS = 3
PAD_MODES = {"its edge repeated": "edge", "mirrored there": "reflect", "zeros around it": "constant"}
BLURS = {"1, 1, 1": (1, 1, 1), "1, 2, 1": (1, 2, 1), "1, 4, 6, 4, 1": (1, 4, 6, 4, 1), "1, 1": (1, 1)}


def _filtered(weigh: Callable[[Array], Array], reach: float, smoothing: bool = True) -> Callable[[int, int], Array]:
    """Resampling by a filter that is as wide as an output where the axis becomes shorter, as Pillow does it."""

    def matrix(size_out: int, size_in: int) -> Array:
        scale = size_in / size_out
        wide = max(scale, 1.0) if smoothing else 1.0
        centre = ((np.arange(size_out) + 0.5) * scale)[:, None]
        first, last = np.floor(centre - reach * wide + 0.5), np.floor(centre + reach * wide + 0.5)
        place = np.arange(size_in)
        inside = (place >= np.maximum(first, 0)) & (place < np.minimum(last, size_in))
        weights = np.where(inside, weigh((place + 0.5 - centre) / wide), 0)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    return matrix


def _cubic(x: Array, a: float = -0.5) -> Array:
    t = np.abs(x)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t < 1, near, np.where(t < 2, far, 0))


def _lanczos(x: Array) -> Array:
    return np.where(np.abs(x) < LANCZOS, np.sinc(x) * np.sinc(x / LANCZOS), 0)


def _box(x: Array) -> Array:
    return ((x > -0.5) & (x <= 0.5)).astype(float)


def _hamming(x: Array) -> Array:
    return np.where(np.abs(x) < 1, np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x)), 0)


def _areas(size_out: int, size_in: int) -> Array:
    """Means of what an output covers, with parts of inputs, as OpenCV's INTER_AREA."""
    edges = np.arange(size_out + 1) * (size_in / size_out)
    place = np.arange(size_in)
    shared = np.minimum(edges[1:, None], place + 1) - np.maximum(edges[:-1, None], place)
    shared = np.maximum(shared, 0)
    return np.asarray(shared / shared.sum(axis=1, keepdims=True))


def _from_corners(size_out: int, size_in: int) -> Array:
    """Linear with output o at o · in / out, without half a pixel."""
    centre = np.minimum(np.arange(size_out) * (size_in / size_out), size_in - 1)
    share = (centre - np.floor(centre))[:, None]
    return (1 - share) * taken_at(np.floor(centre), size_in) + share * taken_at(np.floor(centre) + 1, size_in)


METHODS: dict[str, Callable[[int, int], Array]] = {
    "bilinear": lambda out, size: linear_matrix(out, size, False),
    "bilinear, smoothed (antialias)": smoothed_matrix,
    "bicubic": bicubic_matrix,
    "bicubic, smoothed (antialias), as Pillow has it": _filtered(_cubic, 2),
    "nearest": nearest_matrix,
    "nearest-exact": lambda out, size: taken_at(np.floor((np.arange(out) + 0.5) * size / out), size),
    "bilinear, corners aligned": lambda out, size: linear_matrix(out, size, True),
    "bicubic, corners aligned": lambda out, size: cubic_matrix(np.arange(out) * ((size - 1) / max(out - 1, 1)), size),
    "bicubic with a = -0.5": _filtered(_cubic, 2, smoothing=False),
    "bicubic with a = -0.75, smoothed (antialias)": _filtered(lambda x: _cubic(x, -0.75), 2),
    "bilinear without the half pixel": _from_corners,
    "Lanczos, smoothed, as Pillow has it": _filtered(_lanczos, LANCZOS),
    "Lanczos, not smoothed": _filtered(_lanczos, LANCZOS, smoothing=False),
    "areas": _areas,
    "adaptive mean": mean_matrix,
    "box, as Pillow has it": _filtered(_box, 0.5),
    "Hamming, as Pillow has it": _filtered(_hamming, 1),
}


PADDED = tuple(METHODS)[:6]  # with which images are also padded


@lru_cache(maxsize=256)
def interpolation(method: str, size_out: int, size_in: int) -> Array:
    """The matrix (out, in) of a method; the identity where the sizes are equal."""
    return np.eye(size_in) if size_out == size_in else METHODS[method](size_out, size_in)


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
            f"at its end {method}",
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
