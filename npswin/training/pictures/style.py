"""Colours and helpers that all pictures share."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from npswin.files import shown_path, write_atomically
from npswin.training.environment import import_optional
from npswin.types import Array

DOTS_PER_INCH = 130

# Okabe and Ito's colours, which colour-blind people can distinguish.
BLUE, SKY, ORANGE, RED, GREEN, GREY = "#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#009E73", "#595959"


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure of this size in inches, with a layout in which nothing overlaps."""
    return import_optional("matplotlib.figure").Figure(figsize=(width, height), layout="constrained", facecolor="white")


def style_axes(axes: Any) -> None:
    """Remove the frame's top and right side, and add a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)


def as_colours(image: Array) -> Array:
    """Red, green and blue (3, H, W) uint8 of an image (c, H, W) uint8 or uint16, as `shown_channels` describes it.

    16 bits are stretched from the image's smallest to its largest value: they often hold 10 or 12 bits.
    """
    colours = image[:3] if len(image) >= 3 else np.stack([image.mean(axis=0)] * 3)
    if image.dtype == np.uint16:
        low, high = float(colours.min()), float(colours.max())
        colours = (colours - low) * (255 / max(high - low, 1))
    return np.rint(colours).astype(np.uint8)


def shown_channels(channels: int) -> str:
    """Which of an image's channels `as_colours` shows, for a title; empty for one channel, in grey, and for three."""
    if channels in (1, 3):
        return ""
    return ", both channels averaged" if channels == 2 else f", channels 1 to 3 of {channels} as colours"


def exact_percent(share: float) -> str:
    """A share that somebody chose, in percent with all its digits: 0.995 is "99.5 %"."""
    return f"{100 * share:.10g} %"


def show_image(axes: Any, image: Array) -> None:
    """Draw an image (c, H, W) uint8 or uint16, without ticks."""
    axes.imshow(np.moveaxis(as_colours(image), 0, -1), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])


def check_picture_path(name: str, path: Path) -> None:
    """Raise a ValueError, with the argument's name, unless a PNG file can be written at a path.

    Called before a picture is computed, which may take long.
    """
    if path.suffix.lower() != ".png":
        raise ValueError(f"{name}: got {shown_path(path)}, expected the name of a picture, which ends with .png")
    if path.is_dir():
        raise ValueError(f"{name}: {shown_path(path)} is a folder, expected the name of a picture")
    if not path.parent.is_dir():
        raise ValueError(f"{name}: {shown_path(path.parent)} is no folder, expected one that exists")


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a PNG file; where that fails, a file of this name is unchanged."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # it is drawn as a box
        write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=DOTS_PER_INCH))
