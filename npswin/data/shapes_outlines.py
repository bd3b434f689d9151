"""The ten outlines of the built-in data set `shapes`, as signed distances.

Each function takes an object's own coordinates u (to the right) and v (downwards), float arrays of one shape in which
the object fills the square from -1 to 1, and returns an array of that shape: the approximate distance of each point
from the outline, negative inside. From a distance, unlike from a mask, edges can be antialiased at any size: a pixel's
coverage is `clip(1/2 - distance in pixels, 0, 1)`.

The arrays are only added, multiplied, divided, compared and their square roots taken. IEEE 754 defines the results
bit for bit, so the pixels are the same on every machine.
"""

from collections.abc import Callable, Sequence

import numpy as np

from npswin.types import Array

Point = tuple[float, float]


def _disc(u: Array, v: Array, radius: float, centre: Point = (0.0, 0.0)) -> Array:
    return np.sqrt((u - centre[0]) ** 2 + (v - centre[1]) ** 2) - radius


def _box(u: Array, v: Array, half_width: float, half_height: float) -> Array:
    return np.maximum(np.abs(u) - half_width, np.abs(v) - half_height)


def _polygon(u: Array, v: Array, corners: Sequence[Point]) -> Array:
    """Distance to the nearest edge. A point is inside if a ray to the right crosses an odd number of edges."""
    nearest = np.full_like(u, np.inf)
    is_inside = np.zeros(u.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        edge_x, edge_y = bx - ax, by - ay
        from_a_x, from_a_y = u - ax, v - ay
        along = np.clip((from_a_x * edge_x + from_a_y * edge_y) / (edge_x * edge_x + edge_y * edge_y), 0.0, 1.0)
        nearest = np.minimum(nearest, (from_a_x - along * edge_x) ** 2 + (from_a_y - along * edge_y) ** 2)
        if ay != by:
            is_inside ^= ((ay > v) != (by > v)) & (from_a_x < from_a_y * (edge_x / edge_y))
    return np.where(is_inside, -1.0, 1.0).astype(u.dtype) * np.sqrt(nearest)


def disc(u: Array, v: Array) -> Array:
    """A filled circle."""
    return _disc(u, v, 0.9)


def ring(u: Array, v: Array) -> Array:
    """A circle with a wide round hole."""
    return np.maximum(_disc(u, v, 1.0), -_disc(u, v, 0.56))


def crescent(u: Array, v: Array) -> Array:
    """A disc without a smaller disc that is moved to the right."""
    return np.maximum(_disc(u, v, 1.0), -_disc(u, v, 0.8, (0.55, 0.0)))


def bars(u: Array, v: Array) -> Array:
    """Three horizontal bars, one above the other."""
    return np.maximum(np.abs(u) - 0.72, np.minimum(np.abs(v), np.abs(np.abs(v) - 0.7)) - 0.19)


def triangle(u: Array, v: Array) -> Array:
    """A filled triangle with its base at the bottom."""
    return _polygon(u, v, [(0.0, -1.0), (0.95, 0.75), (-0.95, 0.75)])


def star(u: Array, v: Array) -> Array:
    """A star of five points."""
    # Outer radius 1, inner radius 0.42, every 36 degrees from the top; to four digits, so that no sine is computed.
    right = [(0.0, -1.0), (0.2469, -0.3398), (0.9511, -0.3090), (0.3994, 0.1298), (0.5878, 0.8090), (0.0, 0.42)]
    left = [(-x, y) for x, y in right[4:0:-1]]
    return _polygon(u, v, right + left)


def corner(u: Array, v: Array) -> Array:
    """A vertical bar on the left end of a horizontal one, like the letter L."""
    return np.minimum(_box(u + 0.5, v, 0.28, 0.8), _box(u, v - 0.52, 0.78, 0.28))


def heart(u: Array, v: Array) -> Array:
    """Two discs above a corner."""
    lobes = _disc(np.abs(u), v, 0.5, (0.45, -0.4))
    return np.minimum(lobes, _polygon(u, v, [(0.0, -0.5), (0.86, -0.12), (0.0, 0.95), (-0.86, -0.12)]))


def arrow(u: Array, v: Array) -> Array:
    """A wide head on a shaft, pointing up."""
    head = [(0.0, -1.0), (0.85, 0.0), (0.3, 0.0)]
    shaft = [(0.3, 0.95), (-0.3, 0.95)]
    return _polygon(u, v, [*head, *shaft, (-0.3, 0.0), (-0.85, 0.0)])


def hourglass(u: Array, v: Array) -> Array:
    """Two triangles that touch at a vertex."""
    return _polygon(u, v, [(-0.75, -0.9), (0.75, -0.9), (-0.75, 0.9), (0.75, 0.9)])


OUTLINES: tuple[Callable[[Array, Array], Array], ...] = (
    disc, ring, crescent, bars, triangle, star, corner, heart, arrow, hourglass,
)  # fmt: skip
