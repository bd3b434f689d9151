"""Numbers of a tensor that stand elsewhere: left in a buffer, read past the end of a row, of another image or place.

The wrong numbers of a tensor are looked up among all numbers that the port has dumped before, and among parameters. If
all of them stand in one array, at places that follow a rule, they were copied from there.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.fits.copies import Copy, Source, copies, places_words
from npswin.verify.fits.explanation import gathered, replaced_where
from npswin.verify.fits.index_maps import linear_rule
from npswin.verify.fits.words import singular
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node, Run
from npswin.verify.mistakes.axis_parts import Axes, axis_parts, with_axes
from npswin.verify.mistakes.fitted_inputs import places_read
from npswin.verify.mistakes.fitted_tensors import MOVING, SUMS, Fit
from npswin.verify.mistakes.mistake import Changes, change_node, is_output_of, transform_derivative, transform_output
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.mistakes.read_besides import reading_besides

PADDED = ("pad", "patch_concat")  # operations that put zeros where there is nothing
MOST_TOLD = 3  # the simplest ones
ITSELF = "the tensor itself"


def fit_copies(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a tensor's wrong numbers as copies of numbers elsewhere.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    yield from _fits(run, name, found, tolerance, partial(_other_tensors, run, name), elsewhere=True)


def fit_moved_part(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of wrong numbers by the tensor's own or its input's elsewhere; arguments as `fit_copies`."""

    def sources(right: Array, axes: Axes) -> Iterator[Source]:
        yield ITSELF, right, axes
        if name in run.graph.nodes and is_output_of(run.graph.nodes[name], *MOVING, "pad"):
            yield from with_axes(run, run.graph.nodes[name].inputs)

    yield from _fits(run, name, found, tolerance, sources)


def _fits(
    run: Run,
    name: str,
    found: Array,
    tolerance: float,
    sources: Callable[[Array, Axes], Iterator[Source]],
    elsewhere: bool = False,
) -> Iterator[Fit]:
    """The explanations by some sources; if `elsewhere`, an operation's own input is told only past its end."""
    right, inner = run.compute(name), name.removeprefix(GRADIENT_PREFIX)
    if right.shape != found.shape or not np.isfinite(found).all():
        return
    axes = axis_parts(run.graph, inner, found.shape)
    told = []
    for copy in copies(found.astype(np.float64), right, axes, tolerance, sources(right, axes)):
        if copy.source == ITSELF and "=" in copy.at:  # there is a simpler one in what the tensor is made of
            continue
        beyond, words = "", copy.words
        if name == inner:
            where, node = _where(run, name, right, copy), run.graph.nodes[name]
            beyond = _past_the_end(run, node, copy) if copy.source in node.inputs else ""
            if copy.source in node.inputs and elsewhere and not beyond:
                continue
            words = f"{copy.source} is read past {beyond}" if beyond else replace(copy, where=where).words
            words = words.format(where=where)
        told.append((not beyond, len(copy.at), words, copy))
    told.sort(key=lambda one: one[:2])
    for *_, words, copy in told[: 1 if told and not told[0][0] else MOST_TOLD]:
        for changes in _changes(run.graph, name, found, copy):
            yield Fit(words, changes, 0)


def _other_tensors(run: Run, name: str, *_: object) -> Iterator[Source]:
    """What may have been copied: the tensors that the port has dumped before, and parameters."""
    order = list(run.graph.nodes)
    if name.startswith(GRADIENT_PREFIX):
        order = [GRADIENT_PREFIX + other for other in run.graph.backward_order()]
    before = order[: order.index(name) if name in order else 0]
    node = run.graph.nodes[name.removeprefix(GRADIENT_PREFIX)]
    own = node.inputs
    given = [other for other in reversed(before) if other in run.given and run.value(other).dtype.kind == "f"]
    if is_output_of(node, *SUMS):  # a term alone is told by the other term, which is 0
        given = [other for other in given if other not in own]
    yield from with_axes(run, sorted(given, key=lambda other: other not in own))


def _where(run: Run, name: str, right: Array, copy: Copy) -> str:
    """Where the wrong numbers are: where there should be zeros, in the tensor, or in the one that it is made of."""
    node, zero = run.graph.nodes[name], right == 0
    if not (copy.wrong & ~zero).any() and not zero.all():
        what = "the padding" if is_output_of(node, *PADDED) else "it"
        share = copy.wrong.sum() / zero.sum()
        return f"where {what} should be 0{'' if share == 1 else f' (at {share:.0%} of these places)'},"
    if not is_output_of(node, *MOVING) or not copy.where.endswith("of the places"):
        return copy.where
    places = places_read(run, node)[copy.wrong]
    marked = np.zeros(run.value(node.inputs[0]).shape, bool)
    marked.reshape(-1)[places[places >= 0]] = True
    inside = places_words(marked, axis_parts(run.graph, node.inputs[0], marked.shape))
    return copy.where if inside.endswith("of the places") else f"in {inside} of {node.inputs[0]}"


def _past_the_end(run: Run, node: Node, copy: Copy) -> str:
    """The end of what an operation that moves numbers reads past, on in its input's memory; "" if it does not.

    Its own rule for the places at which it reads, where these exist, gives the places of the copies as well.
    """
    if not is_output_of(node, *MOVING, "pad") or len(node.inputs) != 1:
        return ""
    parts = [part for axis in axis_parts(run.graph, node.inputs[0], run.value(node.inputs[0]).shape) for part in axis]
    sizes = [part.size for part in parts]
    places = places_read(run, node)
    own = [part.size for axis in axis_parts(run.graph, node.name, places.shape) for part in axis]
    inside = np.flatnonzero(places >= 0)
    indices = np.stack(np.unravel_index(inside, own))
    along = np.unravel_index(places.reshape(-1)[inside], sizes)
    rules = [linear_rule(indices, at, size) for at, size in zip(along, sizes, strict=True)]
    wrong = np.stack(np.unravel_index(np.flatnonzero(copy.wrong), own))
    at = [rule.unlimited(wrong) for rule in rules if rule is not None]
    if len(at) < len(parts):
        return ""
    strides = np.cumprod([1, *sizes[:0:-1]])[::-1]
    if ((strides @ np.stack(at) != copy.places) & (copy.places >= 0)).any():
        return ""
    outside = [((one < 0) | (one >= size)).any() for one, size in zip(at, sizes, strict=True)]
    outer = [parts[place - 1] for place in range(1, len(parts)) if outside[place]]
    if not outer:
        return ""
    ends = " and ".join(f"{'an' if singular(part) == 'image' else 'a'} {singular(part)}" for part in outer)
    following = f"the beginning of the next {singular(outer[0])}" if len(outer) == 1 else "what comes next in memory"
    return f"the end of {ends}: {{where}} there is {following}"


def _changes(graph: Graph, name: str, found: Array, copy: Copy) -> Iterator[Changes]:
    """The copies made in the graph: constants, and, where a node can read them, numbers with a derivative."""
    if name.startswith(GRADIENT_PREFIX):
        yield _in_derivatives(graph, name.removeprefix(GRADIENT_PREFIX), found, copy.wrong)
        return
    node = graph.nodes[name]
    assert node.operation is not None
    yield change_node(node, transform_output(node.operation, replaced_where(copy.wrong, found)))
    if copy.source == ITSELF:
        positions = np.arange(found.size).reshape(found.shape)
        positions[copy.wrong] = copy.places
        yield change_node(node, transform_output(node.operation, gathered(positions)))
    else:
        yield _reading(node, copy)


def _in_derivatives(graph: Graph, name: str, found: Array, wrong: Array) -> Changes:
    """Constants in a gradient: in its first term, with zeros in the others."""
    changes: Changes = {}
    numbers = found
    for user in graph.consumers[name]:
        node = graph.nodes[user]
        if user not in graph.differentiable or node.operation is None:
            continue
        operation = node.operation
        for index, read in enumerate(node.inputs):
            if read == name:
                operation = transform_derivative(operation, index, _with_constants(wrong, numbers))
                numbers = np.zeros_like(found)
        changes |= change_node(node, operation)
    return changes


def _with_constants(wrong: Array, numbers: Array) -> Callable[[Array], Array]:
    return lambda dx: np.where(wrong, numbers, dx).astype(dx.dtype)


def _reading(node: Node, copy: Copy) -> Changes:
    """The node as its operation's result with numbers of another tensor in some places."""
    wrong, places = copy.wrong, copy.places
    inside = places >= 0

    def forward(result: Array, other: Array) -> tuple[Array, Any]:
        if result.shape != wrong.shape:
            raise NotApplicable(f"{node.name}: has another shape by another mistake")
        y = result.copy()
        y[wrong] = np.where(inside, other.reshape(-1)[places], 0)
        return y, other.shape

    def backward(dy: Array, shape: Any) -> tuple[Array, Array]:
        sums = np.bincount(places[inside], dy[wrong][inside].astype(np.float64), int(np.prod(shape)))
        return np.where(wrong, 0, dy), sums.reshape(shape).astype(dy.dtype)

    return reading_besides(node, (copy.source,), forward, backward)
