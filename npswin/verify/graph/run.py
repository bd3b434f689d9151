"""A graph computed: any tensor or gradient, from what is given and from nothing that is not needed."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph.node import GRADIENT, Graph, Node
from npswin.verify.graph.precision import FLOAT64, Arithmetic, unit_of_stored

KEPT = 4  # nodes whose derivatives are not computed again


class Run:
    """Values of a graph's tensors, where those that are given take the place of those that would be computed.

    Args:
        graph: what is computed.
        given: tensors by name, gradients by "grad/" + name; the sources among them.
        arithmetic: in which precision.
        stored: the precisions of tensors that are kept in a coarser one.

    With a port's tensors given, `predicted(name)` is what the operation makes of the *port's own* inputs: where that is
    not what the port has, the error was born in this operation.
    """

    def __init__(
        self,
        graph: Graph,
        given: Mapping[str, Array],
        arithmetic: Arithmetic = FLOAT64,
        stored: Mapping[str, str] | None = None,
    ) -> None:
        self.graph, self.given, self.arithmetic, self.stored = graph, given, arithmetic, stored or {}
        self.known: dict[str, Array] = {}
        self._derivatives: dict[str, tuple[tuple[Array | None, ...], tuple[int, ...]]] = {}

    def on(self, graph: Graph, differing: Collection[str]) -> "Run":
        """The run of another graph, which takes over all values but those that are `differing`."""
        run = Run(graph, self.given, self.arithmetic, self.stored)
        run.known = {name: value for name, value in self.known.items() if name in self.given or name not in differing}
        return run

    def replaced(self, changes: Mapping[str, Node]) -> "Run":
        """The run of the graph with some nodes made otherwise."""
        graph = self.graph.replaced(changes)
        return self.on(graph, differing(self.graph, graph, self.given))

    def value(self, name: str) -> Array:
        """What is given under this name; else what is predicted."""
        if name not in self.known:
            if name in self.given:
                self.known[name] = self.arithmetic.taken(self.given[name], name, self.stored.get(name))
            else:
                self.known[name] = self.predicted(name)
        return self.known[name]

    def predicted(self, name: str) -> Array:
        """What the tensor's operation makes of its inputs' values."""
        for needed in self._order(name):
            if needed != name and needed not in self.known:
                self.known[needed] = self._predict(needed)
        return self._predict(name)

    def gradient(self, name: str) -> Array:
        """What is given as the gradient by this tensor; else what is predicted."""
        return self.value(GRADIENT + name)

    def _order(self, name: str) -> list[str]:
        """What has to be computed before this one can be, in order."""
        order: list[str] = []
        waiting, seen = [(name, False)], set()
        while waiting:
            each, ready = waiting.pop()
            if ready:
                order.append(each)
                continue
            if each in seen:
                continue
            seen.add(each)
            waiting.append((each, True))
            for read in self.reads(each):
                if read not in self.known:
                    if read in self.given:
                        self.value(read)
                    else:
                        waiting.append((read, False))
        return order

    def reads(self, name: str) -> list[str]:
        """What a tensor or gradient is computed from."""
        if not name.startswith(GRADIENT):
            node = self.graph.nodes[name]
            if node.operation is None:
                raise KeyError(name)
            return list(node.inputs)
        reads = []
        for consumer in self.graph.consumers[name.removeprefix(GRADIENT)]:
            if consumer in self.graph.differentiable:
                reads += [GRADIENT + consumer, *self.graph.nodes[consumer].inputs]
        return reads

    def _predict(self, name: str) -> Array:
        if name.startswith(GRADIENT):
            return self._predict_gradient(name.removeprefix(GRADIENT))
        y, _, terms = self._forward(name)
        return self.arithmetic.stored(y, name, terms[0], product=self._multiplies(name), unit=self._unit(name))

    def _forward(self, name: str) -> tuple[Array, Any, tuple[int, ...]]:
        """y, the cache, and how many terms were summed for y and will be for the derivative by each input."""
        node = self.graph.nodes[name]
        assert node.operation is not None
        inputs = [self.value(read) for read in node.inputs]
        y, cache = node.operation.forward(*inputs, **node.settings)
        return y, cache, node.operation.terms(y.shape, *(one.shape for one in inputs))

    def _backward(self, name: str) -> tuple[tuple[Array | None, ...], tuple[int, ...]]:
        """The derivatives by each input of a node, and how many terms each sums; the last few are kept, since the
        inputs of a node follow each other in a backward pass."""
        if name not in self._derivatives:
            _, cache, (_, *terms) = self._forward(name)
            operation = self.graph.nodes[name].operation
            assert operation is not None
            self._derivatives[name] = operation.backward(self.gradient(name), cache), tuple(terms)
            if len(self._derivatives) > KEPT:
                del self._derivatives[next(iter(self._derivatives))]
        return self._derivatives[name]

    def _predict_gradient(self, name: str) -> Array:
        total: Any = None
        most = 1
        for consumer in self.graph.consumers[name]:
            if consumer not in self.graph.differentiable:
                continue
            inputs = self.graph.nodes[consumer].inputs
            for read, derivative, count in zip(inputs, *self._backward(consumer), strict=True):
                if read == name and derivative is not None:
                    total = derivative if total is None else total + derivative
                    most = max(most, count)
        if total is None:  # the loss itself, or what does not lead to it
            last = name == next(reversed(self.graph.nodes))
            total = np.ones((), self.arithmetic.dtype) if last else np.zeros_like(self.value(name))
        rows = self.graph.nodes[name].axes == "parameter"
        product = any(map(self._multiplies, self.graph.consumers[name]))
        return self.arithmetic.stored(total, GRADIENT + name, most, rows, product, self._unit(GRADIENT + name))

    def _unit(self, name: str) -> float:
        return unit_of_stored(self.stored[name]) if name in self.stored else 0.0

    def _multiplies(self, name: str) -> bool:
        operation = self.graph.nodes[name].operation
        return operation is not None and operation.multiplies


def differing(graph: Graph, other: Graph, given: Collection[str]) -> set[str]:
    """The tensors and gradients of which two graphs, that have some nodes otherwise, predict something else.

    Args:
        graph, other: the same names, and mostly the same nodes.
        given: what is not computed, so that what is computed from it is as before.
    """
    changed = {name for name, node in other.nodes.items() if node is not graph.nodes[name]}
    found = set(changed)
    gradients = [GRADIENT + name for name in graph.differentiable ^ other.differentiable]
    gradients += [GRADIENT + read for name in changed for read in graph.nodes[name].inputs]
    for name, node in other.nodes.items():
        if name in changed or any(read in found and read not in given for read in node.inputs):
            found.add(name)
            gradients += [GRADIENT + read for read in node.inputs]
    while gradients:
        name = gradients.pop()
        if name not in found:
            found.add(name)
            if name not in given:
                gradients += [GRADIENT + read for read in other.nodes[name.removeprefix(GRADIENT)].inputs]
    return found
