"""Backward passes that read a buffer after another place has written its own numbers there."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node, Operation, Run
from npswin.verify.graph.operations import CONTEXT, GELU, LAYER_NORM, LINEAR, SCORES
from npswin.verify.mistakes.counterparts import counterparts
from npswin.verify.mistakes.mistake import Changes, is_output_of
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.mistakes.other_terms import OtherTerms, derivative_by

MOST_TENSORS = 16  # that may be in the buffer
DESCRIPTION = "the backward pass reads a buffer in which there are the numbers of a later place"


def fit_overwritten(run: Run, symptom: str, found: Array, tolerance: float) -> Iterator[OtherTerms]:
    """Explanations of a gradient by a norm's statistics, or a linear layer's input, of a later place.

    Args:
        run: the graph on the port's own inputs.
        symptom: the gradient's name.
        found: the port's gradient.
        tolerance: the largest difference of equal numbers.
    """
    tensor = symptom.removeprefix(GRADIENT_PREFIX)
    if tensor == symptom or not np.isfinite(found).all() or found.size < 2:
        return
    users = run.graph.differentiable_consumers(tensor)
    for user in users:
        node = run.graph.nodes[user]
        if node.inputs.count(tensor) != 1 or not _reads_a_buffer(node, node.inputs.index(tensor)):
            continue
        others = sum((derivative_by(run, one, tensor) for one in users if one != user), np.zeros(found.shape))
        for other in _later(run.graph, node):
            if run.value(other).shape != run.value(node.inputs[0]).shape:
                continue
            for of_input in (True, False) if is_output_of(node, "layer_norm") else (True,):
                operation = _with_buffer(node, run.value(other), of_input)
                made = derivative_by(run, user, tensor, operation)
                if np.abs(others + made - found).max() <= 2 * tolerance:
                    yield from _at_places(run, node, other, of_input)


def _at_places(run: Run, node: Node, other: str, of_input: bool) -> Iterator[OtherTerms]:
    """The other tensor's numbers in this place, and in those of other blocks that are alike."""
    what = "" if of_input else "the mean and deviation of "
    detail = f"{what}{other} in place of {node.inputs[0]}"
    fix = "keep what the backward pass reads until it has read it"
    changes: Changes = {node.name: replace(node, operation=_with_buffer(node, run.value(other), of_input))}
    yield OtherTerms(DESCRIPTION, detail, fix, node.name, dict(changes), 0, False)
    for name, another in counterparts(run.graph, node.name, other):
        alike = run.graph.nodes[name]
        if run.value(another).shape == run.value(alike.inputs[0]).shape:
            changes[name] = replace(alike, operation=_with_buffer(alike, run.value(another), of_input))
    if len(changes) > 1:
        where = f"{detail}, and likewise in all of {len(changes)} places"
        yield OtherTerms(DESCRIPTION, where, fix, node.name, changes, 0, True)


def _reads_a_buffer(node: Node, index: int) -> bool:
    """Whether the derivative by an input needs what the forward pass read as the first one."""
    first = (node.operation is GELU and index == 0) or (node.operation is LAYER_NORM and index < 2)
    return first or (node.operation in (LINEAR, SCORES, CONTEXT) and index == 1)


def _later(graph: Graph, node: Node) -> list[str]:
    """Tensors with the axes of what the node reads that are computed after it, those of the same name first."""
    names = list(graph.nodes)
    read = graph.nodes[node.inputs[0]]
    later = [name for name in names[names.index(node.name) + 1 :] if graph.nodes[name].operation is not None]
    alike = [name for name in later if graph.nodes[name].axes == read.axes]
    alike.sort(key=lambda name: name.rpartition(".")[2] != read.name.rpartition(".")[2])
    return alike[:MOST_TENSORS]


def _with_buffer(node: Node, other: Array, of_input: bool) -> Operation:
    """The operation with the numbers of another tensor in its cache; those of a norm's statistics alone, if not all."""
    operation = node.operation
    assert operation is not None

    def forward(x: Array, *parameters: Array, **settings: Any) -> tuple[Array, Any]:
        y, _ = operation.forward(x, *parameters, **settings)
        if other.shape != x.shape:
            raise NotApplicable(f"{node.name}: reads another shape by another mistake")
        stale = other.astype(x.dtype)
        _, cache = operation.forward(stale, *parameters, **settings)
        if not of_input:
            _, rstd, weight = cache
            cache = (x - stale.mean(axis=-1, keepdims=True)) * rstd, rstd, weight
        return y, cache

    return replace(operation, forward=forward)
