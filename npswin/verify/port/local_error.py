"""The local error of a tensor: its distance from its operation's result on the port's own inputs."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node, Run, differing
from npswin.verify.mistakes.not_applicable import shape_errors_as_not_applicable
from npswin.verify.port.distance import Distance, distance
from npswin.verify.port.tolerance import Tolerance, ToleranceEstimator, largest_input_magnitude

FAR = 30.0  # times the tolerance from one run: no further runs bring the tolerance up to that


@dataclass(frozen=True)
class LocalError:
    """The distance of a tensor from its operation's result on the port's own inputs, and the tolerance for it."""

    distance: Distance
    tolerance: Tolerance

    @property
    def tolerance_ratio(self) -> float:
        """The distance divided by the tolerance."""
        return self.tolerance.ratio(self.distance.relative, self.distance.peak)

    @property
    def is_significant(self) -> bool:
        """Whether the distance is larger than the tolerance."""
        return not self.tolerance_ratio <= 1


class LocalErrors:
    """Runs each operation of a graph on the port's own inputs.

    Args:
        graph: the computation.
        given: the key's sources, and what the port dumped.
        precision: the port's.
        stored: by name the precision of a tensor that the port stored in another one.
    """

    def __init__(
        self, graph: Graph, given: Mapping[str, Array], precision: str, stored: Mapping[str, str] | None = None
    ) -> None:
        self.exact = Run(graph, given)
        self.estimator = ToleranceEstimator(graph, given, precision, stored)
        self._cache: dict[str, tuple[Array, LocalError | None]] = {}  # by name: the port's tensor and the result

    @property
    def graph(self) -> Graph:
        """The computation."""
        return self.exact.graph

    def replaced(self, changes: Mapping[str, Node]) -> "LocalErrors":
        """The local errors with some nodes of the graph replaced; values that do not depend on these are reused."""
        graph, other = self.exact.graph.replaced(changes), copy(self)
        changed = differing(self.exact.graph, graph, self.exact.given)
        other.exact, other.estimator = self.exact.with_graph(graph, changed), self.estimator.with_graph(graph, changed)
        other._cache = {name: cached for name, cached in self._cache.items() if name not in changed}
        return other

    def expected(self, name: str) -> Array | None:
        """The operation's result on the port's own inputs; None for a source.

        Raises:
            NotApplicable: a mistake in the graph leads to shapes that do not fit the port's tensors.
        """
        inner = name.removeprefix(GRADIENT_PREFIX)
        if inner == name and self.exact.graph.nodes[name].operation is None:
            return None
        with shape_errors_as_not_applicable(name), np.errstate(all="ignore"):
            return self.exact.compute(name)

    def error(self, name: str, array: Array) -> LocalError | None:
        """The local error of a tensor of the port; None for a source.

        Raises:
            NotApplicable: as `expected`.
        """
        cached = self._cache.get(name)
        if cached is None or cached[0] is not array:
            cached = self._cache[name] = array, self._error(name, array)
        return cached[1]

    def _error(self, name: str, array: Array) -> LocalError | None:
        expected = self.expected(name)
        if expected is None:
            return None
        if expected.shape != array.shape:
            if expected.size != array.size:
                return LocalError(Distance(np.inf, np.inf, np.inf, np.nan, (), np.nan, np.nan), Tolerance(1.0, 1.0))
            array = array.reshape(expected.shape)
        scale = largest_input_magnitude(self.exact, name)
        found = distance(array, expected, scale)

        def suffices(tolerance: Tolerance) -> bool:
            return tolerance.ratio(found.relative, found.peak) > FAR

        with shape_errors_as_not_applicable(name), np.errstate(all="ignore"):
            tolerance = self.estimator.tolerance(name, expected, lambda run: run.compute(name), scale, suffices)
        return LocalError(found, tolerance)
