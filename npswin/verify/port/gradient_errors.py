"""One explanation for all gradients of a port that are wrong: what a training loop or the loss does to them.

A single backward pass that is wrong shows in the gradients that are computed through it. A loss of another kind, a loss
scale that is left in, gradients that are added up, clipped or decayed show in every parameter's gradient at once, and
where a port dumps nothing but these, each of them is a symptom. So before mistakes of single operations are tried, all
symptoms together are compared with the right gradients.
"""

from collections.abc import Collection

import numpy as np

from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.dump_errors import CorrectedDump
from npswin.verify.port.gradient_batches import batch_hypotheses
from npswin.verify.port.gradient_counts import count_hypotheses
from npswin.verify.port.gradient_factors import factor_hypotheses
from npswin.verify.port.gradient_images import image_hypotheses
from npswin.verify.port.gradient_loss_sums import (
    is_seen_in_gradients,
    penalty_hypotheses,
    sum_hypotheses,
    value_hypotheses,
)
from npswin.verify.port.gradient_losses import loss_hypotheses, scaled_loss
from npswin.verify.port.gradient_places import place_hypotheses
from npswin.verify.port.gradient_sets import set_hypotheses, zero_hypotheses
from npswin.verify.port.gradient_steps import step_hypotheses
from npswin.verify.port.gradient_symptoms import gradient_symptoms
from npswin.verify.port.gradient_targets import target_hypotheses
from npswin.verify.port.gradient_updates import update_hypotheses
from npswin.verify.port.local_error import LocalErrors

COMPELLING = 0.5  # of the tolerance, up to which an explanation with fitted numbers is one
SHARE = 2 / 3  # of the symptoms that one with fitted numbers explains
EXACT = ("never-written", "gradient-detached")  # causes of zeros, which are no rounding
FEWEST = 4  # symptoms that one without fitted numbers explains, if there are so many


def joint_hypotheses(
    symptom: str, symptoms: Collection[str], dump: CorrectedDump, local_errors: LocalErrors
) -> list[Hypothesis]:
    """Explanations of all wrong gradients, among them the first one.

    Args:
        symptom: the first of them; none is returned for a tensor that is neither a gradient nor the loss.
        symptoms: the tensors that differ from their operations' results on the port's own inputs.
        dump: what the port has.
        local_errors: each operation on the port's own inputs.
    """
    first = next((name for name in symptoms if name.startswith(GRADIENT_PREFIX)), symptom)
    if symptom == next(reversed(local_errors.graph.nodes)):
        with np.errstate(all="ignore"):
            return _of_wrong_loss(symptom, first, symptoms, dump, local_errors)
    wrong = gradient_symptoms(symptom, symptoms, dump, local_errors)
    if wrong is None:
        return []
    with np.errstate(all="ignore"):
        of_loss = [*loss_hypotheses(wrong), *target_hypotheses(wrong), *sum_hypotheses(wrong), *image_hypotheses(wrong)]
        if wrong.loss_was_dumped and not wrong.loss_is_right:  # no other loss has given the port's
            of_loss = [one for one in of_loss if not one.fitted]
        of_parameters = [*place_hypotheses(wrong), *batch_hypotheses(wrong), *update_hypotheses(wrong)]
        of_parameters += step_hypotheses(wrong)
        return [*zero_hypotheses(wrong), *factor_hypotheses(wrong), *of_loss, *of_parameters]


def _of_wrong_loss(
    loss: str, first: str, symptoms: Collection[str], dump: CorrectedDump, local_errors: LocalErrors
) -> list[Hypothesis]:
    """Explanations of a wrong loss, by the gradients that are computed from it."""
    found = dump.tensor(loss)
    if found is None or found.size != 1 or not np.isfinite(found).all():
        return []
    if first == loss:
        return list(value_hypotheses(float(found), local_errors)) if is_seen_in_gradients(local_errors) else []
    wrong = gradient_symptoms(first, symptoms, dump, local_errors)
    if wrong is None:
        return []
    return [
        *loss_hypotheses(wrong),
        *scaled_loss(wrong),
        *target_hypotheses(wrong),
        *sum_hypotheses(wrong),
        *image_hypotheses(wrong),
        *penalty_hypotheses(wrong, float(found)),
    ]


def partial_hypotheses(
    symptom: str, symptoms: Collection[str], dump: CorrectedDump, local_errors: LocalErrors
) -> list[Hypothesis]:
    """Explanations of the first wrong gradient and some others, for one that no mistake of the catalogue explains.

    Args:
        symptom, symptoms, dump, local_errors: as for `joint_hypotheses`.
    """
    wrong = gradient_symptoms(symptom, symptoms, dump, local_errors)
    with np.errstate(all="ignore"):
        return [] if wrong is None else [*count_hypotheses(wrong), *set_hypotheses(wrong)]


def compelling(
    hypotheses: list[Hypothesis],
    explaining: Collection[Hypothesis],
    symptom: str,
    symptoms: Collection[str],
    unexplained: Collection[str],
) -> list[Hypothesis]:
    """The explanations of all gradients that are causes, without a look at mistakes of single operations; best first.

    Args:
        hypotheses: all that were tried, the simplest first.
        explaining: those that give the port's numbers.
        symptom, symptoms: the first symptom, and all.
        unexplained: those that nothing explains.
    """
    left = len(set(symptoms) - set(unexplained))
    causes = []
    for one in hypotheses:
        gives_numbers = any(one is other for other in explaining)
        sure = not one.fitted or one.tolerance_ratio <= COMPELLING
        if gives_numbers and sure and len(symptoms) - one.symptoms_left >= _enough(one, symptom, left):
            causes.append(one)
    return sorted(causes, key=lambda one: one.symptoms_left)


def _enough(hypothesis: Hypothesis, symptom: str, left: int) -> float:
    """How many of the symptoms that are left an explanation has to explain."""
    (_, node), *more = hypothesis.changes.items()
    if (
        not more and symptom.removeprefix(GRADIENT_PREFIX) in node.inputs
    ):  # the derivative by the logits, from which all others follow
        return 1
    if hypothesis.name in EXACT:
        return 2
    return SHARE * left if hypothesis.fitted else min(left, FEWEST)
