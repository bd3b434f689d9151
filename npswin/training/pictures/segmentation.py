"""Label maps and predicted ones beside their images."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.checks import check_array, check_path, check_text, describe, shown
from npswin.data.samples import IGNORED
from npswin.training.pictures.palette import as_grey, colours, hatched, lay_over, outline
from npswin.training.pictures.style import DOTS_PER_INCH, GREY, new_figure, save_figure, show_image, shown_channels
from npswin.types import Array

MOST_IN_LEGEND = 30  # classes; those with most pixels
LARGEST_SIDE = 14  # inches, of the picture of a single image


def draw_segmentation(
    images: Sequence[Array],
    predictions: Sequence[Array],
    class_names: Sequence[str],
    path: str | os.PathLike[str],
    labels: Sequence[Array] | None = None,
    title: str = "Segmentation",
) -> None:
    """Each image beside its label map, if it has one, and beside the predicted one.

    Classes have the same colours everywhere; a legend names those in the picture. Ignored pixels are grey and hatched.

    Args:
        images: each (c, H, W) uint8; at least one. A picture of up to a dozen is clear.
        predictions: for each image the class of each pixel, (H, W) integers from 0 to K - 1.
        class_names: K names.
        path: the PNG file to write.
        labels: for each image the right classes, (H, W) integers, 255 where they are ignored; None if unknown.
        title: above the picture.

    Raises:
        ValueError: an argument that does not fit, named.
        ImportError: matplotlib is not installed.
        OSError: the file could not be written.
    """
    check_shown(images, class_names)
    _check_maps("predictions", predictions, images, class_names)
    if labels is not None:
        _check_maps("labels", labels, images, class_names)
    path, title = check_path("path", path), check_text("title", title)
    columns = ("image", "prediction") if labels is None else ("image", "truth", "prediction")
    figure, grid = image_grid(images, len(columns), legend_height=0.7)
    palette = colours(len(class_names))
    for index, (image, prediction) in enumerate(zip(images, predictions, strict=True)):
        axes = grid[index]
        show_image(axes[0], image)
        if labels is not None:
            axes[1].imshow(_painted(image, labels[index], palette), interpolation="nearest")
        axes[-1].imshow(_painted(image, prediction, palette), interpolation="nearest")
        for one, name in zip(axes, columns, strict=True):
            one.set_title(name, fontsize=10, color=GREY)
        if labels is not None:
            axes[-1].set_title(f"prediction, {_share_right(prediction, labels[index])}", fontsize=10, color=GREY)
    maps = [*predictions, *(labels or [])]
    _add_legend(figure, class_names, palette, maps)
    figure.suptitle(f"{title}{shown_channels(len(images[0]))}", weight="bold", parse_math=False)
    save_figure(figure, path)


def image_grid(images: Sequence[Array], columns: int, legend_height: float) -> tuple[Any, list[list[Any]]]:
    """A figure with so many axes, without ticks, for each image; from five images on, two images in a row.

    A row is as high as its images need. The height of the legend is in inches.
    """
    in_row = 1 if len(images) <= 4 else 2
    rows = -(-len(images) // in_row)
    shapes = [image.shape[1] / image.shape[2] for image in images]
    heights = [max(shapes[start : start + in_row]) for start in range(0, len(images), in_row)]
    side = 2.7 if in_row * columns > 4 else 3.4
    if len(images) == 1:  # so large that all its pixels are seen, where they are not too many
        side = min(max(images[0].shape[2] / DOTS_PER_INCH, side), LARGEST_SIDE / columns)
    inches = [side * min(height, 2) + 0.28 for height in heights]
    figure = new_figure(side * in_row * columns + 0.1, sum(inches) + 0.35 + legend_height)
    grid = figure.subplots(rows, in_row * columns, squeeze=False, height_ratios=inches)
    for axes in grid.flat:
        axes.set_axis_off()
    every = [list(row[start : start + columns]) for row in grid for start in range(0, in_row * columns, columns)]
    return figure, every


def check_shown(images: Any, class_names: Any) -> None:
    """Raise a ValueError unless these are images (c, H, W) uint8, at least one, and names of classes."""
    check_class_names(class_names)
    if not isinstance(images, list | tuple) or not images:
        raise ValueError(f"images: got {shown(images)}, expected a list of at least one image")
    for image in images:
        check_array("images", image, "uint8 of shape (c, H, W)")
        if image.ndim != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(f"images: got {describe(image)}, expected uint8 of shape (c, H, W)")


def check_class_names(class_names: Any) -> None:
    """Raise a ValueError unless these are names of classes."""
    if not isinstance(class_names, list | tuple) or not all(isinstance(name, str) for name in class_names):
        raise ValueError(f"class_names: got {shown(class_names)}, expected a tuple of names")


def _check_maps(name: str, maps: Any, images: Sequence[Array], class_names: Sequence[str]) -> None:
    """Raise a ValueError unless there is a map of class numbers, or of 255, for each image."""
    if not isinstance(maps, list | tuple) or len(maps) != len(images):
        raise ValueError(f"{name}: got {shown(maps)}, expected a list of {len(images)}, one for each image")
    for one, image in zip(maps, images, strict=True):
        expected = f"integers of shape {image.shape[1:]}, as its image"
        check_array(name, one, expected)
        if one.shape != image.shape[1:] or one.dtype.kind not in "iu":
            raise ValueError(f"{name}: got {describe(one)}, expected {expected}")
        check_classes(name, one[one != IGNORED], class_names)


def check_classes(name: str, numbers: Array, class_names: Sequence[str]) -> None:
    """Raise a ValueError unless each of these numbers has a name."""
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(class_names):
        got = f"{name}: got classes from {numbers.min()} to {numbers.max()}"
        raise ValueError(f"{got}, expected 0 to {len(class_names) - 1} for {len(class_names)} class names")


def _painted(image: Array, label_map: Array, palette: Array) -> Array:
    """The image in grey with its classes' colours over it: (H, W, 3) uint8."""
    pixels = as_grey(image)
    for label in np.unique(label_map):
        mask = label_map == label
        if label == IGNORED:
            lay_over(pixels, mask, np.array([235, 235, 235]), 0.8)
            lay_over(pixels, mask & hatched(*mask.shape), np.array([130, 130, 130]), 0.8)
        else:
            lay_over(pixels, mask, palette[label], 0.62)
            lay_over(pixels, outline(mask), palette[label], 0.75)
    return np.rint(pixels).astype(np.uint8)


def _share_right(prediction: Array, labels: Array) -> str:
    is_counted = labels != IGNORED
    if not is_counted.any():
        return "all ignored"
    return f"{100 * (prediction == labels)[is_counted].mean():.0f} % of the pixels right"


def _add_legend(figure: Any, class_names: Sequence[str], palette: Array, maps: Sequence[Array]) -> None:
    """The names of the classes in the picture, in the order of their numbers, below it."""
    from matplotlib.patches import Patch

    counts = np.zeros(len(class_names), np.int64)
    for one in maps:
        counts += np.bincount(one[one != IGNORED], minlength=len(class_names))
    most = np.argsort(-counts, kind="stable")[:MOST_IN_LEGEND]
    patches = [Patch(color=palette[label] / 255, label=class_names[label]) for label in np.sort(most) if counts[label]]
    if any((one == IGNORED).any() for one in maps):
        patches.append(Patch(facecolor="#EBEBEB", edgecolor="#828282", hatch="////", linewidth=0, label="ignored"))
    figure.legend(handles=patches, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
