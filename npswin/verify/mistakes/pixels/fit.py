"""Explanations of the images that a port prepared, the simplest first; the first that holds is told."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Run
from npswin.verify.graph.operations import constant
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, is_output_of
from npswin.verify.mistakes.pixels.colours import other_colours
from npswin.verify.mistakes.pixels.lines import lines_elsewhere
from npswin.verify.mistakes.pixels.memory import read_elsewhere
from npswin.verify.mistakes.pixels.moved import moved
from npswin.verify.mistakes.pixels.parts import of_channels, of_images
from npswin.verify.mistakes.pixels.prepared import Family, Images, Prepared
from npswin.verify.mistakes.pixels.resized import resized
from npswin.verify.mistakes.pixels.separable import mixed_rows_and_columns
from npswin.verify.mistakes.pixels.sums import sums_of_arrangements, sums_of_images, sums_of_neighbours
from npswin.verify.mistakes.pixels.values import function_of_values
from npswin.verify.mistakes.preprocessing import linear_maps


def _linear(images: Images) -> Iterator[Prepared]:
    yield from (Prepared(*one) for one in linear_maps(images.mean, images.std, images.pixels, images.found))


OF_PARTS: tuple[Family, ...] = (_linear, function_of_values, moved, sums_of_arrangements)
WHOLE: tuple[Family, ...] = (
    function_of_values,
    read_elsewhere,
    moved,
    lines_elsewhere,
    other_colours,
    sums_of_images,
    sums_of_arrangements,
    lambda one: of_channels(one, OF_PARTS),
    lambda one: of_images(one, OF_PARTS),
    resized,
    sums_of_neighbours,
    mixed_rows_and_columns,
)


def fit_pixels(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """What was done to the images.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor, (B, c, H, W).
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if name.startswith(GRADIENT_PREFIX) or node is None or not is_output_of(node, "normalize") or found.ndim != 4:
        return
    pixels = np.asarray(run.value(node.inputs[0]), np.float64)
    if pixels.shape != found.shape or not np.isfinite(found).all() or np.ptp(found) == 0:
        return
    mean, std = (np.array(node.settings[which]) for which in ("mean", "std"))
    images = Images(pixels, np.asarray(found, np.float64), mean, std, tolerance)
    if not images.found[images.wrong].any():  # only zeros are wrong: they were not read, or not written
        return
    if images.agrees(images.normalized) or any(images.explains(one.function(pixels)) for one in _linear(images)):
        return  # what is linear is told by `preprocessing`
    explanation = explained(images)
    if explanation is not None:
        function, terms = explanation.function, explanation.terms
        changed = replace(constant("normalize", lambda x, **_: function(x)), terms=lambda *_: (terms, 1))
        yield Fit(explanation.words, change_node(node, changed), explanation.fitted)


def explained(images: Images) -> Prepared | None:
    """The first explanation that gives the port's images."""
    candidates = (prepared for family in WHOLE for prepared in family(images))
    return next((one for one in candidates if images.explains(one.function(images.pixels), one.terms)), None)
