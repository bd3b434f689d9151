"""Linear layers behind a norm whose gain γ and bias β are folded into them wrongly: not at all, or twice.

Folded, the layer's weight is W diag(γ) and its bias b + W β, and the norm's result is x̂ in place of γ x̂ + β. What of it
is left out, or done in the norm, too, is told by what the layer seems to read.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph, Node, Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import Changes, is_output_of
from npswin.verify.mistakes.padded_keys import padded_tokens
from npswin.verify.mistakes.read_besides import reading_besides_input

STEP = 1e-30  # of a derivative with a complex step
BETWEEN = ("pad", "cyclic_shift", "cut_windows", "mean_pool")  # operations between a norm and the layer
# What is read in place of n = γ x̂ + β.
READ: dict[str, Callable[[Array, Array, Array], Array]] = {
    "without the norm's weight and bias": lambda n, gain, bias: (n - bias) / gain,
    "without the norm's weight": lambda n, gain, bias: (n - bias) / gain + bias,
    "times the norm's weight once more": lambda n, gain, bias: n * gain,
    "times the norm's weight and plus its bias once more, as where the norm is folded and applied": (
        lambda n, gain, bias: n * gain + bias
    ),
    "with the norm's weight twice, its bias once": lambda n, gain, bias: (n - bias) * gain + bias,
}


def fit_folded_norm(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a linear layer's result by the affine part of the norm before it.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    norm = None if node is None or not is_output_of(node, "linear") else _norm_before(run.graph, node)
    if node is None or norm is None or node.operation is None or not np.isfinite(found).all():
        return
    x, *parameters = (np.asarray(run.value(read), np.float64) for read in node.inputs)
    gain, bias = (np.asarray(run.value(read), np.float64) for read in norm.inputs[1:3])
    if x.shape[-1:] != gain.shape or x.shape[:-1] != found.shape[:-1] or not gain.all():
        return
    kept = _padding(run.graph, node, x.shape)
    for words, function in READ.items():
        read = np.where(kept, x, function(x, gain, bias))
        y, _ = node.operation.forward(read, *parameters, **node.settings)
        if np.abs(y - found).max() <= 2 * tolerance:
            changes = _reading(node, norm.inputs[1:3], kept, function)
            yield Fit(f"{node.inputs[0]}: {words} ({norm.name})", changes, 0)


def _norm_before(graph: Graph, node: Node) -> Node | None:
    """The norm from whose result a layer's input is moved or averaged."""
    before = graph.nodes[node.inputs[0]]
    while is_output_of(before, *BETWEEN):
        before = graph.nodes[before.inputs[0]]
    return before if is_output_of(before, "layer_norm") and len(before.inputs) > 2 else None


def _padding(graph: Graph, node: Node, shape: tuple[int, ...]) -> Array:
    """Which tokens of a layer's input are padding, which no norm computes: of a shape (..., 1)."""
    block, _, part = node.inputs[0].rpartition(".attn.")
    if part != "windows" or f"{block}.attn.padded" not in graph.nodes:
        return np.zeros((1, 1), bool)
    padded = padded_tokens(graph, block)[..., None]
    return padded if padded.shape[:-1] == shape[1:-1] else np.zeros((1, 1), bool)


def _reading(node: Node, names: tuple[str, ...], kept: Array, function: Callable[..., Array]) -> Changes:
    """The layer that reads a function of its input, and of the norm's gain and bias."""

    def forward(x: Array, gain: Array, bias: Array) -> tuple[Array, Any]:
        return np.where(kept, x, function(x, gain, bias)).astype(x.dtype), (x, gain, bias)

    def backward(dx: Array, inputs: Any) -> tuple[Array, ...]:
        by_function, found = np.where(kept, 0, dx), []
        for index in range(len(inputs)):
            moved = [one.astype(complex) + 1j * STEP * (index == place) for place, one in enumerate(inputs)]
            found.append(by_function * np.imag(function(*moved)) / STEP)
        by_x, *others = found
        sums = (one.reshape(-1, one.shape[-1]).sum(axis=0).astype(dx.dtype) for one in others)
        return (by_x + np.where(kept, dx, 0)).astype(dx.dtype), *sums

    return reading_besides_input(node, 0, names, forward, backward)
