"""Parameters that another operation has to have as well: a constant in a linear layer's input, a norm's affine part."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import plus
from npswin.verify.fits.factors import decimal
from npswin.verify.graph import Run
from npswin.verify.mistakes.fitted_parameters import RECOVERIES
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.fitted_together import constant_added_to_input
from npswin.verify.mistakes.mistake import change_node, transform_input, transform_output


def fit_shifted_input(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """A constant that a linear layer adds to its input, and by whose products its bias seems to differ."""
    node = run.graph.nodes.get(name)
    if node is None or node.operation is None or node.operation.name not in ("linear", "patch_embed"):
        return
    recovered = RECOVERIES[node.operation.name](run, name, found, tolerance)
    if [one.index for one in recovered] != [2]:
        return
    (bias,) = recovered
    weight, right = (run.value(node.inputs[index]) for index in (1, 2))
    constant = constant_added_to_input(bias.array, right, weight, bias.tolerance)
    if constant is not None:
        largest = float(np.abs(weight.reshape(len(weight), -1).sum(axis=1)).max())
        number = decimal(constant, tolerance / max(largest, 1e-300))
        words = f"{number} is added to each number (such as a zero point that is not subtracted)"
        yield Fit(words, change_node(node, transform_input(node.operation, 0, plus(constant))), 1)


def fit_bare_norm(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """A norm without its affine part, which another operation has in its own parameters, with the gradients of both."""
    node = run.graph.nodes.get(name)
    if node is None or node.operation is None or node.operation.name != "layer_norm" or len(node.inputs) < 3:
        return
    gain, bias = (run.value(read) for read in node.inputs[1:3])
    recovered = RECOVERIES["layer_norm"](run, name, found, tolerance)
    if not recovered or not gain.all():
        return
    if any(np.abs(one.array - (2 - one.index)).max() > max(one.tolerance, tolerance) for one in recovered):
        return
    words = (
        f"its affine part is missing: it is given with weight 1 and bias 0. Where {node.inputs[1]} and "
        f"{node.inputs[2]} are folded into the next layer, its weight has to have the one, its bias W·(the other)"
    )
    pair = (lambda y: (((y - bias) / gain).astype(y.dtype), None)), (lambda dy, _: (dy / gain).astype(dy.dtype))
    yield Fit(words, change_node(node, transform_output(node.operation, pair)), 0)
