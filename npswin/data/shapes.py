"""`shapes`: the data set built into the package, drawn by a seeded generator.

Ten classes of 32×32 colour images. One object lies on cluttered ground, anywhere in the image, 11 to 27 pixels wide,
a little tilted, mirrored or not, of any hue; a colour ramp, patches, lines, crumbs and noise lie behind it. No pixel
and no colour tells the class, so a linear classifier gets 45 % of them; an outline does, at any size and place.
"""

import numpy as np

from npswin.data.canvas import COLUMNS, ROWS, SIDE, between, direction, dull, paint, soft, vivid
from npswin.data.dataset import ImageDataset
from npswin.data.outlines import OUTLINES
from npswin.types import Array

SHAPE_CLASSES: tuple[str, ...] = tuple(outline.__name__ for outline in OUTLINES)
# Objects are brighter than the middle grey and the ground is darker, so this is what `normalize` should get rather than
# the pixels' own statistics: the sign of the input then tells one from the other, and training starts sooner.
SHAPES_MEAN = (0.5, 0.5, 0.5)
SHAPES_STD = (0.25, 0.25, 0.25)

SMALLEST, LARGEST = 11.0, 27.0  # pixels across
TILT = 0.2  # radians, either way
PATCHES, LINES, CRUMBS = 3, 2, 3
NOISE = 5.0, 12.0

_CHUNK = 250
_SPLITS = ("train", "test")


def make_shapes(count: int, seed: int = 0, split: str = "train") -> ImageDataset:
    """Draw `count` images, as many of each class as of the others (one more of some where 10 does not divide `count`).

    The same arguments give the same pixels on every machine. 10,000 images take about a second.

    Args:
        count: number of images, B, at least 1.
        seed: 0 or more; different seeds give unrelated images.
        split: "train" or "test"; the two are unrelated, too.

    Returns:
        images (B, 3, 32, 32) uint8, labels (B,) int64 in shuffled order, the ten class names, name "shapes".

    Raises:
        ValueError: an argument is none of these.
    """
    if count < 1:
        raise ValueError(f"count: got {count}, expected 1 or more")
    if seed < 0:
        raise ValueError(f"seed: got {seed}, expected 0 or more")
    if split not in _SPLITS:
        raise ValueError(f"split: got {split!r}, expected one of {_SPLITS}")

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
        train: which of the two.
        seed: 0 or more; 0 is the data set that published figures are about.

    Returns:
        What `make_shapes` returns.
    """
    return make_shapes(15_000, seed, "train") if train else make_shapes(2_000, seed, "test")


def _draw(labels: Array, rng: np.random.Generator) -> Array:
    """Images (B, 3, 32, 32) uint8 for labels (B,)."""
    canvas = _ground(len(labels), rng)
    _crumbs(canvas, rng)
    _objects(canvas, labels, rng)
    noise = rng.random(canvas.shape, dtype=np.float32) + rng.random(canvas.shape, dtype=np.float32) - 1
    canvas += between(rng, *NOISE, len(labels), 1) * noise
    return np.rint(np.clip(canvas, 0, 255)).astype(np.uint8)


def _ground(count: int, rng: np.random.Generator) -> Array:
    """A colour ramp, soft patches, and lines across the whole image: (B, 3, 32, 32) float32."""
    cosine, sine = direction(between(rng, 0, 2 * np.pi, count))
    centre = (SIDE - 1) / 2
    ramp = 0.5 + (cosine * (COLUMNS - centre) + sine * (ROWS - centre)) / (1.5 * SIDE)
    canvas = np.broadcast_to(dull(rng, count), (count, 3, SIDE, SIDE)).copy()
    paint(canvas, np.clip(ramp, 0, 1), dull(rng, count))
    for _ in range(PATCHES):
        x, y, radius = between(rng, 0, SIDE, count), between(rng, 0, SIDE, count), between(rng, 4, 11, count)
        falloff = np.clip(1 - ((COLUMNS - x) ** 2 + (ROWS - y) ** 2) / radius**2, 0, 1)
        paint(canvas, falloff, dull(rng, count))
    for _ in range(LINES):
        cosine, sine = direction(between(rng, 0, 2 * np.pi, count))
        off_centre, half_width = between(rng, -14, 14, count), between(rng, 0.3, 1.0, count)
        distance = np.abs(cosine * (COLUMNS - centre) + sine * (ROWS - centre) - off_centre) - half_width
        paint(canvas, soft(distance), dull(rng, count))
    return canvas


def _crumbs(canvas: Array, rng: np.random.Generator) -> None:
    """Dull specks of 2 to 5 pixels, round or square, in place."""
    count = len(canvas)
    for _ in range(CRUMBS):
        x, y, radius = between(rng, 0, SIDE, count), between(rng, 0, SIDE, count), between(rng, 1.0, 2.3, count)
        across, down = np.abs(COLUMNS - x), np.abs(ROWS - y)
        round_ones = np.sqrt(across**2 + down**2) - radius
        square_ones = np.maximum(across, down) - radius
        distance = np.where(between(rng, 0, 1, count) < 0.5, round_ones, square_ones)
        paint(canvas, soft(distance), dull(rng, count))


def _objects(canvas: Array, labels: Array, rng: np.random.Generator) -> None:
    """One object an image, inside it but for a tilted corner's tip, in place."""
    count = len(canvas)
    radius = (SMALLEST + (LARGEST - SMALLEST) * between(rng, 0, 1, count)) / 2
    x = radius + between(rng, 0, 1, count) * (SIDE - 1 - 2 * radius)
    y = radius + between(rng, 0, 1, count) * (SIDE - 1 - 2 * radius)
    cosine, sine = direction(between(rng, -TILT, TILT, count))
    across, down = (COLUMNS - x) / radius, (ROWS - y) / radius
    mirrored = np.where(between(rng, 0, 1, count) < 0.5, np.float32(-1), np.float32(1))
    u, v = mirrored * (cosine * across + sine * down), cosine * down - sine * across
    distance = np.empty_like(u)
    for label, outline in enumerate(OUTLINES):
        of_class = labels == label
        distance[of_class] = outline(u[of_class], v[of_class])
    paint(canvas, soft(distance * radius), vivid(rng, count))
