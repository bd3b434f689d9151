"""A layer's weight that is no one of the key's and a bias of zero, as those that were drawn and not loaded.

Two images do not determine a weight W. But a layer y = x Wᵀ without a bias, with the derivative dx = dy W, has

    dx_a · x_b = dy_a · y_b

for all rows a and b, with any weight: so much a port's own tensors tell of a layer that is computed as it should be,
with a weight that is not the key's.
"""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import replaced_by
from npswin.verify.graph import GRADIENT_PREFIX, Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, is_output_of, transform_input

SAME = 1e-4  # of products that are equal, as a share of the largest
UNRELATED = 0.7  # largest cosine between a derivative and that with the key's weight
FEWEST_CHANNELS = 12  # of vectors whose cosine is small by chance


def fit_not_loaded(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """A weight that the port's result and derivative have in common, and no bias.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom, a linear map's result.
        found: the port's tensor, (B, K).
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if name.startswith(GRADIENT_PREFIX) or node is None or not is_output_of(node, "linear") or len(node.inputs) < 3:
        return
    of_input, of_result = GRADIENT_PREFIX + node.inputs[0], GRADIENT_PREFIX + name
    if of_input not in run.given or of_result not in run.given or len(run.graph.consumers[node.inputs[0]]) > 1:
        return
    x, weight = (np.asarray(run.value(read), np.float64) for read in node.inputs[:2])
    dx, dy = (np.asarray(run.value(one), np.float64) for one in (of_input, of_result))
    few = x.ndim == 2 and 2 <= len(x) <= min(weight.shape) and weight.shape[1] >= FEWEST_CHANNELS
    if not few or dx.shape != x.shape or found.shape != dy.shape or _related(dx, dy @ weight):
        return
    of_x, of_y = dx @ x.T, dy @ found.T
    if not np.abs(of_x).max() > 0 or np.abs(of_x - of_y).max() > SAME * np.abs(of_x).max():
        return
    fitted = _weight(x, np.asarray(found, np.float64), dx, dy)
    deviation = float(np.sqrt((dx * dx).sum() / (dy * dy).sum() / x.shape[1]))
    words = f"other numbers, of a deviation of about {deviation:.2g}, in no relation to the key's, and a bias of zero"
    assert node.operation is not None
    operation = transform_input(node.operation, 1, replaced_by(fitted))
    operation = transform_input(operation, 2, replaced_by(np.zeros(weight.shape[0])))
    yield Fit(f"{words}, as weights that were not loaded", change_node(node, operation), fitted.size)


def _related(dx: Array, with_key: Array) -> bool:
    """Whether the derivative of an image is near to a multiple of that with the key's weight."""
    lengths = np.linalg.norm(dx, axis=1) * np.linalg.norm(with_key, axis=1)
    return bool((np.abs((dx * with_key).sum(axis=1)) > UNRELATED * lengths).any())


def _weight(x: Array, y: Array, dx: Array, dy: Array) -> Array:
    """The smallest weight (K, C) for which y = x Wᵀ and dx = dy W."""
    weight = y.T @ np.linalg.pinv(x.T)
    return np.asarray(weight + np.linalg.pinv(dy) @ (dx - dy @ weight))
