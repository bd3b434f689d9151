"""What is in a scene and is no object: stones, sticks, tufts and patches, painted onto the ground."""

import numpy as np

from npswin.data.scenes.textures import any_colour, between, blend, colour, value_noise
from npswin.data.shapes.drawing import coverage, paint, rounded_cos_sin
from npswin.data.shapes.outlines import bars, crescent, hourglass, triangle
from npswin.types import Array

_MARKS = (triangle, crescent, bars, hourglass)  # flat figures in the colours of objects, of no class


def paint_clutter(image: Array, rng: np.random.Generator, horizon: float) -> None:
    """Paint clutter onto an image (3, S, S) in place, below the horizon."""
    for _ in range(int(rng.integers(2, 9))):
        _stone(image, rng, horizon)
    for _ in range(int(rng.integers(0, 5))):
        _stick(image, rng, horizon)
    for _ in range(int(rng.integers(0, 4))):
        _mark(image, rng, horizon)


def _stone(image: Array, rng: np.random.Generator, horizon: float) -> None:
    """A lump in grey, brown or leaf green, with a dark lower side."""
    side = image.shape[-1]
    size = between(rng, 0, 1)
    radius = side * (0.008 + 0.06 * size * size * size)
    area, x, y = _area(image, between(rng, 0, side), between(rng, horizon, side), 1.5 * radius)
    if area.size == 0:
        return
    bumps = value_noise(rng, area.shape[1:], (0.7 * radius, 0.7 * radius)) - 0.5
    distance = np.sqrt(x**2 + (1.4 * y) ** 2) + (0.7 * bumps - 1) * np.float32(radius)
    base = (colour(120, 118, 115), colour(115, 95, 70), colour(60, 95, 45))[int(rng.integers(3))]
    grains = 1 + 0.25 * (2 * value_noise(rng, area.shape[1:], (1.5, 1.5)) - 1) - y * np.float32(0.3 / radius)
    paint(area[None], coverage(distance)[None], (base * between(rng, 0.7, 1.3) * grains)[None])


def _stick(image: Array, rng: np.random.Generator, horizon: float) -> None:
    """A straight piece of wood or wire, at any angle."""
    side = image.shape[-1]
    half_length, half_width = between(rng, 0.04, 0.3) * side, between(rng, 0.003, 0.009) * side
    area, x, y = _area(image, between(rng, 0, side), between(rng, horizon, side), half_length)
    if area.size == 0:
        return
    cosine, sine = rounded_cos_sin(np.array(between(rng, 0, np.pi)))
    along, across = np.float32(cosine) * x + np.float32(sine) * y, np.float32(cosine) * y - np.float32(sine) * x
    distance = np.maximum(np.abs(along) - half_length, np.abs(across) - half_width)
    paint(area[None], coverage(distance)[None], blend(colour(60, 45, 35), any_colour(rng), 0.4)[None])


def _mark(image: Array, rng: np.random.Generator, horizon: float) -> None:
    """A flat figure, half transparent."""
    side = image.shape[-1]
    radius = side * between(rng, 0.03, 0.12)
    area, x, y = _area(image, between(rng, 0, side), between(rng, horizon, side), 1.5 * radius)
    if area.size == 0:
        return
    cosine, sine = rounded_cos_sin(np.array(between(rng, 0, 2 * np.pi)))
    u, v = (np.float32(cosine / radius) * a + np.float32(sine / radius) * b for a, b in ((x, y), (y, -x)))
    distance = np.float32(radius) * _MARKS[int(rng.integers(len(_MARKS)))](u, v)
    paint(area[None], between(rng, 0.35, 0.8) * coverage(distance)[None], any_colour(rng)[None])


def _area(image: Array, column: float, row: float, reach: float) -> tuple[Array, Array, Array]:
    """A view of the image around a point, and each pixel's columns and rows from it, float32."""
    side = image.shape[-1]
    top, left = max(int(row - reach), 0), max(int(column - reach), 0)
    area = image[:, top : min(int(row + reach) + 2, side), left : min(int(column + reach) + 2, side)]
    rows, columns = np.mgrid[: area.shape[1], : area.shape[2]]
    return area, (columns + (left - column)).astype(np.float32), (rows + (top - row)).astype(np.float32)
