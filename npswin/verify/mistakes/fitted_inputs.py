"""What a linear map must have read, where its result determines its input: rounded, limited, moved numbers.

y = x Wᵀ + b has one x for each y where W has as many rows as columns, or more, and full rank.
"""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence
from npswin.verify.fits.families import first_explanation
from npswin.verify.graph import Run
from npswin.verify.mistakes.axis_parts import axis_parts
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, is_output_of, transform_input

WORST_CONDITION = 100.0  # of the weight: an input's error is so many times the result's


def fit_input(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a linear map's result by its input."""
    node = run.graph.nodes.get(name)
    if node is None or node.operation is None or not is_output_of(node, "linear"):
        return
    x, weight, *bias = (np.asarray(run.value(read), np.float64) for read in node.inputs)
    if found.shape[:-1] != x.shape[:-1] or len(weight) < weight.shape[1] or not np.isfinite(found).all():
        return
    singular = np.linalg.svd(weight, compute_uv=False)
    if singular[-1] * WORST_CONDITION < singular[0]:
        return
    inverse = np.linalg.pinv(weight)
    read = (found - (bias[0] if bias else 0)) @ inverse.T
    if np.abs(read @ weight.T + (bias[0] if bias else 0) - found).max() > 2 * tolerance:
        return
    error = tolerance * float(np.abs(inverse).sum(axis=1).max())
    parts = axis_parts(run.graph, node.inputs[0], x.shape)
    explanation = first_explanation(Evidence(read, x, parts, error, {}))
    if explanation is not None:
        operation = transform_input(node.operation, 0, explanation.pair)
        yield Fit(f"{node.inputs[0]}: {explanation.words}", change_node(node, operation), explanation.fitted)
