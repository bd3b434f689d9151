"""Losses that explain the gradients of a port: those of the catalogue, others with a fitted number, other labels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Node
from npswin.verify.mistakes import Changes
from npswin.verify.mistakes.loss import (
    LOSS,
    Loss,
    focal,
    mixed_with_reversed,
    smoothed,
    with_labels,
    with_loss,
    with_temperature,
)
from npswin.verify.mistakes.mistake import multiply_by, transform_output, with_backward_of
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.gradient_factors import SIGMAS, CommonFactor, Reading, common_factor, known_factors
from npswin.verify.port.gradient_symptoms import GradientSymptoms, WrongGradient

NEWTON_STEPS = 8
STEP = 1e-5  # relative, of numerical derivatives
DIFFERENT = 1e-3  # by which a fitted number differs from the one that makes no difference
EXPLAINED = 0.05  # of a gradient that a loss may leave unexplained, before its tolerance is computed
NEARLY_ONE_HOT = 0.1
FACTORS_OF_THE_LOSS = ("loss-sum", "loss-factor", "averaged-twice", "gradient-sign")  # which the catalogue has


@dataclass(frozen=True)
class LossFamily:
    """Losses with a number.

    Attributes:
        name, description, fix: of the cause.
        letter: of the number.
        loss: the loss for a number.
        grid: the numbers from which the fit starts.
        neutral: the number that makes the loss the right one.
    """

    name: str
    description: str
    fix: str
    letter: str
    loss: Callable[[float], Loss]
    grid: tuple[float, ...]
    neutral: float


FAMILIES = (
    LossFamily("label-smoothing", "the labels are smoothed", "label smoothing is off", "ε", smoothed, (0.05, 0.3), 0.0),
    LossFamily(
        "loss-temperature",
        "the logits are divided by a temperature before the loss",
        "softmax(logits), as they are",
        "τ",
        with_temperature,
        (0.03, 0.1, 0.3, 0.6, 0.9, 1.2, 2.0, 5.0, 20.0),
        1.0,
    ),
    LossFamily("loss-focal", "the loss is the focal loss", "the cross-entropy", "γ", focal, (0.3, 1.0, 2.0, 4.0), 0.0),
    LossFamily(
        "labels-mixed",
        "the labels are mixed with those of the batch in reverse order, as mixup and CutMix do",
        "without augmentation each image has its own label",
        "λ",
        mixed_with_reversed,
        (0.3, 0.7),
        1.0,
    ),
)


def loss_hypotheses(wrong: GradientSymptoms) -> Iterator[Hypothesis]:
    """Other losses, with a common factor besides; where the dumped loss is right, their derivatives alone."""
    if not wrong.follows_from_loss():
        return
    only_backward = wrong.loss_is_right
    yield from _of_catalogue(wrong, only_backward)
    for family in FAMILIES:
        number = _fit(wrong, family.loss, family.grid)
        if number is not None and abs(number - family.neutral) > DIFFERENT:
            changes = with_loss(wrong.loss, family.loss(number))
            text = family.name, family.description, family.fix, f"{family.letter} = {number:.5g}"
            yield _hypothesis(wrong.loss, changes, only_backward, *text, fitted=True)
    labels = _labels(wrong)
    if labels is not None:
        own = wrong.run.value(wrong.loss.inputs[1])
        other = [(image, label) for image, label in enumerate(labels) if label != own[image]]
        detail = ", ".join(f"{label} for image {image} rather than {int(own[image])}" for image, label in other)
        text = "other-labels", "the loss takes other labels", "the label of each image, counted from 0", detail
        yield _hypothesis(wrong.loss, with_loss(wrong.loss, with_labels(labels)), only_backward, *text)


def scaled_loss(wrong: GradientSymptoms) -> Iterator[Hypothesis]:
    """The loss itself and all gradients are multiplied by the same number."""
    common = common_factor(wrong)
    if common is None or wrong.loss.operation is None or not wrong.follows_from_loss():
        return
    readings = known_factors(common, wrong)
    if readings and readings[0].name in FACTORS_OF_THE_LOSS:
        return
    factor = readings[0].factor if readings else common.factor
    text = f": {readings[0].text}" if readings else ""
    operation = transform_output(wrong.loss.operation, multiply_by(factor))
    name = readings[0].name if readings else "gradients-scaled"
    fix = readings[0].fix if readings else "the mean over the batch of -log p[label]"
    description = f"the loss and every gradient are multiplied by {factor:.6g}{text}"
    changes = {wrong.loss.name: replace(wrong.loss, operation=operation)}
    yield Hypothesis(name, description, fix, "", wrong.loss.name, changes, fitted=not readings)


def _of_catalogue(wrong: GradientSymptoms, only_backward: bool) -> Iterator[Hypothesis]:
    scaled = []
    for mistake in LOSS:
        for detail, changes in mistake.plant(wrong.run.graph, wrong.loss.name):
            fitting = _nearest_multiple(wrong, changes)
            text = mistake.name, mistake.description, mistake.fix, detail
            if fitting is None:
                continue
            if abs(fitting.factor - 1) <= fitting.nearness + DIFFERENT:
                yield _hypothesis(wrong.loss, changes, only_backward, *text)
            elif readings := known_factors(fitting, wrong):
                scaled.append((text, changes, readings[0]))
    for (name, description, fix, detail), changes, reading in scaled:
        if name not in FACTORS_OF_THE_LOSS:
            yield _scaled_hypothesis(wrong, changes, only_backward, (name, description, fix, detail), reading)


def _scaled_hypothesis(
    wrong: GradientSymptoms, changes: Changes, only_backward: bool, text: tuple[str, str, str, str], reading: Reading
) -> Hypothesis:
    """A loss that is multiplied, too."""
    name, description, fix, detail = text
    node = changes[wrong.loss.name]
    assert node.operation is not None
    changes = {node.name: replace(node, operation=transform_output(node.operation, multiply_by(reading.factor)))}
    detail = f"{detail}{'; ' if detail else ''}and multiplied by {reading.factor:.6g}: {reading.text}"
    return _hypothesis(
        wrong.loss, changes, only_backward, f"{name} + {reading.name}", description, f"{fix}; and {reading.fix}", detail
    )


def _hypothesis(
    node: Node,
    changes: Changes,
    only_backward: bool,
    name: str,
    description: str,
    fix: str,
    detail: str,
    fitted: bool = False,
) -> Hypothesis:
    if only_backward:
        changes = {node.name: with_backward_of(node, changes[node.name])}
    return Hypothesis(name, description, fix, detail, node.name, changes, backward=only_backward, fitted=fitted)


def _first_gradient(wrong: GradientSymptoms, changes: Changes) -> Array:
    return np.asarray(wrong.run.replaced(changes).compute(GRADIENT_PREFIX + wrong.first), np.float64)


def _nearest_multiple(wrong: GradientSymptoms, changes: Changes) -> CommonFactor | None:
    """The factor from another loss' first gradient to the port's; None if it is no multiple."""
    made = _first_gradient(wrong, changes)
    if not made.any() or not np.isfinite(made).all():
        return None
    one = WrongGradient(wrong.wrong[wrong.first].found, made)
    nearness = wrong.nearness + SIGMAS * one.uncertainty
    return CommonFactor(one.factor, nearness, [wrong.first]) if one.residual <= EXPLAINED else None


def _fit(wrong: GradientSymptoms, loss: Callable[[float], Loss], grid: tuple[float, ...]) -> float | None:
    """The number for which the first gradient is nearest to the port's, by Newton's method from the best of a grid."""
    found = wrong.wrong[wrong.first].found

    def gradient(number: float) -> Array:
        return _first_gradient(wrong, with_loss(wrong.loss, loss(number)))

    def error(number: float) -> float:
        return float(np.linalg.norm(found - gradient(number)))

    number = min(grid, key=error)
    for _ in range(NEWTON_STEPS):
        now, step = gradient(number), STEP * max(abs(number), 1.0)
        slope = (gradient(number + step) - now) / step
        square = float(np.vdot(slope, slope))
        if not square or not np.isfinite(square):
            return None
        number += float(np.clip(np.vdot(slope, found - now) / square, -0.5 * abs(number), abs(number)))
    return number if error(number) <= EXPLAINED * float(np.linalg.norm(found)) else None


def _labels(wrong: GradientSymptoms) -> list[int] | None:
    """The labels that the derivative by the logits belongs to, t = p - B dlogits; None unless that is one-hot."""
    dlogits = _derivative_by_logits(wrong)
    if dlogits is None:
        return None
    logits = wrong.run.value(wrong.loss.inputs[0])
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    targets = exps / exps.sum(axis=1, keepdims=True) - len(logits) * dlogits
    labels = targets.argmax(axis=1)
    if np.abs(targets - np.eye(logits.shape[1])[labels]).max() > NEARLY_ONE_HOT:
        return None
    return [int(label) for label in labels]


def _derivative_by_logits(wrong: GradientSymptoms) -> Array | None:
    """The port's; from the gradient of the head's weight, dlogitsᵀ x, if that is all it dumped."""
    head = wrong.graph.nodes[wrong.loss.inputs[0]]
    if head.name in wrong.wrong:
        return wrong.wrong[head.name].found
    weight = next((name for name in head.inputs if name.endswith(".weight")), "")
    x = wrong.run.value(head.inputs[0])
    if weight not in wrong.wrong or x.ndim != 2 or len(x) > x.shape[1]:
        return None
    return np.linalg.lstsq(x.T, wrong.wrong[weight].found.T, rcond=None)[0]
