"""Colours of classes and instances, and how they are laid over an image."""

import colorsys

import numpy as np

from npswin.training.pictures.style import as_colours
from npswin.types import Array

# Most neighbours in this list differ in lightness as well as in hue, so that colour-blind people can tell them apart.
_FIRST = (
    "#E6194B", "#3CB44B", "#FFE119", "#4363D8", "#F58231", "#911EB4", "#42D4F4", "#F032E6", "#DCBEFF", "#BFEF45",
    "#469990", "#9A6324", "#FABED4", "#800000", "#AAFFC3", "#808000", "#000075", "#FFD8B1", "#A9A9A9", "#FFFAC8",
)  # fmt: skip
_GOLDEN_ANGLE = 0.381966  # of a full turn: hues never come close to those shortly before


def colours(count: int) -> Array:
    """So many different colours: (count, 3) uint8."""
    listed = [tuple(bytes.fromhex(text[1:])) for text in _FIRST[:count]]
    for index in range(len(listed), count):
        saturation, value = 0.45 + 0.2 * (index % 3), 0.95 - 0.15 * (index // 3 % 3)
        red_green_blue = colorsys.hsv_to_rgb(index * _GOLDEN_ANGLE % 1, saturation, value)
        listed.append(tuple(round(255 * channel) for channel in red_green_blue))
    return np.array(listed, np.uint8).reshape(-1, 3)


def as_grey(image: Array) -> Array:
    """The image (c, H, W) uint8 in grey, (H, W, 3) float, 0 to 255."""
    red, green, blue = as_colours(image).astype(float)
    return np.repeat((0.3 * red + 0.59 * green + 0.11 * blue)[..., None], 3, axis=2)


def lay_over(pixels: Array, mask: Array, colour: Array, opacity: float) -> None:
    """Blend a colour (3,) over the pixels (H, W, 3) float of a mask (H, W), in place."""
    pixels[mask] += opacity * (colour - pixels[mask])


def outline(mask: Array) -> Array:
    """The pixels of a mask (H, W) next to one that is not in it; the image's border is no outline."""
    padded = np.pad(mask, 1, mode="edge")
    return mask & ~(padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:])


def hatched(height: int, width: int) -> Array:
    """Diagonal lines: (H, W) bool, about 20 of them along the shorter side, at least 2 pixels apart."""
    rows, columns = np.mgrid[:height, :width]
    distance = max(min(height, width) // 20, 2)
    return (rows + columns) // max(distance // 2, 1) % 2 == 0


def text_colour(colour: Array) -> str:
    """Black on a light colour (3,), white on a dark one."""
    return "black" if colour @ [0.299, 0.587, 0.114] > 140 else "white"
