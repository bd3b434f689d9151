"""Mistakes that cut the backward pass: an operation's input is detached, so that it gets no gradient."""

from collections.abc import Callable

import numpy as np

from npswin.verify.graph import Graph, Operation
from npswin.verify.mistakes.mistake import Mistake, Variants, transform_derivative, with_variants

# By operation the inputs that may be detached; those of a residual connection are "shortcut-gradient".
INPUTS = {
    "scores": ("the queries", "the keys"),
    "mix": ("the probabilities", "the values"),
    "mix_in_tiles": ("the probabilities", "the values"),
}


def _without(index: int) -> Callable[[Operation], Operation]:
    return lambda operation: transform_derivative(operation, index, np.zeros_like)


def _plant(graph: Graph, name: str) -> Variants:
    for operation, inputs in INPUTS.items():
        variants = {what: _without(index) for index, what in enumerate(inputs)}
        yield from with_variants(operation, variants)(graph, name)


DETACHED = (
    Mistake(
        "gradient-detached",
        "an input of attention gets no gradient: it is detached",
        "S = q kᵀ: dq = dS k, dk = dSᵀ q; o = P v: dP = do vᵀ, dv = Pᵀ do",
        _plant,
        backward=True,
    ),
)
