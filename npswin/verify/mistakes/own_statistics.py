"""Images that are normalized with statistics of their own, such as each image's mean and deviation."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.normalization import Affine

OWN = {"each image": (1, 2, 3), "each channel of each image": (2, 3), "the batch": (0, 1, 2, 3)}


def own_statistics(pixels: Array, found: Array) -> tuple[Affine, float] | None:
    """The scale and the offset (B, c, 1, 1) of each channel of each image, and the share that they do not explain.

    Args:
        pixels: (B, c, H, W) from 0 to 255.
        found: what the port made of them.
    """
    center, found_center = (array.mean(axis=(2, 3), keepdims=True) for array in (pixels, found))
    centered, spread = pixels - center, found - found_center
    if not centered.any(axis=(2, 3)).all() or not spread.any():
        return None
    scale = (centered * spread).sum(axis=(2, 3), keepdims=True) / (centered**2).sum(axis=(2, 3), keepdims=True)
    offset = found_center - scale * center
    deviation = float(np.linalg.norm(scale * centered - spread) / np.linalg.norm(spread))
    for known in own_affines(pixels):
        if known.is_near(scale, offset):
            return known, deviation
    return Affine("each image's channels have a scale and an offset of their own", scale, offset), deviation


def standardizing(pixels: Array, whose: str) -> Affine:
    """The normalization with the mean and the deviation of each image, or of another part named in `OWN`."""
    mean, std = pixels.mean(OWN[whose], keepdims=True), pixels.std(OWN[whose], keepdims=True)
    return Affine(f"pixels are normalized with the mean and deviation of {whose}", 1 / std, -mean / std)


def own_affines(pixels: Array) -> Iterator[Affine]:
    """Normalizations of images (B, c, H, W) with their own statistics."""
    for whose in OWN:
        yield standardizing(pixels, whose)
    words = "pixels are normalized with the"
    for whose, axes in OWN.items():
        low, high = pixels.min(axes, keepdims=True), pixels.max(axes, keepdims=True)
        yield Affine(f"{words} smallest number and range of {whose}", 1 / (high - low), -low / (high - low))
        yield Affine(f"{words} largest number of {whose}", 1 / high, np.zeros_like(high))
