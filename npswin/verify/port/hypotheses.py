"""What could have made a symptom: every mistake of the catalogue, at every place where the symptom may come from."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT, Graph, Run
from npswin.verify.mistakes import CATALOGUE, Changes, Mistake
from npswin.verify.mistakes.fitted import FITTED
from npswin.verify.mistakes.mistake import with_backward_of

# What an operation raises that does not fit the port's shapes, or a mistake that was planted there before.
UNFIT = (ValueError, IndexError, KeyError, TypeError, AttributeError)


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
        everywhere: whether it is made wherever the symptom may come from.
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
    everywhere: bool = False

    def __str__(self) -> str:
        return f"{self.says}{f' ({self.detail})' if self.detail else ''}"


class Suspects:
    """The operations that a symptom may come from, and the mistakes that can be made in them.

    Args:
        graph: with the mistakes planted that are known by now.
        given: the tensors that the port has.
        right: the key's graph.
    """

    def __init__(self, graph: Graph, given: dict[str, Array], right: Graph) -> None:
        self.graph, self.given, self.right = graph, given, right

    def between(self, symptom: str) -> list[str]:
        """The nodes whose forward pass may be wrong: the symptom's, back to what the port dumped before it."""
        start = [symptom]
        if symptom.startswith(GRADIENT):
            through = self.backward(symptom)
            start = [read for user in through for read in self.graph.nodes[user].inputs if self._computed(read)]
        found: set[str] = set()
        while start:
            name = start.pop()
            if name not in found:
                found.add(name)
                start += [read for read in self.graph.nodes[name].inputs if self._computed(read)]
        return [name for name in self.graph.nodes if name in found]

    def forward(self, symptom: str) -> list[str]:
        """Those between, and of a gradient also those through which it came: a forward pass can be so nearly right, as
        with another eps, that only its derivative shows it."""
        found = {*self.between(symptom), *self.backward(symptom)}
        return [name for name in self.graph.nodes if name in found]

    def backward(self, symptom: str) -> list[str]:
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

    def hypotheses(self, symptom: str) -> list[Hypothesis]:
        """Every mistake that can be made where the symptom may come from; first those made in all places at once, since
        who misreads the paper does so everywhere."""
        forward, backward = self.forward(symptom), self.backward(symptom)
        everywhere, single = [], []
        for mistake in CATALOGUE:
            text = mistake.name, mistake.says, mistake.mend
            together: dict[str, tuple[Changes, list[str]]] = {}
            seen = set()
            for place in backward if mistake.backward else forward:
                for detail, changes in self._ways(mistake, place):
                    if (detail, frozenset(changes)) in seen:  # it can be told from several tensors of a block
                        continue
                    seen.add((detail, frozenset(changes)))
                    single.append(Hypothesis(*text, detail, place, changes, mistake.backward))
                    all_changes, all_places = together.setdefault(detail, ({}, []))
                    all_changes.update(changes)
                    all_places.append(place)
            for detail, (changes, places) in together.items():
                if len(places) > 1:
                    where = f"{detail}{'; ' if detail else ''}in all of {len(places)} places"
                    one = Hypothesis(*text, where, places[0], changes, mistake.backward, everywhere=True)
                    everywhere.append(one)
        return [*everywhere, *single, *self._rightly_backward(backward)]

    def fitted(self, symptom: str, found: Array, run: Run) -> Iterator[Hypothesis]:
        """The mistakes whose numbers have to be found, that fit.

        Args:
            symptom: a tensor's name.
            found: what the port has under it.
            run: the graph on the port's own inputs.
        """
        places = self.backward(symptom)[-1:] or self.forward(symptom)
        for mistake in FITTED:
            for place in places:
                with np.errstate(all="ignore"):
                    fit = mistake.fit(run, symptom, found, place)
                if fit is not None:
                    detail, changes = fit
                    at = next(iter(changes), place)
                    yield Hypothesis(mistake.name, mistake.says, mistake.mend, detail, at, changes, fitted=True)

    def _ways(self, mistake: Mistake, place: str) -> list[tuple[str, Changes]]:
        """Each way to make a mistake at a place; none where what is planted already leaves no room for it."""
        try:
            return list(mistake.plant(self.graph, place))
        except UNFIT:
            return []

    def _computed(self, name: str) -> bool:
        return name not in self.given and self.graph.nodes[name].operation is not None

    def _rightly_backward(self, places: list[str]) -> Iterator[Hypothesis]:
        """A mistake of the forward pass that is known by now, which the backward pass does not make: it was written by
        hand."""
        for place in places:
            planted, right = self.graph.nodes[place], self.right.nodes[place]
            if planted is not right and planted.inputs == right.inputs:
                says = "the backward pass is the right one, though the forward pass makes a mistake"
                mend = "mend the forward pass: this backward pass belongs to it"
                changes = {place: with_backward_of(planted, right)}
                yield Hypothesis("right-backward", says, mend, "", place, changes, backward=True)
