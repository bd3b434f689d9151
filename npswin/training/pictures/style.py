"""Colours and helpers that all pictures share."""

import os
from typing import Any

import numpy as np

from npswin.files import write_atomically
from npswin.training.environment import import_optional
from npswin.types import Array

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


def show_image(axes: Any, image: Array) -> None:
    """Draw an image (3, H, W) uint8, without ticks."""
    axes.imshow(np.moveaxis(image, 0, -1), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a PNG file; where that fails, a file of this name is unchanged."""
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=130))
