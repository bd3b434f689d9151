"""The ground of the built-in data set `scenes`: sky, grass, water and road, with their textures."""

from typing import NamedTuple

import numpy as np

from npswin.data.scenes.textures import between, blend, colour, texture, value_noise
from npswin.data.shapes.drawing import coverage
from npswin.types import Array

SKY, GRASS, WATER, ROAD = range(4)
STUFF = ("sky", "grass", "water", "road")


class Ground(NamedTuple):
    """A scene without objects.

    Attributes:
        image: (3, S, S) float32, 0 to 255.
        labels: (S, S) uint8, an index into STUFF for each pixel.
        horizon: row where the sky ends, on average; 0 where no sky is seen.
    """

    image: Array
    labels: Array
    horizon: float


def draw_ground(rng: np.random.Generator, side: int) -> Ground:
    """Draw a ground of `side` by `side` pixels."""
    shape = (side, side)
    rows, columns = (axis.astype(np.float32) for axis in np.mgrid[0:side, 0:side])
    horizon = between(rng, 0.12, 0.45) * side if rng.random() < 0.8 else 0.0
    image = _grass(rng, shape)
    labels = np.full(shape, GRASS, np.uint8)
    regions = []
    if rng.random() < 0.55:
        regions.append((WATER, _lake(rng, rows, columns, horizon), _water(rng, shape)))
    if rng.random() < 0.7:
        distance, marks = _road_shape(rng, rows, columns, horizon)
        regions.append((ROAD, distance, _road(rng, shape, marks, distance)))
    if horizon:
        hills = horizon + 0.08 * side * (2 * value_noise(rng, (1, side), (1, 0.3 * side)) - 1)
        image = blend(image, colour(150, 165, 175), 0.5 * np.clip(1 - (rows - horizon) / (0.35 * side), 0, 1) ** 2)
        regions.append((SKY, rows - hills, _sky(rng, rows, horizon)))
    for label, distance, pixels in regions:
        image = blend(image, pixels, coverage(distance))
        labels[distance < 0] = label
    return Ground(image, labels, horizon)


def _grass(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Meadow, from deep green to dry straw, with darker and lighter fields and fine blades."""
    side = shape[0]
    dryness = between(rng, 0, 1)
    green = blend(colour(70, 120, 45), colour(165, 150, 85), dryness * dryness)
    other = green + colour(*(between(rng, -30, 30) for _ in range(3)))
    pixels = blend(green, other, value_noise(rng, shape, (0.2 * side, 0.45 * side)))
    return pixels + 12 * texture(rng, shape, side / 6) + 22 * texture(rng, shape, 3, 2, aspect=1.8)


def _water(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Flat waves, on water from grey to turquoise."""
    pixels = blend(colour(60, 95, 120), colour(60, 150, 165), between(rng, 0, 1))
    return pixels + 22 * texture(rng, shape, shape[0] / 7, 3, aspect=0.16)


def _sky(rng: np.random.Generator, rows: Array, horizon: float) -> Array:
    """Brighter towards the horizon, with clouds; blue, grey or red."""
    top, bottom = (
        (colour(70, 130, 215), colour(185, 215, 240)),
        (colour(130, 140, 155), colour(205, 208, 212)),
        (colour(85, 85, 150), colour(250, 185, 130)),
    )[int(rng.integers(3))]
    sky = blend(top, bottom, np.clip(rows / horizon, 0, 1))
    clouds = texture(rng, (rows.shape[0], rows.shape[1]), rows.shape[0] / 3, 4, aspect=0.45)
    return blend(sky, colour(248, 246, 244), 0.85 * np.clip(1.6 * (clouds - between(rng, -0.1, 0.7)), 0, 1))


def _road(rng: np.random.Generator, shape: tuple[int, int], marks: Array, distance: Array) -> Array:
    """Asphalt or sand with grains, white marks along the middle, and darker borders."""
    grey = colour(95, 95, 100) if rng.random() < 0.65 else colour(175, 150, 115)
    pixels = grey + between(rng, -25, 25) + 9 * texture(rng, shape, shape[0] / 5) + 14 * texture(rng, shape, 2, 1)
    pixels = blend(pixels, colour(235, 230, 215), 0.85 * marks)
    return pixels * (1 - 0.25 * np.clip(1 + distance / 2, 0, 1))


def _lake(rng: np.random.Generator, rows: Array, columns: Array, horizon: float) -> Array:
    """The signed distance from a shore: a flat ellipse with bays."""
    side = len(rows)
    x, y = between(rng, 0, side), between(rng, horizon, side)
    width, height = between(rng, 0.3, 0.8) * side, between(rng, 0.1, 0.3) * side
    radius = np.sqrt(((columns - x) / width) ** 2 + ((rows - y) / height) ** 2)
    bays = value_noise(rng, rows.shape, (0.12 * side, 0.25 * side)) - 0.5
    return (radius - 1 + 0.6 * bays) * np.float32(height)


def _road_shape(rng: np.random.Generator, rows: Array, columns: Array, horizon: float) -> tuple[Array, Array]:
    """The signed distance from a road's borders, and the opacity of the marks on it.

    Without a horizon, or now and then, the road crosses the picture; otherwise it narrows towards the horizon.
    """
    side = len(rows)
    if horizon and rng.random() < 0.6:
        depth = np.clip((rows - horizon) / (side - horizon), 0.01, 1)  # 0 at the horizon, 1 at the lower border
        far, near = between(rng, 0.2, 0.8) * side, between(rng, 0, 1) * side
        bend = between(rng, -0.5, 0.5) * side
        middle = far + (near - far) * depth + bend * depth * (1 - depth)
        half_width = (0.015 + between(rng, 0.12, 0.3) * depth) * side
        across, along = columns - middle, 1 / (depth + 0.1)
        dash = 1.5
    else:
        slope = between(rng, -0.35, 0.35)
        middle = between(rng, horizon + 0.2 * (side - horizon), side) + slope * (columns - side / 2)
        half_width = np.full_like(rows, between(rng, 0.06, 0.16) * side)
        across, along = rows - middle, columns
        dash = between(rng, 0.1, 0.2) * side
    is_dash = np.abs(2 * (along / dash - np.floor(along / dash)) - 1) < 0.5
    line = coverage(np.abs(across) - 0.07 * half_width) * is_dash
    return np.abs(across) - half_width, line * float(rng.random() < 0.7)
