"""`shapes`: the data set built into the package, drawn with a seeded generator.

Ten classes of 32×32 colour images. Each has one object anywhere in the image, 11 to 27 pixels wide, rotated by up to
0.2 radians, mirrored or not, of any hue, in front of a colour gradient, patches, lines, specks and noise. The class
depends on the outline alone, not on colour or position, so a linear classifier gets about 45 % right.
"""

import numpy as np

from npswin.checks import check_choice, check_flag, check_integer, check_size
from npswin.data.dataset import ImageDataset
from npswin.data.shapes.drawing import (
    COLUMNS,
    ROWS,
    SIDE,
    background_colours,
    coverage,
    object_colours,
    paint,
    rounded_cos_sin,
    uniform,
)
from npswin.data.shapes.outlines import OUTLINES
from npswin.types import Array

SHAPE_CLASSES: tuple[str, ...] = tuple(outline.__name__ for outline in OUTLINES)
# For `normalize`, instead of the pixels' own statistics: objects are brighter than middle grey and the background is
# darker, so with this mean they differ in the input's sign, and training is faster at first.
SHAPES_MEAN = (0.5, 0.5, 0.5)
SHAPES_STD = (0.25, 0.25, 0.25)

SMALLEST, LARGEST = 11.0, 27.0  # pixels across
TILT = 0.2  # radians, in both directions
PATCHES, LINES, SPECKS = 3, 2, 3  # per image
NOISE = 5.0, 12.0  # smallest and largest amplitude, of 255

_CHUNK = 250  # images drawn at once
_SPLITS = ("train", "test")


def make_shapes(count: int, seed: int = 0, split: str = "train") -> ImageDataset:
    """Draw `count` images of balanced classes (some have one image more where 10 does not divide `count`).

    The same arguments give the same pixels on every machine. 10,000 images take about a second.

    Args:
        count: number of images, B, at least 1.
        seed: 0 or more; different seeds give independent images.
        split: "train" or "test"; the two are independent, too.

    Returns:
        images (B, 3, 32, 32) uint8, labels (B,) int64 in shuffled order, the ten class names, name "shapes".

    Raises:
        ValueError: an argument is out of range.
    """
    count, seed = check_size("count", count), check_integer("seed", seed, 0)
    check_choice("split", split, _SPLITS)

    def generator(part: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_SPLITS.index(split), part)))

    labels = generator(0).permutation(np.arange(count, dtype=np.int64) % len(SHAPE_CLASSES))
    images = np.empty((count, 3, SIDE, SIDE), dtype=np.uint8)
    for part, start in enumerate(range(0, count, _CHUNK), start=1):
        chunk = slice(start, start + _CHUNK)
        images[chunk] = _draw(labels[chunk], generator(part))
    return ImageDataset(images, labels, SHAPE_CLASSES, name="shapes", split=split)


def load_shapes(train: bool = True, seed: int = 0) -> ImageDataset:
    """The standard split: 15,000 images to train on, or 2,000 others to test on.

    Args:
        train: the training images, or the test images.
        seed: 0 or more; published results are for 0.

    Returns:
        What `make_shapes` returns.

    Raises:
        ValueError: an argument is out of range.
    """
    return make_shapes(15_000, seed, "train") if check_flag("train", train) else make_shapes(2_000, seed, "test")


def _draw(labels: Array, rng: np.random.Generator) -> Array:
    """Images (B, 3, 32, 32) uint8 for labels (B,)."""
    images = _background(len(labels), rng)
    _draw_specks(images, rng)
    _draw_objects(images, labels, rng)
    noise = rng.random(images.shape, dtype=np.float32) + rng.random(images.shape, dtype=np.float32) - 1
    images += uniform(rng, *NOISE, len(labels), 1) * noise
    return np.rint(np.clip(images, 0, 255)).astype(np.uint8)


def _background(count: int, rng: np.random.Generator) -> Array:
    """A colour gradient, blurred patches, and lines across the whole image: (B, 3, 32, 32) float32."""
    cosine, sine = rounded_cos_sin(uniform(rng, 0, 2 * np.pi, count))
    centre = (SIDE - 1) / 2
    gradient = 0.5 + (cosine * (COLUMNS - centre) + sine * (ROWS - centre)) / (1.5 * SIDE)
    images = np.broadcast_to(background_colours(rng, count), (count, 3, SIDE, SIDE)).copy()
    paint(images, np.clip(gradient, 0, 1), background_colours(rng, count))
    for _ in range(PATCHES):
        x, y, radius = uniform(rng, 0, SIDE, count), uniform(rng, 0, SIDE, count), uniform(rng, 4, 11, count)
        falloff = np.clip(1 - ((COLUMNS - x) ** 2 + (ROWS - y) ** 2) / radius**2, 0, 1)
        paint(images, falloff, background_colours(rng, count))
    for _ in range(LINES):
        cosine, sine = rounded_cos_sin(uniform(rng, 0, 2 * np.pi, count))
        offset, half_width = uniform(rng, -14, 14, count), uniform(rng, 0.3, 1.0, count)
        distance = np.abs(cosine * (COLUMNS - centre) + sine * (ROWS - centre) - offset) - half_width
        paint(images, coverage(distance), background_colours(rng, count))
    return images


def _draw_specks(images: Array, rng: np.random.Generator) -> None:
    """Draw specks of 2 to 5 pixels in background colours, round or square, in place."""
    count = len(images)
    for _ in range(SPECKS):
        x, y, radius = uniform(rng, 0, SIDE, count), uniform(rng, 0, SIDE, count), uniform(rng, 1.0, 2.3, count)
        dx, dy = np.abs(COLUMNS - x), np.abs(ROWS - y)
        to_disc = np.sqrt(dx**2 + dy**2) - radius
        to_square = np.maximum(dx, dy) - radius
        distance = np.where(uniform(rng, 0, 1, count) < 0.5, to_disc, to_square)
        paint(images, coverage(distance), background_colours(rng, count))


def _draw_objects(images: Array, labels: Array, rng: np.random.Generator) -> None:
    """Draw one object per image in place; only a rotated corner may reach over the image's edge."""
    count = len(images)
    radius = (SMALLEST + (LARGEST - SMALLEST) * uniform(rng, 0, 1, count)) / 2
    x = radius + uniform(rng, 0, 1, count) * (SIDE - 1 - 2 * radius)
    y = radius + uniform(rng, 0, 1, count) * (SIDE - 1 - 2 * radius)
    cosine, sine = rounded_cos_sin(uniform(rng, -TILT, TILT, count))
    dx, dy = (COLUMNS - x) / radius, (ROWS - y) / radius
    mirror = np.where(uniform(rng, 0, 1, count) < 0.5, np.float32(-1), np.float32(1))
    u, v = mirror * (cosine * dx + sine * dy), cosine * dy - sine * dx
    distance = np.empty_like(u)
    for label, outline in enumerate(OUTLINES):
        is_class = labels == label
        distance[is_class] = outline(u[is_class], v[is_class])
    paint(images, coverage(distance * radius), object_colours(rng, count))
