"""Gradients that are another sum than they should be: a term is missing, doubled, or made of another tensor."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.combination import find_combination
from npswin.verify.fits.numbers import chosen
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node, Operation, Run
from npswin.verify.mistakes.mistake import Changes, change_node
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.mistakes.terms import DERIVATIVES, Derivative
from npswin.verify.mistakes.terms.derivative import Known, described

MOST_FITTED = 1  # factors of a sum that are no known numbers


class OtherTerms(NamedTuple):
    """Another derivative by an input of an operation, at a place or at several.

    Attributes:
        description, detail, fix: of the cause.
        place: the first node whose derivative is changed.
        changes: of the graph.
        fitted: how many numbers were fitted.
        everywhere: whether it is at all places of a kind.
        varies: whether it is the same mistake with other numbers at other places.
    """

    description: str
    detail: str
    fix: str
    place: str
    changes: Changes
    fitted: int
    everywhere: bool
    varies: bool = False


@dataclass(frozen=True)
class _Sum:
    """A sum of terms whose factors are numbers, or names of numbers that each place has, with a sign."""

    derivative: Derivative
    factors: Mapping[str, tuple[float, str]]

    def at(self, known: Known) -> Array:
        """The sum at a place.

        Raises:
            NotApplicable: the place has no such term or number.
        """
        numbers = self.derivative.numbers(known)
        total: Any = 0.0
        for name, (factor, words) in self.factors.items():
            if words and words not in numbers:
                raise NotApplicable(f"{name}: there is no number {words}")
            total = total + self.derivative.terms[name](known) * (factor * numbers.get(words, 1.0))
        return np.asarray(total)


def fit_other_terms(run: Run, symptom: str, found: Array, tolerance: float) -> Iterator[OtherTerms]:
    """Explanations of a gradient by the derivative of one of the operations that read the tensor.

    Args:
        run: the graph on the port's own inputs.
        symptom: the gradient's name.
        found: the port's gradient.
        tolerance: the largest difference of equal numbers.
    """
    tensor = symptom.removeprefix(GRADIENT_PREFIX)
    if tensor == symptom or not np.isfinite(found).all() or not found.any():
        return
    users = run.graph.differentiable_consumers(tensor)
    parts = {user: derivative_by(run, user, tensor) for user in users}
    for user in users:
        node = run.graph.nodes[user]
        derivative = _derivatives(node).get(node.inputs.index(tensor))
        if derivative is None or node.inputs.count(tensor) != 1:
            continue
        rest = found - sum((array for other, array in parts.items() if other != user), np.zeros(found.shape))
        one = _fit(run, node, derivative, rest, tolerance)
        if one is not None:
            yield from _at_places(run.graph, node, node.inputs.index(tensor), *one)


def _derivatives(node: Node) -> Mapping[int, Derivative]:
    return {} if node.operation is None else DERIVATIVES.get(node.operation.name, {})


def derivative_by(run: Run, user: str, tensor: str, changed: Operation | None = None) -> Array:
    """The share of one node, `user`, in a tensor's derivative, by its operation or by another one."""
    node = run.graph.nodes[user]
    operation = changed or node.operation
    assert operation is not None
    _, cache = operation.forward(*(run.value(read) for read in node.inputs), **node.settings)
    derivatives = operation.backward(run.gradient(user), cache)
    own = [one for read, one in zip(node.inputs, derivatives, strict=True) if read == tensor and one is not None]
    return np.asarray(sum(own[1:], own[0]) if own else np.zeros_like(run.value(tensor)))


def _fit(run: Run, node: Node, derivative: Derivative, found: Array, tolerance: float) -> tuple[_Sum, str, int] | None:
    """The sum that a derivative is, in words, and how many of its factors are fitted."""
    inputs = tuple(run.value(read) for read in node.inputs)
    known = Known(run.gradient(node.name), inputs, run.value(node.name), node.settings)
    terms = {}
    for name, term in derivative.terms.items():
        try:
            array = np.asarray(term(known))
        except NotApplicable:
            continue
        if array.size == found.size:
            terms[name] = array
    if not all(name in terms for name in derivative.right):
        return None
    numbers = derivative.numbers(known)
    best = find_combination(found, terms, derivative.right, list(numbers.values()), tolerance)
    if best is None or best.fitted > MOST_FITTED or not best.changed:
        return None
    factors = {name: _with_words(factor, numbers) for name, factor in best.factors.items()}
    return _Sum(derivative, factors), described(derivative, best.factors, numbers), best.fitted


def _with_words(factor: float, numbers: Mapping[str, float]) -> tuple[float, str]:
    for words, number in numbers.items():
        if abs(factor) == number:
            return float(np.sign(factor)), words
    return chosen(factor), ""


def _at_places(graph: Graph, node: Node, index: int, other: _Sum, words: str, fitted: int) -> Iterator[OtherTerms]:
    """The derivative changed in this place, in those of the same name, and in all of the same operation."""
    assert node.operation is not None
    description = f"the backward pass of {_kind(node)} is another one"
    alike = [
        name
        for name in reversed(graph.nodes)
        if name in graph.differentiable and _is_like(graph.nodes[name], node) and len(graph.nodes[name].inputs) > index
    ]
    of_name = [name for name in alike if _last(name) == _last(node.name)]
    sets = [[node.name], *([of_name] if len(of_name) > 1 else []), *([alike] if len(alike) > len(of_name) else [])]
    for places in sets:
        changes: Changes = {}
        for name in places:
            changes |= change_node(graph.nodes[name], _with_sum(graph.nodes[name], index, other))
        where = f"; in all of {len(places)} places" if len(places) > 1 else ""
        fix = other.derivative.formula
        yield OtherTerms(description, f"{words}{where}", fix, places[0], changes, fitted, len(places) > 1)


def _is_like(node: Node, other: Node) -> bool:
    return node.operation is not None and other.operation is not None and node.operation.name == other.operation.name


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _kind(node: Node) -> str:
    """The operation, in words."""
    assert node.operation is not None
    return {
        "layer_norm": "a norm",
        "softmax": "the softmax",
        "gelu": "GELU",
        "linear": "a linear layer",
        "scale": "the scale of q",
        "scores": "q kᵀ",
        "mix": "P v",
        "add_bias": "scores + bias",
        "add_mask": "scores + mask",
        "position_bias": "the look-up in the bias table",
        "mean_pool": "the pool",
        "pad": "the padding",
        "patch_embed": "the patch embedding",
        "residual": "a residual sum",
        "patch_concat": "the concatenation of four neighbours",
        "cross_entropy": "the loss",
    }[node.operation.name]


def _with_sum(node: Node, index: int, other: _Sum) -> Operation:
    """The operation with a sum as its derivative by one input; with the right one where there is no such term."""
    operation = node.operation
    assert operation is not None

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        y, cache = operation.forward(*inputs, **settings)
        return y, (cache, inputs, y)

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        cache, inputs, y = caches
        derivatives = list(operation.backward(dy, cache))
        try:
            changed = other.at(Known(dy, inputs, y, node.settings))
        except NotApplicable:
            return tuple(derivatives)
        derivatives[index] = changed.reshape(inputs[index].shape).astype(dy.dtype)
        return tuple(derivatives)

    return replace(operation, forward=forward, backward=backward)
