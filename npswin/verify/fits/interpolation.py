"""Methods of resampling along one axis, each as a matrix: those of PyTorch, Pillow and OpenCV."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from npswin.ops.resize import bicubic_matrix, cubic_matrix
from npswin.types import Array
from npswin.verify.fits.resampled import linear_matrix, mean_matrix, nearest_matrix, smoothed_matrix, taken_at

LANCZOS = 3


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


@lru_cache(maxsize=256)
def interpolation(method: str, size_out: int, size_in: int) -> Array:
    """The matrix (out, in) of a method; the identity where the sizes are equal."""
    return np.eye(size_in) if size_out == size_in else METHODS[method](size_out, size_in)
