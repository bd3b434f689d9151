"""The ten outlines of the built-in data set `shapes`, as signed distances.

Each function takes an object's own coordinates u (to the right) and v (downwards), float arrays of one shape in which
the object fills the square from -1 to 1, and returns each point's approximate distance from the outline, negative
inside (`signed_distances.py`).
"""

from collections.abc import Callable

import numpy as np

from npswin.data.shapes.signed_distances import to_box, to_disc, to_polygon
from npswin.types import Array


def disc(u: Array, v: Array) -> Array:
    """A filled circle."""
    return to_disc(u, v, 0.9)


def ring(u: Array, v: Array) -> Array:
    """A circle with a wide round hole."""
    return np.maximum(to_disc(u, v, 1.0), -to_disc(u, v, 0.56))


def crescent(u: Array, v: Array) -> Array:
    """A disc without a smaller disc that is moved to the right."""
    return np.maximum(to_disc(u, v, 1.0), -to_disc(u, v, 0.8, (0.55, 0.0)))


def bars(u: Array, v: Array) -> Array:
    """Three horizontal bars, one above the other."""
    return np.maximum(np.abs(u) - 0.72, np.minimum(np.abs(v), np.abs(np.abs(v) - 0.7)) - 0.19)


def triangle(u: Array, v: Array) -> Array:
    """A filled triangle with its base at the bottom."""
    return to_polygon(u, v, [(0.0, -1.0), (0.95, 0.75), (-0.95, 0.75)])


def star(u: Array, v: Array) -> Array:
    """A star of five points."""
    # Outer radius 1, inner radius 0.42, every 36 degrees from the top; to four digits, so that no sine is computed.
    right = [(0.0, -1.0), (0.2469, -0.3398), (0.9511, -0.3090), (0.3994, 0.1298), (0.5878, 0.8090), (0.0, 0.42)]
    left = [(-x, y) for x, y in right[4:0:-1]]
    return to_polygon(u, v, right + left)


def corner(u: Array, v: Array) -> Array:
    """A vertical bar on the left end of a horizontal one, like the letter L."""
    return np.minimum(to_box(u, v, 0.28, 0.8, (-0.5, 0.0)), to_box(u, v, 0.78, 0.28, (0.0, 0.52)))


def heart(u: Array, v: Array) -> Array:
    """Two discs above a corner."""
    lobes = to_disc(np.abs(u), v, 0.5, (0.45, -0.4))
    return np.minimum(lobes, to_polygon(u, v, [(0.0, -0.5), (0.86, -0.12), (0.0, 0.95), (-0.86, -0.12)]))


def arrow(u: Array, v: Array) -> Array:
    """A wide head on a shaft, pointing up."""
    head = [(0.0, -1.0), (0.85, 0.0), (0.3, 0.0)]
    shaft = [(0.3, 0.95), (-0.3, 0.95)]
    return to_polygon(u, v, [*head, *shaft, (-0.3, 0.0), (-0.85, 0.0)])


def hourglass(u: Array, v: Array) -> Array:
    """Two triangles that touch at a vertex."""
    return to_polygon(u, v, [(-0.75, -0.9), (0.75, -0.9), (-0.75, 0.9), (0.75, 0.9)])


OUTLINES: tuple[Callable[[Array, Array], Array], ...] = (
    disc, ring, crescent, bars, triangle, star, corner, heart, arrow, hourglass,
)  # fmt: skip
