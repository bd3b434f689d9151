"""What a port does wrong: each mistake of the catalogue is planted, and the one that makes the port's numbers named.

The first tensor that is not what its operation makes of the port's own inputs is the symptom. It can come from its own
operation, or, where the port did not dump what lies before, from any operation back to what it did dump. Each mistake
that can be made in one of these is planted in the graph, which is run on the port's inputs again. If that makes the
port's tensor, within rounding, the mistake is a cause; of several, the one that leaves the fewest symptoms. It stays
planted, and the search goes on from the next symptom.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT, Graph, Run
from npswin.verify.mistakes import CATALOGUE, Changes
from npswin.verify.mistakes.fitted import FITTED
from npswin.verify.mistakes.mistake import with_backward_of
from npswin.verify.port.comparison import Birth, Comparer, Comparison, Progress
from npswin.verify.port.measure import distance
from npswin.verify.port.misread import readings, same_pass
from npswin.verify.port.tolerance import Tolerance

LOOSEST = 0.5  # a relative tolerance beyond which rounding would explain anything
FAR = 1e6  # times the tolerance that a hypothesis is said to be off, at least, without computing its tolerance
MOST_ROUNDS = 100  # of the search, each of which explains a symptom or gives it up
SECONDS = 600.0  # of the search, unless said otherwise
MOST_UNEXPLAINED = 5  # symptoms: so many that nothing makes, and the port is something else altogether
HOPELESS = 1e4  # times the tolerance that a hypothesis may be off to be worth a line
NEAREST = 20  # hypotheses that are tried together with each other one
MOST_PAIRS = 4000  # for a symptom
LISTED = 5  # hypotheses of a report
FEW = 8  # numbers that may be another tensor's by chance


@dataclass
class Hypothesis:
    """A mistake at a place.

    Attributes:
        name, says, mend, detail: as in the catalogue; a pair's are joined.
        place: the tensor whose operation is made wrongly.
        changes: of the graph.
        backward: whether only the backward pass is wrong.
        excess: how many times the tolerance the port's tensor is from what the graph then makes; up to 1 it is made.
        left: how many symptoms are left when it is planted.
        fitted: whether it has numbers that were fitted: then it makes the symptom more easily than one without.
    """

    name: str
    says: str
    mend: str
    detail: str
    place: str
    changes: Changes
    backward: bool = False
    excess: float = np.inf
    left: int = 0
    fitted: bool = False

    def __str__(self) -> str:
        return f"{self.says}{f' ({self.detail})' if self.detail else ''}"


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


@dataclass
class _Reading:
    """A dump read otherwise: the cause, what is then given, and how many symptoms are left."""

    cause: Cause
    given: dict[str, Array]
    read: dict[str, Array]
    dropped: set[str]
    left: int


class _Search:
    def __init__(self, comparer: Comparer, progress: Progress, seconds: float) -> None:
        self.comparer, self.progress = comparer, progress
        self.comparison = comparer.compare(progress)
        self.end, self.late = time.monotonic() + seconds, False
        self.from_key = {row.name for row in self.comparison.rows if row.taken}
        self.graph, self.given = comparer.key.graph, dict(comparer.given)
        self.current = comparer.local(self.graph, self.given)  # each operation on the port's own inputs
        self.unreadable = comparer.candidate.unreadable
        self.causes: list[Cause] = []
        self.unexplained: dict[str, list[Hypothesis]] = {}
        self.tried = 0
        self.read: dict[str, Array] = {}  # what was dumped wrongly, as it should have been
        self.dropped: set[str] = set()

    def run(self) -> Diagnosis:
        if self.comparer.of_another_key():
            return Diagnosis(self.comparison, [], {}, 0)
        births = self.births(self.graph)
        for _ in range(MOST_ROUNDS):
            symptom = next((name for name in births if name not in self.unexplained), None)
            if symptom is None or time.monotonic() > self.end:
                self.late = symptom is not None
                break
            reading = self.reading(symptom, births)
            if len(self.unexplained) == MOST_UNEXPLAINED and reading is None:
                break
            misshapen = symptom in self.comparer.candidate.misshapen
            fitting, rest = ([], []) if reading and misshapen else self.search(symptom, births)
            if reading and (not fitting or reading.left < fitting[0].left):
                self.add(reading.cause)
                self.given, self.read, self.dropped = reading.given, reading.read, reading.dropped
                births = self.births(self.graph)
                continue
            if not fitting:
                self.unexplained[symptom] = [one for one in rest if one.excess < HOPELESS][:LISTED]
                continue
            best = fitting[0]
            self.graph = self.graph.replaced(best.changes)
            after = self.births(self.graph)
            if symptom in after:  # it is on the edge of the tolerance: once within, once not
                self.unexplained[symptom] = [best]
            gone = [symptom, *(name for name in births if name not in after and name != symptom)]
            self.add(Cause(best, symptom, births[symptom], gone, [best.place], (fitting[1:] + rest)[:LISTED]))
            births = after
        return Diagnosis(self.comparison, self.causes, self.unexplained, self.tried, self.late)

    def reading(self, symptom: str, births: dict[str, float]) -> "_Reading | None":
        """How the symptom could be one of the dump rather than of the computation. Then what was computed from it is
        right for the tensor as it should have been dumped, and fewer symptoms are left."""
        found, key = self.dumped(symptom), self.comparer.key
        assert found is not None
        axes = key.graph.nodes[symptom.removeprefix(GRADIENT)].axes
        for words, reading in readings(found, key.shapes[symptom], axes):
            if self.fits(symptom, reading):
                right = {symptom: reading(found)}
                for name in births:
                    array = self.dumped(name)
                    if name != symptom and array is not None and self.fits(name, reading):
                        right[name] = reading(array)
                return self.of_dump("layout", words, births, right)
        if found.size < FEW:
            return None
        for other, shape in key.shapes.items():
            if shape == found.shape and same_pass(symptom, other) and self.comparer.is_standard(other, found):
                return self.of_dump("mislabelled", f"it holds the numbers of {other}", births, {}, symptom)
        return None

    def fits(self, name: str, reading: Callable[[Array], Array]) -> bool:
        """Whether a dumped tensor, read so, is what the port's own inputs come to."""
        found = self.dumped(name)
        if found is None:
            return False
        try:
            with np.errstate(all="ignore"):
                array = reading(found)
                birth = self.current.born(name, array)
        except (ValueError, IndexError):
            return False
        return array.shape == self.comparer.key.shapes[name] and birth is not None and not birth.wrong

    def of_dump(
        self, name: str, says: str, births: dict[str, float], right: dict[str, Array], dropped: str = ""
    ) -> "_Reading":
        """A cause that lies in the dump, with the tensors as they should have been, or without one."""
        places = [dropped] if dropped else list(right)
        mend = "dump each tensor under its name, in the key's layout, little-endian (docs/answer_key.md)"
        hypothesis = Hypothesis(
            name, "it is computed rightly and dumped wrongly", mend, says, places[0], {}, excess=0.0
        )
        cause = Cause(hypothesis, places[0], births[places[0]], places, places)
        before, current = (self.given, self.read, self.dropped), self.current
        self.given, self.read = {**self.given, **right}, {**self.read, **right}
        if dropped:
            self.given.pop(dropped, None)
            self.dropped = self.dropped | {dropped}
        reading = _Reading(cause, self.given, self.read, self.dropped, len(self.births(self.graph)))
        (self.given, self.read, self.dropped), self.current = before, current
        return reading

    def add(self, cause: Cause) -> None:
        """One more cause, or one more place of one that is known."""
        for known in self.causes:
            same = (known.hypothesis.name, known.hypothesis.detail) == (cause.hypothesis.name, cause.hypothesis.detail)
            if same and not cause.hypothesis.fitted:
                known.places += [place for place in cause.places if place not in known.places]
                known.explained += cause.explained
                return
        self.causes.append(cause)

    def births(self, graph: Graph) -> dict[str, float]:
        """The tensors that are not what the graph makes of the port's own inputs, and how far off they are."""
        local = self.comparer.local(graph, self.given)
        if graph is self.graph:
            self.current = local
        found: dict[str, float] = {}
        for place, name in enumerate(self.comparer.order, 1):
            self.progress("looking for symptoms", place, len(self.comparer.order))
            array = self.dumped(name)
            if name in self.unreadable or name in self.dropped or array is None:
                continue
            try:
                birth = local.born(name, array)
            except (ValueError, IndexError):  # what was planted does not fit the port's shapes here
                found[name] = np.inf
                continue
            if birth is None or not birth.wrong or self.made_of_unexplained(name):
                continue
            if name not in self.from_key:
                found[name] = birth.excess
        return found

    def made_of_unexplained(self, name: str) -> bool:
        """Whether it is a gradient that passes an operation of which nobody knows what it does."""
        if not name.startswith(GRADIENT):
            return False
        return bool(set(self.backward_suspects(name)) & set(self.unexplained))

    def dumped(self, name: str) -> Array | None:
        candidate = self.comparer.candidate
        return self.read.get(name, candidate.tensors.get(name, candidate.misshapen.get(name)))

    def search(self, symptom: str, births: dict[str, float]) -> tuple[list[Hypothesis], list[Hypothesis]]:
        """The hypotheses that make the symptom, best first, and the others, nearest first."""
        found = self.dumped(symptom)
        assert found is not None
        hypotheses = list(self.hypotheses(symptom, found))
        for place, hypothesis in enumerate(hypotheses, 1):
            if time.monotonic() > self.end:
                self.late = True
                break
            self.progress(f"trying mistakes for {symptom}", place, len(hypotheses))
            hypothesis.excess = self.excess(symptom, found, hypothesis.changes)
        self.tried += len(hypotheses)
        hypotheses.sort(key=lambda one: one.excess if np.isfinite(one.excess) else np.inf)
        fitting = [one for one in hypotheses if one.excess <= 1]
        right_shape = found.shape == self.comparer.key.shapes[symptom]
        if not fitting and right_shape and len(self.suspects(symptom)) > 1 and not self.unexplained:
            fitting = self.pairs(symptom, found, hypotheses)
        for hypothesis in fitting:
            hypothesis.left = len(self.births(self.graph.replaced(hypothesis.changes)))
        order = {id(one): place for place, one in enumerate(fitting)}
        fitting.sort(key=lambda one: (one.left, one.fitted, order[id(one)]))
        fitting = [one for one in fitting if one.left <= len(births)]
        return fitting, [one for one in hypotheses if one not in fitting and 1 < one.excess < np.inf]

    def excess(self, symptom: str, found: Array, changes: Changes) -> float:
        """How many times the tolerance the port's tensor is from what the changed graph makes; infinite where rounding
        would explain anything."""
        graph = self.graph.replaced(changes)
        try:
            with np.errstate(all="ignore"):
                birth = self.birth(graph, symptom, found)
        except (ValueError, IndexError):  # shapes that do not go together: it cannot be this
            return np.inf
        return birth.excess if birth is not None and birth.tolerance.relative <= LOOSEST else np.inf

    def birth(self, graph: Graph, symptom: str, found: Array) -> Birth | None:
        exact = Run(graph, self.given).predicted(symptom)
        if exact.size != found.size:
            return None
        if distance(found.reshape(exact.shape), exact).relative > LOOSEST:  # far off: no need to know how far
            return Birth(distance(found.reshape(exact.shape), exact), Tolerance(LOOSEST / FAR, LOOSEST / FAR))
        return self.comparer.local(graph, self.given).born(symptom, found)

    def hypotheses(self, symptom: str, found: Array) -> Iterator[Hypothesis]:
        """Every mistake that can be made where the symptom may come from."""
        suspects = self.suspects(symptom)
        if not found.any():
            yield from self.fitted(symptom, found, suspects or self.backward_suspects(symptom)[-1:])
            return
        for mistake in CATALOGUE:
            places = self.backward_suspects(symptom) if mistake.backward else suspects
            everywhere: dict[str, tuple[Changes, list[str]]] = {}
            for place in places:
                for detail, changes in mistake.plant(self.graph, place):
                    yield Hypothesis(mistake.name, mistake.says, mistake.mend, detail, place, changes, mistake.backward)
                    all_changes, all_places = everywhere.setdefault(detail, ({}, []))
                    all_changes.update(changes)
                    all_places.append(place)
            for detail, (changes, all_places) in everywhere.items():
                if len(all_places) > 1:
                    where = f"{detail}{'; ' if detail else ''}in all of {len(all_places)} places"
                    yield Hypothesis(
                        mistake.name, mistake.says, mistake.mend, where, all_places[0], changes, mistake.backward
                    )
        yield from self.rightly_backward(symptom)
        if found.shape == self.comparer.key.shapes[symptom]:
            yield from self.fitted(symptom, found, suspects or self.backward_suspects(symptom)[-1:])

    def rightly_backward(self, symptom: str) -> Iterator[Hypothesis]:
        """A mistake of the forward pass that is known by now, which the backward pass does not make: it was written by
        hand."""
        for place in self.backward_suspects(symptom):
            planted, right = self.graph.nodes[place], self.comparer.key.graph.nodes[place]
            if planted is not right and planted.inputs == right.inputs:
                says = "the backward pass is the right one, though the forward pass makes a mistake"
                mend = "mend the forward pass: this backward pass belongs to it"
                changes = {place: with_backward_of(planted, right)}
                yield Hypothesis("right-backward", says, mend, "", place, changes, backward=True)

    def fitted(self, symptom: str, found: Array, places: list[str]) -> Iterator[Hypothesis]:
        """The mistakes whose numbers have to be found."""
        run = Run(self.graph, self.given)
        for mistake in FITTED:
            for place in places:
                with np.errstate(all="ignore"):
                    fit = mistake.fit(run, symptom, found, place)
                if fit is not None:
                    yield Hypothesis(mistake.name, mistake.says, mistake.mend, fit[0], place, fit[1], fitted=True)

    def pairs(self, symptom: str, found: Array, hypotheses: list[Hypothesis]) -> list[Hypothesis]:
        """Two mistakes between what was dumped and the symptom, where one does not make it: one of those that bring it
        nearest, and any other."""
        single = [one for one in hypotheses if "in all of" not in one.detail]
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
            excess = self.excess(symptom, found, changes)
            if excess <= 1:
                says, mend = f"{one}; and {other}", f"{one.mend}; and {other.mend}"
                name = f"{one.name} + {other.name}"
                fitting.append(Hypothesis(name, says, mend, "", one.place, changes, False, excess))
                if len(fitting) == LISTED:
                    break
        self.tried += len(pairs)
        return fitting

    def suspects(self, symptom: str) -> list[str]:
        """The nodes whose forward pass may be wrong: between the symptom and what the port dumped before it."""
        start = [symptom]
        if symptom.startswith(GRADIENT):
            start = [read for user in self.backward_suspects(symptom) for read in self.graph.nodes[user].inputs]
            start = [name for name in start if name not in self.given and self.graph.nodes[name].operation]
        waiting, found = start, set()
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                reads = self.graph.nodes[name].inputs
                waiting += [read for read in reads if read not in self.given and self.graph.nodes[read].operation]
        return [name for name in self.graph.nodes if name in found]

    def backward_suspects(self, symptom: str) -> list[str]:
        """The nodes whose backward pass may be wrong: those through which the gradient came."""
        if not symptom.startswith(GRADIENT):
            return []
        waiting, found = [symptom.removeprefix(GRADIENT)], set()
        seen = set(waiting)
        while waiting:
            for user in self.graph.consumers[waiting.pop()]:
                if user in self.graph.differentiable:
                    found.add(user)
                    if GRADIENT + user not in self.given and user not in seen:
                        seen.add(user)
                        waiting.append(user)
        return [name for name in self.graph.nodes if name in found]
