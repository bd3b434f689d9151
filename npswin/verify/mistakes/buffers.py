"""Gradients in a buffer that was not cleared, or that is read or written with the strides of another array."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import gathered
from npswin.verify.graph import GRADIENT_PREFIX, Node, Run
from npswin.verify.mistakes.counterparts import counterparts
from npswin.verify.mistakes.filled_padding import Filling, fillings
from npswin.verify.mistakes.mistake import Changes, change_node, is_output_of, transform_derivative, with_backward
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.mistakes.other_terms import OtherTerms

FEWEST = 8  # numbers of a gradient
TESTED_ROWS = 64  # of numbers side by side, whose places are looked for
TESTED = 16  # of them, by which most tensors are ruled out
CLEARED = "clear the buffer before a gradient is written or summed up in it"


def fit_buffers(run: Run, symptom: str, found: Array, tolerance: float) -> Iterator[OtherTerms]:
    """Explanations of a gradient by what was in its buffer, or by the buffer's strides.

    Args:
        run: the graph on the port's own inputs.
        symptom: the gradient's name.
        found: the port's gradient.
        tolerance: the largest difference of equal numbers.
    """
    tensor = symptom.removeprefix(GRADIENT_PREFIX)
    users = run.graph.differentiable_consumers(tensor)
    if tensor == symptom or not users or found.size < FEWEST or not np.isfinite(found).all():
        return
    if run.value(tensor).shape != found.shape:  # by another mistake
        return
    if run.graph.nodes[tensor].axes != "parameter":  # its sum is wrong where another tensor's gradient is
        yield from _added(run, tensor, found, tolerance)
    node = run.graph.nodes[users[0]]
    if len(users) == 1 and is_output_of(node, "pad", "crop"):
        yield from _filled(run, node, tensor, found, tolerance)
        yield from _other_strides(run, node, tensor, found, tolerance)


def _added(run: Run, tensor: str, found: Array, tolerance: float) -> Iterator[OtherTerms]:
    """Another tensor's numbers are in the buffer in which the gradient is summed up."""
    rest = (found - run.compute(GRADIENT_PREFIX + tensor)).reshape(-1)
    tested = np.unique(np.linspace(0, rest.size - 1, min(rest.size, TESTED)).astype(np.intp))
    for name, array in run.given.items():
        flat = array.reshape(-1)
        if array.size != rest.size or name in run.graph.parameters or name == GRADIENT_PREFIX + tensor:
            continue
        near = all(np.abs(flat[places] - rest[places]).max() <= 2 * tolerance for places in (tested, slice(None)))
        if not near or not flat.any():
            continue
        description = "a buffer in which a gradient is summed up still has other numbers in it"
        detail = f"{name} is added to grad/{tensor}"
        yield OtherTerms(description, detail, CLEARED, tensor, _with_sum(run, tensor, array), 0, False)
        changes = _with_sum(run, tensor, array)
        for place, other in counterparts(run.graph, tensor, name.removeprefix(GRADIENT_PREFIX)):
            source = run.given.get(name.replace(name.removeprefix(GRADIENT_PREFIX), other))
            if source is not None and source.shape == run.value(place).shape:
                changes |= _with_sum(run, place, source)
        yield OtherTerms(description, f"{detail}; likewise in all blocks", CLEARED, tensor, changes, 0, True)
        return


def _with_sum(run: Run, tensor: str, array: Array) -> Changes:
    """An array added to the gradient of a tensor, in that by the first operation that reads it."""
    user = next((user for user in run.graph.consumers[tensor] if user in run.graph.differentiable), None)
    if user is None:
        return {}
    node = run.graph.nodes[user]
    assert node.operation is not None
    stale = array.reshape(run.value(tensor).shape)

    def add(dx: Array) -> Array:
        if dx.shape != stale.shape:
            raise NotApplicable(f"{tensor}: has another shape by another mistake")
        return dx + stale.astype(dx.dtype)

    return change_node(node, transform_derivative(node.operation, node.inputs.index(tensor), add))


def _filled(run: Run, node: Node, tensor: str, found: Array, tolerance: float) -> Iterator[OtherTerms]:
    """Places that no number is written to are not 0: filled by a rule, or not cleared. All others are right."""
    zero, right = _unwritten(run, node, tensor), run.compute(GRADIENT_PREFIX + tensor)
    if not zero.any() or zero.all() or np.abs(found - right)[~zero].max() > tolerance:
        return
    if np.abs(found[zero]).max() <= tolerance:
        return
    height, width = node.settings["size"]
    padding = f"the padding in grad/{tensor}, rows from {height} on and columns from {width} on"
    crops = [one for one in run.graph.nodes.values() if one.operation is node.operation]
    description, fix = "the gradient of a map's padding is not 0", "what the crop leaves out has the derivative 0"
    rules = list(fillings(found, (height, width), tolerance))
    for words, rule, fitted in rules:
        detail = f"{words}: {padding}"
        yield OtherTerms(description, detail, fix, node.name, _filled_by(node, rule), fitted, False)
        if len(crops) > 1:
            changes: Changes = {}
            for other in crops:
                changes |= _filled_by(other, rule)
            where = f"{detail}; likewise in all of {len(crops)} places"
            yield OtherTerms(description, where, fix, node.name, changes, fitted, True)
    if rules:
        return
    names = (name for name, array in run.given.items() if array.shape == found.shape)
    own = GRADIENT_PREFIX + tensor
    there = [name for name in names if name != own and np.abs(run.given[name] - found)[zero].max() <= tolerance]
    if there:
        detail = f"it has the numbers of {there[0]}: {padding}"
    else:
        detail = (
            f"it has other numbers, up to {np.abs(found[zero]).max():.3g} (memory that was not cleared?): {padding}"
        )
    yield OtherTerms(description, detail, CLEARED, node.name, _replaced(node, zero, found), 0, False)
    changes = {}
    for other in crops:
        if GRADIENT_PREFIX + other.inputs[0] in run.given:
            array = run.given[GRADIENT_PREFIX + other.inputs[0]]
            if array.shape == run.value(other.inputs[0]).shape and np.isfinite(array).all():
                changes |= _replaced(other, _unwritten(run, other, other.inputs[0]), array)
    if len(changes) > 1:
        where = f"{detail}; likewise in all of {len(changes)} places"
        yield OtherTerms(description, where, CLEARED, node.name, changes, 0, True)


def _filled_by(node: Node, rule: Filling) -> Changes:
    """The crop's derivative with the padding filled by a rule."""
    assert node.operation is not None

    def backward(dy: Array, shape: tuple[int, ...]) -> tuple[Array]:
        return (rule(dy, (shape[1], shape[2])),)

    return change_node(node, with_backward(node.operation, backward))


def _unwritten(run: Run, node: Node, tensor: str) -> Array:
    """Where a derivative is 0 whatever the derivative by the operation's result is."""
    assert node.operation is not None
    _, cache = node.operation.forward(*(run.value(read) for read in node.inputs), **node.settings)
    ones = np.ones_like(run.gradient(node.name))
    derivative = node.operation.backward(ones, cache)[node.inputs.index(tensor)]
    return np.asarray(derivative) == 0 if node.operation.name == "crop" else np.zeros(run.value(tensor).shape, bool)


def _replaced(node: Node, places: Array, array: Array) -> Changes:
    assert node.operation is not None

    def fill(dx: Array) -> Array:
        if dx.shape != places.shape:
            raise NotApplicable(f"{node.name}: has another shape by another mistake")
        return np.where(places, array, dx).astype(dx.dtype)

    return change_node(node, transform_derivative(node.operation, 0, fill))


def _other_strides(run: Run, node: Node, tensor: str, found: Array, tolerance: float) -> Iterator[OtherTerms]:
    """The derivative by the result is read, or written, with other strides than its own."""
    dy = run.gradient(node.name)
    small, large = (found, dy) if found.size < dy.size else (dy, found)
    positions = _strided(small, large.reshape(-1), tolerance)
    if positions is None:
        return
    start, strides = int(positions.flat[0]), _strides_of(positions)
    verb = "read" if large is dy else "written"
    dense = tuple(stride // small.itemsize for stride in np.empty(small.shape, small.dtype).strides)
    own = tuple(stride // large.itemsize for stride in np.empty(large.shape, large.dtype).strides)
    without = " of the map without padding" if strides == dense else ""
    detail = (
        f"the padded gradient is {verb} with the strides {strides}{without} from number {start} on, in place of {own}"
    )
    if large is dy:
        take: Callable[[Array], Array] = gathered(positions)[0]  # type: ignore[assignment]
        changes = _derived(node, lambda array: np.asarray(take(array)[0]))
    else:
        if np.abs(np.delete(large.reshape(-1), positions.reshape(-1))).max() > tolerance:
            return
        changes = _derived(node, lambda array: _written(array, positions, found.shape))
    description = "the memory of a gradient with padding is taken for that of another shape"
    fix = "the strides of an array with padding count the padding"
    yield OtherTerms(description, detail, fix, node.name, changes, 0, False)


def _strided(small: Array, large: Array, tolerance: float) -> Array | None:
    """The flat positions in the large array of the small one's numbers, if they have one stride an axis, the last 1."""
    shape = small.shape[:-1]
    rows, count = small.reshape(-1, small.shape[-1]), int(np.prod(shape))
    tried = np.unique(np.linspace(0, count - 1, min(count, TESTED_ROWS)).astype(np.intp))
    places = {row: _position(rows[row], large, tolerance) for row in tried.tolist() if rows[row].any()}
    known = {row: place for row, place in places.items() if place is not None}
    if len(known) <= len(shape) + 1:
        return None
    indices = np.stack([*np.unravel_index(list(known), shape), np.ones(len(known), np.intp)], axis=1)
    strides, *_ = np.linalg.lstsq(indices.astype(np.float64), np.array(list(known.values()), np.float64), rcond=None)
    *by_axis, start = np.rint(strides).astype(np.int64)
    positions = start + np.broadcast_to(np.arange(small.shape[-1]), small.shape)
    for axis, stride in enumerate(by_axis):
        positions = positions + stride * np.arange(shape[axis]).reshape([-1, *[1] * (small.ndim - 1 - axis)])
    if positions.min() < 0 or positions.max() >= large.size:
        return None
    return positions if np.abs(large[positions] - small).max() <= tolerance else None


def _position(row: Array, array: Array, tolerance: float) -> int | None:
    """Where a row's numbers are side by side in a flat array; None if that is nowhere, or not at one place alone."""
    places = np.flatnonzero(np.abs(array[: len(array) - len(row) + 1] - row[0]) <= tolerance)
    for offset in range(1, len(row)):
        places = places[np.abs(array[places + offset] - row[offset]) <= tolerance]
    return int(places[0]) if len(places) == 1 else None


def _strides_of(positions: Array) -> tuple[int, ...]:
    return tuple(
        int(np.take(positions, 1, axis).flat[0] - positions.flat[0]) if size > 1 else 0
        for axis, size in enumerate(positions.shape)
    )


def _written(array: Array, positions: Array, shape: tuple[int, ...]) -> Array:
    flat = np.zeros(int(np.prod(shape)), array.dtype)
    flat[positions.reshape(-1)] = array.reshape(-1)
    return flat.reshape(shape)


def _derived(node: Node, function: Callable[[Array], Array]) -> Changes:
    """The node with a function of the derivative by its result as that by its input."""
    assert node.operation is not None

    def backward(dy: Array, _: Any) -> tuple[Array]:
        return (function(dy),)

    return change_node(node, with_backward(node.operation, backward))
