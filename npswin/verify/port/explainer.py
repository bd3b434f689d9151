"""Looks for the explanations of one symptom: the catalogue first, then fewer bits, fits, and general families."""

from dataclasses import replace
from itertools import takewhile

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.mistakes import GENERAL
from npswin.verify.mistakes.axis_parts import axis_parts
from npswin.verify.mistakes.mistake import with_backward_of
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.differences import difference_text
from npswin.verify.port.distance import finite_rms
from npswin.verify.port.gradient_errors import compelling, joint_hypotheses, partial_hypotheses
from npswin.verify.port.gradient_of_loss import factor_of_the_loss
from npswin.verify.port.hypotheses import RIGHT_BACKWARD, HypothesisGenerator
from npswin.verify.port.operation_precision import precision_explanation
from npswin.verify.port.quantization import quantization_text
from npswin.verify.port.same_mistake import relative_text
from npswin.verify.port.scales_of_blocks import constant_scale_hypotheses
from npswin.verify.port.symptoms import State, Symptoms
from npswin.verify.port.trials import Trials

OF_FAMILIES = {mistake.name for mistake in GENERAL}
Explanations = tuple[list[Hypothesis], list[Hypothesis]]  # those that explain, best first; the others, nearest first


class Explainer:
    """Finds what explains a symptom.

    Args:
        symptoms: finds what is left under assumptions.
        trials: tries hypotheses.
    """

    def __init__(self, symptoms: Symptoms, trials: Trials) -> None:
        self.symptoms, self.trials, self.comparer = symptoms, trials, symptoms.comparer

    def explain(self, symptom: str, now: State, with_general: bool) -> Explanations:
        """The hypotheses that explain the symptom, best first, and the others, nearest first.

        Args:
            symptom: a tensor's name.
            now: the mistakes found so far.
            with_general: whether general families are tried where the catalogue has no explanation.
        """
        found = now.dump.tensor(symptom)
        assert found is not None
        if self.is_gradient_of_loss(symptom, found, now):
            self.symptoms.settled.add(symptom)
            loss_is_right = symptom.removeprefix(GRADIENT_PREFIX) not in now.symptoms
            return [factor_of_the_loss(found, now.local_errors, loss_is_right)], []
        joint = joint_hypotheses(symptom, now.symptoms, now.dump, now.local_errors)
        explaining = self.trials.try_each(joint, symptom, found, now)
        explaining = compelling(joint, explaining, symptom, now.symptoms, self.symptoms.unexplained)
        if explaining:
            return explaining, []
        generator = self.symptoms.generator(now.graph, now.dump)
        right_shape = found.shape == self.comparer.shapes[symptom]
        explaining = self.again(generator, symptom, found, now)
        if explaining:
            return explaining, []
        hypotheses = [one for one in generator.hypotheses(symptom) if self.belongs_to_forward(one)]
        hypotheses += constant_scale_hypotheses(symptom, found, now.local_errors.exact)
        explaining = self.by_catalogue(generator, hypotheses, symptom, found, now)
        if not explaining and not self.trials.timed_out and right_shape:
            explaining = self.in_fewer_bits(symptom, found, now)
            if explaining:
                return explaining, hypotheses
        if not explaining and not self.trials.timed_out and right_shape:
            fitted = self.fits(generator, symptom, found, now)
            explaining = self.trials.try_each(fitted, symptom, found, now)
            hypotheses += fitted
            if not explaining and not symptom.startswith(GRADIENT_PREFIX):
                largest = self.largest_rounding(symptom, found, now)
                told = list(generator.told_by_gradient(symptom, found, now.local_errors.exact, largest))
                explaining = self.trials.try_each(told, symptom, found, now)
        named = list(hypotheses)
        if not (explaining and not explaining[0].fitted_numbers) and with_general and not self.trials.timed_out:
            general = self.general(generator, symptom, found, now)
            explaining += self.trials.try_each(general, symptom, found, now)
            explaining = self.trials.sort_explaining(symptom, explaining, now)
            hypotheses += general
        hypotheses.sort(key=lambda one: one.tolerance_ratio)
        named.sort(key=lambda one: one.tolerance_ratio)
        several_nodes = len(generator.nodes_between(symptom)) > 1
        if not explaining and right_shape and several_nodes and not self.symptoms.unexplained:
            explaining = self.trials.sort_explaining(symptom, self.trials.pairs(symptom, found, now, named), now)
        explaining = self.compelling(explaining, symptom, now)
        return explaining, [one for one in hypotheses if one not in explaining and one.tolerance_ratio < np.inf]

    def belongs_to_forward(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis that a backward pass is right belongs to a mistake of its forward pass."""
        if hypothesis.name != RIGHT_BACKWARD:
            return True
        forward = [cause for cause in self.trials.known if not cause.hypothesis.backward]
        return any(hypothesis.place in (*cause.hypothesis.changes, *cause.places) for cause in forward)

    def is_gradient_of_loss(self, symptom: str, found: Array, now: State) -> bool:
        """Whether the symptom is the gradient from which all others are computed: a single number."""
        is_last = symptom == GRADIENT_PREFIX + next(reversed(now.graph.nodes))
        return is_last and found.size == 1 and bool(np.isfinite(found).all())

    def compelling(self, explaining: list[Hypothesis], symptom: str, now: State) -> list[Hypothesis]:
        """Those that explain much of the symptom."""
        return [one for one in explaining if one.is_compelling(now.symptoms[symptom])]

    def by_catalogue(
        self, generator: HypothesisGenerator, hypotheses: list[Hypothesis], symptom: str, found: Array, now: State
    ) -> list[Hypothesis]:
        """The mistakes of the catalogue that explain the symptom; for a gradient, also those of several gradients."""
        explaining = self.trials.try_each(hypotheses, symptom, found, now)
        if symptom.startswith(GRADIENT_PREFIX) and (not explaining or explaining[0].symptoms_left):
            partial = partial_hypotheses(symptom, now.symptoms, now.dump, now.local_errors)
            if found.shape == self.comparer.shapes[symptom]:
                largest = self.largest_rounding(symptom, found, now)
                partial += generator.other_derivatives(symptom, found, now.local_errors.exact, largest)
            explaining += self.trials.try_each(partial, symptom, found, now)
            explaining.sort(key=lambda one: (one.symptoms_left, one.fitted))
        return self.compelling(explaining, symptom, now)

    def fits(self, generator: HypothesisGenerator, symptom: str, found: Array, now: State) -> list[Hypothesis]:
        """Mistakes with fitted numbers, and what relates the symptom to the right tensor."""
        largest = self.largest_rounding(symptom, found, now)
        fitted = generator.fitted(symptom, found, now.local_errors.exact, largest)
        return list(takewhile(lambda _: not self.trials.is_late(), fitted))

    def again(self, generator: HypothesisGenerator, symptom: str, found: Array, now: State) -> list[Hypothesis]:
        """A mistake of the general families that was found at another place, and explains this symptom, too."""
        known = {relative_text(cause.hypothesis) for cause in self.trials.known if cause.hypothesis.name in OF_FAMILIES}
        if not known or found.shape != self.comparer.shapes[symptom]:
            return []
        alike = [one for one in self.general(generator, symptom, found, now) if relative_text(one) in known]
        return self.compelling(self.trials.try_each(alike, symptom, found, now), symptom, now)

    def general(self, generator: HypothesisGenerator, symptom: str, found: Array, now: State) -> list[Hypothesis]:
        """Mistakes of the general families."""
        largest = self.largest_rounding(symptom, found, now) if found.shape == self.comparer.shapes[symptom] else 0.0
        return generator.general(symptom, found, now.local_errors.exact, largest)

    def largest_rounding(self, symptom: str, found: Array, now: State) -> float:
        """The largest difference of the symptom's numbers that rounding makes."""
        error, expected = now.local_errors.error(symptom, found), now.local_errors.expected(symptom)
        return 0.0 if error is None or expected is None else error.tolerance.peak * finite_rms(expected)

    def difference(self, symptom: str, now: State) -> str:
        """In words where the symptom differs from what its operation gives; "" if that is not known."""
        found, expected = now.dump.tensor(symptom), now.local_errors.expected(symptom)
        if found is None or expected is None or found.shape != expected.shape:
            return ""
        axes = axis_parts(now.graph, symptom.removeprefix(GRADIENT_PREFIX), expected.shape)
        return difference_text(found, expected, axes, self.largest_rounding(symptom, found, now))

    def in_fewer_bits(self, symptom: str, found: Array, now: State) -> list[Hypothesis]:
        """An operation in fewer bits that explains the symptom, if there is one.

        Where a number is half-way between two, either may be the port's, so that single numbers may differ from the
        emulated ones: it is accepted by the share of the error that is left, and the symptom is settled.
        """
        explanation = precision_explanation(now.local_errors, symptom, found, is_late=self.trials.is_late)
        if explanation is None:
            return []
        fix = f"compute it in {self.comparer.precision}"
        self.symptoms.settled.add(symptom)
        steps, ways = quantization_text(found), []
        for way in (explanation, *explanation.as_near):
            one = Hypothesis("precision", way.text, fix, steps, way.places[0], way.changes, fitted=True, varies=True)
            ways.append(one)
            if symptom.startswith(GRADIENT_PREFIX):
                changes = {name: with_backward_of(now.graph.nodes[name], node) for name, node in way.changes.items()}
                text = f"{way.text}, in the backward pass alone"
                ways.append(replace(one, description=text, changes=changes, backward=True))
        for one in ways:
            one.tolerance_ratio = self.trials.ratio(symptom, found, now, one.changes)
            left = self.symptoms.state(now.local_errors.replaced(one.changes), now.dump).symptoms
            one.symptoms_left = len(left)
            if any(name not in now.symptoms and not name.startswith(GRADIENT_PREFIX) for name in left):
                one.tolerance_ratio = np.inf  # a right activation would be wrong
        ways = [one for one in ways if np.isfinite(one.tolerance_ratio)]
        if not ways:
            self.symptoms.settled.discard(symptom)
            return []
        return [min(ways, key=lambda one: one.symptoms_left)]
