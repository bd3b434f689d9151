"""Gradients in which the images of a batch have other weights than 1/B: some are left out, or weighted by class."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.mistakes import Changes
from npswin.verify.mistakes.loss import Loss, cross_entropy_to, targets_of, with_loss
from npswin.verify.mistakes.mistake import change_node, with_backward
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.gradient_symptoms import GradientSymptoms

MOST_IMAGES = 16  # of a batch whose weights are fitted
NUMBERS_PER_IMAGE = 3  # that a gradient needs for the fit
MOST_NUMBERS = 2**20  # of gradients that are used for the fit
ROUNDING = 5e-3  # by which a weight may differ from 0, 1, or another one


@dataclass(frozen=True)
class _Weighting:
    """Weights of the images.

    Attributes:
        name, description, detail: of the cause.
        weights: of the images, 1 in the right loss.
        fitted: whether they are fitted, rather than rounded to what is meant.
    """

    name: str
    description: str
    detail: str
    weights: Array
    fitted: bool = True


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
    labels = wrong.run.value(wrong.loss.inputs[1])
    weighting = _left_out(weights) or _by_class(weights, labels) or _by_image(weights)
    only_backward = wrong.loss_is_right or not wrong.loss_was_dumped
    changes = weighted(wrong, weighting.weights) if only_backward else with_loss(wrong.loss, _loss(weighting.weights))
    text = weighting.name, weighting.description, "each image of the batch has the weight 1/B", weighting.detail
    fitted = weighting.fitted
    hypothesis = Hypothesis(*text, wrong.loss.name, changes, backward=only_backward, fitted=fitted)
    hypothesis.fitted_numbers = batch if fitted else 0
    yield hypothesis


def _loss(weights: Array) -> Loss:
    """The cross-entropy with weights of the images."""
    return lambda logits, labels: cross_entropy_to(logits, targets_of(logits, labels) * weights[:, None])


def _column(wrong: GradientSymptoms, chosen: list[str], weights: Array) -> Array:
    run = wrong.run.replaced(weighted(wrong, weights))
    return np.concatenate([run.compute(GRADIENT_PREFIX + name).reshape(-1) for name in chosen])


def weighted(wrong: GradientSymptoms, weights: Array) -> Changes:
    """The loss with weights of the images in its derivative."""
    operation = wrong.loss.operation
    assert operation is not None

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        dlogits, *rest = operation.backward(dy, cache)
        assert dlogits is not None
        return dlogits * weights[:, None].astype(dlogits.dtype), *rest

    return change_node(wrong.loss, with_backward(operation, backward))


def _left_out(weights: Array) -> _Weighting | None:
    """Some images have the weight 0, the others one weight."""
    largest = float(np.abs(weights).max())
    without = np.abs(weights) <= ROUNDING * largest
    kept = weights[~without]
    if not without.any() or np.ptp(kept) > ROUNDING * largest:
        return None
    weight, detail, fitted = float(kept.mean()), f"the others have the weight {kept.mean():.6g}", True
    means = {"the mean over the others": len(weights) / len(kept), "divided by the whole batch": 1.0}
    for text, exact in means.items():
        if abs(weight / exact - 1) <= ROUNDING:
            weight, detail, fitted = exact, text, False
    images = ", ".join(map(str, np.flatnonzero(without)))
    subject = f"image {images} of the batch is" if without.sum() == 1 else f"images {images} of the batch are"
    alone = f", image {int(np.flatnonzero(~without)[0])} alone counts" if len(kept) == 1 else ""
    description = f"{subject} left out in the gradients{alone}: a micro-batch is lost, or ignored"
    return _Weighting("images-left-out", description, detail, np.where(without, 0.0, weight), fitted)


def _by_class(weights: Array, labels: Array) -> _Weighting | None:
    """Images of one class have one weight."""
    classes = [weights[labels == label] for label in np.unique(labels)]
    if any(np.ptp(each) > ROUNDING * np.abs(weights).max() for each in classes):
        return None
    means = zip(np.unique(labels), classes, strict=True)
    detail = ", ".join(f"{each.mean():.4g} for class {int(label)}" for label, each in means)
    description = "the images have other weights in the loss, as those of their classes"
    return _Weighting("class-weights", description, detail, weights)


def _by_image(weights: Array) -> _Weighting:
    detail = ", ".join(f"{weight:.4g}" for weight in weights)
    return _Weighting("image-weights", "the images have other weights in the loss", detail, weights)
