"""What the pictures have in common."""

import os
from typing import Any

import numpy as np

from npswin.training.optional import require
from npswin.types import Array
from npswin.weights.files import write_aside

# Okabe and Ito's colours, which colour-blind people tell apart.
BLUE, SKY, ORANGE, RED, GREEN, GREY = "#0072B2", "#56B4E9", "#E69F00", "#D55E00", "#009E73", "#595959"


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure of this size in inches, which keeps its parts from overlapping."""
    return require("matplotlib.figure").Figure(figsize=(width, height), layout="constrained", facecolor="white")


def quiet_axes(axes: Any) -> None:
    """A plot with two sides and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)


def show_image(axes: Any, image: Array) -> None:
    """An image (3, H, W) uint8 without ticks."""
    axes.imshow(np.moveaxis(image, 0, -1), interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a PNG, whole or not at all."""
    write_aside(path, lambda file: figure.savefig(file, format="png", dpi=130))
