"""The gradients of a port that are wrong, each beside the one that the graph computes on the port's own tensors."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node, Run, storage_roundoff
from npswin.verify.mistakes import Changes
from npswin.verify.mistakes.mistake import change_node, with_backward
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.port.distance import finite_rms
from npswin.verify.port.dump_errors import CorrectedDump
from npswin.verify.port.local_error import LocalErrors

ROUNDINGS = 4  # that all gradients share, as those of the derivative by the logits
SMALLEST_NEARNESS = 1e-12
UNRELATED = 0.5  # of a gradient, the part that is no multiple of the right one
SEEN = 1e-12  # size of a gradient, relative to the tensor's
Rule = Callable[[Array, Array], Array]  # (a tensor's gradient, the tensor) -> what is made of the gradient


@dataclass(frozen=True)
class WrongGradient:
    """A gradient of the port, and the right one; both in float64.

    Attributes:
        found, right: the port's, and the right one.
        rounding: the largest difference of a number that rounding explains.
    """

    found: Array
    right: Array
    rounding: float = 0.0

    @property
    def is_zero(self) -> bool:
        """Whether the port's is 0, up to rounding errors of the sums in it, which are no multiple of the right one."""
        is_small = bool((np.abs(self.found) <= self.rounding).all())
        return is_small and (not self.found.any() or self.residual > UNRELATED)

    @cached_property
    def factor(self) -> float:
        """The number that brings the right one nearest to the port's."""
        return float(np.vdot(self.right, self.found) / np.vdot(self.right, self.right))

    @cached_property
    def residual(self) -> float:
        """The part of the port's that is not a multiple of the right one, relative to the whole."""
        norm = float(np.linalg.norm(self.found))
        return float(np.linalg.norm(self.found - self.factor * self.right)) / norm if norm else 0.0

    @cached_property
    def uncertainty(self) -> float:
        """The relative standard error of the factor."""
        return self.residual / np.sqrt(max(self.found.size - 1, 1))


@dataclass(frozen=True)
class GradientSymptoms:
    """All wrong gradients.

    Attributes:
        run: the graph on the port's own tensors.
        first: the name of the tensor with the first wrong gradient.
        wrong: by tensor, without "grad/", in the order of the dump.
        nearness: the relative distance within which the port's precision cannot tell two numbers apart.
        loss_is_right: whether the port dumped the loss, and it is right.
        loss_was_dumped: whether it dumped the loss.
    """

    run: Run
    first: str
    wrong: dict[str, WrongGradient]
    nearness: float
    loss_is_right: bool
    loss_was_dumped: bool = False

    @property
    def graph(self) -> Graph:
        """The graph with the mistakes found so far."""
        return self.run.graph

    @property
    def loss(self) -> Node:
        """The node of the loss."""
        return self.graph.nodes[next(reversed(self.graph.nodes))]

    @cached_property
    def parameters(self) -> list[str]:
        """The parameters with a gradient."""
        return [name for name in self.graph.parameters if name in self.graph.differentiable]

    @cached_property
    def wrong_parameters(self) -> dict[str, WrongGradient]:
        """The wrong gradients of parameters."""
        return {name: one for name, one in self.wrong.items() if name in set(self.parameters)}

    @cached_property
    def right_factors(self) -> dict[str, float]:
        """The factors of the parameters' gradients that are not wrong, as far as they are more than rounding errors."""
        factors = {}
        for name in self.parameters:
            found = self.run.given.get(GRADIENT_PREFIX + name)
            if found is not None and name not in self.wrong and is_seen(self.run, name):
                right = self.run.compute(GRADIENT_PREFIX + name)
                if right.any() and right.shape == found.shape:
                    factors[name] = WrongGradient(found, right).factor
        return factors

    def contradicts(self, factor: float, from_loss: bool) -> bool:
        """Whether a gradient that is right would be wrong if all of them had a factor.

        Args:
            factor: of all gradients.
            from_loss: whether it is that of the loss, so that it changes what is computed from that.
        """
        return any(
            abs(one - 1) < abs(one - factor) / 2 and (not from_loss or self.follows_from_loss(name))
            for name, one in self.right_factors.items()
        )

    def follows_from_loss(self, name: str = "") -> bool:
        """Whether a gradient, the first wrong one if not given, is computed from no other one of the port's."""
        waiting, visited = [name or self.first], set()
        while waiting:
            for user in self.graph.consumers[waiting.pop()]:
                if user == self.loss.name:
                    return True
                computed = user in self.graph.differentiable and GRADIENT_PREFIX + user not in self.run.given
                if computed and user not in visited:
                    visited.add(user)
                    waiting.append(user)
        return False


def is_seen(run: Run, name: str) -> bool:
    """Whether a dumped gradient is more than rounding errors, unlike that of a key's bias."""
    given, value = run.given[GRADIENT_PREFIX + name], run.value(name)
    return float(np.abs(given).max(initial=0)) > SEEN * float(np.abs(value).max(initial=0))


def gradient_symptoms(
    symptom: str, symptoms: Collection[str], dump: CorrectedDump, local_errors: LocalErrors
) -> GradientSymptoms | None:
    """The wrong gradients of a port; None unless the first symptom is one that can be compared.

    Args:
        symptom, symptoms: the first one, and all of them.
        dump: what the port has.
        local_errors: each operation on the port's own inputs.
    """
    wrong = {}
    for name in symptoms:
        array = dump.tensor(name)
        if not name.startswith(GRADIENT_PREFIX) or array is None or not np.isfinite(array).all():
            continue
        try:
            right = local_errors.expected(name)
        except NotApplicable:
            continue
        if right is not None and right.shape == array.shape and right.any() and np.isfinite(right).all():
            inner = name.removeprefix(GRADIENT_PREFIX)
            error = local_errors.error(name, array)
            rounding = 0.0 if error is None else error.tolerance.peak * finite_rms(right)
            wrong[inner] = WrongGradient(np.asarray(array, np.float64), np.asarray(right, np.float64), rounding)
    first = symptom.removeprefix(GRADIENT_PREFIX)
    is_read = bool(local_errors.graph.consumers[first])  # not where a mistake that was found makes it unused
    if first not in wrong or symptom == first or not is_read:
        return None
    estimator = local_errors.estimator
    precision = estimator.stored.get(symptom, estimator.precision)
    nearness = max(ROUNDINGS * storage_roundoff(precision), SMALLEST_NEARNESS)
    loss = next(reversed(local_errors.graph.nodes))
    was_dumped = dump.is_readable(loss)
    return GradientSymptoms(local_errors.exact, first, wrong, nearness, was_dumped and loss not in symptoms, was_dumped)


def scaled_from(node: Node, factor: float) -> Changes:
    """The node with its derivatives by all inputs multiplied: so are all gradients that follow."""
    operation = node.operation
    assert operation is not None

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        return operation.backward(dy * dy.dtype.type(factor), cache)

    return change_node(node, with_backward(operation, backward))


def with_gradients(graph: Graph, rules: Mapping[str, Rule]) -> Changes:
    """The graph's changes that make something else of some tensors' gradients."""
    changes: Changes = {}
    for tensor, rule in rules.items():
        for user in graph.consumers[tensor]:
            if user in graph.differentiable:
                node = changes.get(user, graph.nodes[user])
                for index, read in enumerate(node.inputs):
                    if read == tensor:
                        node = _with_rule(node, index, rule)
                changes[user] = node
    return changes


def _with_rule(node: Node, index: int, rule: Rule) -> Node:
    operation = node.operation
    assert operation is not None

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        y, cache = operation.forward(*inputs, **settings)
        return y, (cache, inputs[index])

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        cache, value = caches
        derivatives = list(operation.backward(dy, cache))
        derivative = derivatives[index]
        if derivative is not None:
            derivatives[index] = np.asarray(rule(derivative, value), derivative.dtype)
        return tuple(derivatives)

    return replace(node, operation=replace(operation, forward=forward, backward=backward))
