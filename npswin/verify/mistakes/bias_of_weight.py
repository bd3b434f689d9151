"""A patch embedding's bias that is made of its weight, too, which has another gradient then."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Explanation
from npswin.verify.graph import Node, Operation, Run
from npswin.verify.mistakes.mistake import transform_input

WEIGHT, BIAS = 1, 2  # places of the inputs
EXACT = 1e-9  # of the numbers that are added


def made_of_weight(run: Run, node: Node, explained: Mapping[int, Explanation]) -> Operation | None:
    """The operation with the bias b + Σ W v, v a number for each channel, which is made in each step.

    Args:
        run: the graph on the port's own inputs.
        node: of the patch embedding.
        explained: by place what the wrong weight and bias are.

    Returns:
        The operation, with the derivatives by the right W and b; None if the bias is no such sum.
    """
    operation = node.operation
    if operation is None or operation.name != "patch_embed" or BIAS not in explained:
        return None
    weight, bias = (np.asarray(run.value(node.inputs[place]), np.float64) for place in (WEIGHT, BIAS))
    if len(bias) <= weight.shape[1]:  # any numbers would be such a sum
        return None
    sums, added = weight.sum((2, 3)), explained[BIAS].pair[0](bias)[0] - bias
    numbers = np.linalg.lstsq(sums, added, rcond=None)[0]
    if np.abs(sums @ numbers - added).max() > EXACT * np.abs(added).max():
        return None
    return _with_sum(
        transform_input(operation, WEIGHT, explained[WEIGHT].pair) if WEIGHT in explained else operation, numbers
    )


def _with_sum(operation: Operation, numbers: Array) -> Operation:
    """b + Σ W v in place of b, with dW = ... + db v."""

    def forward(x: Array, weight: Array, bias: Array, **settings: Any) -> tuple[Array, Any]:
        added = weight.sum((2, 3)) @ numbers.astype(weight.dtype)
        return operation.forward(x, weight, bias + added, **settings)

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        dx, dweight, dbias = operation.backward(dy, cache)
        assert dweight is not None
        assert dbias is not None
        return dx, dweight + dbias[:, None, None, None] * numbers.astype(dbias.dtype)[:, None, None], dbias

    return replace(operation, forward=forward, backward=backward)
