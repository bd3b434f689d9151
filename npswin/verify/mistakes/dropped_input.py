"""Dropout left on before a layer whose input is dumped without it, as before the head.

The gradient of the layer's weight, dW = dyᵀ x, tells what the layer read: it determines x where the rows of dy are
linearly independent.
"""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import times
from npswin.verify.graph import GRADIENT_PREFIX, Run
from npswin.verify.mistakes.fitted import Fit, FittedMistake
from npswin.verify.mistakes.mistake import change_node, is_output_of, transform_input

NEAR = 1e-2  # of a fitted factor to 0 or to the common one
SMALL = 1e-2  # numbers so small, as a share of the largest, tell no factor
WORST_CONDITION = 100.0  # of dy
MOST_DROPPED = 0.9


def _dropped_input(run: Run, name: str, found: Array, place: str) -> Iterator[Fit]:
    node = run.graph.nodes[place]
    if place != name or not is_output_of(node, "linear") or found.ndim != 2 or node.operation is None:
        return
    of_result, of_weight = GRADIENT_PREFIX + name, GRADIENT_PREFIX + node.inputs[1]
    if of_result not in run.given or of_weight not in run.given:
        return
    x, dy, dweight = (np.asarray(run.value(one), np.float64) for one in (node.inputs[0], of_result, of_weight))
    if len(x) > dy.shape[1] or not np.linalg.cond(dy) < WORST_CONDITION or dweight.shape != (dy.shape[1], x.shape[1]):
        return
    read = np.linalg.pinv(dy.T) @ dweight
    telling = np.abs(x) > SMALL * np.abs(x).max(initial=0)
    factors = read[telling] / x[telling]
    kept = np.abs(factors) > NEAR
    dropped = float(1 - kept.mean()) if kept.size else 0.0
    if not 0 < dropped < MOST_DROPPED:
        return
    if kept[x[telling] > 0].all() or kept[x[telling] < 0].all():  # those of one sign alone are 0: nothing was drawn
        return
    factor = float(np.median(factors[kept]))
    if np.abs(factors[kept] - factor).max() > NEAR * factor or factor < 1 - NEAR:
        return
    rate = f", a rate of {1 - 1 / factor:.3g}" if factor > 1 + NEAR else ""
    detail = f"{node.inputs[0]}: {dropped:.0%} of the numbers are 0, the others are multiplied by {factor:.4g}{rate}"
    scale = np.where(np.abs(read) > np.abs(x) * factor / 2, factor, 0.0)
    yield detail, change_node(node, transform_input(node.operation, 0, times(scale)))


DROPPED_INPUT = (
    FittedMistake(
        "dropout-before",
        "dropout is left on before the layer",
        "in inference nothing is dropped",
        _dropped_input,
        varies=True,
    ),
)
