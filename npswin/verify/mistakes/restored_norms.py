"""Backward passes of norms with other numbers than x̂, which they restore from what was kept of the forward pass.

With x̂ = (x - mean) / σ and y = x̂ weight + bias, the derivatives are dx = (g - ⟨g⟩ - x̂ ⟨g x̂⟩) / σ with g = dy weight,
and dweight = Σ dy x̂. A backward pass that keeps y alone restores x̂ = (y - bias) / weight. If it restores x̂' in place
of x̂, it computes dx and dweight with x̂', while 1/σ and dbias are right.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node, Operation, Run
from npswin.verify.graph.operations import LAYER_NORM
from npswin.verify.mistakes.mistake import Changes, change_node
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.mistakes.other_terms import OtherTerms, derivative_by

FEWEST = 8  # numbers of a gradient
DESCRIPTION = "the backward pass of a norm has other numbers in place of x̂, the input less its mean over its deviation"
FIX = "x̂ = (y - bias) / weight, where it is restored from the norm's output y"


class _Kept(NamedTuple):
    """What a norm's backward pass may restore x̂ from."""

    x: Array
    weight: Array
    bias: Array
    y: Array


Restored = Callable[[_Kept], Array]
RESTORED: Mapping[str, Restored] = {
    "y / weight: the bias is not subtracted": lambda kept: kept.y / kept.weight,
    "y - bias: not divided by the weight": lambda kept: kept.y - kept.bias,
    "y, the norm's output": lambda kept: kept.y,
    "(y + bias) / weight: the bias is added": lambda kept: (kept.y + kept.bias) / kept.weight,
    "(y - bias) weight: multiplied by the weight in place of divided": lambda kept: (kept.y - kept.bias) * kept.weight,
    "y weight: multiplied by the weight, and the bias is not subtracted": lambda kept: kept.y * kept.weight,
    "y / weight - bias: the bias is subtracted after the division": lambda kept: kept.y / kept.weight - kept.bias,
    "x - mean: not divided by the deviation": lambda kept: kept.x - kept.x.mean(axis=-1, keepdims=True),
    "x, the norm's input": lambda kept: kept.x,
}  # fmt: skip
DERIVATIVES = {"": (0, 1), "; in dx alone": (0,), "; in dweight alone": (1,)}  # the inputs whose derivatives are wrong


def fit_restored_norms(run: Run, symptom: str, found: Array, tolerance: float) -> Iterator[OtherTerms]:
    """Explanations of the gradient of a norm's input or weight by another x̂ in its backward pass.

    Args:
        run: the graph on the port's own inputs.
        symptom: the gradient's name.
        found: the port's gradient.
        tolerance: the largest difference of equal numbers.
    """
    tensor = symptom.removeprefix(GRADIENT_PREFIX)
    if tensor == symptom or not np.isfinite(found).all() or found.size < FEWEST:
        return
    users = run.graph.differentiable_consumers(tensor)
    for user in users:
        node = run.graph.nodes[user]
        if node.operation is not LAYER_NORM or tensor not in node.inputs[:2]:
            continue
        index = node.inputs.index(tensor)
        right = float(np.abs(derivative_by(run, user, tensor)).max())
        limit = 2 * tolerance * max(1.0, float(np.abs(found).max()) / max(right, 1e-300))
        others = sum((derivative_by(run, one, tensor) for one in users if one != user), np.zeros(found.shape))
        for words, restored in {**RESTORED, **_with_other_biases(run, node)}.items():
            made = derivative_by(run, user, tensor, _with_restored(LAYER_NORM, restored, (index,)))
            if made.shape == found.shape and np.abs(others + made - found).max() <= limit:
                yield from _at_places(run.graph, node, index, words, restored)


def _with_other_biases(run: Run, node: Node) -> dict[str, Restored]:
    """x̂ restored with the bias of another norm."""

    def restored(bias: Array) -> Restored:
        return lambda kept: (kept.y - bias) / kept.weight

    own = run.value(node.inputs[2])
    names = (one.inputs[2] for one in run.graph.nodes.values() if one.operation is LAYER_NORM and one is not node)
    biases = {name: run.value(name) for name in names}
    alike = {name: bias for name, bias in biases.items() if bias.shape == own.shape}
    return {f"(y - {name}) / weight": restored(bias) for name, bias in alike.items()}


def _at_places(graph: Graph, node: Node, index: int, words: str, restored: Restored) -> Iterator[OtherTerms]:
    """The same numbers in this norm, in those of the same name, and in all, in both derivatives or in one."""
    alike = [name for name in reversed(graph.nodes) if graph.nodes[name].operation is LAYER_NORM]
    of_name = [name for name in alike if name.rpartition(".")[2] == node.name.rpartition(".")[2]]
    more = [of_name] * (len(of_name) > 1) + [alike] * (len(alike) > len(of_name))
    for places in [[node.name], *(more if words in RESTORED else [])]:  # another norm's bias is not that of all
        for which, indices in DERIVATIVES.items():
            if index not in indices:
                continue
            changes: Changes = {}
            for name in places:
                changes |= change_node(graph.nodes[name], _with_restored(LAYER_NORM, restored, indices))
            where = f"; in all of {len(places)} norms" if len(places) > 1 else ""
            detail = f"{words}{which}{where}"
            yield OtherTerms(DESCRIPTION, detail, FIX, places[0], changes, 0, len(places) > 1)


def _with_restored(operation: Operation, restored: Restored, indices: tuple[int, ...]) -> Operation:
    """Layer normalization with other numbers than x̂ in some of its derivatives."""

    def forward(x: Array, weight: Array, bias: Array, **settings: Any) -> tuple[Array, Any]:
        y, cache = operation.forward(x, weight, bias, **settings)
        _, rstd, _ = cache
        with np.errstate(all="ignore"):
            other = restored(_Kept(x, weight, bias, y))
        if other.shape != x.shape:
            raise NotApplicable("the norm has another shape by another mistake")
        return y, (cache, (other.astype(x.dtype), rstd, weight))

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        derivatives, changed = (list(operation.backward(dy, cache)) for cache in caches)
        for index in indices:
            derivatives[index] = changed[index]
        return tuple(derivatives)

    return replace(operation, forward=forward, backward=backward)
