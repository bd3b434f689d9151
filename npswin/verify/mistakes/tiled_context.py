"""The context of an attention that reads keys tile by tile, and does not rescale what it has accumulated as it should.

Such a port never has the probabilities: it adds up exp(scores - largest so far) v, and divides by the sum in the end.
So its context can be wrong where its scores, and the probabilities of its dump, are right. The same mistakes as those
of a softmax in tiles are tried, first for a few queries.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.fits.tiles import tile_by_tile
from npswin.verify.graph import Node, Operation, Run
from npswin.verify.mistakes.fitted_softmax import derivative_of_rows
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, is_output_of

FEW_ROWS = 64  # of queries in which each mistake is tried first
Rows = Callable[[Array], Array]

# How a backward pass goes with it: by the probabilities, but for the values what is accumulated; by the probabilities
# alone, which it recomputes; as the derivative of what is accumulated.
MIXED, RECOMPUTED, OWN = DERIVATIVES = ("mixed", "recomputed", "own")


def fit_tiles(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of the context by what is accumulated over tiles of keys.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if node is None or not is_output_of(node, "mix") or not np.isfinite(found).all():
        return
    softmax = run.graph.nodes[node.inputs[0]]
    if not is_output_of(softmax, "softmax") or len(softmax.inputs) != 1:
        return
    scores, v = run.value(softmax.inputs[0]), run.value(node.inputs[1])
    if found.shape != (*scores.shape[:-1], v.shape[-1]):
        return
    few = _few_products(scores, v, found, tolerance, run.compute(name))
    if not few[0].size:
        return
    for words, rows in tile_by_tile(scores.shape[-1], "the accumulated context is"):
        if np.abs(rows(few[0]) @ few[1] - few[2]).max() <= 2 * tolerance:
            if np.abs(rows(scores) @ v - found).max() > 2 * tolerance:
                continue
            for derivative in DERIVATIVES:
                operation, inputs = _accumulated(node, rows, derivative), (*node.inputs, softmax.inputs[0])
                yield Fit(words, change_node(node, operation, inputs=inputs), 0)


def _few_products(scores: Array, v: Array, found: Array, tolerance: float, right: Array) -> tuple[Array, ...]:
    """Some wrong rows of queries: their scores (n, 1, keys), the values (n, keys, d) and the port's context."""
    rows = np.argwhere(np.abs(found - right).max(axis=-1) > tolerance)
    rows = rows[:: max(1, len(rows) // FEW_ROWS)]
    places, windows = tuple(rows.T), tuple(rows[:, :-1].T)
    return scores[places][:, None], v[windows], found[places][:, None]


def _accumulated(node: Node, rows: Rows, derivative: str) -> Operation:
    """The context by what is accumulated, with one of the DERIVATIVES."""
    operation = node.operation
    assert operation is not None

    def forward(probabilities: Array, v: Array, scores: Array, **_: Any) -> tuple[Array, Any]:
        accumulated = rows(scores.astype(np.float64)).astype(scores.dtype)
        return accumulated @ v, (probabilities if derivative == RECOMPUTED else accumulated, v, scores)

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        weights, v, scores = cache
        dp, dv = dy @ v.swapaxes(-1, -2), weights.swapaxes(-1, -2) @ dy
        return (None, dv, derivative_of_rows(rows, dp, scores)) if derivative == OWN else (dp, dv, None)

    def terms(y: tuple[int, ...], p: tuple[int, ...], v: tuple[int, ...], _: tuple[int, ...]) -> tuple[int, ...]:
        return (*operation.terms(y, p, v), 1)

    return replace(operation, name="mix_in_tiles", forward=forward, backward=backward, terms=terms)
