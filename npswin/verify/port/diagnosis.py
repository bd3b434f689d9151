"""What a port does wrong: each mistake of the catalogue is planted, and the one that makes the port's numbers named.

The first tensor that is not what its operation makes of the port's own inputs is the symptom. It can come from its own
operation, or, where the port did not dump what lies before, from any operation back to what it did dump. Each mistake
that can be made in one of these is planted in the graph, which is run on the port's inputs again. If that makes the
port's tensor, within rounding, the mistake is a cause; of several, the one that leaves the fewest symptoms. It stays
planted, and the search goes on from the next symptom.
"""

import time
from dataclasses import dataclass, field

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT, Graph
from npswin.verify.key.trace import Progress
from npswin.verify.mistakes import Changes
from npswin.verify.port.comparison import Comparer, Comparison, Local
from npswin.verify.port.hypotheses import UNFIT, Hypothesis, Suspects
from npswin.verify.port.measure import distance
from npswin.verify.port.misread import Dump, Misreading, misreading
from npswin.verify.port.tolerance import Tolerance

LOOSEST = 0.5  # a relative tolerance beyond which rounding would explain anything
FAR = 1e4  # times the tolerance without a mistake: none makes rounding so much worse that it would explain more
MOST_ROUNDS = 100  # of the search, each of which explains a symptom or gives it up
SECONDS = 600.0  # of the search, unless said otherwise
MOST_UNEXPLAINED = 12  # symptoms: so many that nothing makes, and the port is something else altogether
MOST_ALIKE = 2  # unexplained symptoms of one kind, after which the others of it are not looked into
NEARER = 0.5  # of the distance without any mistake: what a hypothesis has to leave at most to be worth a line
HOPELESS = 1e4  # times the tolerance that a hypothesis may be off to be worth a line
NEAREST = 20  # hypotheses that are tried together with each other one
MOST_PAIRS = 4000  # for a symptom
LISTED = 5  # hypotheses of a report


@dataclass
class Cause:
    """A mistake that was found.

    Attributes:
        hypothesis: which.
        symptom: the tensor that gave it away.
        without: how many times the tolerance the symptom is off without the mistake.
        explained: the symptoms that are gone when it is planted.
        places: the tensors whose operations are made so wrongly; the first is the hypothesis'.
        others: further hypotheses, the nearest first; those with an excess of up to 1 cannot be told apart from it.
    """

    hypothesis: Hypothesis
    symptom: str
    without: float
    explained: list[str]
    places: list[str]
    others: list[Hypothesis] = field(default_factory=list)


@dataclass
class Diagnosis:
    """What was found.

    Attributes:
        comparison: the port beside the key.
        causes: the mistakes, in the order in which they were found.
        unexplained: symptoms that no mistake of the catalogue makes, with the nearest hypotheses.
        tried: how many hypotheses were tried.
        late: whether the time was over before all symptoms were looked into.
    """

    comparison: Comparison
    causes: list[Cause]
    unexplained: dict[str, list[Hypothesis]]
    tried: int
    late: bool = False

    @property
    def ok(self) -> bool:
        """Whether there is nothing to explain."""
        return self.comparison.ok

    def __str__(self) -> str:
        from npswin.verify.port.report import diagnosis_text

        return diagnosis_text(self)


def diagnose(comparer: Comparer, progress: Progress | None = None, seconds: float = SECONDS) -> Diagnosis:
    """Name the mistakes of a port.

    Args:
        comparer: the key and the candidate.
        seconds: after which no further hypothesis is tried.
        progress: called with what is done, how far it is, and of how many steps.

    Returns:
        The diagnosis.
    """
    return _Search(comparer, progress or (lambda *_: None), seconds).run()


@dataclass(frozen=True)
class _State:
    """What is assumed of the port, and what that leaves to be explained.

    Attributes:
        dump: the port's tensors, as they are taken to be meant.
        local: each operation, the mistakes planted that are known by now, on the port's own inputs.
        births: the tensors that are not what these come to, and how far off they are.
    """

    dump: Dump
    local: Local
    births: dict[str, float]

    @property
    def graph(self) -> Graph:
        """With the mistakes that are known by now."""
        return self.local.exact.graph


class _Search:
    def __init__(self, comparer: Comparer, progress: Progress, seconds: float) -> None:
        self.comparer, self.progress = comparer, progress
        self.comparison = comparer.compare(progress)
        self.end, self.late = time.monotonic() + seconds, False
        self.from_key = {row.name for row in self.comparison.rows if row.taken}
        self.causes: list[Cause] = []
        self.unexplained: dict[str, list[Hypothesis]] = {}
        self.tried = self.searched_in_vain = 0

    def run(self) -> Diagnosis:
        if self.comparer.of_another_key():
            return Diagnosis(self.comparison, [], {}, 0)
        now = self.state(self.comparer.start, Dump(self.comparer.candidate, dict(self.comparer.given)))
        for _ in range(MOST_ROUNDS):
            left = [name for name in now.births if name not in self.unexplained]
            if not left or time.monotonic() > self.end:
                self.late = self.late or bool(left)
                break
            symptom = left[0]
            misread = misreading(symptom, now.births, now.dump, self.comparer, now.local)
            reread = None
            if misread is not None:
                reread = self.state(self.comparer.local(now.graph, misread.dump.given), misread.dump)
                # If the port computed with it as it was dumped, what it computed from it would go wrong now.
                if not set(reread.births) < set(now.births):
                    reread = None
            if reread is None and self.searched_in_vain == MOST_UNEXPLAINED:
                self.unexplained |= {name: [] for name in left}
                break
            if reread is None and self.is_like_what_is_unexplained(symptom):
                self.unexplained[symptom] = []
                continue
            misshapen = symptom in now.dump.candidate.misshapen
            fitting, rest = ([], []) if reread and misshapen else self.search(symptom, now)
            if misread and reread and (not fitting or len(reread.births) < fitting[0].left):
                self.add(_cause_in_the_dump(misread, now.births))
                now = reread
                continue
            if not fitting and self.late:
                break
            if not fitting:
                nearer = [one for one in rest if one.excess < min(HOPELESS, NEARER * now.births[symptom])]
                self.unexplained[symptom] = nearer[:LISTED]
                self.searched_in_vain += 1
                continue
            best = fitting[0]
            then = self.state(now.local.replaced(best.changes), now.dump)
            if symptom in then.births:  # it is on the edge of the tolerance: once within, once not
                self.unexplained[symptom] = [best]
            gone = [symptom, *(name for name in now.births if name not in then.births and name != symptom)]
            self.add(Cause(best, symptom, now.births[symptom], gone, [best.place], (fitting[1:] + rest)[:LISTED]))
            now = then
        return Diagnosis(self.comparison, self.causes, self.unexplained, self.tried, self.late)

    def state(self, local: Local, dump: Dump) -> _State:
        """What is left to be explained if the port is assumed to be so."""
        suspects = self.suspects(local.exact.graph, dump)
        births: dict[str, float] = {}
        for place, name in enumerate(self.comparer.order, 1):
            self.progress("looking for symptoms", place, len(self.comparer.order))
            array = dump.tensor(name)
            if array is None or not dump.is_readable(name):
                continue
            try:
                birth = local.born(name, array)
            except UNFIT:  # what was planted does not fit the port's shapes here
                births[name] = np.inf
                continue
            if not self.has_its_shape(name, array, local):
                births[name] = np.inf
                continue
            if birth is None or not birth.wrong or name in self.from_key:
                continue
            if not self.unexplained.keys() & set(suspects.backward(name)):  # nobody knows what these do to a gradient
                births[name] = birth.excess
        return _State(dump, local, births)

    def has_its_shape(self, name: str, array: Array, local: Local) -> bool:
        """Whether a tensor has the key's shape, or that of a mistake that was planted."""
        if array.shape == self.comparer.key.shapes[name]:
            return True
        exact = local.exact_of(name)
        return exact is not None and exact.shape == array.shape

    def is_like_what_is_unexplained(self, symptom: str) -> bool:
        """Whether several symptoms of its kind, such as norms' outputs, are unexplained: then it will be, too."""

        def kind(name: str) -> tuple[bool, str]:
            node = self.comparer.key.graph.nodes[name.removeprefix(GRADIENT)]
            last = node.name.rpartition(".")[2]
            return name.startswith(GRADIENT), last if node.operation is None else node.operation.name

        return sum(kind(name) == kind(symptom) for name in self.unexplained) >= MOST_ALIKE

    def suspects(self, graph: Graph, dump: Dump) -> Suspects:
        return Suspects(graph, dump.given, self.comparer.key.graph)

    def add(self, cause: Cause) -> None:
        """One more cause, or one more place of one that is known."""
        for known in self.causes:
            same = (known.hypothesis.name, known.hypothesis.detail) == (cause.hypothesis.name, cause.hypothesis.detail)
            if same and not cause.hypothesis.fitted:
                known.places += [place for place in cause.places if place not in known.places]
                known.explained += cause.explained
                return
        self.causes.append(cause)

    def search(self, symptom: str, now: _State) -> tuple[list[Hypothesis], list[Hypothesis]]:
        """The hypotheses that make the symptom, best first, and the others, nearest first."""
        found = now.dump.tensor(symptom)
        assert found is not None
        suspects = self.suspects(now.graph, now.dump)
        right_shape = found.shape == self.comparer.key.shapes[symptom]
        hypotheses = suspects.hypotheses(symptom)
        fitting = self.try_each(hypotheses, symptom, found, now)
        if not fitting and not self.late and right_shape:
            fitted = list(suspects.fitted(symptom, found, now.local.exact))
            fitting = self.try_each(fitted, symptom, found, now)
            hypotheses += fitted
        hypotheses.sort(key=lambda one: one.excess)
        if not fitting and right_shape and len(suspects.between(symptom)) > 1 and not self.unexplained:
            fitting = self.explaining(symptom, self.pairs(symptom, found, now, hypotheses), now)
        return fitting, [one for one in hypotheses if one not in fitting and 1 < one.excess < np.inf]

    def try_each(self, hypotheses: list[Hypothesis], symptom: str, found: Array, now: _State) -> list[Hypothesis]:
        """Measure how far the symptom is from what each makes; those that make it, best first."""
        for place, hypothesis in enumerate(hypotheses, 1):
            if time.monotonic() > self.end:
                self.late = True
                break
            self.progress(f"trying mistakes for {symptom}", place, len(hypotheses))
            hypothesis.excess = self.excess(symptom, found, now, hypothesis.changes)
            self.tried += 1
        return self.explaining(symptom, [one for one in hypotheses if one.excess <= 1], now)

    def explaining(self, symptom: str, making: list[Hypothesis], now: _State) -> list[Hypothesis]:
        """Of hypotheses that make the symptom, those that leave no more symptoms than there are, the fewest first, and
        make no activation wrong that was right.

        A forward pass that is to explain a gradient has to explain something: it is not seen in what it computes.
        """
        known = {(cause.hypothesis.name, cause.hypothesis.detail) for cause in self.causes}
        explaining = []
        for hypothesis in making:
            births = self.state(now.local.replaced(hypothesis.changes), now.dump).births
            hypothesis.left = len(births)
            unlikely = symptom.startswith(GRADIENT) and not hypothesis.backward and not hypothesis.fitted
            breaks = any(name not in now.births and not name.startswith(GRADIENT) for name in births)
            if not breaks and hypothesis.left <= len(now.births) - unlikely:
                explaining.append(hypothesis)
        explaining.sort(key=lambda one: (one.left, one.everywhere, (one.name, one.detail) not in known, one.excess))
        return explaining

    def usual(self, symptom: str, found: Array, now: _State) -> Tolerance:
        """The symptom's tolerance as long as no further mistake is planted; of one that has another shape, a guess."""
        if found.shape != self.comparer.key.shapes[symptom]:
            return Tolerance(LOOSEST / FAR, LOOSEST / FAR)
        birth = now.local.born(symptom, found)
        assert birth is not None
        return birth.tolerance

    def excess(self, symptom: str, found: Array, now: _State, changes: Changes) -> float:
        """How many times the tolerance the port's tensor is from what the changed graph makes; infinite where rounding
        would explain anything."""
        local = now.local.replaced(changes)
        try:
            with np.errstate(all="ignore"):
                exact = local.exact.predicted(symptom)
                if exact.size != found.size:
                    return np.inf
                far = distance(found.reshape(exact.shape), exact)
                usual = self.usual(symptom, found, now)
                if far.relative > min(LOOSEST, FAR * usual.relative):
                    return max(FAR, usual.excess(far.relative, far.peak))
                birth = local.born(symptom, found)
        except UNFIT:  # it cannot be this
            return np.inf
        return birth.excess if birth is not None and birth.tolerance.relative <= LOOSEST else np.inf

    def pairs(self, symptom: str, found: Array, now: _State, hypotheses: list[Hypothesis]) -> list[Hypothesis]:
        """Two mistakes between what was dumped and the symptom, where one does not make it: one of those that bring it
        nearest, and any other."""
        single = [one for one in hypotheses if not one.everywhere]
        pairs = [
            (one, other)
            for place, one in enumerate(single[:NEAREST])
            for other in single[place + 1 :]
            if not set(one.changes) & set(other.changes)
        ][:MOST_PAIRS]
        fitting: list[Hypothesis] = []
        for tried, (one, other) in enumerate(pairs, 1):
            if time.monotonic() > self.end:
                self.late = True
                break
            self.progress(f"trying pairs for {symptom}", tried, len(pairs))
            changes = one.changes | other.changes
            excess = self.excess(symptom, found, now, changes)
            self.tried += 1
            if excess <= 1:
                says, mend = f"{one}; and {other}", f"{one.mend}; and {other.mend}"
                name = f"{one.name} + {other.name}"
                fitting.append(Hypothesis(name, says, mend, "", one.place, changes, False, excess))
                if len(fitting) == LISTED:
                    break
        return fitting


def _cause_in_the_dump(misread: Misreading, births: dict[str, float]) -> Cause:
    mend = "dump each tensor under its name, in the key's layout, little-endian (docs/answer_key.md)"
    says, places = "it is computed rightly and dumped wrongly", misread.places
    hypothesis = Hypothesis(misread.name, says, mend, misread.says, places[0], {}, excess=0.0)
    return Cause(hypothesis, places[0], births[places[0]], places, places)
