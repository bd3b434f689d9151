"""Gradients that are all multiplied by the same number, and what the number says."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from npswin.verify.graph import GRADIENT_PREFIX, Run
from npswin.verify.mistakes import Changes
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.gradient_symptoms import SMALLEST_NEARNESS, GradientSymptoms, Rule, scaled_from, with_gradients

SIGMAS = 6  # standard errors within which two factors are the same
LARGEST_RESIDUAL = 0.05  # of a gradient from a multiple of the right one, as a share of the factor's distance from 1
SMALLEST_LOSS_SCALE = 256  # a power of two of at least this size is a loss scale
MOST_STEPS = 64  # of accumulation
MOST_READINGS = 2  # of one factor
CLIPPING_EPS = 1e-6  # that PyTorch adds to the norm, which it divides by
CLIPPING_NORMS = (1.0, 5.0, 0.1, 0.5, 10.0, 2.0, 0.01, 3.0, 0.3, 0.25, 0.2, 100.0, 20.0, 50.0)
RATES = tuple(digit * 10.0**power for power in range(-1, -7, -1) for digit in (1, 2, 2.5, 3, 5, 1.25, 6))


@dataclass(frozen=True)
class Reading:
    """What a factor is.

    Attributes:
        name: of the cause.
        factor: the exact number.
        text: what leads to the factor.
        fix: what is right.
        exact: whether the factor is this number, rather than one that depends on the gradients.
    """

    name: str
    factor: float
    text: str
    fix: str
    exact: bool = True


@dataclass(frozen=True)
class CommonFactor:
    """A factor of several gradients.

    Attributes:
        factor: fitted to all of them.
        nearness: the relative distance within which it is another number.
        tensors: the tensors whose gradients have it.
    """

    factor: float
    nearness: float
    tensors: list[str]


def common_factor(wrong: GradientSymptoms) -> CommonFactor | None:
    """The factor of the first wrong gradient, fitted to all gradients that have it; None if that is no multiple."""
    first = wrong.wrong[wrong.first]
    if not is_multiple(first.factor, first.residual):
        return None
    tensors, weights, factors = [], [], []
    for name, one in wrong.wrong.items():
        near = wrong.nearness + SIGMAS * (one.uncertainty + first.uncertainty)
        if is_multiple(one.factor, one.residual) and abs(one.factor / first.factor - 1) <= near:
            tensors.append(name)
            weights.append(1 / (one.uncertainty**2 + wrong.nearness**2))
            factors.append(one.factor)
    nearness = wrong.nearness + SIGMAS / math.sqrt(sum(weights))
    return CommonFactor(float(np.average(factors, weights=weights)), nearness, tensors)


def is_multiple(factor: float, residual: float) -> bool:
    """Whether a gradient is a multiple of the right one, and another than itself."""
    return math.isfinite(factor) and factor != 0 and residual <= LARGEST_RESIDUAL * min(abs(factor - 1), 1)


def factor_hypotheses(wrong: GradientSymptoms) -> Iterator[Hypothesis]:
    """Every gradient is multiplied by the same number; every parameter's is, as after the backward pass."""
    common = common_factor(wrong)
    if common is None:
        return
    readings = readings_of(common, wrong)
    reading = readings[0] if readings else None
    factor = reading.factor if reading is not None and reading.exact else common.factor
    if wrong.follows_from_loss() and not wrong.contradicts(factor, from_loss=True):
        yield _hypothesis("every gradient", factor, common, readings, scaled_from(wrong.loss, factor), wrong.loss.name)
    if wrong.first in wrong.wrong_parameters and not wrong.contradicts(factor, from_loss=False):
        rule = multiplied_by(factor)
        changes = with_gradients(wrong.graph, dict.fromkeys(wrong.parameters, rule))
        place = wrong.graph.consumers[wrong.first][0]
        yield _hypothesis("every parameter's gradient", factor, common, readings, changes, place)


def multiplied_by(factor: float) -> Rule:
    """The rule that multiplies a gradient."""
    return lambda gradient, _: gradient * gradient.dtype.type(factor)


def _hypothesis(
    what: str, factor: float, common: CommonFactor, readings: list[Reading], changes: Changes, place: str
) -> Hypothesis:
    count = len(common.tensors)
    where = f"seen in {count} tensors" if count > 1 else f"seen in grad/{common.tensors[0]}"
    first = readings[0] if readings else None
    name = first.name if first else "gradients-scaled"
    fix = first.fix if first else "leave the gradients as the backward pass of the mean loss gives them"
    text = "; or ".join(one.text for one in readings)
    description = f"{what} is multiplied by {factor:.6g}{': ' if text else ''}{text}"
    fitted = first is None or not first.exact
    return Hypothesis(name, description, fix, where, place, changes, backward=True, fitted=fitted)


def readings_of(common: CommonFactor, wrong: GradientSymptoms) -> list[Reading]:
    """What a factor of all gradients may be, the likeliest first."""
    return [*known_factors(common, wrong), *_clipped_by_norm(common, wrong)][:MOST_READINGS]


def known_factors(common: CommonFactor, wrong: GradientSymptoms) -> list[Reading]:
    """The numbers among the known ones that a factor may be, the likeliest first."""
    nearest: dict[str, Reading] = {}
    for one in all_known_factors(wrong):
        far = abs(common.factor / one.factor - 1)
        if far <= common.nearness:
            other = nearest.get(one.name)
            if other is None or far < abs(common.factor / other.factor - 1) - SMALLEST_NEARNESS:
                nearest[one.name] = one
    return list(nearest.values())


def all_known_factors(wrong: GradientSymptoms) -> Iterator[Reading]:
    """The numbers that a factor of gradients mostly is, each with what leads to it."""
    logits, labels = (wrong.run.value(read) for read in wrong.loss.inputs)
    batch, classes = len(labels), logits.shape[-1]
    mean = "dlogits = (p - t) / B, and nothing is divided by B again"
    if batch > 1:
        name = "averaged-twice" if wrong.loss_is_right else "loss-sum"
        yield Reading(name, batch, "the batch size, the loss is summed rather than averaged", mean)
        yield Reading("averaged-twice", 1 / batch, "1 / the batch size, the loss is averaged twice", mean)
    yield Reading("gradient-sign", -1.0, "the sign is the other one", "the derivative of the loss, uphill")
    if classes > 1:
        text, fix = "the loss is averaged over the classes, too", "the mean over the batch of -log p[label]"
        yield Reading("loss-factor", 1 / classes, f"1 / the number of classes, {text}", fix)
        yield Reading("loss-factor", batch / classes, f"batch size / number of classes, {text}, and not the batch", fix)
    for base in (2, 10):
        fix = "the natural logarithm"
        yield Reading("loss-factor", 1 / math.log(base), f"the logarithm in the loss has base {base}", fix)
    for steps in range(2, MOST_STEPS + 1):
        zero = "set the gradients to 0 before each backward pass, and divide by the number of passes that are added"
        times = "twice" if steps == 2 else f"{steps} times"
        yield Reading("gradients-accumulated", steps, f"a backward pass was added {times}, not averaged", zero)
    for power in range(int(math.log2(SMALLEST_LOSS_SCALE)), 33):
        fix = "divide the gradients by the loss scale once, before they are used or dumped"
        yield Reading("loss-scale", 2.0**power, f"2^{power}, the loss scale of mixed precision is left in", fix)
        yield Reading("loss-scale", 2.0**-power, f"2^-{power}, the loss scale is divided out twice", fix)
    for steps in range(2, MOST_STEPS + 1):
        once = "divide by the number of accumulation steps or processes once"
        text = f"1/{steps}, as if averaged over {steps} accumulation steps or processes, of which this is one"
        yield Reading("gradients-accumulated", 1 / steps, text, once)
    for rate in RATES:
        fix = "dump the gradient itself"
        update = f"the update is dumped, with a learning rate of {rate:g}"
        yield Reading("update-for-gradient", -rate, update, fix)
        momentum = ", or an average with momentum" if rate in (0.1, 0.01) else ""
        yield Reading("update-for-gradient", rate, f"{update}{momentum}", fix)


def _clipped_by_norm(common: CommonFactor, wrong: GradientSymptoms) -> Iterator[Reading]:
    """The factor c / ‖g‖, ‖g‖ of all parameters' gradients together; PyTorch's is c / (‖g‖ + 1e-6)."""
    if not 0 < common.factor < 1:
        return
    norms = right_norms(wrong)
    every = math.sqrt(sum(norm**2 for norm in norms.values()))
    dumped = math.sqrt(sum(norms[name] ** 2 for name in wrong.wrong_parameters))
    sets = {"all parameters": every, "the parameters that were dumped": dumped}
    for what, norm in sets.items():
        for limit in CLIPPING_NORMS:
            if norm and abs(common.factor * norm / limit - 1) <= common.nearness + 2 * CLIPPING_EPS / norm:
                text = f"the gradients of {what} together, of norm {norm:.4g}, are clipped to the norm {limit:g}"
                fix = "compare the gradients before they are clipped"
                yield Reading("gradients-clipped", common.factor, text, fix, False)
                return


def right_norms(wrong: GradientSymptoms) -> dict[str, float]:
    """The norm of each parameter's right gradient, whatever gradients the port has."""
    given = {name: array for name, array in wrong.run.given.items() if not name.startswith(GRADIENT_PREFIX)}
    run = Run(wrong.graph, given)
    return {name: float(np.linalg.norm(run.gradient(name))) for name in wrong.parameters}
