"""Drawing on a batch of images at once, for the data set `shapes`."""

import numpy as np

from npswin.types import Array

SIDE = 32  # pixels
ROWS, COLUMNS = (axis.astype(np.float32) for axis in np.mgrid[0:SIDE, 0:SIDE])  # of each pixel, (32, 32)


def uniform(rng: np.random.Generator, low: float, high: float, *shape: int) -> Array:
    """Uniform float32 numbers of the shape (*shape, 1, 1), which broadcasts over pixels."""
    return (low + (high - low) * rng.random((*shape, 1, 1))).astype(np.float32)


def rounded_cos_sin(angle: Array) -> tuple[Array, Array]:
    """Cosine and sine of angles in radians, rounded to multiples of 1/4096.

    Unrounded, they can differ in the last bit between mathematical libraries.
    """
    return np.round(np.cos(angle) * 4096) / 4096, np.round(np.sin(angle) * 4096) / 4096


def paint(images: Array, opacity: Array, colour: Array) -> None:
    """Blend colour (B, 3, 1, 1) over images (B, 3, 32, 32) in place, with an opacity (B, 32, 32) in [0, 1]."""
    images += opacity[:, None] * (colour - images)


def coverage(distance: Array) -> Array:
    """Share of each pixel that is inside an outline, about, from its signed distance (B, 32, 32) in pixels."""
    return np.clip(0.5 - distance, 0.0, 1.0)


def background_colours(rng: np.random.Generator, count: int) -> Array:
    """Dark colours (B, 3, 1, 1) near grey, from 0 to 255."""
    return uniform(rng, 25, 85, count, 1) + uniform(rng, -28, 28, count, 3)


def object_colours(rng: np.random.Generator, count: int) -> Array:
    """Bright colours (B, 3, 1, 1) of any hue, from 0 to 255."""
    channels = np.concatenate(
        [uniform(rng, 205, 255, count, 1), uniform(rng, 105, 160, count, 1), uniform(rng, 135, 240, count, 1)], axis=1
    )
    return rng.permuted(channels, axis=1)
