"""Gradients that are sums over a part of the images, windows or tokens, in place of all of them."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.words import Axis, join
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node, Operation, Run
from npswin.verify.mistakes.axis_parts import axis_parts
from npswin.verify.mistakes.mistake import Changes, change_node, is_output_of, with_backward
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.mistakes.other_terms import OtherTerms
from npswin.verify.mistakes.summed_rows import Choice, summed_rows, words_and_choice
from npswin.verify.mistakes.terms.derivative import Known

MOST_ENTRIES = 64  # along a part of an axis, over which a sum is tried
MOST_NUMBERS = 2**26  # of derivatives, for one part
NUMBERS_PER_ENTRY = 2  # of a gradient, at least
ROUNDING = 1e-3  # by which a fitted weight may differ from 0 or from another one
CHANNELS = {"linear": 1, "layer_norm": 1, "patch_embed": 1, "mix": 1}  # trailing axes of the result that are no sums
LEADING = {"position_bias": 1, "mix": 3}  # leading axes of the result that are no sums
ROWS = ("linear", "layer_norm", "patch_embed")  # operations that do the same to each token
ALL_TOKENS = "token of the batch"

CHOICES: dict[str, Choice] = {
    "the first {} alone": lambda size: np.arange(size) == 0,
    "the last {} alone": lambda size: np.arange(size) == size - 1,
    "all {} but the first": lambda size: np.arange(size) > 0,
    "all {} but the last": lambda size: np.arange(size) < size - 1,
    "the first half of the {}": lambda size: np.arange(size) < size // 2,
    "the last half of the {}": lambda size: np.arange(size) >= size // 2,
    "every second of the {}": lambda size: np.arange(size) % 2 == 0,
}


class _Part(NamedTuple):
    """A part of the axes of an operation's result.

    Attributes:
        name, plural: such as "window row".
        sizes: of all parts, to which the result is reshaped.
        axis: of the part among them.
    """

    name: str
    plural: str
    sizes: tuple[int, ...]
    axis: int


def fit_summed_parts(run: Run, symptom: str, found: Array, tolerance: float) -> Iterator[OtherTerms]:
    """Explanations of the gradient of a parameter, or of the position bias, by a part of the sum that it is.

    Args:
        run: the graph on the port's own inputs.
        symptom: the gradient's name.
        found: the port's gradient.
        tolerance: the largest difference of equal numbers.
    """
    tensor = symptom.removeprefix(GRADIENT_PREFIX)
    users = run.graph.differentiable_consumers(tensor)
    if tensor == symptom or len(users) != 1 or not np.isfinite(found).all() or not found.any():
        return
    node = run.graph.nodes[users[0]]
    of_bias = is_output_of(node, "add_bias") and found.ndim == 3
    of_values = is_output_of(node, "mix") and node.inputs[-1] == tensor
    if run.graph.nodes[tensor].axes != "parameter" and not of_bias and not of_values:
        return
    if node.operation is None or node.inputs.count(tensor) != 1 or node.name == next(reversed(run.graph.nodes)):
        return
    index, dy = node.inputs.index(tensor), run.gradient(node.name)
    inputs = tuple(run.value(read) for read in node.inputs)
    _, cache = node.operation.forward(*inputs, **node.settings)
    for part in _parts(run.graph, node, dy.shape):
        if part.name == ALL_TOKENS:
            known = Known(dy, inputs, run.value(node.name), node.settings)
            kept = summed_rows(known, node.operation.name, index, found, tolerance)
            if kept is not None:
                rest = _share(node.operation, index, dy, cache, part, kept).reshape(found.shape) - found
                if np.abs(rest).max() <= 2 * tolerance:
                    yield from _at_places(run.graph, node, index, part, kept * 1.0)
            continue
        size = part.sizes[part.axis]
        if not 2 <= size <= MOST_ENTRIES or found.size <= NUMBERS_PER_ENTRY * size or dy.size * size > MOST_NUMBERS:
            continue
        columns = [_share(node.operation, index, dy, cache, part, np.arange(size) == entry) for entry in range(size)]
        weights = _weights(np.stack([one.reshape(-1) for one in columns], axis=1), found.reshape(-1), tolerance)
        if weights is not None:
            yield from _at_places(run.graph, node, index, part, weights)


def _parts(graph: Graph, node: Node, shape: tuple[int, ...]) -> list[_Part]:
    """The parts of the axes that are summed, and neighbouring ones as one: images' windows, the tokens of a window."""
    assert node.operation is not None
    axes = axis_parts(graph, node.name, shape)
    last = len(axes) - CHANNELS.get(node.operation.name, 0)
    first = LEADING.get(node.operation.name, 0)
    summed = [[part for part in axis if part.size > 1] for axis in axes[first:last]]
    if is_output_of(node, "add_bias"):
        summed, last = summed[:2], 2
    before = tuple(part.size for axis in axes[:first] for part in axis)
    after = tuple(part.size for axis in axes[last:] for part in axis)
    flat = [part for axis in summed for part in axis]
    runs = [(place, place + 1) for place in range(len(flat))]
    start = 0
    for axis in summed:
        runs += [(start, start + len(axis))] * (len(axis) > 1)
        start += len(axis)
    images = len(summed[0]) + len(summed[1]) if len(summed) > 1 else 0
    runs += [(0, images)] * (images > 1 and bool(flat) and flat[0].name == "B")
    found = []
    for begin, end in dict.fromkeys(runs):
        sizes = [part.size for part in flat[:begin]], [part.size for part in flat[end:]]
        part = join(flat[begin:end])
        name, plural = _words(flat[begin:end], part)
        found.append(_Part(name, plural, (*before, *sizes[0], part.size, *sizes[1], *after), len(before) + begin))
    if node.operation.name in ROWS:
        found.append(_Part(ALL_TOKENS, "tokens", (math.prod(shape[:-1]), shape[-1]), 0))
    return found


def _words(parts: list[Axis], joined: Axis) -> tuple[str, str]:
    names = [part.name for part in parts]
    if len(parts) == 1:
        return {"B": "image"}.get(joined.name, joined.name), joined.plural
    common = {name.rpartition(" ")[0] for name in names}
    if len(common) == 1:
        name = common.pop()
        return name, Axis(name, joined.size).plural
    return "window of the batch", "windows of the batch"


def _share(operation: Operation, index: int, dy: Array, cache: Any, part: _Part, chosen: Array) -> Array:
    """The derivative with dy at some entries of a part of its axes alone."""
    if int(np.prod(part.sizes)) != dy.size:
        raise NotApplicable(f"{part.name}: the result has another size by another mistake")
    along = chosen.reshape([-1 if place == part.axis else 1 for place in range(len(part.sizes))])
    of_part = operation.backward((dy.reshape(part.sizes) * along).astype(dy.dtype).reshape(dy.shape), cache)[index]
    assert of_part is not None
    return of_part


def _weights(columns: Array, found: Array, tolerance: float) -> Array | None:
    """The weights of the entries if the gradient is their weighted sum, some of them 0 and the others equal."""
    weights, _, rank, _ = np.linalg.lstsq(columns, found, rcond=None)
    if rank < columns.shape[1] or not np.isfinite(weights).all():
        return None
    largest = float(np.abs(weights).max())
    near = max(ROUNDING, tolerance / max(float(np.abs(found).max()), 1e-300))
    kept = np.abs(weights) > near * largest
    if kept.all() or not kept.any() or np.ptp(weights[kept]) > near * largest:
        return None
    weight = float(weights[kept].mean())
    whole = len(weights) / kept.sum()
    exact = next((one for one in (1.0, whole) if abs(weight / one - 1) <= near), None)
    if exact is None or np.abs(columns @ (kept * exact) - found).max() > 2 * tolerance * max(1.0, exact):
        return None
    return np.where(kept, exact, 0.0)


def _at_places(graph: Graph, node: Node, index: int, part: _Part, weights: Array) -> Iterator[OtherTerms]:
    size, kept = len(weights), weights != 0
    weight = float(weights.max())
    words = next((words for words, choice in CHOICES.items() if np.array_equal(choice(size), kept)), "")
    choice = CHOICES.get(words)
    if choice is None and np.count_nonzero(np.diff(kept)) == 1:
        words, choice = words_and_choice(kept)
    name = part.name if words.endswith("alone") else part.plural
    entries = ", ".join(map(str, np.flatnonzero(kept)[:8])) + (", ..." if kept.sum() > 8 else "")
    text = words.format(name) if words else f"the {part.plural} {entries}"
    mean = weight != 1
    detail = f"it is the sum over {text}{f', times {weight:.4g}' if mean else ''}"
    places = [node.name]
    alike = [
        name
        for name in reversed(graph.nodes)
        if name in graph.differentiable and choice is not None and _is_like(graph.nodes[name], node, index)
    ]
    of_name = [name for name in alike if name.rpartition(".")[2] == node.name.rpartition(".")[2]]
    for where in (places, of_name, alike):
        if where is not places and len(where) < 2:
            continue
        changes: Changes = {}
        for name in where:
            changes |= _changed(graph, graph.nodes[name], index, part.name, choice or (lambda _: kept), mean)
        if node.name not in changes:
            continue
        description = "a gradient is not the sum over all images, windows and tokens"
        count = f"; in all of {len(where)} places" if len(where) > 1 else ""
        fix = "what is read many times has the sum of all derivatives"
        yield OtherTerms(description, detail + count, fix, where[0], changes, 0, len(where) > 1)


def _is_like(node: Node, other: Node, index: int) -> bool:
    return is_output_of(node, other.operation.name if other.operation else "") and len(node.inputs) > index


def _changed(graph: Graph, node: Node, index: int, name: str, choice: Choice, mean: bool) -> Changes:
    operation = node.operation
    assert operation is not None

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        derivatives = list(operation.backward(dy, cache))
        part = next((one for one in _parts(graph, node, dy.shape) if one.name == name), None)
        if part is not None:
            chosen = choice(part.sizes[part.axis])
            factor = chosen.size / max(1, int(chosen.sum())) if mean else 1.0
            derivatives[index] = _share(operation, index, dy, cache, part, chosen) * dy.dtype.type(factor)
        return tuple(derivatives)

    return change_node(node, with_backward(operation, backward))
