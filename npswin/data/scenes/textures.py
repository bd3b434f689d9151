"""Noise and colours of the built-in data set `scenes`.

As with the outlines (`shapes/signed_distances.py`), the pixels are the same on every machine: no powers of Python's
numbers, sines or logarithms, which can differ in the last bit.
"""

import numpy as np

from npswin.types import Array


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A uniform number."""
    return low + (high - low) * float(rng.random())


def value_noise(rng: np.random.Generator, shape: tuple[int, int], cell: tuple[float, float]) -> Array:
    """Smooth noise (H, W) float32 in [0, 1]: random values on a grid, interpolated with 3t² − 2t³ between them.

    Args:
        rng: generator of the values.
        shape: H and W.
        cell: height and width of a cell of the grid in pixels, at least 1.
    """
    cells = [max(side, 1.0) for side in cell]
    counts = [int(length / side) + 3 for length, side in zip(shape, cells, strict=True)]
    grid = rng.random((counts[0], counts[1]), dtype=np.float32)
    offsets = rng.random(2)
    for axis, (length, side, offset) in enumerate(zip(shape, cells, offsets, strict=True)):
        position = np.arange(length) / side + offset
        cell_index = position.astype(np.int64)
        t = (position - cell_index).astype(np.float32)
        weight = t * t * (3 - 2 * t)
        weight = weight[:, None] if axis == 0 else weight
        low, high = np.take(grid, cell_index, axis), np.take(grid, cell_index + 1, axis)
        grid = low + weight * (high - low)
    return grid


def texture(
    rng: np.random.Generator, shape: tuple[int, int], cell: float, octaves: int = 3, aspect: float = 1.0
) -> Array:
    """Noise of several scales (H, W) in about [-1, 1]: each octave has half the cells' size and 0.6 of the strength.

    Args:
        rng: generator of the noise.
        shape: H and W.
        cell: of the first octave, pixels along the rows.
        octaves: how many scales.
        aspect: a cell's height / width.
    """
    total = np.zeros(shape, np.float32)
    strength = 1.0
    for _ in range(octaves):
        total += np.float32(strength) * (2 * value_noise(rng, shape, (cell * aspect, cell)) - 1)
        cell, strength = cell / 2, 0.6 * strength
    return total


def colour(*channels: float) -> Array:
    """Red, green and blue as a float32 (3, 1, 1), which broadcasts over pixels."""
    return np.array(channels, np.float32)[:, None, None]


def blend(one: Array, other: Array, weight: Array | float) -> Array:
    """From `one`, where the weight is 0, to `other`, where it is 1."""
    return one + weight * (other - one)


def any_colour(rng: np.random.Generator) -> Array:
    """A colour (3, 1, 1) of any hue, from pale to full, from dark to bright."""
    high, low, middle = between(rng, 130, 245), between(rng, 25, 125), float(rng.random())
    channels = rng.permutation([high, low + middle * (high - low), low])
    return colour(*channels.tolist())
