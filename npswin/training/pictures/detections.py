"""Objects and found ones, with their boxes and masks, beside each other."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from npswin.checks import check_instance, check_number, check_path, check_text, shown
from npswin.data.detections import Detections
from npswin.data.samples import DetectionSample
from npswin.ops.box_iou import box_iou
from npswin.training.pictures.labels import draw_labels
from npswin.training.pictures.palette import colours, lay_over, outline
from npswin.training.pictures.segmentation import check_classes, check_shown, image_grid
from npswin.training.pictures.style import GREY, as_colours, exact_percent, save_figure, shown_channels
from npswin.types import Array


def draw_detections(
    images: Sequence[Array],
    predictions: Sequence[Detections],
    class_names: Sequence[str],
    path: str | os.PathLike[str],
    truths: Sequence[DetectionSample] | None = None,
    min_score: float = 0.5,
    title: str = "Detection",
) -> None:
    """Each image with the objects that are in it, if they are known, beside the image with those that were found.

    Each object has a colour of its own, in which its mask, its box and its class are drawn, and its score in percent
    if it was found. What was found has the colour of the object that it is.

    Args:
        images: each (c, H, W) uint8; at least one. A picture of up to a dozen is clear.
        predictions: for each image what was found.
        class_names: K names.
        path: the PNG file to write.
        truths: for each image its objects; crowds are dashed. None if they are unknown.
        min_score: what is found with a lower score is not drawn.
        title: above the picture.

    Raises:
        ValueError: an argument that does not fit, named.
        ImportError: matplotlib is not installed.
        OSError: the file could not be written.
    """
    check_shown(images, class_names)
    _check_objects("predictions", predictions, Detections, images, class_names)
    if truths is not None:
        _check_objects("truths", truths, DetectionSample, images, class_names)
    min_score = check_number("min_score", min_score)
    path, title = check_path("path", path), check_text("title", title)
    figure, grid = image_grid(images, 1 if truths is None else 2, legend_height=0)
    labels = []
    for index, (axes, image) in enumerate(zip(grid, images, strict=False)):
        found = _with_score(predictions[index], min_score)
        scores = [f"{100 * score:.0f} %" for score in found.scores]
        names = [f"{class_names[label]} {score}" for label, score in zip(found.labels, scores, strict=True)]
        own = np.arange(len(found.labels))
        if truths is not None:
            truth = truths[index]
            own = _colour_indices(found, truth)
            true_names = [class_names[label] for label in truth.labels]
            labels.append(_draw(axes[0], image, truth, true_names, np.arange(len(true_names)), truth.crowd))
            axes[0].set_title("truth", fontsize=10, color=GREY)
        labels.append(_draw(axes[-1], image, found, names, own, np.zeros(len(names), bool)))
        what = "found" if names else "nothing found"
        axes[-1].set_title(f"{what} with a score of at least {exact_percent(min_score)}", fontsize=10, color=GREY)
    figure.suptitle(f"{title}{shown_channels(len(images[0]))}", weight="bold", parse_math=False)
    figure.draw_without_rendering()
    for add_labels in labels:
        add_labels()
    save_figure(figure, path)


def _with_score(found: Detections, min_score: float) -> Detections:
    """Those with at least this score."""
    kept = found.scores >= min_score
    masks = None if found.masks is None else found.masks[kept]
    return Detections(found.boxes[kept], found.labels[kept], found.scores[kept], masks)


def _colour_indices(found: Detections, truth: DetectionSample) -> Array:
    """For each found object the number of its colour, which is that of the object that it is, if it is one.

    By falling score, each takes the object of its class with which it overlaps most, by at least half and no crowd.
    """
    overlap = box_iou(found.boxes, truth.boxes)
    overlap[(found.labels[:, None] != truth.labels) | truth.crowd] = 0
    numbers = len(truth.labels) + np.arange(len(found.labels))
    for one in np.argsort(-found.scores, kind="stable") if len(truth.labels) else ():
        best = overlap[one].argmax()
        if overlap[one, best] >= 0.5:
            numbers[one] = best
            overlap[:, best] = 0
    return numbers


def _draw(
    axes: Any,
    image: Array,
    objects: Detections | DetectionSample,
    names: Sequence[str],
    colour_indices: Array,
    is_dashed: Array,
) -> Callable[[], None]:
    """The image with its objects, smaller ones over larger ones; the returned function adds names after the layout."""
    from matplotlib.patches import Rectangle

    boxes, masks, (height, width) = objects.boxes, objects.masks, image.shape[1:]
    palette = colours(colour_indices.max(initial=-1) + 1)[colour_indices]
    order = np.argsort(-np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), kind="stable")
    pixels = np.moveaxis(as_colours(image), 0, -1).astype(float)
    if masks is not None:
        for one in order:
            lay_over(pixels, masks[one], palette[one], 0.5)
            lay_over(pixels, outline(masks[one]), palette[one], 0.8)
    axes.imshow(np.rint(pixels).astype(np.uint8), interpolation="nearest")
    for one in order:
        x1, y1, x2, y2 = boxes[one] - 0.5  # matplotlib's pixel centres have whole coordinates
        colour = palette[one] / 255
        line = {"edgecolor": colour, "linewidth": 1.6, "linestyle": "--" if is_dashed[one] else "-"}
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, **line))
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    names = [names[one] for one in order]
    return partial(draw_labels, axes, boxes[order] - 0.5, names, palette[order], (height, width))


def _check_objects(name: str, objects: Any, kind: type, images: Sequence[Array], class_names: Sequence[str]) -> None:
    """Raise a ValueError unless there are objects of this class for each image, which fit to it."""
    if not isinstance(objects, list | tuple) or len(objects) != len(images):
        raise ValueError(f"{name}: got {shown(objects)}, expected a list of {len(images)}, one for each image")
    for one, image in zip(objects, images, strict=True):
        check_instance(name, one, kind, f"{kind.__name__} for each image")
        if one.masks is not None and one.masks.shape[1:] != image.shape[1:]:
            raise ValueError(f"{name}: got masks {one.masks.shape[1:]}, expected {image.shape[1:]}, as the image")
        check_classes(name, one.labels, class_names)
