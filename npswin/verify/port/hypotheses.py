"""The hypotheses for a symptom: every mistake of the catalogue, at every place from which the symptom may come."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Run
from npswin.verify.mistakes import CATALOGUE, FITTED, GENERAL, Changes, Mistake
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import with_backward_of
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.mistakes.read_off import DERIVATIVE_FITS, FUNCTION_FITS, GRADIENT_FITS, TENSOR_FITS
from npswin.verify.port.cause import Hypothesis

TensorFit = tuple[str, str, Callable[[Run, str, Array, float], Iterator[Fit]]]

RIGHT_BACKWARD = "right-backward"  # the name of the cause
MOST_PLACES, MOST_BACKWARD_PLACES = 40, 6  # in which general families are tried, for an activation and a gradient


class HypothesisGenerator:
    """Lists the operations from which a symptom may come, and the mistakes that can be made in them.

    Args:
        graph: the key's graph, changed by the mistakes found so far.
        given: the key's sources and the tensors that the port has, by name.
        right: the key's graph.
    """

    def __init__(self, graph: Graph, given: dict[str, Array], right: Graph) -> None:
        self.graph, self.given, self.right = graph, given, right

    def nodes_between(self, symptom: str) -> list[str]:
        """The nodes whose forward pass may be wrong: from the symptom's back to the last tensors that were dumped."""
        waiting = [symptom]
        if symptom.startswith(GRADIENT_PREFIX):
            consumers = self.backward_nodes(symptom)
            waiting = [read for user in consumers for read in self.graph.nodes[user].inputs if self._is_computed(read)]
        found: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += [read for read in self.graph.nodes[name].inputs if self._is_computed(read)]
        return [name for name in self.graph.nodes if name in found]

    def not_dumped_before(self, symptom: str) -> list[str]:
        """The tensors between a symptom and the last dumped ones, in order; for a gradient, the gradients."""
        if symptom.startswith(GRADIENT_PREFIX):
            names = [GRADIENT_PREFIX + name for name in reversed(self.backward_nodes(symptom))]
        else:
            names = self.nodes_between(symptom)
        known = [name for name in names if name.removeprefix(GRADIENT_PREFIX) in self.right.nodes]
        return [name for name in known if name != symptom and name not in self.given]

    def forward_nodes(self, symptom: str) -> list[str]:
        """The nodes of `nodes_between`, and for a gradient also those through which it was computed.

        A forward pass can be so nearly right, as with another eps, that only its derivative shows the mistake.
        """
        found = {*self.nodes_between(symptom), *self.backward_nodes(symptom)}
        return [name for name in self.graph.nodes if name in found]

    def backward_nodes(self, symptom: str) -> list[str]:
        """The nodes whose backward pass may be wrong: those through which the gradient was computed."""
        if not symptom.startswith(GRADIENT_PREFIX):
            return []
        waiting, found = [symptom.removeprefix(GRADIENT_PREFIX)], set()
        visited = set(waiting)
        while waiting:
            for user in self.graph.consumers[waiting.pop()]:
                if user in self.graph.differentiable:
                    found.add(user)
                    if GRADIENT_PREFIX + user not in self.given and user not in visited:
                        visited.add(user)
                        waiting.append(user)
        return [name for name in self.graph.nodes if name in found]

    def hypotheses(self, symptom: str) -> list[Hypothesis]:
        """Every mistake of the catalogue that can be made where the symptom may come from.

        Those made in all places at once come first: most mistakes of a port are in code that every block shares.
        """
        is_gradient = symptom.startswith(GRADIENT_PREFIX)
        mistakes = [mistake for mistake in CATALOGUE if not (is_gradient and mistake.shows_forward)]
        return [*self._each(mistakes, symptom), *self._correct_backward(symptom)]

    def general(self, symptom: str, found: Array, run: Run, tolerance: float) -> list[Hypothesis]:
        """Every mistake of the general families that can be made where the symptom may come from, likewise.

        None where that is in too many places: any tensor could be explained then, and the search would take long.

        Args:
            symptom, found, run, tolerance: as for `fitted`.
        """
        is_gradient = symptom.startswith(GRADIENT_PREFIX)
        places = self.backward_nodes(symptom) if is_gradient else self.nodes_between(symptom)
        if len(places) > (MOST_BACKWARD_PLACES if is_gradient else MOST_PLACES):
            return []
        mistakes = [mistake for mistake in GENERAL if mistake.backward is is_gradient]
        if found.shape == run.value(symptom.removeprefix(GRADIENT_PREFIX)).shape:
            with np.errstate(all="ignore"):
                mistakes = [mistake for mistake in mistakes if mistake.can_make(run, symptom, found, tolerance)]
        return self._each(mistakes, symptom)

    def _each(self, mistakes: Sequence[Mistake], symptom: str) -> list[Hypothesis]:
        forward, backward = self.forward_nodes(symptom), self.backward_nodes(symptom)
        everywhere, single = [], []
        for mistake in mistakes:
            text = mistake.name, mistake.description, mistake.fix
            by_detail: dict[str, tuple[Changes, list[str]]] = {}
            listed = set()
            for name in backward if mistake.backward else forward:
                for detail, changes in self._variants(mistake, name):
                    if (detail, frozenset(changes)) in listed:  # found from another tensor of the same block
                        continue
                    listed.add((detail, frozenset(changes)))
                    single.append(Hypothesis(*text, detail, name, changes, mistake.backward))
                    all_changes, all_places = by_detail.setdefault(detail, ({}, []))
                    all_changes.update(changes)
                    all_places.append(name)
            for detail, (changes, places) in by_detail.items():
                if len(places) > 1:
                    where = f"{detail}{'; ' if detail else ''}in all of {len(places)} places"
                    one = Hypothesis(*text, where, places[0], changes, mistake.backward, everywhere=True)
                    everywhere.append(one)
        return [*everywhere, *single]

    def fitted(self, symptom: str, found: Array, run: Run, tolerance: float) -> Iterator[Hypothesis]:
        """The mistakes with fitted numbers that may explain the symptom.

        Args:
            symptom: a tensor's name.
            found: the port's tensor of this name.
            run: the graph on the port's own inputs.
            tolerance: the largest difference of the tensor's numbers that rounding makes.
        """
        places = self.backward_nodes(symptom)[-1:] or self.forward_nodes(symptom)
        for mistake in FITTED:
            for place in places:
                with np.errstate(all="ignore"):
                    fits = list(mistake.fit(run, symptom, found, place))
                for detail, changes in fits:
                    first = next(iter(changes), place)
                    yield Hypothesis(
                        mistake.name, mistake.description, mistake.fix, detail, first, changes, fitted=True,
                        varies=mistake.varies,
                    )  # fmt: skip

        yield from self._read_off(symptom, found, run, tolerance)

    def other_derivatives(self, symptom: str, found: Array, run: Run, tolerance: float) -> Iterator[Hypothesis]:
        """The derivative of an operation that reads the tensor as another sum, or of overwritten numbers.

        Args:
            symptom, found, run, tolerance: as for `fitted`.
        """
        with np.errstate(all="ignore"):
            for name, fits in DERIVATIVE_FITS:
                for fit in fits(run, symptom, found, tolerance):
                    text = name, fit.description, fit.fix, fit.detail
                    one = Hypothesis(*text, fit.place, fit.changes, True, fitted=fit.fitted > 0)
                    one.fitted_numbers, one.everywhere, one.varies = fit.fitted, fit.everywhere, fit.varies
                    yield one

    def _read_off(self, symptom: str, found: Array, run: Run, tolerance: float) -> Iterator[Hypothesis]:
        """What the tensor itself tells, where the inputs of its operation are known."""
        inner = symptom.removeprefix(GRADIENT_PREFIX)
        rank = 0
        with np.errstate(all="ignore"):
            for name, description, fits in FUNCTION_FITS:
                for fit in fits(run, symptom, found, tolerance):
                    rank += 1
                    text = name, description, self._fix(inner), fit.detail
                    one = _fitted(Hypothesis(*text, inner, fit.changes), fit.fitted, rank)
                    yield one
                    if not fit.fitted:
                        yield from self._everywhere(one)
        yield from self._of_tensor(TENSOR_FITS, symptom, found, run, tolerance, rank)

    def told_by_gradient(self, symptom: str, found: Array, run: Run, tolerance: float) -> Iterator[Hypothesis]:
        """Changes of a tensor's inputs that the gradients by them tell.

        Args:
            symptom, found, run, tolerance: as for `fitted`.
        """
        yield from self._of_tensor(GRADIENT_FITS, symptom, found, run, tolerance)

    def _of_tensor(
        self, families: Sequence[TensorFit], symptom: str, found: Array, run: Run, tolerance: float, rank: int = 0
    ) -> Iterator[Hypothesis]:
        inner = symptom.removeprefix(GRADIENT_PREFIX)
        names = {"tensor": inner, "symptom": symptom}
        with np.errstate(all="ignore"):
            for name, at, fits in families:
                start = at.format(**names)
                for fit in fits(run, symptom, found, tolerance):
                    rank += 1
                    place = next(iter(fit.changes), inner)
                    text = name, f"{start}: {fit.detail}", self._fix(inner)
                    also = tuple(f"{start}: {words}" for words in fit.also)
                    yield _fitted(Hypothesis(*text, "", place, fit.changes, also=also), fit.fitted, rank)

    def _fix(self, name: str) -> str:
        return f"{name} is {self.right.nodes[name].formula or 'as in the key'}"

    def _everywhere(self, one: Hypothesis) -> Iterator[Hypothesis]:
        """The same function wherever this operation is."""
        (changed,) = one.changes.values()
        operation, right = changed.operation, self.right.nodes[changed.name].operation
        assert operation is not None
        alike = [node for node in self.graph.nodes.values() if node.operation is right]
        if len(alike) > 1:
            changes = {node.name: replace(node, operation=operation) for node in alike}
            detail = f"{one.detail}; in all of {len(alike)} places"
            everywhere = Hypothesis(one.name, one.description, one.fix, detail, one.place, changes, everywhere=True)
            yield _fitted(everywhere, one.fitted_numbers, one.rank)

    def _variants(self, mistake: Mistake, name: str) -> list[tuple[str, Changes]]:
        """Each variant of a mistake at a node; none where the mistake does not apply to the changed graph."""
        try:
            return list(mistake.plant(self.graph, name))
        except NotApplicable:
            return []

    def _is_computed(self, name: str) -> bool:
        return name not in self.given and self.graph.nodes[name].operation is not None

    def _correct_backward(self, symptom: str) -> Iterator[Hypothesis]:
        """For each mistake of the forward pass found so far: the backward pass does not make it.

        This happens where the backward pass is written by hand.
        """
        for name in self.backward_nodes(symptom):
            planted, right = self.graph.nodes[name], self.right.nodes.get(name)
            if right is not None and planted is not right and planted.inputs == right.inputs:
                description = "the backward pass is the right one, though the forward pass makes a mistake"
                fix = "correct the forward pass: this backward pass belongs to it"
                changes = {name: with_backward_of(planted, right)}
                yield Hypothesis(RIGHT_BACKWARD, description, fix, "", name, changes, backward=True)


def _fitted(one: Hypothesis, numbers: int, rank: int) -> Hypothesis:
    """A hypothesis with so many numbers that were fitted to the port's tensor."""
    one.fitted, one.fitted_numbers, one.rank = True, numbers, rank
    return one
