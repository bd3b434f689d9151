"""The eight kinds of objects of the built-in data set `scenes`: what each of them looks like.

A function takes an object's own coordinates u (to the right) and v (downwards), in which the object fills the square
from -1 to 1, and a variant in [0, 1). It returns the object's parts in the order in which they are painted: the signed
distances of the points (`shapes/signed_distances.py`), and which of the object's colours the part has. The object is
the union of its parts.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from npswin.data.shapes.outlines import arrow as arrow_outline
from npswin.data.shapes.outlines import star as star_outline
from npswin.data.shapes.signed_distances import to_box, to_disc, to_polygon
from npswin.types import Array

MAIN, SECOND, DARK, PALE = range(4)  # an object's colours

Parts: TypeAlias = list[tuple[Array, int]]


def ball(u: Array, v: Array, variant: float) -> Parts:
    """A ball, plain, with a band or with a star."""
    disc = to_disc(u, v, 0.95)
    if variant < 0.35:
        return [(disc, MAIN)]
    mark = to_box(u, v, 2.0, 0.22) if variant < 0.7 else star_outline(1.8 * u, 1.8 * v) / 1.8
    return [(disc, MAIN), (np.maximum(disc, mark), SECOND)]


def ring(u: Array, v: Array, variant: float) -> Parts:
    """A ring through which one sees what is behind it, some with four marks like a lifebelt."""
    hole = 0.45 + 0.2 * variant
    band = np.maximum(to_disc(u, v, 1.0), -to_disc(u, v, hole))
    if variant < 0.5:
        return [(band, MAIN)]
    marks = np.minimum(to_box(u, v, 2.0, 0.2), to_box(u, v, 0.2, 2.0))
    return [(band, MAIN), (np.maximum(band, marks), SECOND)]


def star(u: Array, v: Array, variant: float) -> Parts:
    """A star of five points, some with a smaller one inside."""
    outline = star_outline(u, v)
    return [(outline, MAIN)] if variant < 0.6 else [(outline, MAIN), (outline + 0.16, SECOND)]


def cross(u: Array, v: Array, variant: float) -> Parts:
    """Two bars of equal length, narrow or wide, some with a rim."""
    half_width = 0.24 + 0.18 * variant
    outline = np.minimum(to_box(u, v, 0.95, half_width), to_box(u, v, half_width, 0.95))
    return [(outline, MAIN)] if variant < 0.5 else [(outline, SECOND), (outline + 0.12, MAIN)]


def arrow(u: Array, v: Array, variant: float) -> Parts:
    """A wide head on a shaft, some with a rim."""
    outline = arrow_outline(u, v)
    return [(outline, MAIN)] if variant < 0.6 else [(outline, SECOND), (outline + 0.1, MAIN)]


def house(u: Array, v: Array, variant: float) -> Parts:
    """Walls and a roof, a door, one or two windows, perhaps a chimney."""
    parts = [] if variant < 0.4 else [(to_box(u, v, 0.11, 0.25, (0.45, -0.6)), DARK)]
    parts.append((to_box(u, v, 0.72, 0.52, (0.0, 0.44)), MAIN))
    parts.append((to_polygon(u, v, [(0.0, -0.98), (0.98, 0.0), (-0.98, 0.0)]), SECOND))
    parts.append((to_box(u, v, 0.15, 0.28, (-0.3, 0.68)), DARK))
    parts.append((to_box(u, v, 0.17, 0.15, (0.32, 0.42)), PALE))
    if variant >= 0.7:
        parts.append((to_disc(u, v, 0.14, (0.0, -0.38)), PALE))
    return parts


def tree(u: Array, v: Array, variant: float) -> Parts:
    """A trunk below three round lobes, or below three storeys of a fir."""
    trunk = (to_box(u, v, 0.11, 0.3, (0.0, 0.7)), DARK)
    if variant < 0.55:
        lobes = [(0.5, (-0.4, -0.05)), (0.5, (0.4, -0.05)), (0.58, (0.0, -0.4))]
        return [trunk, *((to_disc(u, v, radius, centre), MAIN) for radius, centre in lobes)]
    storeys = [(-0.3, 0.62, 0.85), (-0.7, 0.2, 0.68), (-1.0, -0.25, 0.5)]
    return [trunk, *((to_polygon(u, v, [(0.0, top), (w, base), (-w, base)]), MAIN) for top, base, w in storeys)]


def car(u: Array, v: Array, variant: float) -> Parts:
    """A body on two wheels, with a cabin of two windows, or a van's longer one."""
    back = -0.62 if variant < 0.6 else -0.9
    cabin = [(0.3, -0.58), (0.62, -0.05), (back - 0.06, -0.05), (back + 0.14, -0.58)]
    glass = [(0.24, -0.48), (0.46, -0.1), (0.0, -0.1), (0.0, -0.48)]
    rear_glass = [(-0.1, -0.48), (-0.1, -0.1), (back + 0.08, -0.1), (back + 0.2, -0.48)]
    parts = [
        (to_polygon(u, v, cabin), MAIN),
        (to_polygon(u, v, glass), PALE),
        (to_polygon(u, v, rear_glass), PALE),
        (to_polygon(u, v, [(0.88, -0.1), (0.98, 0.1), (0.98, 0.36), (-0.98, 0.36), (-0.98, -0.1)]), MAIN),
        (to_box(u, v, 0.06, 0.07, (0.92, 0.08)), PALE),
    ]
    for x in (-0.55, 0.55):
        parts += [(to_disc(u, v, 0.24, (x, 0.36)), DARK), (to_disc(u, v, 0.1, (x, 0.36)), PALE)]
    return parts


Thing: TypeAlias = Callable[[Array, Array, float], Parts]

THINGS: tuple[Thing, ...] = (ball, ring, star, cross, arrow, house, tree, car)
STANDING: tuple[Thing, ...] = (house, tree, car)  # upright on the ground; the others are turned and may float
# The lowest v of a kind where it is not 1: there it touches the ground
FOOT: dict[Thing, float] = {car: 0.6, star: 0.81, arrow: 0.95, ball: 0.95, cross: 0.95}
