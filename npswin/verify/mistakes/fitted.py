"""Mistakes with numbers of their own that have to be found first: a factor, a bias, who skipped a branch.

Each looks at a tensor beside what it should be and, where the pattern is there, gives the changes that would make it.
That these do make it is tested as for any other mistake.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from npswin.ops import residual_backward, residual_forward
from npswin.types import Array
from npswin.verify.graph import GRADIENT, Graph, Operation, Run
from npswin.verify.mistakes.mistake import Changes, after, changed_derivative, is_made_by, otherwise, times

NEWTON_STEPS = 4
NEAR = 1e-2  # of a number to the one that it is taken for, before the test proper
ALIKE = 0.2  # of a bias: how much the rows may deviate that it was added to, as those of 16 bits do
LEAST = 1e-3  # that a factor differs from 1: what is nearer is another small error of the whole tensor
Found = tuple[str, Changes]


@dataclass(frozen=True)
class FittedMistake:
    """A mistake whose numbers are fitted.

    Attributes:
        name, says, mend: as in `Mistake`.
        fit: (run of the graph on the port's tensors, the symptom, the port's tensor, the tensor whose operation is
            suspected) -> detail and changes.
    """

    name: str
    says: str
    mend: str
    fit: Callable[[Run, str, Array, str], Found | None]


def _drop_path(run: Run, symptom: str, found: Array, place: str) -> Found | None:
    """Each image's factor of the branch, by Newton's method on what the symptom would be with it."""
    node = run.graph.nodes[place]
    if not is_made_by(node, "residual") or symptom.startswith(GRADIENT):
        return None
    batch = len(run.value(node.inputs[0]))
    if found.shape[:1] != (batch,):
        return None
    factors = _factors_of_branch(run, symptom, found, place, batch)
    kept = factors[np.abs(factors) > NEAR]
    factor = float(kept.mean()) if kept.size else 0.0
    scale = np.where(np.abs(factors) > NEAR, factor, 0.0)
    possible = factor == 0 or factor > 1 - NEAR
    if not possible or np.abs(factors - scale).max() > NEAR or np.abs(scale - 1).max() <= 1e-5:
        return None
    skipping = [str(image) for image in np.flatnonzero(scale == 0)]
    detail = f"image {', '.join(skipping)} of the batch skips the branch" if skipping else ""
    if factor > 1 + NEAR:
        detail += f"{'; ' if detail else ''}the branch is multiplied by {factor:.4g}, a rate of {1 - 1 / factor:.3g}"
    return detail, _with_factors(run.graph, place, scale)


def _factors_of_branch(run: Run, symptom: str, found: Array, place: str, batch: int) -> Array:
    def made(factors: Array) -> Array:
        return run.replaced(_with_factors(run.graph, place, factors)).predicted(symptom).reshape(batch, -1)

    wanted, step = found.reshape(batch, -1), 1e-6
    tried = np.linspace(0, 2, 9)
    errors = [((made(np.full(batch, one)) - wanted) ** 2).sum(axis=1) for one in tried]
    factors = tried[np.argmin(errors, axis=0)]
    for _ in range(NEWTON_STEPS):
        now = made(factors)
        slope = (made(factors + step) - now) / step
        squares = (slope * slope).sum(axis=1)
        factors = factors + ((wanted - now) * slope).sum(axis=1) / np.where(squares, squares, 1)
    return factors


def _with_factors(graph: Graph, place: str, factors: Array) -> Changes:
    def forward(x: Array, y: Array) -> tuple[Array, object]:
        return residual_forward(x, y, factors.astype(x.dtype))

    return otherwise(graph.nodes[place], Operation("residual", forward, residual_backward))


def _dropout(run: Run, name: str, found: Array, place: str) -> Found | None:
    node = run.graph.nodes[place]
    if place != name or node.operation is None or found.size < 32 or not is_made_by(node, "linear", "gelu", "softmax"):
        return None
    right = run.predicted(name)
    dropped = (found == 0) & (right != 0)
    share = dropped.mean()
    if not 0.005 < share < 0.9:
        return None
    kept = ~dropped & (right != 0)
    factor = float((found[kept] * right[kept]).sum() / (right[kept] ** 2).sum())
    if factor < 1 + LEAST:  # dropout scales up what it keeps
        return None
    scale = np.where(dropped, 0.0, factor)
    detail = f"{share:.0%} of the numbers are 0, the others are multiplied by {factor:.4g}"
    pair = (lambda y: (y * scale.astype(y.dtype), None)), (lambda dy, _: dy * scale.astype(dy.dtype))
    return detail, otherwise(node, after(node.operation, pair))


def _extra_bias(run: Run, name: str, found: Array, place: str) -> Found | None:
    node = run.graph.nodes[place]
    if place != name or node.operation is None or not is_made_by(node, "linear", "patch_embed"):
        return None
    rows = (found - run.predicted(name)).reshape(-1, found.shape[-1])
    bias = rows.mean(axis=0)
    if len(rows) < 4 or np.abs(rows - bias).std() > ALIKE * np.abs(bias).max():
        return None
    numbers = ", ".join(f"{number:.4g}" for number in bias[:3])
    pair = (lambda y: (y + bias.astype(y.dtype), None)), (lambda dy, _: dy)
    return f"{numbers}, ...", otherwise(node, after(node.operation, pair))


def _factor(run: Run, name: str, found: Array, place: str) -> Found | None:
    if found.size < 4 or not (place == name or name.startswith(GRADIENT)):
        return None
    right = run.predicted(name)
    squares = (right * right).sum()
    if not squares or right.shape != found.shape:
        return None
    factor = float((found * right).sum() / squares)
    if not np.isfinite(factor) or factor == 0 or abs(factor - 1) < LEAST:
        return None
    detail = f"by {factor:.6g}"
    if name.startswith(GRADIENT):
        return detail, _scaled_gradient(run.graph, name.removeprefix(GRADIENT), factor)
    node = run.graph.nodes[name]
    assert node.operation is not None
    return detail, otherwise(node, after(node.operation, times(factor)))


def _never_written(run: Run, name: str, found: Array, place: str) -> Found | None:
    if found.any() or not (place == name or name.startswith(GRADIENT)):
        return None
    if name.startswith(GRADIENT):
        return "", _scaled_gradient(run.graph, name.removeprefix(GRADIENT), 0.0)
    node = run.graph.nodes[name]
    assert node.operation is not None
    return "", otherwise(node, after(node.operation, times(0.0)))


def _scaled_gradient(graph: Graph, name: str, factor: float) -> Changes:
    changes: Changes = {}
    for user in graph.consumers[name]:
        node = graph.nodes[user]
        operation = node.operation
        assert operation is not None
        for place, read in enumerate(node.inputs):
            if read == name:
                operation = changed_derivative(operation, place, lambda dx: dx * dx.dtype.type(factor))
        changes |= otherwise(node, operation)
    return changes


FITTED = (
    FittedMistake("never-written", "all of it is 0: it was never written", "write it", _never_written),
    FittedMistake(
        "drop-path",
        "drop path is left on",
        "in inference no branch is dropped, and none is scaled",
        _drop_path,
    ),
    FittedMistake("dropout", "dropout is left on", "in inference nothing is dropped", _dropout),
    FittedMistake(
        "extra-bias", "a bias is added that should not be there", "y = x Wᵀ + b, b as in the weights", _extra_bias
    ),
    FittedMistake("factor", "all of it is multiplied", "leave out the factor", _factor),
)
