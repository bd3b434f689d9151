"""A function of each pixel's value: equal pixels become equal numbers, so that its table is read off."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.normalization import COLOURS
from npswin.verify.mistakes.pixels.curves import Curve, Points, Recognized, recognized
from npswin.verify.mistakes.pixels.prepared import LEVELS, Function, Images, Prepared, are_integers

FEWEST_PER_VALUE = 2  # pixels for each number of the table, at least
SHOWN = (0, 64, 128, 192, 255)  # values of which an unknown function is told


def function_of_values(images: Images) -> Iterator[Prepared]:
    """A function of each pixel's value, before the key's normalization."""
    table = _table(images)
    if table is None:
        return
    curves = [recognized(_points(images, row)) or _listed(row) for row in table]
    joint = _of_all(images, table)
    if joint is not None:
        yield Prepared(joint.words, images.before(joint.curve), joint.fitted)
        return
    names = COLOURS if len(table) == len(COLOURS) else [f"channel {place}" for place in range(len(table))]
    words = "; ".join(
        f"{name}: {'as in the key' if _is_same(images, row) else curve.words}"
        for name, row, curve in zip(names, table, curves, strict=True)
    )
    identity = Recognized("", lambda x: x)
    used = [identity if _is_same(images, row) else curve for row, curve in zip(table, curves, strict=True)]
    yield Prepared(words, images.before(_by_channel([one.curve for one in used])), sum(one.fitted for one in used))


def _table(images: Images) -> Array | None:
    """(c, 256): what each value of each channel becomes, NaN where no pixel has it; None where that is no function."""
    pixels, channels = images.pixels, images.pixels.shape[1]
    if not are_integers(pixels, 0.0):
        return None
    places = (pixels.astype(np.int64) + LEVELS * np.arange(channels)[:, None, None]).reshape(-1)
    undone = images.undone.reshape(-1)
    counts = np.bincount(places, minlength=LEVELS * channels)
    if places.size < FEWEST_PER_VALUE * np.count_nonzero(counts):
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        table = np.bincount(places, undone, minlength=LEVELS * channels) / counts
    if not np.abs(table[places] - undone).max() <= 2 * images.pixel_tolerance:
        return None
    return table.reshape(channels, LEVELS)


def _points(images: Images, row: Array) -> Points:
    there = np.flatnonzero(np.isfinite(row))
    return Points(there.astype(float), row[there], images.pixel_tolerance)


def _of_all(images: Images, table: Array) -> Recognized | None:
    """The function of all channels, if it is one."""
    with np.errstate(all="ignore"):
        low, high = np.nanmin(table, axis=0), np.nanmax(table, axis=0)
    if not (np.nan_to_num(high - low) <= 2 * images.pixel_tolerance).all():
        return None
    mean = (low + high) / 2
    return recognized(_points(images, mean)) or _listed(mean)


def _is_same(images: Images, row: Array) -> bool:
    points = _points(images, row)
    return bool(np.abs(points.value - points.becomes).max() <= points.tolerance)


def _listed(row: Array) -> Recognized:
    """A function that is told by some of its values."""
    there = np.flatnonzero(np.isfinite(row))
    shown = sorted({int(there[np.abs(there - value).argmin()]) for value in SHOWN})
    listed = ", ".join(f"{value} becomes {row[value]:.4g}" for value in shown)
    return Recognized(
        f"pixels' values go through a function: {listed}", lambda x: np.interp(x, there, row[there]), len(there)
    )


def _by_channel(curves: list[Curve]) -> Function:
    return lambda pixels: np.stack([curve(pixels[:, place]) for place, curve in enumerate(curves)], axis=1)
