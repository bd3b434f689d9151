"""Painting on a batch of images at once: what objects and the clutter behind them have in common."""

import numpy as np

from npswin.types import Array

SIDE = 32
ROWS, COLUMNS = (axis.astype(np.float32) for axis in np.mgrid[0:SIDE, 0:SIDE])


def between(rng: np.random.Generator, low: float, high: float, *shape: int) -> Array:
    """Uniform float32 numbers, shaped `shape` with (1, 1) behind it so that they meet a map of pixels."""
    return (low + (high - low) * rng.random((*shape, 1, 1))).astype(np.float32)


def direction(angle: Array) -> tuple[Array, Array]:
    """Cosine and sine of angles in radians, in steps of 1/4096.

    Mathematical libraries disagree in the last bit of a cosine; rounded, they agree.
    """
    return np.round(np.cos(angle) * 4096) / 4096, np.round(np.sin(angle) * 4096) / 4096


def paint(canvas: Array, coverage: Array, colour: Array) -> None:
    """Lay colour (B, 3, 1, 1) over canvas (B, 3, 32, 32) in place, as opaque as coverage (B, 32, 32) says: 0 to 1."""
    canvas += coverage[:, None] * (colour - canvas)


def soft(distance: Array) -> Array:
    """Coverage of pixels whose centres lie `distance` (B, 32, 32), in pixels, outside an outline."""
    return np.clip(0.5 - distance, 0.0, 1.0)


def dull(rng: np.random.Generator, count: int) -> Array:
    """Dark colours (B, 3, 1, 1) near grey, for the ground: 0 to 255."""
    return between(rng, 25, 85, count, 1) + between(rng, -28, 28, count, 3)


def vivid(rng: np.random.Generator, count: int) -> Array:
    """Bright colours (B, 3, 1, 1) of any hue, for objects: 0 to 255."""
    channels = np.concatenate(
        [between(rng, 205, 255, count, 1), between(rng, 105, 160, count, 1), between(rng, 135, 240, count, 1)], axis=1
    )
    return rng.permuted(channels, axis=1)
