"""Errors of the dump: correct numbers in another axis order, another byte order, or under another tensor's name.

They are looked for before any mistake of the computation, since a port's first dump often has one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations

import numpy as np

from npswin.types import Array
from npswin.verify.fits.positions import find_placement
from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.mistakes.axis_parts import axis_parts, split_names
from npswin.verify.mistakes.not_applicable import NotApplicable, shape_errors_as_not_applicable
from npswin.verify.port.candidate import Candidate
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.distance import finite_rms
from npswin.verify.port.local_error import LocalError, LocalErrors
from npswin.verify.port.tolerance import LOOSEST

MOST_AXES = 5  # of a tensor whose axis orders are tried
FEWEST_NUMBERS = 8  # a smaller tensor may equal another tensor by chance

Layout = Callable[[Array], Array]  # from a dumped tensor to one in the key's layout


@dataclass(frozen=True)
class CorrectedDump:
    """A port's tensors, with corrections for the errors of the dump that were found so far.

    Attributes:
        candidate: the tensors as they are in the files.
        given: the tensors to compute with: the key's sources, and the tensors that were dumped.
        corrected: of these, the ones that were dumped in another layout, by name in the key's layout.
        dropped: names under which another tensor was dumped.
    """

    candidate: Candidate
    given: dict[str, Array]
    corrected: dict[str, Array] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()

    def tensor(self, name: str) -> Array | None:
        """The tensor of this name, of the right shape or not; None if there is none."""
        return self.corrected.get(name, self.candidate.tensors.get(name, self.candidate.misshapen.get(name)))

    def is_readable(self, name: str) -> bool:
        """Whether the dump has this tensor, readable and not under another tensor's name."""
        return name not in self.candidate.unreadable and name not in self.dropped and self.tensor(name) is not None

    def with_corrected(self, right: Mapping[str, Array]) -> "CorrectedDump":
        """The dump with some tensors in the key's layout."""
        return replace(self, given={**self.given, **right}, corrected={**self.corrected, **right})

    def without(self, name: str) -> "CorrectedDump":
        """The dump without a tensor."""
        given = {other: array for other, array in self.given.items() if other != name}
        return replace(self, given=given, dropped=self.dropped | {name})


@dataclass(frozen=True)
class DumpError:
    """An error of the dump.

    Attributes:
        name: "layout", "mislabelled" or "port-order".
        description: how the tensors were dumped, as a sentence.
        tensors: the names of the tensors that were dumped so.
        corrected: the dump with these tensors corrected.
    """

    name: str
    description: str
    tensors: list[str]
    corrected: CorrectedDump

    @property
    def verdict(self) -> str:
        """What it means."""
        if self.name == "port-order":
            return "it is right, in an order of the port's own: what follows has its weights in this order"
        return "it is computed correctly and dumped wrongly"

    @property
    def fix(self) -> str:
        """What to do."""
        if self.name == "port-order":
            return "nothing has to be changed; dump it in the key's order, and its weights as well, to compare it"
        return "dump each tensor under its name, in the key's layout, little-endian (docs/answer_key.md)"


def find_dump_error(
    symptom: str, symptoms: Iterable[str], dump: CorrectedDump, comparer: Comparer, local_errors: LocalErrors
) -> DumpError | None:
    """An error of the dump that explains the symptom, or None.

    Args:
        symptom: a tensor that differs from its operation's result on the port's own inputs.
        symptoms: all of these.
        dump: what the port has.
        comparer: the key and the candidate.
        local_errors: each operation on the port's own inputs.
    """
    found, key = dump.tensor(symptom), comparer.key
    assert found is not None
    axes = key.graph.nodes[symptom.removeprefix(GRADIENT_PREFIX)].axes
    for description, layout in other_layouts(found, comparer.shapes[symptom], axes):
        right = {}
        for name in (symptom, *symptoms):
            array = dump.tensor(name)
            if array is not None and _explains(layout, array, name, comparer.shapes[name], local_errors):
                right[name] = layout(array)
            elif name == symptom:
                break
        if right:
            return DumpError("layout", description, list(right), dump.with_corrected(right))
    if (own_order := _own_order(symptom, symptoms, dump, comparer, local_errors)) is not None:
        return own_order
    return _mislabelled(symptom, symptoms, dump, comparer)


def _mislabelled(symptom: str, symptoms: Iterable[str], dump: CorrectedDump, comparer: Comparer) -> DumpError | None:
    """Another tensor of the key under the symptom's name, and the symptom's under that one's."""
    if (other := _holds(symptom, dump, comparer)) is None:
        return None
    if other in set(symptoms) and _holds(other, dump, comparer) == symptom:
        words = f"{symptom} and {other} are under each other's names"
        return DumpError("mislabelled", words, [symptom, other], dump.without(symptom).without(other))
    return DumpError("mislabelled", f"it holds the numbers of {other}", [symptom], dump.without(symptom))


def _holds(name: str, dump: CorrectedDump, comparer: Comparer) -> str | None:
    """The tensor of the key whose numbers are dumped under another one's name."""
    found = dump.tensor(name)
    if found is None or found.size < FEWEST_NUMBERS or comparer.agrees_with_key(name, found):
        return None
    for other, shape in comparer.shapes.items():
        if shape == found.shape and same_pass(name, other) and comparer.agrees_with_key(other, found):
            return other
    return None


def _own_order(
    symptom: str, symptoms: Iterable[str], dump: CorrectedDump, comparer: Comparer, local_errors: LocalErrors
) -> DumpError | None:
    """The right numbers in another order, also in tensors that follow: their weights are in that order, too.

    Whether it is a mistake nevertheless is told by what follows, see `search_mistakes`.
    """
    if symptom.startswith(GRADIENT_PREFIX):
        return None  # nothing that follows tells whether it is a mistake
    found, expected = dump.tensor(symptom), _expected(local_errors, symptom)
    error = None if found is None else _error(local_errors, symptom, found)
    if found is None or expected is None or error is None or found.shape != expected.shape:
        return None
    axes = axis_parts(local_errors.graph, symptom.removeprefix(GRADIENT_PREFIX), found.shape)
    placement = find_placement(found, expected, axes, error.tolerance.peak * finite_rms(expected))
    if placement is None or not placement.is_permutation:
        return None
    layout, corrected = _undone(placement.positions), dump
    names: list[str] = []
    for name in (symptom, *(name for name in symptoms if name != symptom)):
        array = corrected.tensor(name)
        if array is not None and array.shape == found.shape:
            now = comparer.local_errors_of(local_errors.graph, corrected.given) if names else local_errors
            if _explains(layout, array, name, comparer.shapes[name], now):
                corrected = corrected.with_corrected({name: layout(array)})
                names.append(name)
    return DumpError("port-order", placement.words, names, corrected) if names else None


def _expected(local_errors: LocalErrors, name: str) -> Array | None:
    try:
        return local_errors.expected(name)
    except NotApplicable:
        return None


def _error(local_errors: LocalErrors, name: str, array: Array) -> LocalError | None:
    try:
        return local_errors.error(name, array)
    except NotApplicable:
        return None


def _undone(positions: Array) -> Layout:
    """The array with its numbers back at these positions."""

    def layout(array: Array) -> Array:
        right = np.empty(array.size, array.dtype)
        right[positions.reshape(-1)] = array.reshape(-1)
        return right.reshape(array.shape)

    return layout


def _explains(layout: Layout, array: Array, name: str, shape: tuple[int, ...], local_errors: LocalErrors) -> bool:
    """Whether a dumped tensor, read in this layout, is its operation's result on the port's own inputs."""
    try:
        with np.errstate(all="ignore"):
            with shape_errors_as_not_applicable(name):
                read = layout(array)
            error = local_errors.error(name, read)
    except NotApplicable:
        return False
    if error is not None and error.tolerance.relative > LOOSEST:
        return False
    return read.shape == shape and error is not None and not error.is_significant


def other_layouts(found: Array, wanted: tuple[int, ...], axes: str) -> Iterator[tuple[str, Layout]]:
    """Other layouts in which a dumped tensor can be read as one of the wanted shape, each with a description.

    Args:
        found: as dumped.
        wanted: the key's shape.
        axes: the key's layout, such as "B, H, W, C".
    """
    names = split_names(axes)
    if found.shape != wanted and found.size == np.prod(wanted, dtype=int):
        listed = "from the last axis on" if found.shape == wanted[::-1] else f"as {found.shape}"
        yield f"its memory is right, its shape is listed {listed}", _reshaped(wanted)
    if found.ndim == len(wanted) <= MOST_AXES:
        for order in permutations(range(found.ndim)):
            if order != tuple(range(found.ndim)) and tuple(found.shape[axis] for axis in order) == wanted:
                dumped = ", ".join(_dumped_axis_names(names, order)) or "in another order"
                yield f"its axes are {dumped}; the key's are {axes}", _transposed(order)
    if found.size == np.prod(wanted, dtype=int) and 2 < len(wanted) <= MOST_AXES:
        for order in permutations(range(len(wanted))):
            if order != tuple(range(len(wanted))):
                memory = tuple(wanted[axis] for axis in order)
                order_text = ", ".join(names[axis] for axis in order) if len(names) == len(wanted) else str(order)
                yield f"its memory is laid out as {order_text}; the key's as {axes}", _memory_order(memory, order)
    if found.dtype.itemsize > 1:
        yield "its bytes are big-endian; the key's are little-endian", _byte_swapped(wanted)


def _dumped_axis_names(names: list[str], order: tuple[int, ...]) -> list[str]:
    """The names of the dump's axes, if its axis order[i] is the key's axis i."""
    return [names[order.index(axis)] for axis in range(len(order))] if len(names) == len(order) else []


def _reshaped(wanted: tuple[int, ...]) -> Layout:
    return lambda array: array.reshape(wanted)


def _transposed(order: tuple[int, ...]) -> Layout:
    return lambda array: array.transpose(order)


def _memory_order(memory: tuple[int, ...], order: tuple[int, ...]) -> Layout:
    return lambda array: array.reshape(memory).transpose(np.argsort(order))


def _byte_swapped(wanted: tuple[int, ...]) -> Layout:
    return lambda array: array.byteswap().reshape(wanted)


def same_pass(name: str, other: str) -> bool:
    """Whether two different tensors are of the same pass, so that one may have been dumped under the other's name."""
    return name != other and name.startswith(GRADIENT_PREFIX) == other.startswith(GRADIENT_PREFIX)
