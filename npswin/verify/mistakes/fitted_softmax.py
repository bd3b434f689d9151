"""Probabilities that are no softmax of the scores: which function of them they are."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from npswin.types import Array
from npswin.verify.fits.probabilities import Probabilities, RowExplanation
from npswin.verify.fits.softmax_rows import row_explanations
from npswin.verify.graph import Operation, Run
from npswin.verify.mistakes.axis_parts import axis_parts
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, is_output_of

STEP = 1e-6
MOST_NUMBERS = 2**22  # of an array of probabilities that is explained


def fit_softmax(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of probabilities by the scores, as `fit_output` gives them for any tensor."""
    node = run.graph.nodes.get(name)
    if node is None or not is_output_of(node, "softmax") or len(node.inputs) != 1 or found.size > MOST_NUMBERS:
        return
    scores = run.value(node.inputs[0])
    parts = axis_parts(run.graph, name, found.shape)
    for one in row_explanations(Probabilities(found, scores, parts, tolerance)):
        operation = _operation(one)
        yield Fit(one.words, change_node(node, operation), one.fitted)
        kept = with_kept_shares(operation)
        yield Fit(f"{one.words}; its derivative is p (dp - Σ p dp), of these p", change_node(node, kept), one.fitted)
        if one.of_constants is not None:
            other = _operation(replace(one, through=one.of_constants))
            words = f"{one.words}; its derivative takes the largest scores for constants"
            yield Fit(words, change_node(node, other), one.fitted)


def _operation(given: RowExplanation) -> Operation:
    """A function of scores in place of the softmax. Its derivative is that of each query's row, by differences."""

    def forward(scores: Array) -> tuple[Array, Array]:
        return given.rows(scores.astype(np.float64)).astype(scores.dtype), scores

    def backward(dy: Array, scores: Array) -> tuple[Array]:
        if given.derivative is not None:
            return (given.derivative(dy, scores.astype(np.float64)).astype(dy.dtype),)
        rows = given.rows if given.through is None else given.through(scores.astype(np.float64))
        return (derivative_of_rows(rows, dy, scores),)

    return Operation("softmax", forward, backward)


def with_kept_shares(operation: Operation) -> Operation:
    """The operation with the derivative that a softmax's kernel has, which keeps its result p: p (dp - Σ p dp)."""

    def forward(scores: Array) -> tuple[Array, Array]:
        p = operation.forward(scores)[0]
        return p, p

    return Operation("softmax", forward, lambda dy, p: (p * (dy - (p * dy).sum(-1, keepdims=True)),))


def derivative_of_rows(rows: Callable[[Array], Array], dy: Array, scores: Array) -> Array:
    """The derivative by the scores of a function of each row of scores, by differences."""
    wide, dx = scores.astype(np.float64), np.zeros_like(dy)
    for key in range(scores.shape[-1]):
        step = np.zeros(scores.shape[-1])
        step[key] = STEP
        dx[..., key] = (dy * (rows(wide + step) - rows(wide - step))).sum(-1) / (2 * STEP)
    return dx
