"""Losses that explain the gradients of a port: those of the catalogue, others with a fitted number, other labels."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from npswin.types import Array
from npswin.verify.fits.numbers import chosen
from npswin.verify.graph import GRADIENT_PREFIX, Node
from npswin.verify.mistakes import Changes
from npswin.verify.mistakes.loss import LOSS, Loss, scaled, with_labels, with_loss
from npswin.verify.mistakes.loss_families import FAMILIES, LossFamily
from npswin.verify.mistakes.loss_terms import FUNCTION_OF_LOSS, OTHER_LOSSES
from npswin.verify.mistakes.mistake import multiply_by, transform_output, with_backward_of
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.gradient_factors import SIGMAS, CommonFactor, Reading, common_factor, known_factors
from npswin.verify.port.gradient_symptoms import GradientSymptoms, WrongGradient

NEWTON_STEPS = 8
STEP = 1e-5  # relative, of numerical derivatives
DIFFERENT = 1e-3  # by which a fitted number differs from the one that makes no difference
NEGLIGIBLE = 1e-9  # of a gradient that a fit leaves
EXPLAINED = 0.05  # of a gradient that a loss may leave unexplained, before its tolerance is computed
NEARLY_ONE_HOT = 0.1
FACTORS_OF_THE_LOSS = ("loss-sum", "loss-factor", "averaged-twice", "gradient-sign")  # which the catalogue has


def loss_hypotheses(wrong: GradientSymptoms) -> Iterator[Hypothesis]:
    """Other losses, with a common factor besides; where the dumped loss is right, their derivatives alone."""
    if not wrong.follows_from_loss():
        return
    only_backward = wrong.loss_is_right
    yield from _of_catalogue(wrong, only_backward)
    for family in FAMILIES:
        yield from _of_family(wrong, family)
    labels = _labels(wrong)
    if labels is not None:
        own = wrong.run.value(wrong.loss.inputs[1])
        other = [(image, label) for image, label in enumerate(labels) if label != own[image]]
        detail = ", ".join(f"{label} for image {image} rather than {int(own[image])}" for image, label in other)
        text = "other-labels", "the loss takes other labels", "the label of each image, counted from 0", detail
        yield _hypothesis(wrong.loss, with_loss(wrong.loss, with_labels(labels)), only_backward, *text)


def _of_family(wrong: GradientSymptoms, family: LossFamily) -> Iterator[Hypothesis]:
    """The loss of a family with a fitted number; the loss that the port dumped decides on a factor besides.

    Without it, a function of the labels' probabilities with a factor could be fitted to any weights of two images.
    """
    for with_factor in (False, True):
        if with_factor and (wrong.loss_is_right or (family.of_label and not wrong.loss_was_dumped)):
            return
        fit = _fit(wrong, family.loss, family.grid, with_factor)
        if fit is None or abs(fit[0] - family.neutral) <= family.smallest:
            continue
        number, factor = map(chosen, fit)
        loss, detail = family.loss(number), f"{family.letter} = {number:.5g}"
        if with_factor:
            loss, detail = _multiplied(loss, factor), f"{detail}, and multiplied by {factor:.5g}"
            if family.letter == "τ" and abs(factor / number**2 - 1) <= DIFFERENT:
                detail += " = τ²"
        text = family.name, family.description, family.fix, detail
        one = _hypothesis(wrong.loss, with_loss(wrong.loss, loss), wrong.loss_is_right, *text, fitted=True)
        one.fitted_numbers = 1 + with_factor
        yield one
        if not with_factor:
            return


def _multiplied(loss: Loss, factor: float) -> Loss:
    return scaled(loss, lambda _: factor)


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
    multiplied = []
    for mistake in LOSS:
        for detail, changes in mistake.plant(wrong.run.graph, wrong.loss.name):
            fitting = _nearest_multiple(wrong, changes)
            text = mistake.name, mistake.description, mistake.fix, detail
            if fitting is None:
                continue
            if _is_one(fitting):
                yield _hypothesis(wrong.loss, changes, only_backward, *text)
            elif readings := known_factors(fitting, wrong):
                multiplied.append((text, changes, readings[0]))
    yield from _beside_catalogue(wrong, only_backward)
    for (name, description, fix, detail), changes, reading in multiplied:
        if name not in FACTORS_OF_THE_LOSS:
            yield _scaled_hypothesis(wrong, changes, only_backward, (name, description, fix, detail), reading)


def _is_one(factor: CommonFactor) -> bool:
    return abs(factor.factor - 1) <= factor.nearness + DIFFERENT


def _beside_catalogue(wrong: GradientSymptoms, only_backward: bool) -> Iterator[Hypothesis]:
    """Losses that are no entries; the value of the loss decides on those that give the right gradient a factor."""
    for name, (description, fix, losses) in OTHER_LOSSES.items():
        for detail, loss in losses.items():
            if name == FUNCTION_OF_LOSS and not wrong.loss_was_dumped:
                continue
            changes = with_loss(wrong.loss, loss)
            fitting = _nearest_multiple(wrong, changes)
            if fitting is not None and _is_one(fitting):
                yield _hypothesis(wrong.loss, changes, only_backward, name, description, fix, detail)


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


def first_gradient(wrong: GradientSymptoms, changes: Changes) -> Array:
    """The first wrong gradient as another loss gives it."""
    operation, logits = changes[wrong.loss.name].operation, wrong.loss.inputs[0]
    assert operation is not None
    _, cache = operation.forward(*(wrong.run.value(read) for read in wrong.loss.inputs))
    dlogits = np.asarray(operation.backward(wrong.run.gradient(wrong.loss.name), cache)[0], np.float64)
    if wrong.first == logits:
        return dlogits
    run = wrong.run.with_given({GRADIENT_PREFIX + logits: dlogits})
    return np.asarray(run.compute(GRADIENT_PREFIX + wrong.first), np.float64)


def _nearest_multiple(wrong: GradientSymptoms, changes: Changes) -> CommonFactor | None:
    """The factor from another loss' first gradient to the port's; None if it is no multiple."""
    made = first_gradient(wrong, changes)
    if not made.any() or not np.isfinite(made).all():
        return None
    one = WrongGradient(wrong.wrong[wrong.first].found, made)
    nearness = wrong.nearness + SIGMAS * one.uncertainty
    return CommonFactor(one.factor, nearness, [wrong.first]) if one.residual <= EXPLAINED else None


def _fit(
    wrong: GradientSymptoms, loss: Callable[[float], Loss], grid: tuple[float, ...], with_factor: bool
) -> tuple[float, float] | None:
    """The number for which the first gradient is nearest to the port's, by Newton's method from the best of a grid.

    Args:
        wrong: the wrong gradients.
        loss: of a number.
        grid: of numbers.
        with_factor: whether a factor of the gradient is fitted as well.

    Returns:
        The number and the factor; None if they do not explain most of the gradient.
    """
    found = wrong.wrong[wrong.first].found
    size = float(np.linalg.norm(found))

    def factor_of(gradient: Array) -> float:
        square = float(np.vdot(gradient, gradient))
        return float(np.vdot(gradient, found)) / square if with_factor and square else 1.0

    def gradient(number: float) -> Array:
        made = first_gradient(wrong, with_loss(wrong.loss, loss(number)))
        return factor_of(made) * made

    def error(number: float) -> float:
        far = float(np.linalg.norm(found - gradient(number)))
        return far if np.isfinite(far) else np.inf

    number = min(grid, key=error)
    for _ in range(NEWTON_STEPS):
        now, step = gradient(number), STEP * max(abs(number), STEP)
        slope = (gradient(number + step) - now) / step
        square = float(np.vdot(slope, slope))
        if not square or not np.isfinite(square):
            return None
        number += float(np.clip(np.vdot(slope, found - now) / square, -0.5 * abs(number), abs(number)))
        if error(number) <= NEGLIGIBLE * size:
            break
    made = first_gradient(wrong, with_loss(wrong.loss, loss(number)))
    return (number, factor_of(made)) if error(number) <= EXPLAINED * size else None


def _labels(wrong: GradientSymptoms) -> list[int] | None:
    """The labels that the derivative by the logits belongs to, t = p - B dlogits; None unless that is one-hot."""
    dlogits = derivative_by_logits(wrong)
    if dlogits is None:
        return None
    logits = wrong.run.value(wrong.loss.inputs[0])
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    targets = exps / exps.sum(axis=1, keepdims=True) - len(logits) * dlogits
    labels = targets.argmax(axis=1)
    if np.abs(targets - np.eye(logits.shape[1])[labels]).max() > NEARLY_ONE_HOT:
        return None
    return [int(label) for label in labels]


def derivative_by_logits(wrong: GradientSymptoms) -> Array | None:
    """The port's; from the gradient of the head's weight, dlogitsᵀ x, if that is all it dumped."""
    head = wrong.graph.nodes[wrong.loss.inputs[0]]
    if head.name in wrong.wrong:
        return wrong.wrong[head.name].found
    weight = next((name for name in head.inputs if name.endswith(".weight")), "")
    x = wrong.run.value(head.inputs[0])
    if weight not in wrong.wrong or x.ndim != 2 or len(x) > x.shape[1]:
        return None
    return np.linalg.lstsq(x.T, wrong.wrong[weight].found.T, rcond=None)[0]
