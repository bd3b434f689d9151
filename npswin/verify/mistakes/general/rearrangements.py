"""Other places, and other memory orders, of the numbers that a backward pass reads."""

from collections.abc import Callable, Iterator

from npswin.types import Array
from npswin.verify.graph import Graph
from npswin.verify.mistakes.axis_parts import part_names, split_names
from npswin.verify.mistakes.general.places import MOVES, NAMES, OF_ALL_WINDOWS, along, of_all_windows
from npswin.verify.mistakes.not_applicable import NotApplicable

Rearrangement = Callable[[Array], Array]
WHOLE = {"nW": "windows of an image", "N": "tokens", "query": "queries", "key": "keys"}


def rearrangements(graph: Graph, read: str, of_rows: bool = False) -> Iterator[tuple[str, Rearrangement]]:
    """Other places and memory orders of a tensor's numbers, or of one number for each of its rows.

    Args:
        graph: which has the tensor.
        read: the tensor.
        of_rows: whether it is one number in place of the last axis.
    """
    for place, part in enumerate(part_names(graph, read, of_rows)):
        for words, move in MOVES.items():
            yield f"{NAMES.get(part, part + 's')} {words}", along(graph, read, place, move)
    names = split_names(graph.nodes[read].axes)[: -1 if of_rows else None]
    for axis, name in enumerate(names):
        if name in WHOLE:  # an axis of several parts
            for words, move in MOVES.items():
                yield f"{WHOLE[name]} {words}", _moved_along(axis, move)
    if names[:2] == ["B", "nW"]:
        for words, of_all in OF_ALL_WINDOWS.items():
            yield f"windows of the whole batch {words}", of_all_windows(of_all)
        names = ["windows", *names[2:]]
    for first in range(len(names)):
        for second in range(first + 1, len(names)):
            order = list(names)
            order[first], order[second] = order[second], order[first]
            own, other = ", ".join(names), ", ".join(order)
            yield f"the memory of ({own}) read as ({other})", _read_as(len(names), first, second)
            yield f"the memory of ({other}) read as ({own})", _stored_as(len(names), first, second)


def _moved_along(axis: int, move: Callable[[Array, int], Array]) -> Rearrangement:
    return lambda x: move(x, axis)


def _merged(x: Array, axes: int) -> Array:
    """The array with so many axes: images and windows as one where it has one more."""
    if x.ndim not in (axes, axes + 1):
        raise NotApplicable("it has other axes by another mistake")
    return x.reshape(-1, *x.shape[1 + x.ndim - axes :])


def _read_as(axes: int, first: int, second: int) -> Rearrangement:
    def rearrange(x: Array) -> Array:
        sizes = list(_merged(x, axes).shape)
        sizes[first], sizes[second] = sizes[second], sizes[first]
        return x.reshape(sizes).swapaxes(first, second).reshape(x.shape)

    return rearrange


def _stored_as(axes: int, first: int, second: int) -> Rearrangement:
    return lambda x: _merged(x, axes).swapaxes(first, second).reshape(x.shape)
