"""The symptoms of a port: the tensors that differ from their operation's result on the port's own inputs."""

from collections.abc import Set
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph
from npswin.verify.key.trace import Progress
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.comparison import AGREES, Comparison
from npswin.verify.port.dump_errors import CorrectedDump, DumpError
from npswin.verify.port.hypotheses import HypothesisGenerator
from npswin.verify.port.local_error import LocalErrors

MOST_UNEXPLAINED_OF_A_KIND = 2  # after so many unexplained outputs of one operation, its others are not searched


@dataclass(frozen=True)
class State:
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


class Symptoms:
    """Finds the symptoms that are left under assumptions about a port.

    Attributes:
        unexplained: by name the symptoms that nothing explains, with the nearest hypotheses.
        without_derivative: tensors whose function was read off as a curve of many numbers: its derivative is not known.
        settled: tensors with a cause that agrees up to single roundings: no symptoms any more.
    """

    def __init__(self, comparer: Comparer, comparison: Comparison, progress: Progress) -> None:
        self.comparer, self.progress = comparer, progress
        self.copied_from_key = {row.name for row in comparison.rows if row.copied_from_key}
        self.agreeing = {row.name for row in comparison.rows if row.verdict == AGREES}
        self.unexplained: dict[str, list[Hypothesis]] = {}
        self.settled: set[str] = set()
        self.without_derivative: set[str] = set()

    def state(
        self, local_errors: LocalErrors, dump: CorrectedDump, without_derivative: Set[str] = frozenset()
    ) -> State:
        """The symptoms that are left for a graph and a dump.

        Args:
            local_errors: of the graph.
            dump: the port's tensors.
            without_derivative: further tensors of which only the numbers are known, not the derivative.
        """
        generator = self.generator(local_errors.graph, dump)
        symptoms: dict[str, float] = {}
        unknown = self.unexplained.keys() | self.without_derivative | without_derivative
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
            if not unknown & set(generator.backward_nodes(name)):
                symptoms[name] = error.tolerance_ratio
        return State(dump, local_errors, symptoms)

    def has_expected_shape(self, name: str, array: Array, local_errors: LocalErrors) -> bool:
        """Whether a tensor has the key's shape, or the one that a mistake found so far leads to."""
        if array.shape == self.comparer.shapes[name]:
            return True
        expected = local_errors.expected(name)
        return expected is not None and expected.shape == array.shape

    def corrected(self, dump_error: DumpError, now: State) -> State | None:
        """The state with an error of the dump corrected; None unless that leaves fewer symptoms and adds none.

        If the port had computed with the numbers that it dumped, the tensors computed from them would be wrong then.
        """
        corrected = dump_error.corrected
        then = self.state(self.comparer.local_errors_of(now.graph, corrected.given), corrected)
        return then if set(then.symptoms) < set(now.symptoms) else None

    def without_use(self, symptom: str, now: State) -> tuple[State, list[str]] | None:
        """The state with the right numbers in place of a tensor's, if nothing that follows was computed with its own.

        All that was dumped of what follows agrees with the key then, though it does not follow from the tensor: the
        dump is wrong, or the port was given the key's numbers there.

        Returns:
            The state and the tensors that do not follow from it; None if something does, or nothing tells.
        """
        following = [name for name in self.comparer.order if symptom in self.comparer.inputs.dumped(name)]
        without = [name for name in following if name in self.copied_from_key]
        if not without or not set(following) <= self.agreeing:
            return None
        expected = now.local_errors.expected(symptom)
        if expected is None or expected.shape != self.comparer.shapes[symptom]:
            return None
        dump = now.dump.with_corrected({symptom: expected})
        then = self.state(self.comparer.local_errors_of(now.graph, dump.given), dump)
        return (then, without) if set(then.symptoms) < set(now.symptoms) else None

    def to_explain(self, now: State) -> list[str]:
        """The symptoms that are neither given up nor follow from one that is."""
        return [name for name in now.symptoms if name not in self.unexplained and not self.is_unjudged(name)]

    def is_unjudged(self, name: str) -> bool:
        """Whether a tensor was computed from one whose other size is not explained."""
        other_size = self.unexplained.keys() & set(self.comparer.of_another_size)
        return bool(other_size) and self.comparer.follows_from_another_size(name)

    def is_like_unexplained(self, symptom: str) -> bool:
        """Whether several results of the symptom's operation, such as norms' outputs, are unexplained.

        A gradient is the result of the backward passes of the operations that read the tensor.
        """

        nodes, consumers = self.comparer.key.graph.nodes, self.comparer.key.graph.consumers

        def operation(name: str) -> str:
            node = nodes[name]
            return name.rpartition(".")[2] if node.operation is None else node.operation.name

        def kind(name: str) -> tuple[str, ...]:
            inner = name.removeprefix(GRADIENT_PREFIX)
            if inner == name or nodes[inner].operation is None:
                return name[: len(name) - len(inner)], operation(inner)
            return GRADIENT_PREFIX, *sorted(operation(user) for user in consumers[inner])  # it is of their derivatives

        return sum(kind(name) == kind(symptom) for name in self.unexplained) >= MOST_UNEXPLAINED_OF_A_KIND

    def generator(self, graph: Graph, dump: CorrectedDump) -> HypothesisGenerator:
        return HypothesisGenerator(graph, dump.given, self.comparer.key.graph)
