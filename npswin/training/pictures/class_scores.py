"""An image beside its most likely classes."""

import os
from collections.abc import Sequence

import numpy as np

from npswin.checks import check_array, check_integer, check_path, check_text, describe
from npswin.data.dataset import has_pixels
from npswin.files import shortened
from npswin.training.pictures.segmentation import check_class_names
from npswin.training.pictures.style import BLUE, SKY, new_figure, save_figure, show_image, shown_channels, style_axes
from npswin.types import Array


def draw_class_scores(
    image: Array,
    scores: Array,
    class_names: Sequence[str],
    path: str | os.PathLike[str],
    top: int = 5,
    title: str = "Classification",
) -> None:
    """An image, and a bar for each of its most likely classes.

    Args:
        image: (c, H, W) uint8 or uint16.
        scores: (K,) float, the probability of each class.
        class_names: K names.
        path: the PNG file to write.
        top: number of classes, if there are so many.
        title: above the picture.

    Raises:
        ValueError: an argument that does not fit, named.
        ImportError: matplotlib is not installed.
        OSError: the file could not be written.
    """
    check_class_names(class_names)
    check_array("image", image, "uint8 or uint16 of shape (c, H, W)")
    if image.ndim != 3 or not has_pixels(image) or image.size == 0:
        raise ValueError(f"image: got {describe(image)}, expected uint8 or uint16 of shape (c, H, W)")
    expected = f"floats of shape ({len(class_names)},), one for each of the class_names, from 0 to 1"
    check_array("scores", scores, expected)
    if scores.shape != (len(class_names),) or scores.dtype.kind != "f" or not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError(f"scores: got {describe(scores)}, expected {expected}")
    top, path, title = check_integer("top", top, 1), check_path("path", path), check_text("title", title)
    best = np.argsort(-scores, kind="stable")[:top]
    figure = new_figure(8, max(3.4, 0.35 * len(best) + 0.9))
    picture, bars = figure.subplots(1, 2, width_ratios=(1, 1.2))
    show_image(picture, image)
    places = np.arange(len(best))
    drawn = bars.barh(places, 100 * scores[best], color=[BLUE] + [SKY] * (len(best) - 1), height=0.6)
    bars.bar_label(drawn, [f"{100 * score:.1f} %" for score in scores[best]], padding=4, fontsize=10)
    names = [shortened(class_names[label], 40) for label in best]
    bars.set_yticks(places, names, fontsize=11, parse_math=False)
    bars.set(ylim=(max(len(best), 5) - 0.4, -0.6), xlim=(0, 118), xlabel="probability (%)", xticks=range(0, 101, 25))
    style_axes(bars)
    bars.grid(axis="y", visible=False)
    bars.spines["bottom"].set_bounds(0, 100)
    figure.suptitle(f"{title}{shown_channels(len(image))}", weight="bold", parse_math=False)
    save_figure(figure, path)
