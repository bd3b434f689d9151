"""The derivative of the loss by itself, with which a backward pass begins, where a port has another number than 1."""

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.gradient_factors import all_known_factors
from npswin.verify.port.gradient_kinds import those
from npswin.verify.port.gradient_symptoms import SMALLEST_NEARNESS, GradientSymptoms, WrongGradient, is_seen
from npswin.verify.port.local_error import LocalErrors

SAME = 1e-3  # relative distance within which a parameter's gradient has the factor, or lacks it
RIGHT = "the derivative of the loss by itself is 1"


def factor_of_the_loss(found: Array, local_errors: LocalErrors, loss_is_right: bool) -> Hypothesis:
    """What the derivative of the loss by itself is, and for which parameters it is divided out again.

    Args:
        found: the port's.
        local_errors: each operation on the port's own inputs.
        loss_is_right: whether the port's loss is.
    """
    factor, loss = float(found), next(reversed(local_errors.graph.nodes))
    wrong = GradientSymptoms(local_errors.exact, loss, {}, SMALLEST_NEARNESS, loss_is_right)
    reading = next((one for one in all_known_factors(wrong) if abs(factor / one.factor - 1) <= SMALLEST_NEARNESS), None)
    description = f"the backward pass begins with {factor:.6g} in place of 1, by which every gradient is multiplied"
    fix = reading.fix if reading else RIGHT
    divided, others = _divided_again(wrong, factor)
    if divided and others:
        description += f"; the gradients of {those(wrong, divided)} are divided by it again, "
        description += "those of the other parameters are not"
        fix = f"{fix}; divide the gradients of all parameters by it"
    if reading is None:
        return Hypothesis("loss-factor", description, fix, "", loss, {}, True)
    return Hypothesis(reading.name, f"{description}: {reading.text}", fix, "", loss, {}, True)


def _divided_again(wrong: GradientSymptoms, factor: float) -> tuple[list[str], list[str]]:
    """The parameters whose gradients lack the factor that their module's gradients have, and the others."""
    divided: list[str] = []
    others: list[str] = []
    for name in wrong.parameters:
        found = wrong.run.given.get(GRADIENT_PREFIX + name)
        if found is None or not is_seen(wrong.run, name):
            continue
        right = wrong.run.compute(GRADIENT_PREFIX + name)
        if right.shape == found.shape and right.any():
            share = WrongGradient(found, right).factor
            (divided if abs(share * factor - 1) <= SAME else others).append(name)
    return divided, others
