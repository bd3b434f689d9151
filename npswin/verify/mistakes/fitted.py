"""Mistakes with unknown numbers, such as a factor or the numbers that dropout left out.

The numbers are fitted to the port's tensor. Where the fit succeeds, it gives changes of the graph, which are then
tested as those of any other mistake are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.fits.factors import simple_factor
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Run
from npswin.verify.mistakes.mistake import (
    Changes,
    change_node,
    is_output_of,
    multiply_by,
    transform_derivative,
    transform_output,
)

SMALLEST_CHANGE = 1e-3  # of a factor from 1; a nearer one is a small error of another kind
Fit = tuple[str, Changes]  # the detail and the changes


@dataclass(frozen=True)
class FittedMistake:
    """A mistake with fitted numbers.

    Attributes:
        name, description, fix: as in `Mistake`.
        fit: (run of the graph on the port's tensors, the symptom, the port's tensor of this name, the tensor whose
            operation may be wrong) -> details and changes; none where nothing fits.
        varies: whether it is the same mistake with other numbers, as dropout is, whose zeros are drawn for each tensor.
    """

    name: str
    description: str
    fix: str
    fit: Callable[[Run, str, Array, str], Iterator[Fit]]
    varies: bool = False


def _dropout(run: Run, name: str, found: Array, place: str) -> Iterator[Fit]:
    node = run.graph.nodes[place]
    if (
        place != name
        or node.operation is None
        or found.size < 32
        or not is_output_of(node, "linear", "gelu", "softmax")
    ):
        return
    right = run.compute(name)
    dropped = (found == 0) & (right != 0)
    share = dropped.mean()
    if not 0.005 < share < 0.9:
        return
    not_dropped = ~dropped & (right != 0)
    factor = float((found[not_dropped] * right[not_dropped]).sum() / (right[not_dropped] ** 2).sum())
    if factor < 1 + SMALLEST_CHANGE:  # dropout scales up the other numbers
        return
    scale = np.where(dropped, 0.0, factor)
    rate = f"of attention, a rate of {1 - 1 / factor:.3g}: " if is_output_of(node, "softmax") else ""
    detail = f"{rate}{share:.0%} of the numbers are 0, the others are multiplied by {factor:.4g}"
    pair = (lambda y: (y * scale.astype(y.dtype), None)), (lambda dy, _: dy * scale.astype(dy.dtype))
    yield detail, change_node(node, transform_output(node.operation, pair))


def _factor(run: Run, name: str, found: Array, place: str) -> Iterator[Fit]:
    if found.size < 4 or place != name or name.startswith(GRADIENT_PREFIX):
        return
    right = run.compute(name)
    squares = (right * right).sum()
    if not squares or right.shape != found.shape:
        return
    factor = float((found * right).sum() / squares)
    if not np.isfinite(factor) or factor == 0 or abs(factor - 1) < SMALLEST_CHANGE:
        return
    factor, words = simple_factor(factor)
    detail = f"by {words}"
    node = run.graph.nodes[name]
    assert node.operation is not None
    yield detail, change_node(node, transform_output(node.operation, multiply_by(factor)))


def _never_written(run: Run, name: str, found: Array, place: str) -> Iterator[Fit]:
    if found.any() or not (place == name or name.startswith(GRADIENT_PREFIX)):
        return
    if name.startswith(GRADIENT_PREFIX):
        yield "", _zero_gradient(run.graph, name.removeprefix(GRADIENT_PREFIX))
        return
    node = run.graph.nodes[name]
    assert node.operation is not None
    yield "", change_node(node, transform_output(node.operation, multiply_by(0.0)))


def _zero_gradient(graph: Graph, name: str) -> Changes:
    changes: Changes = {}
    for user in graph.consumers[name]:
        node = graph.nodes[user]
        operation = node.operation
        assert operation is not None
        for index, read in enumerate(node.inputs):
            if read == name:
                operation = transform_derivative(operation, index, np.zeros_like)
        changes |= change_node(node, operation)
    return changes


FITTED = (
    FittedMistake("never-written", "all of it is 0: it was never written", "write the tensor", _never_written),
    FittedMistake("dropout", "dropout is left on", "in inference nothing is dropped", _dropout, varies=True),
    FittedMistake("factor", "all of it is multiplied", "leave out the factor", _factor),
)
