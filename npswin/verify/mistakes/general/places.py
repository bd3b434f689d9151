"""An input with its entries in other places: heads, windows, images and tokens that are exchanged or repeated."""

from collections.abc import Callable

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph
from npswin.verify.mistakes.axis_parts import axis_parts, part_names, split_names
from npswin.verify.mistakes.mistake import Mistake, Variants, change_node, gather, transform_input
from npswin.verify.mistakes.not_applicable import NotApplicable

MOVES: dict[str, Callable[[Array, int], Array]] = {
    "in reversed order": lambda x, axis: np.flip(x, axis),
    "each in the place of the next": lambda x, axis: np.roll(x, 1, axis),
    "each in the place of the one before": lambda x, axis: np.roll(x, -1, axis),
    "each in the place of the next, zeros come in": lambda x, axis: _without(np.roll(x, 1, axis), axis, 0),
    "each in the place of the one before, zeros come in": lambda x, axis: _without(np.roll(x, -1, axis), axis, -1),
    "the first in place of all": lambda x, axis: np.repeat(x.take([0], axis), x.shape[axis], axis),
    "the last in place of all": lambda x, axis: np.repeat(x.take([-1], axis), x.shape[axis], axis),
    "the first left out, as 0": lambda x, axis: _without(x, axis, 0),
    "the last left out, as 0": lambda x, axis: _without(x, axis, -1),
}
OF_ALL_WINDOWS: dict[str, Callable[[Array], Array]] = {
    "each in the place of the next": lambda x: np.roll(x, 1, 0),
    "each in the place of the next, the first stays": lambda x: np.concatenate([x[:1], x[:-1]]),
    "each in the place of the one before": lambda x: np.roll(x, -1, 0),
    "each in the place of the one before, the last stays": lambda x: np.concatenate([x[1:], x[-1:]]),
}
NAMES = {"B": "images", "C": "channels", "q|k|v": "q, k and v"}


def _without(x: Array, axis: int, entry: int) -> Array:
    kept = np.ones(x.shape[axis], x.dtype)
    kept[entry] = 0
    return x * kept.reshape([-1 if place == axis else 1 for place in range(x.ndim)])


def _moved_input(graph: Graph, name: str) -> Variants:
    node = graph.nodes[name]
    if node.operation is None or name == "loss":
        return
    for index, read in enumerate(node.inputs):
        for place, part in enumerate(part_names(graph, read)):
            for words, move in MOVES.items():
                rearrange = along(graph, read, place, move)
                changed = change_node(node, transform_input(node.operation, index, gather(rearrange)))
                yield f"{read}: {NAMES.get(part, part + 's')} {words}", changed
        if split_names(graph.nodes[read].axes)[:2] == ["B", "nW"]:
            for words, of_all in OF_ALL_WINDOWS.items():
                changed = change_node(node, transform_input(node.operation, index, gather(of_all_windows(of_all))))
                yield f"{read}: windows of the whole batch {words}", changed


def of_all_windows(move: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A move of the windows of all images, one after another."""
    return lambda x: move(x.reshape(-1, *x.shape[2:])).reshape(x.shape)


def along(graph: Graph, read: str, place: int, move: Callable[[Array, int], Array]) -> Callable[[Array], Array]:
    """A move of the entries along one part of a tensor's axes, for whatever shape it has.

    It is also one of numbers of its rows, which are those along all axes but the last.
    """

    def rearrange(x: Array) -> Array:
        rows = x.ndim < len(split_names(graph.nodes[read].axes))  # one number in place of the last axis
        axes = axis_parts(graph, read, (*x.shape, 1))[:-1] if rows else axis_parts(graph, read, x.shape)
        parts = [part.size for axis in axes for part in axis]
        if place >= len(parts) or parts[place] < 2:
            raise NotApplicable(f"{read}: has no two entries there")
        return move(x.reshape(parts), place).reshape(x.shape)

    return rearrange


PLACES = (Mistake("moved-input", "entries of an input are in other places", "each entry in its place", _moved_input),)
