"""Computes any tensor or gradient of a graph from given tensors, and only the tensors needed for it."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph.node import GRADIENT_PREFIX, Graph, Node
from npswin.verify.graph.operations import ROW_TERMS
from npswin.verify.graph.precision import FLOAT64, UNIT_ROUNDOFF, Arithmetic, storage_roundoff

CACHED_NODES = 4  # whose derivatives are cached


class Run:
    """Computes a graph's tensors and gradients; a given tensor is used in place of the computed one.

    Args:
        graph: the computation.
        given: tensors by name, gradients by "grad/" + name; the sources among them.
        arithmetic: the precision and its rounding.
        stored: by name the precision of tensors that are stored in another one. Of an arithmetic of 16 bits, a tensor
            of float32 is computed in float32 as well.

    With a port's tensors given, `compute(name)` is the operation's result on the *port's own* inputs. Where the port
    has another tensor, this operation of the port is wrong.
    """

    def __init__(
        self,
        graph: Graph,
        given: Mapping[str, Array],
        arithmetic: Arithmetic = FLOAT64,
        stored: Mapping[str, str] | None = None,
    ) -> None:
        self.graph, self.given, self.arithmetic, self.stored = graph, given, arithmetic, stored or {}
        self._values: dict[str, Array] = {}
        self._derivatives: dict[str, tuple[tuple[Array | None, ...], tuple[int, ...]]] = {}

    def with_graph(self, graph: Graph, differing: Collection[str]) -> "Run":
        """The run of another graph. It reuses all values but those of the tensors named in `differing`."""
        run = Run(graph, self.given, self.arithmetic, self.stored)
        run._values = {
            name: value for name, value in self._values.items() if name in self.given or name not in differing
        }
        return run

    def with_given(self, given: Mapping[str, Array]) -> "Run":
        """The run with further gradients given. It reuses all values but those of gradients."""
        run = Run(self.graph, {**self.given, **given}, self.arithmetic, self.stored)
        run._values = {name: value for name, value in self._values.items() if not name.startswith(GRADIENT_PREFIX)}
        return run

    def replaced(self, changes: Mapping[str, Node]) -> "Run":
        """The run of the graph with some nodes replaced."""
        graph = self.graph.replaced(changes)
        return self.with_graph(graph, differing(self.graph, graph, self.given))

    def value(self, name: str) -> Array:
        """The given tensor of this name; else the computed one."""
        if name not in self._values:
            if name in self.given:
                self._values[name] = self._arithmetic(name).load(self.given[name], name, self.stored.get(name))
            else:
                self._values[name] = self.compute(name)
        return self._values[name]

    def compute(self, name: str) -> Array:
        """The result of the tensor's operation on its inputs' values, even if the tensor is given."""
        for needed in self._order(name):
            if needed != name and needed not in self._values:
                self._values[needed] = self._compute(needed)
        return self._compute(name)

    def gradient(self, name: str) -> Array:
        """The given gradient by this tensor; else the computed one."""
        return self.value(GRADIENT_PREFIX + name)

    def _order(self, name: str) -> list[str]:
        """The tensors to compute for this one, in order; itself last."""
        order: list[str] = []
        waiting, visited = [(name, False)], set()
        while waiting:
            each, ready = waiting.pop()
            if ready:
                order.append(each)
                continue
            if each in visited:
                continue
            visited.add(each)
            waiting.append((each, True))
            for read in self.inputs_of(each):
                if read not in self._values:
                    if read in self.given:
                        self.value(read)
                    else:
                        waiting.append((read, False))
        return order

    def inputs_of(self, name: str) -> list[str]:
        """The names of the tensors and gradients from which a tensor or gradient is computed.

        Raises:
            KeyError: a source, which is not computed.
        """
        if not name.startswith(GRADIENT_PREFIX):
            node = self.graph.nodes[name]
            if node.operation is None:
                raise KeyError(name)
            return list(node.inputs)
        inputs = []
        for consumer in self.graph.consumers[name.removeprefix(GRADIENT_PREFIX)]:
            if consumer in self.graph.differentiable:
                inputs += [GRADIENT_PREFIX + consumer, *self.graph.nodes[consumer].inputs]
        return inputs

    def _compute(self, name: str) -> Array:
        if name.startswith(GRADIENT_PREFIX):
            return self._compute_gradient(name.removeprefix(GRADIENT_PREFIX))
        y, _, terms = self._forward(name)
        arithmetic = self._arithmetic(name)
        return arithmetic.store(y, name, terms[0], product=self._multiplies(name), unit=self._unit(name))

    def _forward(self, name: str) -> tuple[Array, Any, tuple[int, ...]]:
        """y, the cache, and how many terms are summed for y and for the derivative by each input."""
        node = self.graph.nodes[name]
        assert node.operation is not None
        inputs = [self.value(read) for read in node.inputs]
        if node.operation.multiplies:
            inputs = [
                self.arithmetic.factor(one, f"{name} {read}") for one, read in zip(inputs, node.inputs, strict=True)
            ]
        y, cache = node.operation.forward(*inputs, **node.settings)
        return y, cache, node.operation.terms(y.shape, *(one.shape for one in inputs))

    def _backward(self, name: str) -> tuple[tuple[Array | None, ...], tuple[int, ...]]:
        """The derivatives by each input of a node, and how many terms are summed for each.

        The last few are cached, since a backward pass needs those of a node's inputs one after the other.
        """
        if name not in self._derivatives:
            _, cache, (_, *terms) = self._forward(name)
            operation = self.graph.nodes[name].operation
            assert operation is not None
            dy = self.gradient(name)
            derivatives = operation.backward(dy, cache)
            if operation.backward in ROW_TERMS and self.arithmetic.sums_rows_in_16_bits:
                of_rows = ROW_TERMS[operation.backward](dy, cache)
                derivatives = tuple(
                    one if rows is None else self.arithmetic.sum_of_rows(rows)
                    for one, rows in zip(derivatives, of_rows, strict=True)
                )
                terms = [count if rows is None else 1 for count, rows in zip(terms, of_rows, strict=True)]
            self._derivatives[name] = derivatives, tuple(terms)
            if len(self._derivatives) > CACHED_NODES:
                del self._derivatives[next(iter(self._derivatives))]
        return self._derivatives[name]

    def _compute_gradient(self, name: str) -> Array:
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
        if total is None:  # the loss itself, or a tensor that does not lead to it
            last = name == next(reversed(self.graph.nodes))
            total = np.ones((), self.arithmetic.dtype) if last else np.zeros_like(self.value(name))
        rows = self.graph.nodes[name].axes == "parameter"
        product = any(map(self._multiplies, self.graph.consumers[name]))
        return self.arithmetic.store(
            total, GRADIENT_PREFIX + name, most, rows, product, self._unit(GRADIENT_PREFIX + name)
        )

    def _arithmetic(self, name: str) -> Arithmetic:
        """The arithmetic of a tensor: the run's, or that of float32 where the run's is coarser than the tensor."""
        own = storage_roundoff(self.arithmetic.precision)
        if storage_roundoff(self.stored.get(name, self.arithmetic.precision)) < own > UNIT_ROUNDOFF["float32"]:
            return replace(self.arithmetic, precision="float32")
        return self.arithmetic

    def _unit(self, name: str) -> float:
        return storage_roundoff(self.stored[name]) if name in self.stored else 0.0

    def _multiplies(self, name: str) -> bool:
        operation = self.graph.nodes[name].operation
        return operation is not None and operation.multiplies


def differing(graph: Graph, other: Graph, given: Collection[str]) -> set[str]:
    """The names of the tensors and gradients that two graphs compute differently.

    Args:
        graph, other: graphs of mostly the same nodes; the other one may have further ones.
        given: names of tensors that are given, so that a difference does not spread through them.
    """
    changed = {name for name, node in other.nodes.items() if node is not graph.nodes.get(name)}
    found = set(changed)
    gradients = [GRADIENT_PREFIX + name for name in graph.differentiable ^ other.differentiable]
    gradients += [GRADIENT_PREFIX + read for name in changed & graph.nodes.keys() for read in graph.nodes[name].inputs]
    for name, node in other.nodes.items():
        if name in changed or any(read in found and read not in given for read in node.inputs):
            found.add(name)
            gradients += [GRADIENT_PREFIX + read for read in node.inputs]
    while gradients:
        name = gradients.pop()
        if name not in found:
            found.add(name)
            if name not in given:
                gradients += [GRADIENT_PREFIX + read for read in other.nodes[name.removeprefix(GRADIENT_PREFIX)].inputs]
    return found
