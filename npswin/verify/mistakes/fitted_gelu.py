"""Activations that are an approximation of GELU: which one."""

from collections.abc import Iterator

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
    for words, function, fitted in gelu_curves(x, found, tolerance):
        if np.abs(function(x) - found).max() <= 2 * tolerance:
            forward, backward = mapped(function)
            yield Fit(words, change_node(node, Operation("gelu", forward, one_input(backward))), fitted)
