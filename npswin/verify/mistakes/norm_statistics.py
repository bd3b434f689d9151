"""A layer norm with another mean or deviation: what it subtracted from each token, and by what it divided it.

With weight and bias known, the port's tensor gives x̂' = (y - bias)/weight. Where that is α x + β over the channels of
each token, the norm has subtracted -β/α and divided by 1/α. Both are compared with what else can be read off a token,
up to a factor and an offset, and with the right ones of other tokens.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation
from npswin.verify.fits.families import first_explanation
from npswin.verify.fits.recovered_statistics import FEWEST_TOKENS, Recovered, recovered_statistics
from npswin.verify.fits.row_statistics import centres, mean, scales, variance
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Operation, Run
from npswin.verify.mistakes.axis_parts import axis_parts
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.general.norms import normalizing
from npswin.verify.mistakes.mistake import Changes, change_node, is_output_of, transform_input
from npswin.verify.mistakes.norm_steps import (
    Centre,
    Divisor,
    centre_of_row,
    divisor_of_row,
    moved_deviation,
    moved_mean,
    norm_of,
)

LISTED = 3
MODULE = re.compile(r"layers\.\d+\.(blocks\.\d+\.)?")
FAR = 8.0  # times the difference of equal statistics: one that is no nearer to the right one is another
TOKENS_PER_NUMBER = 16  # for each fitted number, at least
Gain = Callable[[Array], Array]

GAINS: dict[str, tuple[Gain | None, Gain | None]] = {  # what is used for the weight, and for the bias
    "": (None, None),
    ", without the bias": (None, np.zeros_like),
    ", without the weight": (np.ones_like, None),
    ", without weight and bias": (np.ones_like, np.zeros_like),
    ", with 1 added to the weight": (lambda weight: weight + 1, None),
}


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
        tokens = recovered_statistics(x, *used, found, tolerance)
        if tokens is None:
            continue
        for words, operation, fitted in islice(_of_steps(run, name, tokens), LISTED):
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
    """The operation in all norms, in those at the same place of their modules, such as norm2, and in this one."""
    norms = [other for other, node in graph.nodes.items() if is_output_of(node, "layer_norm")]
    role = MODULE.sub("", name)
    alike = [other for other in norms if MODULE.sub("", other) == role]
    for where, places in ((f"{words}; in every norm", norms), (f"{words}; in every {role}", alike), (words, [name])):
        if len(places) > 1 or where == words:
            changes: Changes = {}
            for place in (name, *places):
                changes |= change_node(graph.nodes[place], operation)
            yield Fit(where, changes, fitted)


def _of_steps(run: Run, name: str, tokens: Recovered) -> Iterator[tuple[str, Operation, int]]:
    """Each way to get the centre with each way to get the scale."""
    divisors = list(_divisors(run, name, tokens))
    for centre in _centres(run, name, tokens) if divisors else ():
        for divisor in divisors:
            words = f"of each token, {centre.words}, and it is divided by {divisor.words}"
            if centre.of_all and centre.of_all == divisor.of_all:
                words = f"of mean and deviation, {centre.of_all}"
            yield words, norm_of(centre, divisor), centre.fitted + divisor.fitted


def _centres(run: Run, name: str, tokens: Recovered) -> list[Centre]:
    """The centre as a function of the token, or else as the means of other tokens."""
    alone = [centre_of_row(words, row) for words, row in centres(tokens.x, tokens.centre)]
    if alone:
        return alone
    moved = _moved(run, name, tokens, tokens.centre, "mean", mean)
    return [] if moved is None else [moved_mean(f"its mean is subtracted (of the means, {moved.words})", moved)]


def _divisors(run: Run, name: str, tokens: Recovered) -> list[Divisor]:
    """The divisor as a function of the token and of what is left of it, or else as the deviations of other tokens."""
    rest, eps = tokens.x - tokens.centre, float(run.graph.nodes[name].settings["eps"])
    alone = [divisor_of_row(*one) for one in scales(tokens.x, rest, tokens.scale)]
    if alone:
        return alone
    moved = _moved(run, name, tokens, tokens.scale, "deviation", lambda x: np.sqrt(variance(x) + eps))
    return [] if moved is None else [moved_deviation(f"its deviation (of the deviations, {moved.words})", moved)]


def _moved(
    run: Run, name: str, tokens: Recovered, found: Array, what: str, statistic: Callable[[Array], Array]
) -> Explanation | None:
    """What was made of a statistic (…, 1) of all tokens, as it is told of any tensor."""
    right = statistic(tokens.x)
    if np.abs(found - right).max() < FAR * tokens.near:
        return None
    parts = axis_parts(run.graph, name, tokens.x.shape)[:-1]
    others = {
        f"the {what} of {read}": statistic(x)[..., 0] for read, x in _normalized_elsewhere(run, name, right.shape)
    }
    explanation = first_explanation(Evidence(found[..., 0], right[..., 0], parts, tokens.near, others))
    if explanation is None or explanation.fitted > found.size // TOKENS_PER_NUMBER:
        return None
    if explanation.source and explanation.combination is None:  # of another tensor: it does not depend on the token
        return replace(explanation, pair=(explanation.pair[0], lambda dy, _: 0 * dy))
    return explanation


def _normalized_elsewhere(run: Run, name: str, shape: Sequence[int]) -> Iterator[tuple[str, Array]]:
    """What other norms read, as many tokens as here."""
    own = run.graph.nodes[name].inputs[0]
    reads = {node.inputs[0] for node in run.graph.nodes.values() if is_output_of(node, "layer_norm") and node.inputs}
    for read in sorted(reads - {own}):
        x = run.value(read)
        if x.shape[:-1] == tuple(shape[:-1]):
            yield read, np.asarray(x, np.float64)


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
