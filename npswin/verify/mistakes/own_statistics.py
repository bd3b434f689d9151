"""Images that are normalized with statistics of their own, such as each image's mean and deviation."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.normalization import Affine, Statistics, normalizing, places_in_words, recognized

OWN = {"each image": (1, 2, 3), "each channel of each image": (2, 3), "the batch": (0, 1, 2, 3)}


def own_statistics(pixels: Array, found: Array, statistics: Statistics) -> tuple[Affine, float] | None:
    """The scale and the offset (B, c, 1, 1) of each channel of each image, and the share that they do not explain.

    Args:
        pixels: (B, c, H, W) from 0 to 255.
        found: what the port made of them.
        statistics: of the key and others, as for `recognized`.
    """
    center, found_center = (array.mean(axis=(2, 3), keepdims=True) for array in (pixels, found))
    centered, spread = pixels - center, found - found_center
    if not centered.any(axis=(2, 3)).all() or not spread.any():
        return None
    scale = (centered * spread).sum(axis=(2, 3), keepdims=True) / (centered**2).sum(axis=(2, 3), keepdims=True)
    offset = found_center - scale * center
    deviation = float(np.linalg.norm(scale * centered - spread) / np.linalg.norm(spread))
    known = min(own_affines(pixels), key=lambda one: one.distance(scale, offset))
    if known.is_near(scale, offset):
        return known, deviation
    return _of_images(scale[..., 0, 0], offset[..., 0, 0], statistics), deviation


def _of_images(scale: Array, offset: Array, statistics: Statistics) -> Affine:
    """Scales and offsets (B, c) of each image's channels: which are right, and what the others are."""
    right = normalizing(*next(iter(statistics.values())))
    affines = [
        right if right.is_near(*numbers) else recognized(*numbers, statistics)
        for numbers in zip(scale, offset, strict=True)
    ]
    words = places_in_words("image", tuple(map(str, range(len(affines)))), [affine.words for affine in affines])
    scales, offsets = (np.stack([getattr(one, part) for one in affines]) for part in ("scale", "offset"))
    return Affine(words, scales[..., None, None], offsets[..., None, None])


def standardizing(pixels: Array, whose: str) -> Affine:
    """The normalization with the mean and the deviation of each image, or of another part named in `OWN`."""
    mean, std = pixels.mean(OWN[whose], keepdims=True), pixels.std(OWN[whose], keepdims=True)
    return Affine(f"pixels are normalized with the mean and deviation of {whose}", 1 / std, -mean / std)


def own_affines(pixels: Array) -> Iterator[Affine]:
    """Normalizations of images (B, c, H, W) with their own statistics."""
    for whose in OWN:
        yield standardizing(pixels, whose)
        words = f"pixels are normalized with the mean and deviation (n - 1) of {whose}"
        mean, std = pixels.mean(OWN[whose], keepdims=True), pixels.std(OWN[whose], keepdims=True, ddof=1)
        yield Affine(words, 1 / std, -mean / std)
    words = "pixels are normalized with the"
    for whose, axes in OWN.items():
        low, high = pixels.min(axes, keepdims=True), pixels.max(axes, keepdims=True)
        yield Affine(f"{words} smallest number and range of {whose}", 1 / (high - low), -low / (high - low))
        yield Affine(f"{words} largest number of {whose}", 1 / high, np.zeros_like(high))
