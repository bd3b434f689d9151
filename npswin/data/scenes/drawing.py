"""One scene of the built-in data set `scenes`: ground, clutter and objects that hide each other."""

from typing import NamedTuple

import numpy as np

from npswin.data.scenes.clutter import paint_clutter
from npswin.data.scenes.ground import draw_ground
from npswin.data.scenes.objects import Light, Placed, paint_object, paint_shadow, place
from npswin.data.scenes.textures import between, value_noise
from npswin.types import Array

FEWEST, MOST = 4, 11  # objects per scene, before hidden ones are taken out
LEAST_VISIBLE = 0.3  # share of an object that has to be seen
FEWEST_PIXELS = 12


class Scene(NamedTuple):
    """A picture, and what it shows.

    Attributes:
        image: (3, S, S) uint8.
        stuff: (S, S) uint8, an index into `STUFF` for each pixel, also behind objects.
        kinds: (n,) int64, an index into `THINGS` for each object, from the nearest to the farthest; n may be 0.
        masks: (n, S, S) bool, the visible pixels of each object. No pixel is in two masks.
    """

    image: Array
    stuff: Array
    kinds: Array
    masks: Array


def draw_scene(rng: np.random.Generator, side: int) -> Scene:
    """Draw a scene of `side` by `side` pixels; what it shows depends on the generator alone."""
    ground = draw_ground(rng, side)
    image = ground.image
    paint_clutter(image, rng, ground.horizon)
    light = Light(
        (between(rng, 0.2, 1.0) * (1 if rng.random() < 0.5 else -1), between(rng, 0.15, 0.5)), between(rng, 0.1, 0.5)
    )
    visible = _visible(_place_all(rng, side, ground.horizon), side)
    for placed, _ in reversed(visible):
        if not placed.floats:
            paint_shadow(image, placed, light)
        paint_object(image, placed, light)
    image *= between(rng, 0.75, 1.12) + 0.25 * (value_noise(rng, (side, side), (0.8 * side, 0.8 * side)) - 0.5)
    noise = rng.random(image.shape, dtype=np.float32) + rng.random(image.shape, dtype=np.float32) - 1
    image += np.float32(between(rng, 3, 12)) * noise
    return Scene(
        image=np.rint(np.clip(image, 0, 255)).astype(np.uint8),
        stuff=ground.labels,
        kinds=np.array([placed.kind for placed, _ in visible], dtype=np.int64),
        masks=np.array([mask for _, mask in visible], dtype=bool).reshape(-1, side, side),
    )


def _place_all(rng: np.random.Generator, side: int, horizon: float) -> list[Placed]:
    """The objects of a scene, those in front first; half of them are next to another one."""
    everything: list[Placed] = []
    for _ in range(int(rng.integers(FEWEST, MOST + 1))):
        near = everything[int(rng.integers(len(everything)))] if everything and rng.random() < 0.5 else None
        everything.append(place(rng, side, horizon, near))
    return sorted(everything, key=lambda placed: -placed.foot)


def _visible(everything: list[Placed], side: int) -> list[tuple[Placed, Array]]:
    """The objects of which enough is seen, from the front to the back, and their visible pixels (S, S).

    The others are taken out of the scene: none is in the picture without being in the masks.
    """
    hidden = np.zeros((side, side), bool)
    seen = []
    for placed in everything:
        columns, rows = placed.window(side)
        parts = placed.parts(*placed.own_coordinates(columns, rows))
        silhouette = np.minimum.reduce([distance for distance, _ in parts]) < 0
        in_image = silhouette & (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
        mask = np.zeros((side, side), bool)
        mask[rows[in_image].astype(np.int64), columns[in_image].astype(np.int64)] = True
        mask &= ~hidden
        pixels = int(mask.sum())
        if pixels >= max(FEWEST_PIXELS, LEAST_VISIBLE * silhouette.sum()):
            seen.append((placed, mask))
            hidden |= mask
    return seen
