"""Mistakes in parameters, which are recovered from what a port computed with them.

A linear layer's weight and bias follow by least squares from its inputs and outputs, a norm's gain and bias from its
normalized tokens, a bias table from the position bias. What is recovered is then compared with the parameter: is it
transposed, permuted, rounded, another layer's, is a part of it zero?
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from npswin.ops.layer_norm import layer_norm_forward
from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, replaced_by, replaced_where, times
from npswin.verify.fits.families import first_explanation
from npswin.verify.graph import Node, Run
from npswin.verify.mistakes.axis_parts import axis_parts
from npswin.verify.mistakes.bias_of_weight import made_of_weight
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.fitted_together import (
    as_the_weight,
    constant_added_to_input,
    constant_in_bias,
    factors_of_both,
    same_factors,
)
from npswin.verify.mistakes.folded_normalization import folded_normalization
from npswin.verify.mistakes.mistake import change_node, transform_input, with_sums
from npswin.verify.mistakes.named_vectors import numbers_of_others

ROWS_PER_NUMBER = 1.5  # rows for each number of a weight's row that least squares determine
NEAR_ONE = 1e-5  # a factor nearer to 1 is 1
MOST_LISTED = 3  # numbers that differ, in words
MUCH_LARGER = 2.0  # a recovered weight of so many times the right one's size is no weight that a port has
LARGEST_SHARE = 0.25  # of the numbers that may have the wrong sign
INITIAL_DEVIATION = 0.02  # of weights and bias tables before training
FEWEST_INITIAL = 16  # numbers whose distribution is told
ALLOWED = 4.0  # deviations of a mean of numbers drawn by chance
DEVIATIONS = 8  # of the rounding error of a recovered number


@dataclass(frozen=True)
class Recovered:
    """A parameter as a port must have used it.

    Attributes:
        index: of the operation's input.
        array: in the parameter's shape.
        tolerance: for its numbers.
    """

    index: int
    array: Array
    tolerance: float


def fit_parameters(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a tensor by other parameters of its operation."""
    node = run.graph.nodes.get(name)
    if node is None or node.operation is None or node.operation.name not in RECOVERIES:
        return
    loaded, computed, words, fitted = node.operation, node.operation, [], 0
    also: list[str] = []
    used: dict[int, str] = {}  # by an input's place the parameter that is used in its place
    recovered = RECOVERIES[node.operation.name](run, name, found, tolerance)
    explained = _explained(run, node, recovered)
    for one in recovered:
        parameter = node.inputs[one.index]
        right = run.value(parameter)
        if np.abs(one.array - right).max(initial=0) <= one.tolerance:
            continue
        explanation = explained.get(one.index) or _other_numbers(one, right)
        notes = f"{_initial(one)}{_harmless(parameter, one, right)}"
        words.append(f"{parameter}: {explanation.words}{notes}")
        also += [f"{parameter}: {other}{notes}" for other in explanation.also]
        fitted += explanation.fitted
        forward, _ = explanation.pair
        loaded = with_sums(transform_input(loaded, one.index, (forward, lambda dy, _: dy)), explanation.terms)
        computed = with_sums(transform_input(computed, one.index, explanation.pair), explanation.terms)
        if explanation.source and not explanation.combination and run.value(explanation.source).shape == right.shape:
            used[one.index] = explanation.source
    if not words:
        return
    text, others = "; ".join(words), tuple(also) if len(words) == 1 else ()
    yield Fit(text, change_node(node, loaded), fitted, others)  # the port's own parameter, of which it has the gradient
    yield Fit(text, change_node(node, computed), fitted, others)  # made from the right one, which has the gradient
    made = made_of_weight(run, node, explained)
    if made is not None:
        yield Fit(text, change_node(node, made), fitted, others)
    if len(used) == len(words):
        inputs = tuple(used.get(index, read) for index, read in enumerate(node.inputs))
        yield Fit(text, change_node(node, inputs=inputs), fitted)


def _explained(run: Run, node: Node, recovered: list[Recovered]) -> dict[int, Explanation]:
    """The explanations of parameters by the place of the input; of those without one, by what the others are."""
    right = {one.index: run.value(node.inputs[one.index]) for one in recovered}
    wrong = [one for one in recovered if np.abs(one.array - right[one.index]).max(initial=0) > one.tolerance]
    explained = {}
    if node.operation is not None and node.operation.name == "patch_embed":
        found = {one.index: one.array for one in wrong}
        folded = folded_normalization(run, node, found, {one.index: one.tolerance for one in wrong})
        if folded:
            return folded
    for one in wrong:
        explanation = _explain(run, node.inputs[one.index], right[one.index], one)
        if explanation is None or explanation.fitted > MOST_LISTED:
            named = numbers_of_others(run, node.inputs[one.index], one.array, one.tolerance)
            explanation = named or explanation
        if explanation is not None:
            explained[one.index] = explanation
    tolerance = max((one.tolerance for one in wrong), default=0.0)
    unknown = {one.index: one.array for one in wrong if one.index not in explained}
    if len(unknown) == 2 and (factors := same_factors(unknown, right, tolerance)) is not None:
        names = [node.inputs[index].rpartition(".")[2] for index in unknown]
        return dict(zip(unknown, factors_of_both(factors, names), strict=True))
    if 2 in unknown and node.operation is not None and node.operation.name in ("linear", "patch_embed"):
        weight = run.value(node.inputs[1])
        if 1 in explained:
            bias = as_the_weight(unknown[2], right[2], explained[1], weight.shape, tolerance)
            explained |= {} if bias is None else {2: bias}
        elif len(unknown) == 1:
            constant = constant_added_to_input(unknown[2], right[2], weight, tolerance)
            sums = weight.reshape(len(weight), -1).sum(axis=1)
            explained |= {} if constant is None else {2: constant_in_bias(constant, sums, tolerance)}
    return explained


def _initial(one: Recovered) -> str:
    """A note where a parameter has the numbers that it is created with."""
    is_initial = any(np.abs(one.array - number).max() <= one.tolerance for number in (0, 1))
    return ": it was not loaded, or is left out" if is_initial else ""


def _harmless(parameter: str, one: Recovered, right: Array) -> str:
    """A note where only the keys' bias differs: it adds the same number to all scores of a query."""
    if not parameter.endswith(".qkv.bias"):
        return ""
    wrong = np.abs(one.array - right).reshape(3, -1).max(axis=1) > one.tolerance
    return "; harmless, since the softmax cancels a bias of the keys" if list(wrong) == [False, True, False] else ""


def _explain(run: Run, parameter: str, right: Array, one: Recovered) -> Explanation | None:
    parts = axis_parts(run.graph, parameter, right.shape)
    return first_explanation(Evidence(one.array, right, parts, one.tolerance, _same_size(run, parameter)))


def _same_size(run: Run, parameter: str) -> dict[str, Array]:
    size = run.value(parameter).size
    kind = parameter.rpartition(".")[2]
    names = [name for name in run.graph.parameters if name != parameter and run.value(name).size == size]
    own = parameter.rpartition(".")[0]
    names.sort(key=lambda name: (name.rpartition(".")[0] != own, name.rpartition(".")[2] != kind))
    return {name: run.value(name) for name in names}


def _other_numbers(one: Recovered, right: Array) -> Explanation:
    """The numbers as they are: those that are wrong, where these are few."""
    array, wrong = one.array, np.abs(one.array - right) > one.tolerance
    places = [tuple(int(i) for i in place) for place in np.argwhere(wrong)]
    count = f"{len(places)} of its {array.size} numbers"
    if (np.abs(array + right) <= one.tolerance)[wrong].all() and wrong.mean() < LARGEST_SHARE:
        listed = ", ".join(f"at {place}" for place in places[:MOST_LISTED]) + ", ..." * (len(places) > MOST_LISTED)
        words = f"{count} {'has' if len(places) == 1 else 'have'} the wrong sign: {listed}"
        return Explanation(words, times(np.where(wrong, -1.0, 1.0)), len(places))
    if len(places) <= MOST_LISTED:
        listed = ", ".join(f"at {place} it is {array[place]:.5g}, not {right[place]:.5g}" for place in places)
        return Explanation(f"{count}: {listed}", replaced_where(wrong, array), len(places))
    return Explanation(_difference_words(array, right), replaced_by(array), array.size)


def _difference_words(array: Array, right: Array) -> str:
    """How far other numbers are from the right ones, and how they are not related."""
    difference = array - right
    share = np.sqrt(np.mean(difference**2) / max(float(np.mean(right**2)), 1e-300))
    where = tuple(int(i) for i in np.unravel_index(int(np.abs(difference).argmax()), right.shape))
    largest = f"at {where} it is {array[where]:.5g}, not {right[where]:.5g}"
    norms = float(np.sqrt((array**2).sum() * (right**2).sum())) or 1.0
    alike = (
        f"a relative difference of {share:.2g} and a cosine of {float((array * right).sum()) / norms:.2f}; {largest}"
    )
    note = (
        " (of the size of initial ones, deviation 0.02, as where it was not loaded)"
        if _like_initial(array, right)
        else ""
    )
    return f"other numbers than the key's, in no simple relation to them{note}, with {alike}"


def _like_initial(array: Array, right: Array) -> bool:
    """Whether numbers are as a truncated normal distribution of deviation 0.02 gives, and unlike the right ones."""
    if array.size < FEWEST_INITIAL:
        return False
    sizes = [float(np.sqrt(np.mean(each**2))) for each in (array, right)]
    chance = ALLOWED / math.sqrt(array.size)
    related = abs(float(np.mean(array * right))) > chance * sizes[0] * sizes[1]
    is_centred = abs(float(array.mean())) <= chance * INITIAL_DEVIATION
    deviates = abs(sizes[0] / INITIAL_DEVIATION - 1) > chance
    return is_centred and not deviates and not related and np.abs(array).max() <= 6 * INITIAL_DEVIATION


def _least_squares(x: Array, y: Array, tolerance: float) -> tuple[Array, float] | None:
    """W with y = x W, and the error that rounding makes in it; None where it is not determined or does not fit."""
    if len(x) < ROWS_PER_NUMBER * x.shape[1] or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    solution, _, rank, singular = np.linalg.lstsq(x, y, rcond=1e-10)
    if rank < x.shape[1] or np.abs(x @ solution - y).max() > 2 * tolerance:
        return None
    noise = max(float(np.sqrt(np.mean((x @ solution - y) ** 2))), 1e-3 * tolerance)
    return solution, DEVIATIONS * noise / float(singular.min())


def _linear(run: Run, name: str, found: Array, tolerance: float) -> list[Recovered]:
    node = run.graph.nodes[name]
    x, weight, *bias = (run.value(read) for read in node.inputs)
    if found.shape[:-1] != x.shape[:-1]:
        return []
    rows = x.reshape(-1, x.shape[-1])
    return _affine_map(rows, found.reshape(len(rows), -1), weight, bias, tolerance)


def _affine_map(rows: Array, y: Array, weight: Array, bias: list[Array], tolerance: float) -> list[Recovered]:
    """The bias alone, the weight alone, or both: as little as explains y = x Wᵀ + b.

    After a norm, x lies in a plane that does not contain 0: both together are not determined then, either alone is.
    """
    matrix = weight.reshape(len(weight), -1)
    if y.shape[1] != len(matrix) or rows.shape[1] != matrix.shape[1]:
        return []
    right = rows @ matrix.T + (bias[0] if bias else 0.0)
    if bias and (moved := _moved_rows(y, right, tolerance)) is not None:
        source, factors = moved
        array = (factors[:, None] * matrix[source]).reshape(weight.shape)
        errors = [tolerance * float(np.abs(one).max()) for one in (weight, bias[0])]
        return [Recovered(1, array, errors[0]), Recovered(2, factors * bias[0][source], errors[1])]
    rest = y - rows @ matrix.T
    if bias and np.abs(rest - rest.mean(0)).max() <= 2 * tolerance:
        return [Recovered(2, rest.mean(0), 2 * tolerance)]
    offset = bias[0] if bias else 0.0
    solved = _least_squares(rows, y - offset, tolerance)
    if solved is not None and np.abs(solved[0]).max() <= MUCH_LARGER * np.abs(matrix).max():
        return [Recovered(1, solved[0].T.reshape(weight.shape), solved[1])]
    both = _least_squares(np.concatenate([rows, np.ones((len(rows), 1))], axis=1), y, tolerance) if bias else None
    if both is None:
        return []
    solution, error = both
    return [Recovered(1, solution[:-1].T.reshape(weight.shape), error), Recovered(2, solution[-1], error)]


def _moved_rows(y: Array, right: Array, tolerance: float) -> tuple[Array, Array] | None:
    """For each column of y the column of the right result that it is, times a factor; None if some column is none."""
    norms = [np.sqrt((one**2).sum(0)) for one in (y, right)]
    unit = [one / np.where(norm, norm, 1) for one, norm in zip((y, right), norms, strict=True)]
    source = np.abs(unit[0].T @ unit[1]).argmax(axis=1)
    factors = (y * right[:, source]).sum(0) / np.where(norms[1][source], norms[1][source] ** 2, 1)
    factors = np.where(np.abs(factors - 1) < NEAR_ONE, 1.0, factors)
    reach = np.maximum(1.0, np.abs(factors))
    return (source, factors) if (np.abs(right[:, source] * factors - y) <= 2 * tolerance * reach).all() else None


def _patch_embed(run: Run, name: str, found: Array, tolerance: float) -> list[Recovered]:
    node = run.graph.nodes[name]
    x, weight, bias = (run.value(read) for read in node.inputs)
    side = weight.shape[-1]
    padding = [(0, 0), (0, 0), *((0, -size % side) for size in x.shape[2:])]
    x = np.pad(x, padding)
    batch, channels, height, width = x.shape
    patches = x.reshape(batch, channels, height // side, side, width // side, side).transpose(0, 2, 4, 1, 3, 5)
    rows = patches.reshape(-1, channels * side * side)
    if found.size != len(rows) * len(weight):
        return []
    return _affine_map(rows, found.reshape(len(rows), -1), weight, [bias], tolerance)


def _layer_norm(run: Run, name: str, found: Array, tolerance: float) -> list[Recovered]:
    node = run.graph.nodes[name]
    x, weight = run.value(node.inputs[0]), run.value(node.inputs[1])
    plain, _ = layer_norm_forward(x, np.ones_like(weight), np.zeros_like(weight), **node.settings)
    rows, y = plain.reshape(-1, len(weight)), found.reshape(-1, len(weight))
    if len(rows) < 4:
        return []
    centred = rows - rows.mean(0)
    squares = (centred**2).sum(0)
    gain = (centred * y).sum(0) / np.where(squares, squares, 1)
    bias = y.mean(0) - gain * rows.mean(0)
    residual = gain * rows + bias - y
    if np.abs(residual).max() > 2 * tolerance or not squares.all():
        return []
    noise = max(float(np.sqrt(np.mean(residual**2))), 1e-3 * tolerance)
    error = DEVIATIONS * noise * float(np.sqrt((1 / squares).max() * (1 + rows.mean(0) ** 2).max()) + len(rows) ** -0.5)
    return [Recovered(1, gain, error), Recovered(2, bias, error)]


def _position_bias(run: Run, name: str, found: Array, tolerance: float) -> list[Recovered]:
    node = run.graph.nodes[name]
    table = run.value(node.inputs[0])
    if table.ndim != 2 or node.operation is None:
        return []
    index, _ = node.operation.forward(np.arange(float(len(table)))[:, None], **node.settings)
    places = np.rint(index[0]).astype(int).reshape(-1)
    if places.max() >= len(table) or found.shape[0] != table.shape[1]:
        return []
    rows = found.reshape(len(found), -1)
    counts = np.bincount(places, minlength=len(table))
    if not counts.all():
        return []
    array = np.stack([np.bincount(places, row, len(table)) / counts for row in rows], axis=1)
    if np.abs(array[places].T - rows).max() > 2 * tolerance:
        return []
    return [Recovered(0, array, 2 * tolerance)]


def _add_bias(run: Run, name: str, found: Array, tolerance: float) -> list[Recovered]:
    scores, bias = (run.value(read) for read in run.graph.nodes[name].inputs)
    if found.shape != scores.shape:
        return []
    added = (found - scores).reshape(-1, *found.shape[2:])
    mean = added.mean(axis=0)
    if np.abs(added - mean).max() > 4 * tolerance or mean.shape != bias.shape:
        return []
    return [Recovered(1, mean, 4 * tolerance)]


RECOVERIES: dict[str, Callable[[Run, str, Array, float], list[Recovered]]] = {
    "linear": _linear,
    "patch_embed": _patch_embed,
    "layer_norm": _layer_norm,
    "position_bias": _position_bias,
    "add_bias": _add_bias,
}
