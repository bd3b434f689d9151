"""A loss that is a sum of terms, as the cross-entropy and a penalty, and a loss whose value alone is another one."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from npswin.types import Array
from npswin.verify.fits.combination import Combination, find_combination
from npswin.verify.fits.explanation import plus
from npswin.verify.fits.numbers import chosen
from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.mistakes.loss import LOSS, with_loss
from npswin.verify.mistakes.loss_terms import CROSS_ENTROPY, LOSS_TERMS
from npswin.verify.mistakes.mistake import change_node, transform_output, with_backward_of
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.gradient_losses import first_gradient
from npswin.verify.port.gradient_symptoms import GradientSymptoms, Rule, with_gradients
from npswin.verify.port.local_error import LocalErrors

MOST_FITTED = 1  # factors that are no known numbers
NEAR = 1e-4  # relative distance of two losses that are the same
SMALLEST = 1e-7  # of a difference of two losses, relative
FIX = "the mean over the batch of -log p[label], and nothing else"


def sum_hypotheses(wrong: GradientSymptoms) -> Iterator[Hypothesis]:
    """The loss as a sum of known losses with factors, by its derivative."""
    if not wrong.follows_from_loss():
        return
    one = wrong.wrong[wrong.first]
    terms = {name: first_gradient(wrong, with_loss(wrong.loss, loss)) for name, loss in LOSS_TERMS.items()}
    logits = wrong.run.value(wrong.loss.inputs[0])
    sizes = {"B": float(len(logits)), "K": float(logits.shape[1]), "1/K": 1 / logits.shape[1]}
    best = find_combination(one.found, terms, {CROSS_ENTROPY: 1.0}, [*sizes.values(), 1 / len(logits)], one.rounding)
    if best is None or best.fitted > MOST_FITTED or not best.changed or set(best.factors) == {CROSS_ENTROPY}:
        return
    factors = {name: chosen(factor) for name, factor in best.factors.items()}
    yield _hypothesis(wrong, best, factors)


def _hypothesis(wrong: GradientSymptoms, best: Combination, factors: Mapping[str, float]) -> Hypothesis:
    def loss(logits: Array, labels: Array) -> tuple[float, Array]:
        parts = [(factor, LOSS_TERMS[name](logits, labels)) for name, factor in factors.items()]
        return sum(factor * value for factor, (value, _) in parts), sum(
            (factor * slope for factor, (_, slope) in parts), np.zeros_like(logits)
        )

    ordered = sorted(factors, key=lambda name: name != CROSS_ENTROPY)
    text = " ".join(_signed(name, factors[name], index == 0) for index, name in enumerate(ordered))
    added = CROSS_ENTROPY in factors and len(factors) > 1
    description = (
        f"the loss has {'a further term' if len(factors) == 2 else 'further terms'}"
        if added
        else ("the loss is another one")
    )
    changed = with_loss(wrong.loss, loss)
    if wrong.loss_is_right:
        changed = {wrong.loss.name: with_backward_of(wrong.loss, changed[wrong.loss.name])}
        description = f"the gradient is that of another loss: {description}"
    place, backward = wrong.loss.name, wrong.loss_is_right
    one = Hypothesis("loss-terms", description, FIX, text, place, changed, backward, fitted=best.fitted > 0)
    one.fitted_numbers = best.fitted
    return one


def _signed(name: str, factor: float, first: bool) -> str:
    sign = "-" if factor < 0 else "" if first else "+"
    size = abs(factor)
    number = "" if size == 1 else f"{size:.5g} · "
    return f"{sign}{' ' if sign and not first else ''}{number}{name}"


def value_hypotheses(found: float, local_errors: LocalErrors) -> Iterator[Hypothesis]:
    """What the value of the loss is where its gradient is the right one: another reduction, or something added.

    Args:
        found: the port's loss.
        local_errors: each operation on the port's own inputs.
    """
    graph, run = local_errors.graph, local_errors.exact
    node = graph.nodes[next(reversed(graph.nodes))]
    right = float(run.compute(node.name))
    for mistake in LOSS:
        for detail, changes in mistake.plant(graph, node.name):
            only_value = {node.name: with_backward_of(changes[node.name], node)}
            value = float(run.replaced(only_value).compute(node.name))
            if abs(found - value) <= NEAR * abs(found):
                text = f"{mistake.description}, as it is reported; its gradient is the right one"
                yield Hypothesis(mistake.name, text, mistake.fix, detail, node.name, only_value)
    if abs(found - right) > SMALLEST * abs(right) and node.operation is not None:
        number = chosen(found - right)
        text = f"{number:.6g} is added to the loss; its gradient is the right one: a number, or a detached term"
        changed = change_node(node, transform_output(node.operation, plus(number)))
        yield Hypothesis("loss-constant", text, FIX, "", node.name, changed, fitted=True, fitted_numbers=1)


def penalty_hypotheses(wrong: GradientSymptoms, loss: float) -> Iterator[Hypothesis]:
    """λ/2 Σ θ² of parameters is part of the loss: λ θ is added to their gradients.

    Args:
        wrong: the wrong gradients.
        loss: the port's.
    """
    run, added = wrong.run, loss - float(wrong.run.compute(wrong.loss.name))
    names = {
        "all parameters": wrong.parameters,
        "all matrices": [name for name in wrong.parameters if run.value(name).ndim > 1],
        "all weights": [name for name in wrong.parameters if name.endswith("weight")],
        "the head": [name for name in wrong.parameters if name.startswith("head.")],
    }
    for what, tensors in names.items():
        total = sum(float((np.asarray(run.value(name), np.float64) ** 2).sum()) for name in tensors)
        if not total or added <= SMALLEST * abs(loss) or wrong.loss.operation is None:
            continue
        decay = chosen(2 * added / total)
        number = decay / 2 * total
        changes = with_gradients(wrong.graph, dict.fromkeys(tensors, _decayed(decay)))
        changes[wrong.loss.name] = replace(wrong.loss, operation=transform_output(wrong.loss.operation, plus(number)))
        text = f"a penalty is part of the loss: {decay / 2:.5g} Σ θ², θ the numbers of {what}"
        fix = "decay that acts in the optimizer (AdamW) is no part of the loss"
        yield Hypothesis("loss-penalty", text, fix, "", wrong.loss.name, changes, fitted=True, fitted_numbers=1)


def _decayed(decay: float) -> Rule:
    return lambda gradient, theta: gradient + decay * theta


def is_seen_in_gradients(local_errors: LocalErrors) -> bool:
    """Whether the port dumped a gradient that is computed from that of the loss."""
    loss = next(reversed(local_errors.graph.nodes))
    return any(name.startswith(GRADIENT_PREFIX) and name != GRADIENT_PREFIX + loss for name in local_errors.exact.given)
