"""Finds the mistakes of a port: makes each mistake of the catalogue in the graph and compares the result with the port.

The symptom is the first tensor that differs from its operation's result on the port's own inputs. It can come from its
own operation, or, where the port did not dump the tensors before it, from any operation back to those that it did dump.
Each mistake that can be made in one of these operations is made in the graph, and the graph is run on the port's inputs
again. If that gives the port's tensor within rounding, the mistake is a cause; among several, the one that leaves the
fewest symptoms. The mistake stays in the graph, and the search goes on with the next symptom. If that is a gradient,
explanations of all wrong gradients together are tried first (`gradient_errors`).
"""

import time
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph
from npswin.verify.key.trace import Progress
from npswin.verify.mistakes import Changes
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.conventions import NAME as CONVENTION
from npswin.verify.port.conventions import changes_by_the_image, description
from npswin.verify.port.diagnosis import Cause, Diagnosis, Hypothesis
from npswin.verify.port.distance import distance, finite_rms
from npswin.verify.port.dump_errors import CorrectedDump, DumpError, find_dump_error
from npswin.verify.port.gradient_errors import compelling, joint_hypotheses, partial_hypotheses
from npswin.verify.port.gradient_factors import factor_of_the_loss
from npswin.verify.port.hypotheses import HypothesisGenerator
from npswin.verify.port.loaded import as_loaded
from npswin.verify.port.local_error import LocalErrors
from npswin.verify.port.operation_precision import precision_explanation
from npswin.verify.port.tolerance import Tolerance

LOOSEST = 0.5  # a relative tolerance above which rounding would explain anything
FAR = 1e4  # times the tolerance without a mistake: no mistake raises the tolerance that much
MOST_ROUNDS = 100  # of the search; each explains one symptom or gives it up
TIME_LIMIT_SECONDS = 600.0  # the default time limit
MOST_GENERAL_SEARCHES = 5  # after so many symptoms without a cause, general families are not tried
MOST_FAILED_SEARCHES = 12  # after so many symptoms without a cause, the others are not searched
MOST_UNEXPLAINED_OF_A_KIND = 2  # after so many unexplained outputs of one operation, its others are not searched
NEARER = 0.5  # a hypothesis is listed if it reduces the distance to this share
LARGEST_LISTED_RATIO = 1e4  # a hypothesis is listed if its distance is at most so many times the tolerance
PAIRED = 20  # nearest hypotheses that are tried together with each other one
MOST_PAIRS = 4000  # for a symptom
LISTED = 5  # hypotheses in a report


def search_mistakes(
    comparer: Comparer, progress: Progress | None = None, seconds: float = TIME_LIMIT_SECONDS
) -> Diagnosis:
    """Find the mistakes of a port.

    Args:
        comparer: the key and the candidate.
        progress: called with the name of the work, how many steps are done, and how many there are.
        seconds: the time limit, after which no further hypothesis is tried.
    """
    return _Search(comparer, progress or (lambda *_: None), seconds).run()


@dataclass(frozen=True)
class _State:
    """The assumptions about the port, and the symptoms that are left under them.

    Attributes:
        dump: the port's tensors, with the errors of the dump found so far corrected.
        local_errors: of the graph with the mistakes found so far, on the port's own inputs.
        symptoms: by name the tensors with a significant local error, and its ratio to the tolerance.
    """

    dump: CorrectedDump
    local_errors: LocalErrors
    symptoms: dict[str, float]

    @property
    def graph(self) -> Graph:
        """The graph with the mistakes found so far."""
        return self.local_errors.graph


class _Search:
    def __init__(self, comparer: Comparer, progress: Progress, seconds: float) -> None:
        self.comparer, self.progress = comparer, progress
        self.comparison = comparer.compare(progress)
        self.end, self.timed_out = time.monotonic() + seconds, False
        self.copied_from_key = {row.name for row in self.comparison.rows if row.copied_from_key}
        self.causes: list[Cause] = []
        self.unexplained: dict[str, list[Hypothesis]] = {}
        self.settled: set[str] = set()  # tensors with a cause that agrees up to single roundings: not searched again
        self.tried = self.failed_searches = 0

    def run(self) -> Diagnosis:
        if self.comparer.of_another_key():
            return Diagnosis(self.comparison, [], {}, 0)
        dump = CorrectedDump(self.comparer.candidate, dict(self.comparer.given))
        now = self.state(self.comparer.local_errors, dump)
        now = self.by_another_convention(now)
        for _ in range(MOST_ROUNDS):
            left = [name for name in now.symptoms if name not in self.unexplained and not self.is_unjudged(name)]
            if not left or time.monotonic() > self.end:
                self.timed_out = self.timed_out or bool(left)
                break
            symptom = left[0]
            dump_error = find_dump_error(symptom, now.symptoms, now.dump, self.comparer, now.local_errors)
            corrected = None if dump_error is None else self.corrected_state(dump_error, now)
            if corrected is None and self.failed_searches == MOST_FAILED_SEARCHES:
                self.unexplained |= {name: [] for name in left}
                break
            if corrected is None and self.is_like_unexplained(symptom):
                self.unexplained[symptom] = []
                continue
            misshapen = symptom in now.dump.candidate.misshapen
            explaining, rest = ([], []) if corrected and misshapen else self.search(symptom, now)
            if dump_error and corrected and self.is_better(corrected, explaining):
                self.add(_dump_error_cause(dump_error, now.symptoms))
                now = corrected
                continue
            if not explaining and self.timed_out:
                break
            if not explaining:
                largest = min(LARGEST_LISTED_RATIO, NEARER * now.symptoms[symptom])
                nearest = [one for one in rest if one.tolerance_ratio < largest]
                self.unexplained[symptom] = nearest[:LISTED]
                self.failed_searches += 1
                continue
            best = explaining[0]
            then = self.state(now.local_errors.replaced(best.changes), now.dump)
            if symptom in then.symptoms:  # on the edge of the tolerance: agreed above, and does not agree here
                self.settled.add(symptom)
                then = self.state(then.local_errors, now.dump)
            gone = [symptom, *(name for name in now.symptoms if name not in then.symptoms and name != symptom)]
            others = (explaining[1:] + rest)[:LISTED]
            self.add(Cause(best, symptom, now.symptoms[symptom], gone, [best.place], others))
            now = then
        generator = self.generator(now.graph, now.dump)
        between = {name: generator.not_dumped_before(name) for name in self.unexplained}
        return Diagnosis(self.comparison, self.causes, self.unexplained, self.tried, self.timed_out, between)

    def by_another_convention(self, now: _State) -> _State:
        """The state in which the image at hand decides on shifts, if that explains something and contradicts none."""
        changes = changes_by_the_image(self.comparer.key) if now.symptoms else {}
        if not changes:
            return now
        then = self.state(now.local_errors.replaced(changes), now.dump)
        if not set(then.symptoms) < set(now.symptoms):
            return now
        says, fix = description(self.comparer.key)
        places = [name for name in changes if name in now.symptoms] or list(changes)
        first = Hypothesis(CONVENTION, says, fix, "", places[0], changes, tolerance_ratio=0.0)
        gone = [name for name in now.symptoms if name not in then.symptoms]
        self.add(Cause(first, gone[0], now.symptoms[gone[0]], gone, places))
        return then

    def is_better(self, corrected: _State, explaining: list[Hypothesis]) -> bool:
        """Whether an error of the dump explains more than a mistake; a fit has to explain more than it."""
        if not explaining:
            return True
        return len(corrected.symptoms) < explaining[0].symptoms_left + explaining[0].fitted

    def is_unjudged(self, name: str) -> bool:
        """Whether a tensor was computed from one whose other size is not explained."""
        other_size = self.unexplained.keys() & set(self.comparer.of_another_size)
        return bool(other_size) and self.comparer.follows_from_another_size(name)

    def corrected_state(self, dump_error: DumpError, now: _State) -> _State | None:
        """The state with an error of the dump corrected; None unless that leaves fewer symptoms and adds none.

        If the port had computed with the numbers that it dumped, the tensors computed from them would be wrong then.
        """
        corrected = dump_error.corrected
        then = self.state(self.comparer.local_errors_of(now.graph, corrected.given), corrected)
        return then if set(then.symptoms) < set(now.symptoms) else None

    def state(self, local_errors: LocalErrors, dump: CorrectedDump) -> _State:
        """The symptoms that are left for a graph and a dump."""
        generator = self.generator(local_errors.graph, dump)
        symptoms: dict[str, float] = {}
        for done, name in enumerate(self.comparer.order, 1):
            self.progress("looking for symptoms", done, len(self.comparer.order))
            array = dump.tensor(name)
            if array is None or not dump.is_readable(name):
                continue
            try:
                error = local_errors.error(name, array)
            except NotApplicable:
                symptoms[name] = np.inf
                continue
            if not self.has_expected_shape(name, array, local_errors):
                symptoms[name] = np.inf
                continue
            if error is None or not error.is_significant or name in self.copied_from_key | self.settled:
                continue
            # A gradient that was computed through an unexplained tensor has no expected value.
            if not self.unexplained.keys() & set(generator.backward_nodes(name)):
                symptoms[name] = error.tolerance_ratio
        return _State(dump, local_errors, symptoms)

    def has_expected_shape(self, name: str, array: Array, local_errors: LocalErrors) -> bool:
        """Whether a tensor has the key's shape, or the one that a mistake found so far leads to."""
        if array.shape == self.comparer.shapes[name]:
            return True
        expected = local_errors.expected(name)
        return expected is not None and expected.shape == array.shape

    def is_like_unexplained(self, symptom: str) -> bool:
        """Whether several results of the symptom's operation, such as norms' outputs, are unexplained."""

        def kind(name: str) -> tuple[bool, str]:
            node = self.comparer.key.graph.nodes[name.removeprefix(GRADIENT_PREFIX)]
            last = node.name.rpartition(".")[2]
            return name.startswith(GRADIENT_PREFIX), last if node.operation is None else node.operation.name

        return sum(kind(name) == kind(symptom) for name in self.unexplained) >= MOST_UNEXPLAINED_OF_A_KIND

    def generator(self, graph: Graph, dump: CorrectedDump) -> HypothesisGenerator:
        return HypothesisGenerator(graph, dump.given, self.comparer.key.graph)

    def add(self, cause: Cause) -> None:
        """Add a cause, or the places of one that was found before at other places."""
        for known in self.causes:
            same = (known.hypothesis.name, known.hypothesis.detail) == (cause.hypothesis.name, cause.hypothesis.detail)
            if same and not cause.hypothesis.fitted:
                known.places += [place for place in cause.places if place not in known.places]
                known.explained += cause.explained
                return
        self.causes.append(cause)

    def search(self, symptom: str, now: _State) -> tuple[list[Hypothesis], list[Hypothesis]]:
        """The hypotheses that explain the symptom, best first, and the others, nearest first."""
        found = now.dump.tensor(symptom)
        assert found is not None
        if (
            symptom == GRADIENT_PREFIX + next(reversed(now.graph.nodes))
            and found.size == 1
            and np.isfinite(found).all()
        ):
            self.settled.add(symptom)
            loss_is_right = symptom.removeprefix(GRADIENT_PREFIX) not in now.symptoms
            return [factor_of_the_loss(found, now.local_errors, loss_is_right)], []
        joint = joint_hypotheses(symptom, now.symptoms, now.dump, now.local_errors)
        explaining = compelling(
            joint, self.try_each(joint, symptom, found, now), symptom, now.symptoms, self.unexplained
        )
        if explaining:
            return explaining, []
        generator = self.generator(now.graph, now.dump)
        right_shape = found.shape == self.comparer.shapes[symptom]
        hypotheses = generator.hypotheses(symptom)
        explaining = self.try_each(hypotheses, symptom, found, now)
        if symptom.startswith(GRADIENT_PREFIX) and (not explaining or explaining[0].symptoms_left):
            explaining += self.try_each(
                partial_hypotheses(symptom, now.symptoms, now.dump, now.local_errors), symptom, found, now
            )
            explaining.sort(key=lambda one: one.symptoms_left)
        explaining = [one for one in explaining if one.is_compelling(now.symptoms[symptom])]
        if not explaining and not self.timed_out and right_shape:
            explaining = self.in_fewer_bits(symptom, found, now)
            if explaining:
                return explaining, hypotheses
        if not explaining and not self.timed_out and right_shape:
            error, expected = now.local_errors.error(symptom, found), now.local_errors.expected(symptom)
            largest = 0.0 if error is None or expected is None else error.tolerance.peak * finite_rms(expected)
            fitted = list(generator.fitted(symptom, found, now.local_errors.exact, largest))
            explaining = self.try_each(fitted, symptom, found, now)
            hypotheses += fitted
        named = list(hypotheses)
        few_failed = self.failed_searches < MOST_GENERAL_SEARCHES
        if not (explaining and not explaining[0].fitted_numbers) and few_failed and not self.timed_out:
            general = generator.general(symptom)
            explaining = self.sort_explaining(symptom, explaining + self.try_each(general, symptom, found, now), now)
            hypotheses += general
        hypotheses.sort(key=lambda one: one.tolerance_ratio)
        named.sort(key=lambda one: one.tolerance_ratio)
        several_nodes = len(generator.nodes_between(symptom)) > 1
        if not explaining and right_shape and several_nodes and not self.unexplained:
            explaining = self.sort_explaining(symptom, self.pairs(symptom, found, now, named), now)
        explaining = [one for one in explaining if one.is_compelling(now.symptoms[symptom])]
        return explaining, [one for one in hypotheses if one not in explaining and one.tolerance_ratio < np.inf]

    def in_fewer_bits(self, symptom: str, found: Array, now: _State) -> list[Hypothesis]:
        """An operation in fewer bits that explains the symptom, if there is one.

        Where a number is half-way between two, either may be the port's, so that single numbers may differ from the
        emulated ones: it is accepted by the share of the error that is left, and the symptom is settled.
        """
        explanation = precision_explanation(now.local_errors, symptom, found)
        if explanation is None:
            return []
        fix = f"compute it in {self.comparer.precision}"
        place, changes = explanation.places[0], explanation.changes
        one = Hypothesis("precision", explanation.text, fix, "", place, changes, fitted=True)
        one.tolerance_ratio = self.ratio(symptom, found, now, changes)
        self.settled.add(symptom)
        one.symptoms_left = len(self.symptoms_of(one, now))
        return [one]

    def try_each(self, hypotheses: list[Hypothesis], symptom: str, found: Array, now: _State) -> list[Hypothesis]:
        """Set each hypothesis' ratio of distance to tolerance; return those that explain the symptom, best first."""
        for done, hypothesis in enumerate(hypotheses, 1):
            if time.monotonic() > self.end:
                self.timed_out = True
                break
            self.progress(f"trying mistakes for {symptom}", done, len(hypotheses))
            hypothesis.tolerance_ratio = self.ratio(symptom, found, now, hypothesis.changes)
            self.tried += 1
        return self.sort_explaining(symptom, [one for one in hypotheses if one.explains_symptom], now)

    def sort_explaining(self, symptom: str, hypotheses: list[Hypothesis], now: _State) -> list[Hypothesis]:
        """Of hypotheses that give the symptom, those that explain it, the fewest symptoms left first.

        A hypothesis must not leave more symptoms than there are now, and must not make a correct activation wrong. A
        hypothesis of the forward pass for a gradient must leave fewer symptoms, since no activation shows it.
        """
        known = {(cause.hypothesis.name, cause.hypothesis.detail) for cause in self.causes}
        explaining = []
        for hypothesis in hypotheses:
            symptoms = self.symptoms_of(hypothesis, now)
            hypothesis.symptoms_left = len(symptoms)
            unlikely = symptom.startswith(GRADIENT_PREFIX) and not hypothesis.backward and not hypothesis.fitted
            breaks = any(name not in now.symptoms and not name.startswith(GRADIENT_PREFIX) for name in symptoms)
            if not breaks and hypothesis.symptoms_left <= len(now.symptoms) - unlikely:
                explaining.append(hypothesis)
        explaining.sort(
            key=lambda one: (
                one.symptoms_left,
                one.everywhere,
                (one.name, one.detail) not in known,
                one.fitted_numbers,
                one.rank,
                one.tolerance_ratio,
            )
        )
        return explaining

    def symptoms_of(self, hypothesis: Hypothesis, now: _State) -> dict[str, float]:
        """The symptoms that a hypothesis leaves. One of parameters becomes one of loading them if that leaves fewer."""
        symptoms = self.state(now.local_errors.replaced(hypothesis.changes), now.dump).symptoms
        loaded = None if hypothesis.backward else as_loaded(hypothesis.changes, self.comparer.key.graph)
        if loaded is None or not any(name.startswith(GRADIENT_PREFIX) for name in symptoms):
            return symptoms
        then = self.state(now.local_errors.replaced(loaded), now.dump).symptoms
        if len(then) >= len(symptoms):
            return symptoms
        detail = "as it was loaded: the gradient is that of what was loaded"
        hypothesis.changes, hypothesis.detail = loaded, "; ".join(filter(None, (hypothesis.detail, detail)))
        return then

    def usual_tolerance(self, symptom: str, found: Array, now: _State) -> Tolerance:
        """The symptom's tolerance without a further mistake; an estimate if it has another shape than the key's."""
        if found.shape != self.comparer.shapes[symptom]:
            return Tolerance(LOOSEST / FAR, LOOSEST / FAR)
        error = now.local_errors.error(symptom, found)
        assert error is not None
        return error.tolerance

    def ratio(self, symptom: str, found: Array, now: _State, changes: Changes) -> float:
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

    def pairs(self, symptom: str, found: Array, now: _State, hypotheses: list[Hypothesis]) -> list[Hypothesis]:
        """Pairs of mistakes that give the symptom: one of the nearest hypotheses and any other."""
        single = [one for one in hypotheses if not one.everywhere]
        pairs = [
            (one, other)
            for index, one in enumerate(single[:PAIRED])
            for other in single[index + 1 :]
            if not set(one.changes) & set(other.changes)
        ][:MOST_PAIRS]
        explaining: list[Hypothesis] = []
        for done, (one, other) in enumerate(pairs, 1):
            if time.monotonic() > self.end:
                self.timed_out = True
                break
            self.progress(f"trying pairs for {symptom}", done, len(pairs))
            changes = one.changes | other.changes
            ratio = self.ratio(symptom, found, now, changes)
            self.tried += 1
            if ratio <= 1:
                description, fix = f"{one}; and {other}", f"{one.fix}; and {other.fix}"
                name = f"{one.name} + {other.name}"
                explaining.append(Hypothesis(name, description, fix, "", one.place, changes, False, ratio))
                if len(explaining) == LISTED:
                    break
        return explaining


def _dump_error_cause(dump_error: DumpError, symptoms: dict[str, float]) -> Cause:
    tensors = dump_error.tensors
    hypothesis = Hypothesis(
        dump_error.name, dump_error.verdict, dump_error.fix, dump_error.description, tensors[0], {}, tolerance_ratio=0.0
    )
    return Cause(hypothesis, tensors[0], symptoms[tensors[0]], tensors, tensors)
