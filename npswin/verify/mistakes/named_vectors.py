"""Fitted numbers of an explanation under their name, such as a parameter's: as a tensor that the operation reads."""

import math
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.fits.copies import copies
from npswin.verify.fits.explanation import Explanation, Vector, replaced_by, replaced_where
from npswin.verify.fits.named import FEWEST_NAMED, Named, named_numbers
from npswin.verify.graph import GRADIENT_PREFIX, Node, Run
from npswin.verify.mistakes.axis_parts import axis_parts, with_axes
from npswin.verify.mistakes.mistake import Changes
from npswin.verify.mistakes.read_besides import reading_besides

MARGIN = 4.0  # times the tolerance


def likely_parameters(run: Run, name: str) -> dict[str, Array]:
    """All parameters of one axis, and the weights of the tensor's own module and block, the nearest first."""
    own, block = name.rpartition(".")[0], name.partition(".attn.")[0].partition(".mlp.")[0]
    near = [each for each in run.graph.parameters if run.value(each).ndim == 1 or each.startswith(f"{block}.")]
    near.sort(key=lambda each: (not each.startswith(f"{own}."), not each.startswith(f"{block}.")))
    return {each: run.value(each) for each in near}


def named_vectors(run: Run, name: str, right: Array, explanation: Explanation, tolerance: float) -> list[Named]:
    """The names of an explanation's fitted numbers; none unless all have one.

    Args:
        run: the graph on the port's own inputs.
        name: of the tensor that is explained.
        right: what its operation should give.
        explanation: with its vectors.
        tolerance: the largest difference of equal numbers of the tensor.
    """
    if not explanation.vectors:
        return []
    parameters, found = likely_parameters(run, name.removeprefix(GRADIENT_PREFIX)), []
    size = float(np.sqrt(np.mean(right * right))) or 1.0
    for vector in explanation.vectors:
        allowed = MARGIN * tolerance / (size if vector.multiplies else 1.0)
        named = named_numbers(vector.numbers.reshape(-1), parameters, allowed)
        if named is None:
            return []
        found.append(named)
    return found


def numbers_of_others(run: Run, parameter: str, found: Array, tolerance: float) -> Explanation | None:
    """What other parameters' numbers there are in place of a parameter's, if they are known.

    Args:
        run: the graph.
        parameter: its name.
        found: its numbers.
        tolerance: the largest difference of equal numbers.
    """
    named = named_numbers(found.reshape(-1), likely_parameters(run, parameter), tolerance) if found.ndim == 1 else None
    if named is not None and named.arrays != (parameter,):
        exact = named.numbers(*(run.value(name) for name in named.arrays))
        return Explanation(f"it is {named.words}", replaced_by(exact))
    if elsewhere := _elsewhere_in_the_file(run, parameter, found, tolerance):
        words, exact = elsewhere
        return Explanation(words, replaced_by(exact))
    right, others = run.value(parameter), (other for other in run.graph.parameters if other != parameter)
    axes = axis_parts(run.graph, parameter, found.shape)
    copy = next(copies(found, right, axes, tolerance, with_axes(run, others)), None)
    if copy is None:
        return None
    exact = right.copy()
    exact[copy.wrong] = np.where(copy.places < 0, 0, run.value(copy.source).reshape(-1)[copy.places])
    return Explanation(copy.words, replaced_where(copy.wrong, exact))


def _elsewhere_in_the_file(run: Run, parameter: str, found: Array, tolerance: float) -> tuple[str, Array] | None:
    """Where in the list of all parameters a parameter's numbers stand one after the other, and they themselves."""
    names = run.graph.parameters
    flat = np.concatenate([run.value(name).reshape(-1) for name in names])
    ends = np.cumsum([run.value(name).size for name in names])
    numbers, own = found.reshape(-1), int(ends[names.index(parameter)]) - found.size
    if len(numbers) < FEWEST_NAMED:
        return None
    for start in np.flatnonzero(np.abs(flat[: len(flat) - len(numbers) + 1] - numbers[0]) <= tolerance):
        exact = flat[start : start + len(numbers)]
        if (np.abs(exact - numbers) <= tolerance).all():
            by = int(start) - own
            if abs(by) < found.size:
                words = f"it is read {abs(by)} numbers too {'late' if by > 0 else 'early'}"
                return f"{words} in the list of all parameters", exact.reshape(found.shape)
            at = int(np.searchsorted(ends, start, "right"))
            inside = int(start) - int(ends[at]) + run.value(names[at]).size
            words = f"it is what is in the list of all parameters from number {inside} of {names[at]} on"
            return words, exact.reshape(found.shape)
    return None


def vectors_words(vectors: tuple[Vector, ...], named: list[Named]) -> str:
    """What is added and multiplied on, and along which axes."""
    words = []
    for vector, one in zip(vectors, named, strict=True):
        of_channels = math.prod(vector.numbers.shape) == vector.numbers.shape[-1]
        along = "" if of_channels else f", a number for each {vector.where}"
        what = f"it is multiplied by {one.words}" if vector.multiplies else f"{one.words} is added to it"
        words.append(f"{what}{along}")
    return " and ".join(words)


def reading_vectors(node: Node, vectors: tuple[Vector, ...], named: list[Named]) -> Changes:
    """The node with its result multiplied by named numbers, or these added, one after the other."""
    counts = [len(one.arrays) for one in named]
    starts = np.cumsum([0, *counts])

    def forward(result: Array, *arrays: Array) -> tuple[Array, Any]:
        y, steps = result, []
        for vector, one, start, count in zip(vectors, named, starts, counts, strict=False):
            own = arrays[start : start + count]
            numbers = one.numbers(*own).reshape(vector.numbers.shape)
            steps.append((y, numbers, own))
            split = y.reshape(vector.shape)
            y = (split * numbers if vector.multiplies else split + numbers).reshape(result.shape)
        return y, steps

    def backward(dy: Array, steps: Any) -> tuple[Array, ...]:
        derivatives: list[Array] = []
        for vector, one, (y, numbers, own) in reversed(list(zip(vectors, named, steps, strict=True))):
            split = dy.reshape(vector.shape)
            same = tuple(axis for axis, size in enumerate(vector.numbers.shape) if size == 1)
            by_numbers = (split * y.reshape(vector.shape) if vector.multiplies else split).sum(axis=same)
            derivatives = [*one.derivatives(by_numbers.reshape(-1), *own), *derivatives]
            dy = (split * numbers).reshape(dy.shape) if vector.multiplies else dy
        return dy, *derivatives

    return reading_besides(node, tuple(array for one in named for array in one.arrays), forward, backward)
