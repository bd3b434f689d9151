"""Mistakes with unknown numbers, such as a factor, a bias, or the images that skip a branch.

The numbers are fitted to the port's tensor. Where the fit succeeds, it gives changes of the graph, which are then
tested as those of any other mistake are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from npswin.ops.residual import residual_backward, residual_forward
from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Operation, Run
from npswin.verify.mistakes.mistake import (
    Changes,
    change_node,
    is_output_of,
    multiply_by,
    transform_derivative,
    transform_output,
)

NEWTON_STEPS = 4
NEAR = 1e-2  # largest distance of a fitted number from 0, 1 or the common factor
SMALLEST_CHANGE = 1e-3  # of a factor from 1; a nearer one is a small error of another kind
Fit = tuple[str, Changes]  # the detail and the changes


@dataclass(frozen=True)
class FittedMistake:
    """A mistake with fitted numbers.

    Attributes:
        name, description, fix: as in `Mistake`.
        fit: (run of the graph on the port's tensors, the symptom, the port's tensor of this name, the tensor whose
            operation may be wrong) -> details and changes; none where nothing fits.
    """

    name: str
    description: str
    fix: str
    fit: Callable[[Run, str, Array, str], Iterator[Fit]]


def _drop_path(run: Run, symptom: str, found: Array, place: str) -> Iterator[Fit]:
    """Some images skip the branch."""
    return _scaled_branch(run, symptom, found, place, dropped=True)


def _branch_factor(run: Run, symptom: str, found: Array, place: str) -> Iterator[Fit]:
    """The branch is multiplied by the same factor for all images."""
    return _scaled_branch(run, symptom, found, place, dropped=False)


def _scaled_branch(run: Run, symptom: str, found: Array, place: str, dropped: bool) -> Iterator[Fit]:
    """The branch is multiplied by a factor for each image; Newton's method fits the factors to the symptom."""
    node = run.graph.nodes[place]
    if not is_output_of(node, "residual") or symptom.startswith(GRADIENT_PREFIX):
        return
    batch = len(run.value(node.inputs[0]))
    if found.shape[:1] != (batch,):
        return
    factors = _factors_of_branch(run, symptom, found, place, batch)
    nonzero = factors[np.abs(factors) > NEAR]
    factor = float(nonzero.mean()) if nonzero.size else 0.0
    scale = np.where(np.abs(factors) > NEAR, factor, 0.0)
    possible = factor == 0 or factor > 1 - NEAR
    if not possible or np.abs(factors - scale).max() > NEAR or np.abs(scale - 1).max() <= 1e-5:
        return
    skipping = [str(image) for image in np.flatnonzero(scale == 0)]
    if bool(skipping) != dropped:
        return
    detail = f"image {', '.join(skipping)} of the batch skips the branch" if skipping else f"by {factor:.4g}"
    if factor > 1 + NEAR and skipping:
        detail += f"; the branch is multiplied by {factor:.4g}, a rate of {1 - 1 / factor:.3g}"
    elif factor > 1 + NEAR:
        detail += f", as drop path of rate {1 - 1 / factor:.3g} does where it is left on"
    yield detail, _with_factors(run.graph, place, scale)


def _factors_of_branch(run: Run, symptom: str, found: Array, place: str, batch: int) -> Array:
    def symptom_with(factors: Array) -> Array:
        return run.replaced(_with_factors(run.graph, place, factors)).compute(symptom).reshape(batch, -1)

    wanted, step = found.reshape(batch, -1), 1e-6
    tried = np.linspace(0, 2, 9)
    errors = [((symptom_with(np.full(batch, one)) - wanted) ** 2).sum(axis=1) for one in tried]
    factors = tried[np.argmin(errors, axis=0)]
    for _ in range(NEWTON_STEPS):
        now = symptom_with(factors)
        slope = (symptom_with(factors + step) - now) / step
        squares = (slope * slope).sum(axis=1)
        factors = factors + ((wanted - now) * slope).sum(axis=1) / np.where(squares, squares, 1)
    return factors


def _with_factors(graph: Graph, place: str, factors: Array) -> Changes:
    def forward(x: Array, y: Array) -> tuple[Array, object]:
        return residual_forward(x, y, factors.astype(x.dtype))

    return change_node(graph.nodes[place], Operation("residual", forward, residual_backward))


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
    detail = f"{share:.0%} of the numbers are 0, the others are multiplied by {factor:.4g}"
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
    detail = f"by {factor:.6g}"
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
    FittedMistake(
        "drop-path",
        "drop path is left on",
        "in inference no branch is dropped, and none is scaled",
        _drop_path,
    ),
    FittedMistake(
        "branch-factor", "the branch is multiplied", "x + branch(norm(x)), the branch as it is", _branch_factor
    ),
    FittedMistake("dropout", "dropout is left on", "in inference nothing is dropped", _dropout),
    FittedMistake("factor", "all of it is multiplied", "leave out the factor", _factor),
)
