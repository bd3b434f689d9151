"""A computation as a graph: each node is a tensor, with its operation and the operation's inputs."""

import math
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from npswin.types import Array

Shape = tuple[int, ...]
GRADIENT_PREFIX = "grad/"  # prefix of a tensor's name, for the derivative of the loss by the tensor


def summed_where_repeated(y: Shape, *inputs: Shape) -> tuple[int, ...]:
    """The `terms` of an operation without a sum in its forward pass; the backward pass sums over a repeated input."""
    return 1, *(max(1, math.prod(y) // max(1, math.prod(shape))) for shape in inputs)


@dataclass(frozen=True)
class Operation:
    """A pair of a forward and a backward function, as in `npswin.ops`.

    Attributes:
        name: such as "layer_norm".
        forward: (*inputs, **settings) -> y, cache.
        backward: (dy, cache) -> the derivative by each input in order; None for one without, such as labels.
        terms: (y's shape, *inputs' shapes) -> how many terms are summed for a number of y, and for a number of the
            derivative by each input. The rounding error of a sum grows with the number of its terms.
        multiplies: whether it is a product of matrices, as tensor cores compute it.
    """

    name: str
    forward: Callable[..., tuple[Array, Any]]
    backward: Callable[[Array, Any], tuple[Array | None, ...]]
    terms: Callable[..., tuple[int, ...]] = summed_where_repeated
    multiplies: bool = False


@dataclass(frozen=True)
class Node:
    """One tensor, and how it is computed.

    Attributes:
        name: the module's official path and the tensor's name, such as "layers.0.blocks.1.attn.scores".
        operation: computes it; None for a source: pixels, labels, a parameter.
        inputs: names of the tensors that it is computed from, parameters included.
        settings: the operation's keyword arguments.
        axes: the layout, such as "B, nW, heads, query, key".
        formula: of the operation.
        source: the paper and section with the formula.
    """

    name: str
    operation: Operation | None
    inputs: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    axes: str = ""
    formula: str = ""
    source: str = ""


class Graph:
    """Nodes by name, in an order in which they can be computed, sources first.

    Attributes:
        nodes: by name.
        consumers: by name the names of the tensors that are computed from it.
        differentiable: the names of the tensors with a gradient: those between a parameter, or "input", and the loss.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        given = {node.name: node for node in nodes}
        self.nodes = _ordered(given)
        self.consumers: dict[str, list[str]] = {name: [] for name in self.nodes}
        for name, node in self.nodes.items():
            for read in dict.fromkeys(node.inputs):
                self.consumers[read].append(name)
        self.differentiable = self._differentiable()

    def replaced(self, changes: Mapping[str, Node]) -> "Graph":
        """The graph with some nodes replaced."""
        if not all(name in self.nodes and _same_edges(self.nodes[name], node) for name, node in changes.items()):
            return Graph({**self.nodes, **changes}.values())
        graph = copy(self)  # the order, the consumers and the differentiable tensors stay
        graph.nodes = {**self.nodes, **changes}
        return graph

    @property
    def parameters(self) -> list[str]:
        """The names of the model's parameters."""
        return [name for name, node in self.nodes.items() if node.operation is None and node.axes == "parameter"]

    @property
    def computed(self) -> list[str]:
        """The names of the tensors that are computed, in order."""
        return [name for name, node in self.nodes.items() if node.operation is not None]

    def differentiable_consumers(self, name: str) -> list[str]:
        """The names of the tensors by which a tensor gets its gradient: computed from it, and with one themselves."""
        return [user for user in self.consumers[name] if user in self.differentiable]

    def backward_order(self) -> list[str]:
        """The tensors that have a gradient, in an order in which a backward pass finishes them: the loss first."""
        differentiable = self.differentiable
        waiting = {name: sum(use in differentiable for use in uses) for name, uses in self.consumers.items()}
        order: list[str] = []
        for name in reversed(self.nodes):
            if name not in differentiable or self.nodes[name].operation is None:
                continue
            if not order:
                order.append(name)
            for read in dict.fromkeys(self.nodes[name].inputs):
                waiting[read] -= 1
                if not waiting[read] and read in differentiable:
                    order.append(read)
        return order

    def _differentiable(self) -> set[str]:
        last = next(reversed(self.nodes))
        leads_to_loss, reached = {last}, set(self.parameters) | {"input"}
        for name in reversed(self.nodes):
            if name in leads_to_loss:
                leads_to_loss.update(self.nodes[name].inputs)
        for name, node in self.nodes.items():
            if any(read in reached for read in node.inputs):
                reached.add(name)
        return leads_to_loss & reached


def _same_edges(node: Node, other: Node) -> bool:
    """Whether two nodes of one name have the same inputs, and both are parameters or neither is."""
    both = (node.inputs, node.operation is None, node.axes), (other.inputs, other.operation is None, other.axes)
    return node.name == other.name and both[0] == both[1]


def _ordered(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """The nodes in the given order, except that each comes after its inputs."""
    ordered: dict[str, Node] = {}
    entered = set()
    for start in nodes:
        waiting = [start]
        while waiting:
            name = waiting[-1]
            missing = [read for read in nodes[name].inputs if read not in ordered]
            if name in ordered or not missing:
                ordered.setdefault(name, nodes[name])
                waiting.pop()
            elif name in entered:
                raise ValueError(f"{name}: is computed from itself")
            else:
                entered.add(name)
                waiting += missing[::-1]
    return ordered
