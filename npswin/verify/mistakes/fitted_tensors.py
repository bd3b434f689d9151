"""Mistakes that are read off a tensor: the right numbers in other places, rounded, scaled, or a function of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, Pair
from npswin.verify.fits.families import explanations, first_explanation
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node, Operation, Run
from npswin.verify.mistakes.axis_parts import axis_parts
from npswin.verify.mistakes.combined import combine_input, combine_output
from npswin.verify.mistakes.mistake import (
    Changes,
    change_node,
    is_output_of,
    transform_derivative,
    transform_output,
    with_sums,
)
from npswin.verify.mistakes.named_vectors import named_vectors, reading_vectors, vectors_words

MOVING = ("cut_windows", "join_windows", "cyclic_shift", "split_heads", "merge_heads", "patch_concat")
SUMS = ("residual", "add_bias", "add_mask")
MOST_FITTED_OF_GRADIENT = 0.1  # share of a gradient's numbers: as many say nothing of a backward pass
MOST_OTHERS = 200  # tensors that may be there in place of another one


class Fit(NamedTuple):
    """An explanation of a tensor of the port.

    Attributes:
        detail: in words.
        changes: of the graph.
        fitted: how many numbers were fitted.
        also: other details that fit as well.
    """

    detail: str
    changes: Changes
    fitted: int
    also: tuple[str, ...] = ()


def fit_output(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a tensor by the result that its operation should have.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    right = run.compute(name)
    if right.shape != found.shape:
        return
    only_moves = not name.startswith(GRADIENT_PREFIX) and is_output_of(run.graph.nodes[name], *MOVING)
    moved = list(_moved_inputs(run, name, found, tolerance)) if only_moves else []
    related = _related(run, name, found, right, tolerance)
    if moved:  # in the input's own axes, unless the result's order tells it in fewer words
        elsewhere = tuple(f"it is {read}, and " for read in run.graph.nodes[name].inputs)
        related = iter(sorted([*moved, *related], key=lambda fit: (fit.detail.startswith(elsewhere), len(fit.detail))))
    yield from related
    if name.startswith(GRADIENT_PREFIX):
        yield from _moved_derivative(run, name, found, tolerance)
    else:
        if not only_moves:
            yield from _moved_inputs(run, name, found, tolerance)
        yield from _addends(run, name, found, tolerance)


def _related(run: Run, name: str, found: Array, right: Array, tolerance: float) -> Iterator[Fit]:
    """Relations to the result that the operation should have."""
    parts = axis_parts(run.graph, name.removeprefix(GRADIENT_PREFIX), right.shape)
    others, conditions = _others(run, name, found.size), _conditions(run, name, found.shape)
    if name in run.graph.nodes and is_output_of(run.graph.nodes[name], *SUMS):  # its terms: see `_addends`
        others = {other: array for other, array in others.items() if other not in run.graph.nodes[name].inputs}
    for explanation in explanations(Evidence(found, right, parts, tolerance, others, conditions)):
        if named := named_vectors(run, name, right, explanation, tolerance):
            words = vectors_words(explanation.vectors, named)
            if name in run.graph.nodes:
                yield Fit(words, reading_vectors(run.graph.nodes[name], explanation.vectors, named), 0)
                return  # other families find the same numbers
            explanation = replace(explanation, words=words, fitted=0)
        if name.startswith(GRADIENT_PREFIX) and explanation.fitted > MOST_FITTED_OF_GRADIENT * found.size:
            continue
        changes = _changes(run.graph, name, explanation, found.shape)
        if changes is not None:
            words = explanation.words
            source = explanation.source
            if source and name in run.graph.nodes and run.value(source).shape != found.shape:
                words += f", its memory read as ({run.graph.nodes[name].axes})"
            yield Fit(words, changes, explanation.fitted, explanation.also)


def _moved_inputs(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """The numbers of an input of the same size, in an order that its operation does not give."""
    node = run.graph.nodes[name]
    for index, read in enumerate(node.inputs):
        value = run.value(read)
        if value.size != found.size or run.graph.nodes[read].axes == "parameter":
            continue
        split = axis_parts(run.graph, read, value.shape)
        for explanation in explanations(Evidence(found.reshape(value.shape), value, split, tolerance, {})):
            if not explanation.fitted or is_output_of(node, "gelu"):
                operation = _rearranged_input(node, index, explanation.pair, found.shape)
                near = (
                    f" (up to {np.abs(found - run.compute(name)).max():.2g} from GELU)"
                    if explanation.fitted > 2
                    else ""
                )
                words = f"it is {read}, but {explanation.words}{near}"
                yield Fit(words, change_node(node, operation), explanation.fitted)
                break


def _moved_derivative(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """The numbers of the derivative from which this one is computed, in an order that the operation does not give."""
    inner = name.removeprefix(GRADIENT_PREFIX)
    users = run.graph.differentiable_consumers(inner)
    if len(users) != 1 or run.graph.nodes[users[0]].inputs.count(inner) != 1:
        return
    node, dy = run.graph.nodes[users[0]], run.gradient(users[0])
    if dy.size != found.size or node.operation is None:
        return
    split = axis_parts(run.graph, node.name, dy.shape)
    explanation = first_explanation(Evidence(found.reshape(dy.shape), dy, split, tolerance, {}))
    if explanation is not None and not explanation.fitted:
        operation = _with_derivative(node.operation, node.inputs.index(inner), explanation.pair, found.shape)
        yield Fit(f"it is grad/{node.name}, but {explanation.words}", change_node(node, operation), 0)


def _with_derivative(operation: Operation, index: int, pair: Pair, shape: tuple[int, ...]) -> Operation:
    """The operation with the derivative by one input made from that by its result."""

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        derivatives = list(operation.backward(dy, cache))
        derivatives[index] = pair[0](dy)[0].reshape(shape)
        return tuple(derivatives)

    return replace(operation, backward=backward)


def _addends(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """A sum in which one term is another one than it should be."""
    node = run.graph.nodes[name]
    if not is_output_of(node, *SUMS):
        return
    assert node.operation is not None
    parts = axis_parts(run.graph, name, found.shape)
    for index, read in enumerate(node.inputs):
        term = _term(run, node, index)
        rest = run.compute(name) - term
        others = {other: array for other, array in _others(run, name, found.size).items() if other != read}
        explanation = first_explanation(Evidence(found - rest, term, parts, 2 * tolerance, others))
        if explanation is None:
            continue
        if explanation.combination and is_output_of(node, "residual"):
            changes = combine_input(run.graph, node, index, read, explanation.source, explanation.combination)
        else:
            changes = change_node(node, _with_term(node.operation, index, explanation.pair))
        also = tuple(f"{read}: {words}" for words in explanation.also)
        yield Fit(f"{read}: {explanation.words}", changes, explanation.fitted, also)


def _term(run: Run, node: Node, index: int) -> Array:
    """One of the terms of a sum, in the sum's shape."""
    assert node.operation is not None
    inputs = [run.value(read) for read in node.inputs]
    alone = (one if place == index else np.zeros_like(one) for place, one in enumerate(inputs))
    y, _ = node.operation.forward(*alone, **node.settings)
    return np.asarray(y)


def _without_term(operation: Operation, index: int, inputs: Sequence[Array], settings: Mapping[str, Any]) -> Array:
    zero = np.zeros_like(inputs[index])
    return operation.forward(*inputs[:index], zero, *inputs[index + 1 :], **settings)[0]


def _with_term(operation: Operation, index: int, pair: Pair) -> Operation:
    """A sum with a pair applied to one of its terms, in the sum's shape."""

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        y, cache = operation.forward(*inputs, **settings)
        rest = _without_term(operation, index, inputs, settings)
        term, own = pair[0](y - rest)
        return rest + term, (cache, own)

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        cache, own = caches
        derivatives = list(operation.backward(dy, cache))
        derivatives[index] = operation.backward(pair[1](dy, own), cache)[index]
        return tuple(derivatives)

    return replace(operation, forward=forward, backward=backward)


def _rearranged_input(node: Node, index: int, pair: Pair, shape: tuple[int, ...]) -> Operation:
    """A pair applied to one input in place of the node's operation."""
    assert node.operation is not None

    def forward(*inputs: Array, **_: Any) -> tuple[Array, Any]:
        y, cache = pair[0](inputs[index])
        return y.reshape(shape), (cache, inputs[index].shape, len(inputs))

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        cache, own, count = caches
        derivative = pair[1](dy.reshape(own), cache).reshape(own)
        return tuple(derivative if place == index else None for place in range(count))

    return replace(node.operation, forward=forward, backward=backward)


def _as_it_is(shape: tuple[int, ...]) -> Operation:
    """The input itself."""
    return Operation("identity", lambda x, **_: (x.reshape(shape), x.shape), lambda dy, own: (dy.reshape(own),))


def _others(run: Run, name: str, size: int) -> Mapping[str, Array]:
    """Tensors of the port of this size that are computed before, in the same pass; those of the same module first."""
    own, order = name.rpartition(".")[0], list(run.graph.nodes)
    if name.startswith(GRADIENT_PREFIX):
        order = [GRADIENT_PREFIX + other for other in run.graph.backward_order()]
    names = [
        other
        for other in order[: order.index(name) if name in order else 0]  # by another mistake nothing may lead to it
        if other in run.given and run.given[other].size == size and np.issubdtype(run.given[other].dtype, np.floating)
    ]
    names.sort(key=lambda other: other.rpartition(".")[0] != own)
    return {other: run.value(other) for other in names[:MOST_OTHERS]}


def _conditions(run: Run, name: str, shape: tuple[int, ...]) -> dict[str, Array]:
    """Arrays whose signs may decide about a tensor's numbers: what it is computed from, of a gradient the tensor."""
    inner = name.removeprefix(GRADIENT_PREFIX)
    node = run.graph.nodes[inner]
    if inner == name:
        arrays = {read: run.value(read) for read in node.inputs if run.value(read).shape == shape}
        if is_output_of(node, *SUMS):
            arrays |= {read: _term(run, node, index) for index, read in enumerate(node.inputs)}
        return arrays
    arrays = {inner: run.value(inner)} if run.value(inner).shape == shape else {}
    labels = [read for user in run.graph.consumers[inner] for read in run.graph.nodes[user].inputs if read == "labels"]
    if labels and len(shape) == 2:
        arrays["the label's one-hot vector"] = np.eye(shape[1])[run.value("labels")]
    return arrays


def _changes(graph: Graph, name: str, explanation: Explanation, shape: tuple[int, ...]) -> Changes | None:
    """The graph's nodes with an explanation made part of the operation, if one operation computes the tensor."""
    if not name.startswith(GRADIENT_PREFIX):
        node = graph.nodes[name]
        assert node.operation is not None
        if explanation.source and explanation.combination:
            return combine_output(graph, node, explanation.source, explanation.combination)
        if explanation.source:
            return change_node(node, _as_it_is(shape), inputs=(explanation.source,))
        return change_node(node, with_sums(transform_output(node.operation, explanation.pair), explanation.terms))
    inner, forward = name.removeprefix(GRADIENT_PREFIX), explanation.pair[0]
    users = [graph.nodes[user] for user in graph.differentiable_consumers(inner)]
    if len(users) != 1 or users[0].inputs.count(inner) != 1:
        return None  # a sum of several derivatives
    operation = users[0].operation
    assert operation is not None
    index = users[0].inputs.index(inner)
    return change_node(users[0], transform_derivative(operation, index, lambda dx: forward(dx)[0]))
