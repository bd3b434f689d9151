"""Numbers added to a tensor that a port did not dump, the same for all images, such as an embedding of positions.

A norm at the start of a branch and the sum at its end read the same tensor. What was added to it follows from the sum;
the norm then has to be that of the tensor with these numbers.
"""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import plus
from npswin.verify.graph import GRADIENT_PREFIX, Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import Changes, change_node, is_output_of, transform_input

MARGIN = 4.0  # times the tolerance


def fit_added_for_all(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Numbers that all operations read added to a tensor, where one of them is a block's sum.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom, a layer norm's result.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if name.startswith(GRADIENT_PREFIX) or node is None or not is_output_of(node, "layer_norm"):
        return
    read = node.inputs[0]
    for user in run.graph.consumers[read]:
        total = run.graph.nodes[user]
        if not is_output_of(total, "residual") or total.inputs[0] != read or user not in run.given:
            continue
        added = run.value(user) - run.value(total.inputs[1]) - run.value(read)
        mean = added.mean(axis=0, keepdims=True)
        equal = len(added) > 1 and np.abs(added - mean).max() <= MARGIN * tolerance
        if not equal or np.abs(mean).max() <= MARGIN * tolerance:
            continue
        changes = _added(run, name, read, mean)
        norm = run.replaced(changes).compute(name)
        if norm.shape == found.shape and np.abs(norm - found).max() <= MARGIN * tolerance:
            words = f"in place of {read}, as all that read it do: {read} plus the same numbers for all images"
            yield Fit(f"{words}, up to {np.abs(mean).max():.4g}, as embeddings of positions are", changes, mean.size)


def _added(run: Run, first: str, read: str, numbers: Array) -> Changes:
    """The numbers added to a tensor in each operation that reads it, the node `first` at the front."""
    changes: Changes = {}
    for user in (first, *(one for one in run.graph.consumers[read] if one != first)):
        node = run.graph.nodes[user]
        assert node.operation is not None
        operation = node.operation
        for index, each in enumerate(node.inputs):
            if each == read:
                operation = transform_input(operation, index, plus(numbers))
        changes |= change_node(node, operation)
    return changes
