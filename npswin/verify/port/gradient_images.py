"""Gradients in which the images of a batch have other weights than 1/B: some are left out, or weighted by class."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.mistakes import Changes
from npswin.verify.mistakes.mistake import change_node, with_backward
from npswin.verify.port.diagnosis import Hypothesis
from npswin.verify.port.gradient_symptoms import GradientSymptoms

MOST_IMAGES = 16  # of a batch whose weights are fitted
NUMBERS_PER_IMAGE = 3  # that a gradient needs for the fit
MOST_NUMBERS = 2**20  # of gradients that are used for the fit
ROUNDING = 5e-3  # by which a weight may differ from 0, 1, or another one


def image_hypotheses(wrong: GradientSymptoms) -> Iterator[Hypothesis]:
    """The weights of the images, by least squares: gradients are the sum of those of the images.

    With weights w the derivative by the logits is w_i (p_i - t_i) / B.
    """
    batch = len(wrong.run.value(wrong.loss.inputs[1]))
    if not 2 <= batch <= MOST_IMAGES or not wrong.follows_from_loss():
        return
    chosen: list[str] = []
    numbers = 0
    for name, one in wrong.wrong.items():
        if numbers + one.found.size <= MOST_NUMBERS or not chosen:
            chosen.append(name)
            numbers += one.found.size
    if numbers < NUMBERS_PER_IMAGE * batch:
        return
    columns = [_column(wrong, chosen, np.eye(batch)[image]) for image in range(batch)]
    found = np.concatenate([wrong.wrong[name].found.reshape(-1) for name in chosen])
    weights = np.linalg.lstsq(np.stack(columns, axis=1), found, rcond=None)[0]
    if not np.isfinite(weights).all() or np.ptp(weights) <= ROUNDING * np.abs(weights).max():
        return
    described = _describe(weights, wrong.run.value(wrong.loss.inputs[1]))
    if described is not None:
        name, description, fix, detail, weights, fitted = described
        changes = _weighted(wrong, weights)
        yield Hypothesis(name, description, fix, detail, wrong.loss.name, changes, backward=True, fitted=fitted)


def _column(wrong: GradientSymptoms, chosen: list[str], weights: Array) -> Array:
    run = wrong.run.replaced(_weighted(wrong, weights))
    return np.concatenate([run.compute(GRADIENT_PREFIX + name).reshape(-1) for name in chosen])


def _weighted(wrong: GradientSymptoms, weights: Array) -> Changes:
    operation = wrong.loss.operation
    assert operation is not None

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        dlogits, *rest = operation.backward(dy, cache)
        assert dlogits is not None
        return dlogits * weights[:, None].astype(dlogits.dtype), *rest

    return change_node(wrong.loss, with_backward(operation, backward))


def _describe(weights: Array, labels: Array) -> tuple[str, str, str, str, Array, bool] | None:
    """Name, description, fix, detail, the weights as they are meant, and whether these are fitted; None for noise."""
    batch, largest = len(weights), float(np.abs(weights).max())
    left_out = np.abs(weights) <= ROUNDING * largest
    kept = weights[~left_out]
    fix = "each image of the batch has the weight 1/B"
    if left_out.any() and np.ptp(kept) <= ROUNDING * largest:
        images = ", ".join(map(str, np.flatnonzero(left_out)))
        verb = "is left out" if left_out.sum() == 1 else "are left out"
        weight = float(kept.mean())
        mean, exact = "", weight
        for one, text in ((batch / len(kept), "the mean over the others"), (1.0, "divided by the whole batch")):
            if abs(weight / one - 1) <= ROUNDING:
                mean, exact = text, one
        meant = np.where(left_out, 0.0, exact)
        number = "image" if left_out.sum() == 1 else "images"
        description = f"{number} {images} of the batch {verb} in the gradients: a micro-batch is lost, or ignored"
        return "images-left-out", description, fix, mean or f"the others have the weight {weight:.6g}", meant, not mean
    by_class = {int(label): float(weights[labels == label].mean()) for label in np.unique(labels)}
    if all(np.ptp(weights[labels == label]) <= ROUNDING * largest for label in by_class):
        text = ", ".join(f"{weight:.4g} for class {label}" for label, weight in by_class.items())
        return (
            "class-weights",
            "the images have other weights in the loss, as those of their classes",
            fix,
            text,
            weights,
            True,
        )
    text = ", ".join(f"{weight:.4g}" for weight in weights)
    return "image-weights", "the images have other weights in the loss", fix, text, weights, True
