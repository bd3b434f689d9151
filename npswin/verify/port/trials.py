"""Tries hypotheses for a symptom, and sorts out those that explain it."""

import re
import time
from collections.abc import Iterable

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.key.trace import Progress
from npswin.verify.mistakes import Changes
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.port.cause import AS_LOADED, Cause, Hypothesis
from npswin.verify.port.distance import distance
from npswin.verify.port.loaded import as_loaded
from npswin.verify.port.same_mistake import relative_text
from npswin.verify.port.symptoms import State, Symptoms
from npswin.verify.port.tolerance import LOOSEST, Tolerance

OF_RESULTS = ("fitted-output", "dropout", "never-written")  # fits that do not concern parameters
OF_INPUTS = ("input-multiplied", "function-before")  # changes of one input, whose name comes first in the detail
FAR = 1e4  # times the tolerance without a mistake: no mistake raises the tolerance that much
PAIRED = 2  # nearest hypotheses that are tried together with each other one
CHANCE = 0.01  # probability with which one of the nearest hypotheses is that near by chance
MOST_EXPLAINING_PAIRS = 5


class Trials:
    """Runs the graph with the changes of one hypothesis after another.

    Args:
        symptoms: finds what is left.
        known: the causes found so far; an explanation that is known from another place goes first.
        progress: called with the name of the work, how many steps are done, and how many there are.
        end: the time (`time.monotonic`) after which nothing is tried.

    Attributes:
        tried: how many hypotheses were tried.
        timed_out: whether some were not tried because of the time.
    """

    def __init__(self, symptoms: Symptoms, known: Iterable[Cause], progress: Progress, end: float) -> None:
        self.symptoms, self.known, self.progress, self.end = symptoms, known, progress, end
        self.comparer = symptoms.comparer
        self.tried, self.timed_out = 0, False

    def is_late(self) -> bool:
        """Whether the time is over."""
        self.timed_out = self.timed_out or time.monotonic() > self.end
        return self.timed_out

    def try_each(self, hypotheses: list[Hypothesis], symptom: str, found: Array, now: State) -> list[Hypothesis]:
        """Set each hypothesis' ratio of distance to tolerance; return those that explain the symptom, best first."""
        for done, hypothesis in enumerate(hypotheses, 1):
            if self.is_late():
                break
            self.progress(f"trying mistakes for {symptom}", done, len(hypotheses))
            hypothesis.tolerance_ratio = self.ratio(symptom, found, now, hypothesis.changes)
            self.tried += 1
        return self.sort_explaining(symptom, [one for one in hypotheses if one.explains_symptom], now)

    def sort_explaining(self, symptom: str, hypotheses: list[Hypothesis], now: State) -> list[Hypothesis]:
        """Of hypotheses that give the symptom, those that explain it, the fewest symptoms left first.

        A hypothesis must not leave more symptoms than there are now, and must not make a correct activation wrong, nor
        be impossible for a tensor, as where it is for arrays of another shape. A hypothesis of the forward pass for a
        gradient must leave fewer symptoms, since no activation shows it.
        """
        unused = self.symptoms.without_use(symptom, now)
        known = {(cause.hypothesis.name, relative_text(cause.hypothesis)) for cause in self.known}
        explaining = []
        for hypothesis in hypotheses:
            symptoms = self.symptoms_of(hypothesis, now) if unused is None else unused[0].symptoms
            hypothesis.symptoms_left = len(symptoms)
            unlikely = symptom.startswith(GRADIENT_PREFIX) and not hypothesis.backward and not hypothesis.fitted
            breaks = any(name not in now.symptoms and not name.startswith(GRADIENT_PREFIX) for name in symptoms) or any(
                np.isinf(ratio) and np.isfinite(now.symptoms.get(name, np.inf)) for name, ratio in symptoms.items()
            )
            moves = hypothesis.backward and any(name not in now.symptoms for name in symptoms)  # the error elsewhere
            if not breaks and hypothesis.symptoms_left <= len(now.symptoms) - (unlikely or moves):
                explaining.append(hypothesis)
        explaining.sort(
            key=lambda one: (
                one.symptoms_left,
                one.everywhere,
                (one.name, relative_text(one)) not in known,
                one.fitted_numbers,
                one.rank,
                one.tolerance_ratio,
            )
        )
        return explaining

    def is_of_activation(self, hypothesis: Hypothesis) -> bool:
        """Whether a change of one input is that of an activation, which is not loaded."""
        read = re.split(r": | by ", hypothesis.detail)[0]
        return hypothesis.name in OF_INPUTS and read not in self.comparer.key.graph.parameters

    def symptoms_of(self, hypothesis: Hypothesis, now: State) -> dict[str, float]:
        """The symptoms that a hypothesis leaves. One of parameters becomes one of loading them if that leaves fewer."""
        then = now.local_errors.replaced(hypothesis.changes)
        symptoms = self.symptoms.state(then, now.dump, hypothesis.without_derivative).symptoms
        if hypothesis.without_derivative:  # what was wrong and is not explained by it stays so
            with_its_own = self.symptoms.state(then, now.dump).symptoms
            symptoms |= {name: ratio for name, ratio in with_its_own.items() if name in now.symptoms}
        of_result = hypothesis.backward or hypothesis.name in OF_RESULTS or self.is_of_activation(hypothesis)
        loaded = None if of_result else as_loaded(hypothesis.changes, self.comparer.key.graph)
        if loaded is None or not any(name.startswith(GRADIENT_PREFIX) for name in symptoms):
            return symptoms
        of_loading = self.symptoms.state(now.local_errors.replaced(loaded), now.dump).symptoms
        if len(of_loading) >= len(symptoms):
            return symptoms
        hypothesis.changes, hypothesis.detail = loaded, "; ".join(filter(None, (hypothesis.detail, AS_LOADED)))
        return of_loading

    def usual_tolerance(self, symptom: str, found: Array, now: State) -> Tolerance:
        """The symptom's tolerance without a further mistake; an estimate if it has another shape than the key's."""
        if found.shape != self.comparer.shapes[symptom]:
            return Tolerance(LOOSEST / FAR, LOOSEST / FAR)
        error = now.local_errors.error(symptom, found)
        assert error is not None
        return error.tolerance

    def ratio(self, symptom: str, found: Array, now: State, changes: Changes) -> float:
        """The distance of the port's tensor from the changed graph's, divided by the tolerance.

        Infinite where the changes do not apply, and where the tolerance is so large that it explains anything.
        """
        local_errors = now.local_errors.replaced(changes)
        try:
            expected = local_errors.expected(symptom)
            if expected is None or expected.size != found.size:
                return np.inf
            with np.errstate(all="ignore"):
                far = distance(found.reshape(expected.shape), expected)
                usual = self.usual_tolerance(symptom, found, now)
                if far.relative > min(LOOSEST, FAR * usual.relative):
                    return max(FAR, usual.ratio(far.relative, far.peak))
                error = local_errors.error(symptom, found)
        except NotApplicable:
            return np.inf
        return error.tolerance_ratio if error is not None and error.tolerance.relative <= LOOSEST else np.inf

    def pairs(self, symptom: str, found: Array, now: State, hypotheses: list[Hypothesis]) -> list[Hypothesis]:
        """Pairs of mistakes that give the symptom: one of the nearest hypotheses and any other.

        One of two mistakes mostly makes the larger part of the difference, so that the port's tensor is near once it is
        made. Where no single hypothesis brings it nearer than chance does, no pair is tried.
        """
        single = [one for one in hypotheses if not one.everywhere]
        largest = now.symptoms[symptom] * share_left_by_chance(found.size, len(single))
        pairs = [
            (one, other)
            for index, one in enumerate(single[:PAIRED])
            for other in single[index + 1 :]
            if one.tolerance_ratio <= largest and not set(one.changes) & set(other.changes)
        ]
        explaining: list[Hypothesis] = []
        for done, (one, other) in enumerate(pairs, 1):
            if self.is_late():
                break
            self.progress(f"trying pairs for {symptom}", done, len(pairs))
            changes = one.changes | other.changes
            ratio = self.ratio(symptom, found, now, changes)
            self.tried += 1
            if ratio <= 1:
                description, fix = f"{one}; and {other}", f"{one.fix}; and {other.fix}"
                name = f"{one.name} + {other.name}"
                explaining.append(Hypothesis(name, description, fix, "", one.place, changes, False, ratio))
                if len(explaining) == MOST_EXPLAINING_PAIRS:
                    break
        return explaining


def share_left_by_chance(numbers: int, hypotheses: int) -> float:
    """The share of a distance that the best of some hypotheses leaves by chance, with a probability of CHANCE.

    A change in a random direction, of the best size, leaves less than a share r of the distance between two tensors of
    n numbers with a probability of at most r^(n - 1): by so much is the cone around the difference smaller than all.

    Args:
        numbers: of the tensor.
        hypotheses: how many were tried.
    """
    return float((CHANCE / max(hypotheses, 1)) ** (1 / max(numbers - 1, 1)))
