"""Finds the mistakes of a port: makes each mistake of the catalogue in the graph and compares the result with the port.

The symptom is the first tensor that differs from its operation's result on the port's own inputs. It can come from its
own operation, or, where the port did not dump the tensors before it, from any operation back to those that it did dump.
Each mistake that can be made in one of these operations is made in the graph, and the graph is run on the port's inputs
again. If that gives the port's tensor within rounding, the mistake is a cause; among several, the one that leaves the
fewest symptoms. The mistake stays in the graph, and the search goes on with the next symptom. If that is a gradient,
explanations of all wrong gradients together are tried first (`gradient_errors`).
"""

import time

from npswin.verify.key.trace import Progress
from npswin.verify.port.cause import Cause, Hypothesis
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.conventions import NAME as CONVENTION
from npswin.verify.port.conventions import changes_by_the_image, description
from npswin.verify.port.diagnosis import Diagnosis
from npswin.verify.port.dump_errors import CorrectedDump, DumpError, find_dump_error
from npswin.verify.port.explainer import Explainer
from npswin.verify.port.same_mistake import add_cause
from npswin.verify.port.symptoms import State, Symptoms
from npswin.verify.port.trials import Trials

MOST_ROUNDS = 100  # of the search; each explains one symptom or gives it up
TIME_LIMIT_SECONDS = 600.0  # the default time limit
MOST_GENERAL_SEARCHES = 5  # after so many symptoms without a cause, general families are not tried
MOST_FAILED_SEARCHES = 12  # after so many symptoms without a cause, the others are not searched
NEARER = 0.5  # a hypothesis is listed if it reduces the distance to this share
LARGEST_LISTED_RATIO = 1e4  # a hypothesis is listed if its distance is at most so many times the tolerance
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


class _Search:
    def __init__(self, comparer: Comparer, progress: Progress, seconds: float) -> None:
        self.comparer = comparer
        self.comparison = comparer.compare(progress)
        self.causes: list[Cause] = []
        self.end = time.monotonic() + seconds
        self.symptoms = Symptoms(comparer, self.comparison, progress)
        self.trials = Trials(self.symptoms, self.causes, progress, self.end)
        self.explainer = Explainer(self.symptoms, self.trials)
        self.differences: dict[str, str] = {}
        self.failed_searches = 0

    def run(self) -> Diagnosis:
        if self.comparer.of_another_key():
            return Diagnosis(self.comparison, [], {}, 0)
        dump = CorrectedDump(self.comparer.candidate, dict(self.comparer.given))
        now = self.symptoms.state(self.comparer.local_errors, dump)
        now = self.by_another_convention(now)
        for _ in range(MOST_ROUNDS):
            left = self.symptoms.to_explain(now)
            if not left or time.monotonic() > self.end:
                self.trials.timed_out = self.trials.timed_out or bool(left)
                break
            symptom = left[0]
            dump_error = find_dump_error(symptom, now.symptoms, now.dump, self.comparer, now.local_errors)
            corrected = None if dump_error is None else self.symptoms.corrected(dump_error, now)
            if corrected is None and self.failed_searches == MOST_FAILED_SEARCHES:
                self.symptoms.unexplained |= {name: [] for name in left}
                break
            if corrected is None and self.symptoms.is_like_unexplained(symptom):
                self.symptoms.unexplained[symptom] = []
                continue
            misshapen = symptom in now.dump.candidate.misshapen
            explaining, rest = (
                ([], [])
                if corrected and misshapen
                else self.explainer.explain(symptom, now, self.failed_searches < MOST_GENERAL_SEARCHES)
            )
            if dump_error and corrected and self.is_better(corrected, explaining):
                add_cause(self.causes, _dump_error_cause(dump_error, now.symptoms))
                now = corrected
                continue
            if not explaining and self.trials.timed_out:
                break
            if not explaining:
                largest = min(LARGEST_LISTED_RATIO, NEARER * now.symptoms[symptom])
                nearest = [one for one in rest if one.tolerance_ratio < largest]
                self.symptoms.unexplained[symptom] = nearest[:LISTED]
                self.differences[symptom] = self.explainer.difference(symptom, now)
                self.failed_searches += 1
                continue
            best = explaining[0]
            self.symptoms.without_derivative |= best.without_derivative
            then = self.symptoms.state(now.local_errors.replaced(best.changes), now.dump)
            unused = self.symptoms.without_use(symptom, now)
            if unused is not None:
                then = unused[0]
            if symptom in then.symptoms:  # on the edge of the tolerance: agreed above, and does not agree here
                self.symptoms.settled.add(symptom)
                then = self.symptoms.state(then.local_errors, now.dump)
            gone = [symptom, *(name for name in now.symptoms if name not in then.symptoms and name != symptom)]
            others = (explaining[1:] + rest)[:LISTED]
            following = unused[1] if unused else []
            cause = Cause(best, symptom, now.symptoms[symptom], gone, [best.place], others, following)
            add_cause(self.causes, cause)
            now = then
        generator = self.symptoms.generator(now.graph, now.dump)
        between = {name: generator.not_dumped_before(name) for name in self.symptoms.unexplained}
        return Diagnosis(
            self.comparison, self.causes, self.symptoms.unexplained, self.trials.tried, self.trials.timed_out, between,
            self.differences,
        )  # fmt: skip

    def by_another_convention(self, now: State) -> State:
        """The state in which the image at hand decides on shifts, if that explains something and contradicts none."""
        changes = changes_by_the_image(self.comparer.key) if now.symptoms else {}
        if not changes:
            return now
        then = self.symptoms.state(now.local_errors.replaced(changes), now.dump)
        if not set(then.symptoms) < set(now.symptoms):
            return now
        says, fix = description(self.comparer.key)
        places = [name for name in changes if name in now.symptoms] or list(changes)
        first = Hypothesis(CONVENTION, says, fix, "", places[0], changes, tolerance_ratio=0.0)
        gone = [name for name in now.symptoms if name not in then.symptoms]
        add_cause(self.causes, Cause(first, gone[0], now.symptoms[gone[0]], gone, places))
        return then

    def is_better(self, corrected: State, explaining: list[Hypothesis]) -> bool:
        """Whether an error of the dump explains more than a mistake; a fit has to explain more than it."""
        if not explaining:
            return True
        return len(corrected.symptoms) < explaining[0].symptoms_left + explaining[0].fitted


def _dump_error_cause(dump_error: DumpError, symptoms: dict[str, float]) -> Cause:
    tensors = dump_error.tensors
    hypothesis = Hypothesis(
        dump_error.name, dump_error.verdict, dump_error.fix, dump_error.description, tensors[0], {}, tolerance_ratio=0.0
    )
    return Cause(hypothesis, tensors[0], symptoms[tensors[0]], tensors, tensors)
