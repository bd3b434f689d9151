"""The names of objects beside their boxes, so that they cover each other as little as possible."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.training.pictures.palette import text_colour
from npswin.types import Array

FONT_SIZE, SMALLEST_FONT_SIZE = 7.0, 4.5  # points
MANY = 12  # labels; where there are more, they are smaller


def draw_labels(axes: Any, boxes: Array, names: Sequence[str], palette: Array, size: tuple[int, int]) -> None:
    """Write the name of each object at its box, in a field of its colour.

    The figure's layout is done (`figure.draw_without_rendering()`), since the fields' sizes in the image depend on it.

    Args:
        axes: with the image.
        boxes: (n, 4), corners x1, y1, x2, y2 in the coordinates of the axes; of the last one the label is on top.
        names: n texts.
        palette: (n, 3) uint8, the colours.
        size: height and width of the image, in the coordinates of the axes.
    """
    font_size = max(SMALLEST_FONT_SIZE, FONT_SIZE * min(1, (MANY / max(len(names), 1)) ** 0.5))
    texts = []
    for name, colour in zip(names, palette, strict=True):
        field = {"facecolor": colour / 255, "edgecolor": "none", "pad": 1.0, "alpha": 0.9}
        style: dict[str, Any] = {"fontsize": font_size, "color": text_colour(colour), "bbox": field, "clip_on": True}
        texts.append(axes.text(0, 0, name, va="center", ha="center", parse_math=False, in_layout=False, **style))
    pixels = np.abs(np.diff(axes.transData.transform([(0, 0), (1, 1)]), axis=0))
    padding = 2 * axes.figure.dpi / 72  # a point on each side
    extents = [text.get_window_extent() for text in texts]
    sizes = (np.array([(one.width, one.height) for one in extents]).reshape(-1, 2) + padding) / pixels
    for text, corner, extent in zip(texts, label_places(boxes, sizes, size), sizes, strict=True):
        text.set_position(corner + extent / 2)


def label_places(boxes: Array, sizes: Array, size: tuple[int, int]) -> Array:
    """The left upper corner of each label, (n, 2) x and y: where it covers least of the labels before it.

    A label is above its box, below it, inside or beside it, at one of its corners; of places that are as good, the
    first one is taken.

    Args:
        boxes: (n, 4), corners x1, y1, x2, y2.
        sizes: (n, 2), width and height of each label.
        size: height and width of the image, in which labels stay.
    """
    placed = np.zeros((len(boxes), 4))
    for number, ((x1, y1, x2, y2), (width, height)) in enumerate(zip(boxes, sizes, strict=True)):
        above_and_below = [(left, top) for top in (y1 - height, y2) for left in (x1, x2 - width)]
        inside = [(left, top) for top in (y1, y2 - height) for left in (x1, x2 - width)]
        beside = [(left, top) for top in (y1, y2 - height) for left in (x2, x1 - width)]
        farthest = np.maximum([size[1] - width, size[0] - height], 0)
        corners = np.clip([*above_and_below, *inside, *beside], 0, farthest)
        places = np.concatenate([corners, corners + np.array([width, height])], axis=1)
        before = placed[:number]
        sides = np.minimum(places[:, None, 2:], before[:, 2:]) - np.maximum(places[:, None, :2], before[:, :2])
        covered = np.prod(np.maximum(sides, 0), axis=2).sum(axis=1)
        placed[number] = places[covered.argmin()]
    return placed[:, :2]
