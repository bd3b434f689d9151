"""Resampling along one axis as a matrix: cropped and enlarged, reduced and enlarged, blurred."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from npswin.types import Array

SHARES = (0.5, 0.75, 0.8, 0.875, 0.9, 0.95)  # of an axis that is kept
MARGINS = (1, 2, 3, 4, 8, 16, 32)  # that are cut off at both ends
CUBIC = {"bicubic": -0.75, "bicubic, as Pillow has it": -0.5}  # the parameter of the kernel
KINDS = ("nearest", "bilinear", "bilinear, corners aligned", *CUBIC)
BLURS = {"1, 1, 1": (1, 1, 1), "1, 2, 1": (1, 2, 1), "1, 4, 6, 4, 1": (1, 4, 6, 4, 1), "1, 1": (1, 1)}


def resamplings(size: int) -> Iterator[tuple[str, Array]]:
    """Matrices (size, size) by which an axis of this length may have been resampled, in words."""
    cuts = {(margin, margin) for margin in MARGINS}
    cuts |= {((size - round(share * size)) // 2, size - round(share * size)) for share in SHARES}
    lengths = sorted({(first, size - rest) for first, rest in _kept(cuts)} - {(0, size)})
    for first, length in lengths:
        for kind in KINDS if length >= 2 else ():
            words = f"it is cropped to entries {first} to {first + length - 1} and resized to {size} ({kind})"
            yield words, interpolation(size, length, kind) @ np.eye(size)[first : first + length]
    for length in sorted({size // 2, size // 4, *(round(share * size) for share in SHARES)}):
        for kind in KINDS if 2 <= length < size else ():
            down, up = interpolation(length, size, kind), interpolation(size, length, kind)
            yield f"it is reduced to {length} and enlarged to {size} ({kind})", up @ down
    for words, kernel in BLURS.items():
        for edge, mode in (("its edge repeated", "edge"), ("mirrored", "reflect"), ("zeros around it", "constant")):
            yield f"it is blurred by {words}, {edge}", _blur(size, np.array(kernel, float) / sum(kernel), mode)
    yield "it is blurred by the mean of three, or of two at the edge", _mean_of_neighbours(size)


def _kept(cuts: set[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The first entry that is kept and how many are cut off, for margins and for shares."""
    for first, other in cuts:
        yield first, first + other if first == other else other


def interpolation(out: int, size: int, kind: str) -> Array:
    """The matrix (out, size) of an interpolation, with the centres of pixels at halves but for aligned corners."""
    if kind == "nearest":
        return np.eye(size)[np.arange(out) * size // out]
    if kind.endswith("aligned"):
        places = np.arange(out) * (size - 1) / max(out - 1, 1)
    else:
        places = (np.arange(out) + 0.5) * size / out - 0.5
    below = np.floor(places).astype(int)
    matrix = np.zeros((out, size))
    weigh = partial(_cubic, parameter=CUBIC[kind]) if kind in CUBIC else _linear
    for offset in range(-1, 3):
        source = np.clip(below + offset, 0, size - 1)
        np.add.at(matrix, (np.arange(out), source), weigh(np.abs(places - below - offset)))
    return matrix


def _linear(distance: Array) -> Array:
    return np.maximum(1 - distance, 0)


def _cubic(distance: Array, parameter: float) -> Array:
    a, t = parameter, distance
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


def _blur(size: int, kernel: Array, mode: str) -> Array:
    before = (len(kernel) - 1) // 2
    after = len(kernel) - 1 - before
    padded = np.pad(np.eye(size), ((before, after), (0, 0)), mode=mode)  # type: ignore[call-overload]
    return sum((weight * padded[place : place + size] for place, weight in enumerate(kernel)), np.zeros((size, size)))


def _mean_of_neighbours(size: int) -> Array:
    near = (np.abs(np.arange(size)[:, None] - np.arange(size)) <= 1).astype(float)
    return near / near.sum(1, keepdims=True)
