"""A function of each pixel's value: equal pixels become equal numbers, so that its table is read off."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.normalization import COLOURS, places_in_words
from npswin.verify.mistakes.pixels.curves import Curve, Points, Recognized, recognized
from npswin.verify.mistakes.pixels.prepared import LEVELS, Function, Images, Prepared, are_integers

FEWEST_PER_VALUE = 2  # pixels for each number of the table, at least
SHOWN = (0, 64, 128, 192, 255)  # values of which an unknown function is told


def function_of_values(images: Images) -> Iterator[Prepared]:
    """A function of each pixel's value, before the key's normalization: of all channels, or one of each."""
    if not are_integers(images.pixels, 0.0):
        return
    values, undone = images.pixels.astype(np.int64), images.undone
    joint = _curve(images, values, undone)
    if joint is not None:
        yield Prepared(joint.words, images.before(joint.curve), joint.fitted)
        return
    curves = [_curve(images, values[:, place], undone[:, place]) for place in range(values.shape[1])]
    used = [curve for curve in curves if curve is not None]
    if len(used) == len(curves):
        names = COLOURS if len(used) == len(COLOURS) else tuple(map(str, range(len(used))))
        words = places_in_words("channel", names, [curve.words for curve in used])
        function = images.before(_by_channel([curve.curve for curve in used]))
        yield Prepared(words, function, sum(curve.fitted for curve in used))


def _curve(images: Images, values: Array, undone: Array) -> Recognized | None:
    """The function by which values (integers from 0 to 255) become others; None where it is none."""
    counts = np.bincount(values.reshape(-1), minlength=LEVELS)
    there = np.flatnonzero(counts)
    table = np.bincount(values.reshape(-1), undone.reshape(-1), minlength=LEVELS)[there] / counts[there]
    full = np.zeros(LEVELS)
    full[there] = table
    if not np.abs(full[values] - undone).max() <= 2 * images.pixel_tolerance:
        return None
    points = Points(there.astype(float), table, images.pixel_tolerance)
    if points.agree(lambda x: x):
        return Recognized("as in the key", lambda x: x)
    curve = recognized(points)
    return _listed(points) if curve is None and values.size >= FEWEST_PER_VALUE * len(there) else curve


def _listed(points: Points) -> Recognized:
    """A function that is told by some of its values."""
    value, becomes, _ = points
    shown = sorted({int(np.abs(value - one).argmin()) for one in SHOWN})
    listed = ", ".join(f"{value[place]:g} becomes {points.number(becomes[place])}" for place in shown)
    return Recognized(
        f"pixels' values go through a function: {listed}", lambda x: np.interp(x, value, becomes), len(value)
    )


def _by_channel(curves: list[Curve]) -> Function:
    return lambda pixels: np.stack([curve(pixels[:, place]) for place, curve in enumerate(curves)], axis=1)
