"""Objects of the built-in data set `scenes`: where each of them is, and how it is painted."""

from dataclasses import dataclass

import numpy as np

from npswin.data.scenes.textures import any_colour, between, colour
from npswin.data.scenes.things import DARK, FOOT, STANDING, THINGS, ball
from npswin.data.shapes.drawing import coverage, paint, rounded_cos_sin
from npswin.types import Array

SMALLEST, LARGEST = 1 / 32, 1 / 4  # half of an object's width, as a share of the image's side


@dataclass(frozen=True)
class Light:
    """Of one scene: where shadows fall, and how dark they are.

    Attributes:
        shadow: columns and rows by which the shadow of a point moves for each pixel of its height above the ground.
        darkness: share of the light that a shadow takes away.
    """

    shadow: tuple[float, float]
    darkness: float


@dataclass(frozen=True)
class Placed:
    """An object at its place.

    Attributes:
        kind: index into THINGS.
        centre: column and row, in pixels.
        radius: half of its width, in pixels.
        turn: cosine and sine of its angle.
        stretch: of its width and height; a negative width mirrors it.
        variant: in [0, 1), of its parts.
        colours: (4, 3, 1, 1), those of its parts.
        stripes: width in its own coordinates and strength of a pattern on it; strength 0 for none.
        foot: row at which it touches the ground.
        floats: whether it is in the air, without a shadow.
    """

    kind: int
    centre: tuple[float, float]
    radius: float
    turn: tuple[float, float]
    stretch: tuple[float, float]
    variant: float
    colours: Array
    stripes: tuple[float, float]
    foot: float
    floats: bool

    def own_coordinates(self, columns: Array, rows: Array) -> tuple[Array, Array]:
        """The object's coordinates u and v of points of the image."""
        dx, dy = (columns - self.centre[0]) / self.radius, (rows - self.centre[1]) / self.radius
        cosine, sine = self.turn
        return (cosine * dx + sine * dy) / self.stretch[0], (cosine * dy - sine * dx) / self.stretch[1]

    def parts(self, u: Array, v: Array) -> list[tuple[Array, int]]:
        """The parts' signed distances in pixels at points in the object's coordinates, and the parts' colours."""
        pixels = np.float32(self.radius * min(abs(self.stretch[0]), self.stretch[1]))
        return [(pixels * distance, role) for distance, role in THINGS[self.kind](u, v, self.variant)]

    def window(self, side: int) -> tuple[Array, Array]:
        """Columns and rows (n, n) of a square that contains the object, also where it is outside the image."""
        reach = int(1.6 * self.radius) + 2
        column, row = (round(value) for value in self.centre)
        steps = np.arange(-reach, reach + 1)
        columns, rows = np.meshgrid((column + steps).astype(np.float32), (row + steps).astype(np.float32))
        return columns, rows


def place(rng: np.random.Generator, side: int, horizon: float, near: Placed | None) -> Placed:
    """Draw an object of any kind, size, place and colour.

    Args:
        rng: generator of all of these.
        side: of the image, in pixels.
        horizon: row where the ground ends.
        near: an object next to which this one comes, so that one of them partly hides the other; None for anywhere.
    """
    kind = int(rng.integers(len(THINGS)))
    thing = THINGS[kind]
    size = between(rng, 0, 1)
    radius = side * (SMALLEST + (LARGEST - SMALLEST) * size * size)  # more small ones than large ones
    angle = between(rng, -0.06, 0.06) if thing in STANDING else between(rng, -0.7, 0.7)
    stretch = between(rng, 0.85, 1.15) * (1 if rng.random() < 0.5 else -1), between(rng, 0.85, 1.1)
    floats = thing not in STANDING and rng.random() < 0.35
    column, foot = between(rng, 0, side), horizon + (side - horizon) * (0.08 + between(rng, 0, 0.8) + 0.2 * size)
    if floats:
        foot = between(rng, 0.25, 0.95) * side
    if near is not None:
        column = near.centre[0] + between(rng, -1.1, 1.1) * (near.radius + 0.5 * radius)
        foot = max(near.foot + between(rng, -0.6, 0.6) * near.radius, horizon + 0.05 * side)
    row = foot - FOOT.get(thing, 1.0) * radius * stretch[1]
    cosine, sine = rounded_cos_sin(np.array(angle))
    stripes = (between(rng, 0.12, 0.4), between(rng, 0.12, 0.4) if rng.random() < 0.4 else 0.0)
    return Placed(
        kind=kind,
        centre=(column, row),
        radius=radius,
        turn=(float(cosine), float(sine)),
        stretch=stretch,
        variant=float(rng.random()),
        colours=_colours(rng),
        stripes=stripes,
        foot=foot,
        floats=floats,
    )


def _colours(rng: np.random.Generator) -> Array:
    """Main and second colour of any hue, a dark and a pale one."""
    dark, pale = between(rng, 20, 75), between(rng, 170, 240)
    dark_colour = colour(dark + 15, dark, dark - between(rng, 0, 15))
    return np.stack([any_colour(rng), any_colour(rng), dark_colour, colour(pale - 10, pale, pale + 10)])


def paint_shadow(image: Array, placed: Placed, light: Light) -> None:
    """Darken the ground (3, S, S) in place where an object's shadow falls, softer far from its foot."""
    side = image.shape[-1]
    move_x, move_y = light.shadow
    height = 2.2 * placed.radius
    left, right = sorted((placed.centre[0], placed.centre[0] + move_x * height))
    window = tuple(
        slice(max(int(low), 0), max(min(int(high), side), 0))
        for low, high in (
            (placed.foot - 0.2 * placed.radius, placed.foot + move_y * height + 2),
            (left - 1.3 * placed.radius, right + 1.3 * placed.radius),
        )
    )
    area = image[:, window[0], window[1]]
    if area.size == 0:
        return
    rows, columns = (axis.astype(np.float32) for axis in np.mgrid[window])
    above = (rows - placed.foot) / move_y  # height of the point whose shadow is here
    u, v = placed.own_coordinates(columns - above * move_x, placed.foot - above)
    distance = np.minimum.reduce([part for part, _ in placed.parts(u, v)])
    softness = 1 + 0.12 * np.maximum(above, 0)
    area *= 1 - light.darkness * np.clip(0.5 - distance / softness, 0, 1)


def paint_object(image: Array, placed: Placed, light: Light) -> None:
    """Paint an object over an image (3, S, S) in place."""
    side = image.shape[-1]
    columns, rows = placed.window(side)
    inside = np.ix_(((rows >= 0) & (rows < side)).all(axis=1), ((columns >= 0) & (columns < side)).all(axis=0))
    columns, rows = columns[inside], rows[inside]
    if columns.size == 0:
        return
    area = image[:, int(rows[0, 0]) : int(rows[-1, 0]) + 1, int(columns[0, 0]) : int(columns[0, -1]) + 1]
    u, v = placed.own_coordinates(columns, rows)
    parts = placed.parts(u, v)
    shade = _shade(placed, light, columns, rows, np.minimum.reduce([distance for distance, _ in parts]))
    width, strength = placed.stripes
    wave = np.abs(2 * ((u + 0.5 * v) / width - np.floor((u + 0.5 * v) / width)) - 1)
    pattern = 1 - strength * np.clip(4 * (wave - 0.5) + 0.5, 0, 1)
    for distance, role in parts:
        surface = shade * pattern if role < DARK else shade
        paint(area[None], coverage(distance)[None], (placed.colours[role] * surface)[None])


def _shade(placed: Placed, light: Light, columns: Array, rows: Array, distance: Array) -> Array:
    """Brightness (h, w): brighter towards the light, darker at the rim; a ball has a highlight."""
    away = 1.0 if light.shadow[0] > 0 else -1.0
    dx, dy = (columns - placed.centre[0]) / placed.radius, (rows - placed.centre[1]) / placed.radius
    shade = 1 - 0.18 * (away * dx + dy)
    shade *= np.clip(0.72 - distance * (1.4 / placed.radius), 0.72, 1)
    if THINGS[placed.kind] is ball:
        to_light = (dx + 0.35 * away) ** 2 + (dy + 0.4) ** 2
        shade *= 1.15 - 0.3 * to_light + 0.9 * np.clip(1 - to_light / 0.09, 0, 1)
    return shade
