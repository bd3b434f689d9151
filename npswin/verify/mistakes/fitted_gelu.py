"""Activations that are an approximation of GELU: which one."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import mapped
from npswin.verify.fits.gates import gelu_curves
from npswin.verify.graph import Operation, Run
from npswin.verify.graph.operations import one_input
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, is_output_of


def fit_gelu(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of an activation by its argument, as `fit_output` gives them for any tensor."""
    node = run.graph.nodes.get(name)
    if node is None or not is_output_of(node, "gelu") or not np.isfinite(found).all():
        return
    x = np.asarray(run.value(node.inputs[0]), np.float64)
    if x.shape != found.shape:
        return
    alike = [other.inputs[0] for other in run.graph.nodes.values() if is_output_of(other, "gelu")]
    reached = max(float(np.abs(run.value(read)).max(initial=0)) for read in alike)
    for curve in gelu_curves(x, found, tolerance, reached):
        if np.abs(curve.function(x) - found).max() <= 2 * tolerance:
            forward, backward = mapped(curve.function)
            own = np.zeros_like if curve.stepped else None
            for words, slope in {"": own, **curve.slopes}.items():
                operation = Operation("gelu", forward, one_input(backward if slope is None else _times(slope)))
                yield Fit("; ".join(filter(None, (curve.words, words))), change_node(node, operation), curve.fitted)


def _times(slope: Callable[[Array], Array]) -> Callable[[Array, Any], Array]:
    return lambda dy, x: (dy * slope(np.asarray(x, np.float64))).astype(dy.dtype)
