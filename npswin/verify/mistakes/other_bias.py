"""Numbers that a linear layer adds in place of its bias: a parameter's, at an index that the token decides, or both."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.fits.copies import copies
from npswin.verify.graph import GRADIENT_PREFIX, Run
from npswin.verify.mistakes.axis_parts import axis_parts, with_axes
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, gather, is_output_of, transform_input, zeros
from npswin.verify.mistakes.read_besides import reading_besides

MARGIN = 2.0  # times the tolerance


def fit_added_numbers(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a linear layer's result by what is added to the product.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if name.startswith(GRADIENT_PREFIX) or node is None or node.operation is None or len(node.inputs) != 3:
        return
    if not is_output_of(node, "linear") or found.shape != run.compute(name).shape or not np.isfinite(found).all():
        return
    bias = run.value(node.inputs[2])
    without = run.compute(name) - bias
    sources = with_axes(run, _vectors(run))
    axes = axis_parts(run.graph, name, found.shape)
    for copy in copies(found - without, np.broadcast_to(bias, found.shape), axes, MARGIN * tolerance, sources, True):
        product = change_node(node, transform_input(node.operation, 2, gather(zeros)))[name]
        index = np.broadcast_to(np.arange(bias.size), found.shape).copy()
        wrong, places = copy.wrong, copy.places
        if copy.source != node.inputs[2] and not wrong.all():
            continue
        index[wrong] = places

        def forward(result: Array, other: Array, index: Array = index) -> tuple[Array, Any]:
            return result + other[index], other.size

        def backward(dy: Array, size: Any, index: Array = index) -> tuple[Array, Array]:
            return dy, np.bincount(index.reshape(-1), dy.reshape(-1).astype(np.float64), size).astype(dy.dtype)

        where = "" if wrong.all() else f" {copy.where}"
        words = f"in place of its bias, {copy.source} is added{where}, {copy.at}"
        yield Fit(words, reading_besides(product, (copy.source,), forward, backward), 0)


def _vectors(run: Run) -> list[str]:
    return [name for name in run.graph.parameters if run.value(name).ndim == 1]
