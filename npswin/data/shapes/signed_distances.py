"""Signed distances from simple outlines, with which the built-in data sets are drawn.

Each function takes coordinates u (to the right) and v (downwards), float arrays of one shape, and returns an array of
that shape: the approximate distance of each point from the outline, negative inside. The minimum of two is their union,
the maximum their intersection. From a distance, unlike from a mask, edges can be antialiased at any size: a pixel's
coverage is `clip(1/2 - distance in pixels, 0, 1)`.

The arrays are only added, multiplied, divided, compared and their square roots taken. IEEE 754 defines the results
bit for bit, so the pixels are the same on every machine.
"""

from collections.abc import Sequence

import numpy as np

from npswin.types import Array

Point = tuple[float, float]


def to_disc(u: Array, v: Array, radius: float, centre: Point = (0.0, 0.0)) -> Array:
    """From a circle."""
    return np.sqrt((u - centre[0]) ** 2 + (v - centre[1]) ** 2) - radius


def to_box(u: Array, v: Array, half_width: float, half_height: float, centre: Point = (0.0, 0.0)) -> Array:
    """From a rectangle; beyond its corners, the larger of the distances along the axes."""
    return np.maximum(np.abs(u - centre[0]) - half_width, np.abs(v - centre[1]) - half_height)


def to_polygon(u: Array, v: Array, corners: Sequence[Point]) -> Array:
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
