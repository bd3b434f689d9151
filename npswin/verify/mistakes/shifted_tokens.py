"""Linear layers that read their input with a vector added to it, in all tokens or in those of the padding.

With the gain γ and bias β of a norm folded into it, a layer's weight is W diag(γ) and its bias b + W β. Without W β, it
seems to read β less; with it, the tokens of the padding, which are zeros behind the norm, seem to be β.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import plus
from npswin.verify.fits.named import OF_ONE, Named, named_numbers
from npswin.verify.graph import Node, Run
from npswin.verify.mistakes.fitted_inputs import inverse_of
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import Changes, change_node, is_output_of, transform_input
from npswin.verify.mistakes.named_vectors import likely_parameters
from npswin.verify.mistakes.padded_keys import padded_tokens
from npswin.verify.mistakes.read_besides import reading_besides_input

FEWEST_TOKENS = 2  # in which the vector is read
FEWEST_NUMBERS = 4  # of a vector that has a name
LARGE = 8  # times the tolerance: a difference that is no rounding error
LISTED = 3
ALL, PADDING, OTHERS = "all tokens", "the tokens of the padding", "all tokens but those of the padding"
FOLDED = {  # by whether a norm's bias β is subtracted, and from which tokens
    (True, ALL): "W·β is not in this layer's bias",
    (True, OTHERS): "W·β is not in this layer's bias",
    (False, PADDING): "W·β in this layer's bias is added for the padding, too",
}


def fit_shifted_tokens(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a linear layer's result by a vector that is added to tokens of its input.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if node is None or not is_output_of(node, "linear") or not np.isfinite(found).all():
        return
    assert node.operation is not None
    right = run.compute(name)
    if right.shape != found.shape:
        return
    difference = found - right
    wrong = np.abs(difference).max(axis=-1) > 2 * tolerance
    padded = _padding(run, node)
    where = _which(wrong, padded) if wrong.sum() >= FEWEST_TOKENS else None
    if where is None:
        return
    added = difference[wrong].mean(axis=0)
    if np.abs(added).max() <= LARGE * tolerance or np.abs(difference[wrong] - added).max() > 2 * tolerance:
        return
    read, weight, tokens = node.inputs[0], np.asarray(run.value(node.inputs[1]), np.float64), wrong[..., None]
    if named := next(_named(run, name, weight, added, tolerance), None):
        negative, vector = named
        verb = f"{vector.arrays[0]} is subtracted from" if negative else f"{vector.words} is added to"
        text = f"{read}: {verb} {where}{_folded(run, negative, vector, where)}"
        numbers = vector.numbers(*(run.value(each) for each in vector.arrays))
        also = () if where != ALL or padded is not None else (text.replace(ALL, OTHERS),)
        yield Fit(text, _reading(node, vector, tokens), 0, also)
        yield Fit(text, change_node(node, transform_input(node.operation, 0, plus(tokens * numbers))), 0, also)
        return
    if where == PADDING and (inverse := inverse_of(weight)) is not None:
        vector = inverse @ added
        if np.abs(weight @ vector - added).max() <= 2 * tolerance:
            listed = ", ".join(f"{number:.4g}" for number in vector[:LISTED])
            text = f"{read}: {PADDING} are not zeros, but all the same numbers: {listed}, ..."
            yield Fit(text, change_node(node, transform_input(node.operation, 0, plus(tokens * vector))), len(vector))


def _padding(run: Run, node: Node) -> Array | None:
    """Which tokens (nW, N) of a layer's input are padding; None if its block has none."""
    block, _, part = node.inputs[0].rpartition(".attn.")
    return padded_tokens(run.graph, block) if part == "windows" and f"{block}.attn.padded" in run.graph.nodes else None


def _which(tokens: Array, padded: Array | None) -> str | None:
    """Which tokens of a layer's input some are: all, those of the padding or all others; None for any others."""
    if tokens.all():
        return ALL
    if padded is None or padded.shape != tokens.shape[1:]:
        return None
    return PADDING if (tokens == padded).all() else OTHERS if (tokens != padded).all() else None


def _named(run: Run, name: str, weight: Array, added: Array, tolerance: float) -> Iterator[tuple[bool, Named]]:
    """The name of the vector v of which W v is added to a layer's result, and whether it is a parameter's negative."""
    if len(added) < FEWEST_NUMBERS:
        return
    parameters = likely_parameters(run, name)
    for parameter, vector in parameters.items():
        product = weight @ vector if vector.shape == weight.shape[1:] else None
        for words in ("{p}", "-{p}") if product is not None else ():
            if np.abs(OF_ONE[words](product) - added).max() <= 2 * tolerance:
                named = Named(words.format(p=parameter), (parameter,), (np.arange(vector.size),), OF_ONE[words])
                yield words == "-{p}", named
    if (inverse := inverse_of(weight)) is not None:
        error = 2 * tolerance * float(np.abs(inverse).sum(axis=1).max())
        if other := named_numbers(inverse @ added, parameters, error):
            yield False, other


def _folded(run: Run, negative: bool, vector: Named, where: str) -> str:
    """What is wrong with a norm that is folded into a layer, if the vector is the norm's bias."""
    users = [run.graph.nodes[user] for user in run.graph.consumers[vector.arrays[0]]]
    of_norm = any(is_output_of(user, "layer_norm") and user.inputs[2] == vector.arrays[0] for user in users)
    said = FOLDED.get((negative, where)) if of_norm else None
    return f", as where the norm is folded into this layer: {said}" if said else ""


def _reading(node: Node, vector: Named, tokens: Array) -> Changes:
    """The layer with named numbers added to some tokens (..., 1) of its input."""

    def forward(x: Array, *arrays: Array) -> tuple[Array, Any]:
        return x + (tokens * vector.numbers(*arrays)).astype(x.dtype), arrays

    def backward(dx: Array, arrays: Any) -> tuple[Array, ...]:
        by_numbers = (dx * tokens).reshape(-1, dx.shape[-1]).sum(axis=0)
        return dx, *vector.derivatives(by_numbers, *arrays)

    return reading_besides_input(node, 0, vector.arrays, forward, backward)
