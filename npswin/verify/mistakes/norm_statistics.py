"""A layer norm with another mean or deviation: what it subtracted from each token, and by what it divided it.

With weight and bias known, the port's tensor gives x̂' = (y - bias)/weight. Where that is α x + β over the channels of
each token, the norm has subtracted -β/α and divided by 1/α. Both are compared with what else can be read off a token,
up to a factor and an offset, and with the right ones of other tokens.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Pair
from npswin.verify.fits.families import first_explanation
from npswin.verify.fits.row_statistics import NEAR, Row, Scale, centres, mean, mean_square, scales
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Operation, Run
from npswin.verify.mistakes.axis_parts import axis_parts
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.general.norms import normalizing
from npswin.verify.mistakes.mistake import change_node, is_output_of, transform_input

FEWEST_TOKENS, FEWEST_CHANNELS = 8, 4
LISTED = 3
Gain = Callable[[Array], Array]

GAINS: dict[str, tuple[Gain | None, Gain | None]] = {  # what is used for the weight, and for the bias
    "": (None, None),
    ", without the bias": (None, np.zeros_like),
    ", without the weight": (np.ones_like, None),
    ", without weight and bias": (np.ones_like, np.zeros_like),
    ", with 1 added to the weight": (lambda weight: weight + 1, None),
}


class _Tokens(NamedTuple):
    """The tokens (…, C) of a norm, and for each what the port subtracted and by what it divided, (…, 1)."""

    x: Array
    centre: Array
    scale: Array


def fit_norm_statistics(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Other means and deviations that explain a norm's result.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if name.startswith(GRADIENT_PREFIX) or node is None or not is_output_of(node, "layer_norm"):
        return
    if len(node.inputs) != 3 or run.value(node.inputs[0]).shape != found.shape:
        return
    x, weight, bias = (np.asarray(run.value(read), np.float64) for read in node.inputs)
    for gain_words, (of_weight, of_bias) in GAINS.items():
        used = of_weight(weight) if of_weight else weight, of_bias(bias) if of_bias else bias
        tokens = _tokens(x, *used, found, tolerance)
        if tokens is None:
            continue
        fits = [*_of_tokens(tokens), *_of_other_tokens(run, name, tokens)]
        for words, operation, fitted in fits[:LISTED]:
            changed = _with_gains(operation, of_weight, of_bias)
            yield from _in_one_or_all(run.graph, name, f"{words}{gain_words}", changed, fitted)
        return
    yield from _of_channels(run.graph, name, x, weight, bias, found, tolerance)


def _with_gains(operation: Operation, *gains: Gain | None) -> Operation:
    for index, gain in enumerate(gains, 1):
        if gain is not None:
            slope = 1.0 if gain(np.ones(1)) != gain(np.zeros(1)) else 0.0
            pair = (lambda one, gain=gain: (gain(one), None)), (lambda dy, _, slope=slope: slope * dy)
            operation = transform_input(operation, index, pair)
    return operation


def _in_one_or_all(graph: Graph, name: str, words: str, operation: Operation, fitted: int) -> Iterator[Fit]:
    """The operation in all norms, and in this one."""
    norms = [other for other, node in graph.nodes.items() if is_output_of(node, "layer_norm") and other != name]
    changes = change_node(graph.nodes[name], operation)
    everywhere = dict(changes)
    for other in norms:
        everywhere |= change_node(graph.nodes[other], operation)
    yield Fit(f"{words}; in every norm", everywhere, fitted)
    yield Fit(words, changes, fitted)


def _tokens(x: Array, weight: Array, bias: Array, found: Array, tolerance: float) -> _Tokens | None:
    """The statistics that the port used; None where they are not the same for all channels of a token."""
    if x.shape[-1] < FEWEST_CHANNELS or x.size // x.shape[-1] < FEWEST_TOKENS:
        return None
    # Minimize (weight (α x + β) + bias - found)² over the channels of each token.
    share = weight * weight / max(float((weight * weight).sum()), np.finfo(float).tiny)
    centred = x - (share * x).sum(-1, keepdims=True)
    gained = weight * (found - bias)
    squares = (weight * weight * centred * centred).sum(-1, keepdims=True)
    slope = (centred * gained).sum(-1, keepdims=True) / np.where(squares, squares, 1)
    offset = gained.sum(-1, keepdims=True) / (weight * weight).sum() - slope * (share * x).sum(-1, keepdims=True)
    if np.abs(weight * (slope * x + offset) + bias - found).max() > 4 * tolerance or not slope.all():
        return None
    return _Tokens(x, -offset / slope, 1 / slope)


def _of_tokens(tokens: _Tokens) -> Iterator[tuple[str, Operation, int]]:
    """Centre and scale as functions of the token."""
    for centre_words, centre in centres(tokens.x, tokens.centre):
        for scale_words, scale, fitted in scales(tokens.x, tokens.x - centre(tokens.x), tokens.scale):
            words = f"of each token, {centre_words}, and it is divided by {scale_words}"
            yield words, normalizing(_normalized(centre, scale)), fitted


def _normalized(centre: Row, scale: Scale) -> Row:
    def normalized(x: Array) -> Array:
        centred = x - centre(x)
        return centred / scale(x, centred)

    return normalized


def _of_other_tokens(run: Run, name: str, tokens: _Tokens) -> Iterator[tuple[str, Operation, int]]:
    """The mean and deviation of other tokens."""
    deviation = np.sqrt(mean_square(tokens.x - mean(tokens.x)) + float(run.graph.nodes[name].settings["eps"]))
    parts = axis_parts(run.graph, name, tokens.x.shape)[:-1]
    words, pairs = [], []
    for found, right in ((tokens.centre, mean(tokens.x)), (tokens.scale, deviation)):
        near = NEAR * float(np.abs(right).max())
        if np.abs(found - right).max() <= near:
            words.append("as in the key")
            pairs.append(_AS_IT_IS)
            continue
        explanation = first_explanation(Evidence(found[..., 0], right[..., 0], parts, near, {}))
        if explanation is None or explanation.fitted:
            return
        words.append(explanation.words)
        pairs.append(explanation.pair)
    text = f"of mean and deviation, {words[0]}" if words[0] == words[1] else f"mean: {words[0]}; deviation: {words[1]}"
    yield text, _with_moved_statistics(pairs[0], pairs[1]), 0


_AS_IT_IS: Pair = (lambda x: (x, None)), (lambda dy, _: dy)


def _with_moved_statistics(centre: Pair, scale: Pair) -> Operation:
    """(x - μ')/σ' · weight + bias, where μ' and σ' are made from the tokens' means and deviations."""

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        centred = x - mean(x)
        deviation = np.sqrt(mean_square(centred) + eps)
        moved, one = centre[0](mean(x)[..., 0])
        divisor, other = scale[0](deviation[..., 0])
        xhat = (x - moved[..., None]) / divisor[..., None]
        return xhat * weight + bias, (xhat, centred / deviation, divisor[..., None], weight, one, other)

    def backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
        xhat, own, divisor, weight, one, other = cache
        g, channels = dy * weight / divisor, dy.shape[-1]
        of_mean = centre[1](-g.sum(-1), one)[..., None]
        of_deviation = scale[1](-(g * xhat).sum(-1), other)[..., None]
        dx = g + (of_mean + of_deviation * own) / channels
        return dx, (dy * xhat).reshape(-1, channels).sum(0), dy.reshape(-1, channels).sum(0)

    return Operation("layer_norm", forward, backward)


def _of_channels(
    graph: Graph, name: str, x: Array, weight: Array, bias: Array, found: Array, tolerance: float
) -> Iterator[Fit]:
    """A mean and a deviation for each channel, as batch normalization has them from training."""
    channels = x.shape[-1]
    rows, flat = x.reshape(-1, channels), found.reshape(-1, channels)
    if len(rows) < FEWEST_TOKENS or not weight.all():
        return
    centred = rows - rows.mean(0)
    squares = (centred * centred).sum(0)
    slope = (centred * flat).sum(0) / np.where(squares, squares, 1)
    offset = flat.mean(0) - slope * rows.mean(0)
    if np.abs(slope * rows + offset - flat).max() > 4 * tolerance or not slope.all():
        return
    centre, scale = (bias - offset) / slope, weight / slope
    listed = ", ".join(f"{one:.4g} and {two:.4g}" for one, two in zip(centre[:LISTED], scale[:LISTED], strict=True))
    words = f"each channel has a mean and a deviation of its own, the same for all tokens: {listed}, ..."
    operation = normalizing(lambda x: (x - centre) / scale)
    yield Fit(words, change_node(graph.nodes[name], operation), 2 * channels)
