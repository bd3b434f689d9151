"""What a linear map must have read, where its result determines its input: rounded, limited, moved numbers.

y = x Wᵀ + b has one x for each y where W has as many rows as columns, or more, and full rank.
"""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence
from npswin.verify.fits.families import first_explanation
from npswin.verify.fits.parts import a_part_differs
from npswin.verify.graph import Node, Run
from npswin.verify.mistakes.axis_parts import axis_parts
from npswin.verify.mistakes.fitted_tensors import MOVING, Fit
from npswin.verify.mistakes.mistake import change_node, is_output_of, transform_input

WORST_CONDITION = 100.0  # of the weight: an input's error is so many times the result's


def fit_input(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a linear map's result by its input."""
    node = run.graph.nodes.get(name)
    if node is None or node.operation is None or not is_output_of(node, "linear"):
        return
    x, weight, *bias = (np.asarray(run.value(read), np.float64) for read in node.inputs)
    if found.shape[:-1] != x.shape[:-1] or not np.isfinite(found).all():
        return
    inverse = inverse_of(weight)
    if inverse is None:
        return
    read = (found - (bias[0] if bias else 0)) @ inverse.T
    if np.abs(read @ weight.T + (bias[0] if bias else 0) - found).max() > 2 * tolerance:
        return
    error = tolerance * float(np.abs(inverse).sum(axis=1).max())
    parts = axis_parts(run.graph, node.inputs[0], x.shape)
    explanation = first_explanation(Evidence(read, x, parts, error, {}))
    if explanation is not None:
        operation = transform_input(node.operation, 0, explanation.pair)
        yield Fit(f"{node.inputs[0]}: {explanation.words}", change_node(node, operation), explanation.fitted)


def inverse_of(weight: Array) -> Array | None:
    """The matrix (in, out) that gives x from x Wᵀ; None if W (out, in) does not determine it."""
    if len(weight) < weight.shape[1]:
        return None
    singular = np.linalg.svd(weight, compute_uv=False)
    return np.linalg.pinv(weight) if singular[-1] * WORST_CONDITION >= singular[0] else None


def fit_moved_input(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a tensor whose operation only moves numbers by a part that differs in its input's order."""
    node = run.graph.nodes.get(name)
    if node is None or node.operation is None or not is_output_of(node, *MOVING) or len(node.inputs) != 1:
        return
    right, places = run.value(node.inputs[0]), places_read(run, node).reshape(-1)
    if found.size != right.size or not np.array_equal(np.sort(places), np.arange(right.size)):
        return
    read = np.empty(right.size)
    read[places] = found.reshape(-1)
    parts = axis_parts(run.graph, node.inputs[0], right.shape)
    for explanation in a_part_differs(Evidence(read.reshape(right.shape), right, parts, tolerance, {})):
        operation = transform_input(node.operation, 0, explanation.pair)
        words = f"in the order of {node.inputs[0]}, {explanation.words}"
        yield Fit(words, change_node(node, operation), explanation.fitted)


def places_read(run: Run, node: Node) -> Array:
    """The place in its input's memory of each number that an operation moves; -1 for a zero."""
    assert node.operation is not None
    shape = run.value(node.inputs[0]).shape
    counted = np.arange(1.0, np.prod(shape) + 1).reshape(shape)
    return node.operation.forward(counted, **node.settings)[0].astype(np.int64) - 1
