"""Dumps that hold the right numbers in the wrong way: axes in another order, bytes in another order, another's numbers.

They are looked for before any mistake of the computation, since they are what a port's first dump gets wrong.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT
from npswin.verify.port.candidate import Candidate
from npswin.verify.port.comparison import Comparer, Local

MOST_AXES = 5
FEW = 8  # numbers that may be another tensor's by chance


@dataclass(frozen=True)
class Dump:
    """A port's tensors as they are taken to be meant.

    Attributes:
        candidate: as they are in the files.
        given: what the port computes with: the key's sources, and all that was dumped.
        read: of these, what has to be read otherwise than it was dumped.
        dropped: names under which something else was dumped.
    """

    candidate: Candidate
    given: dict[str, Array]
    read: dict[str, Array] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()

    def tensor(self, name: str) -> Array | None:
        """What stands under this name, of the right shape or not."""
        return self.read.get(name, self.candidate.tensors.get(name, self.candidate.misshapen.get(name)))

    def is_readable(self, name: str) -> bool:
        """Whether something stands under this name that is meant to be this tensor."""
        return name not in self.candidate.unreadable and name not in self.dropped and self.tensor(name) is not None

    def reread(self, right: Mapping[str, Array]) -> "Dump":
        """With some tensors as they should have been dumped."""
        return replace(self, given={**self.given, **right}, read={**self.read, **right})

    def without(self, name: str) -> "Dump":
        """Without a tensor that is another's."""
        given = {other: array for other, array in self.given.items() if other != name}
        return replace(self, given=given, dropped=self.dropped | {name})


@dataclass(frozen=True)
class Misreading:
    """How a tensor was dumped wrongly.

    Attributes:
        name: "layout" or "mislabelled".
        says: how.
        places: the tensors that are dumped so.
        dump: with them as they should have been.
    """

    name: str
    says: str
    places: list[str]
    dump: Dump


def misreading(symptom: str, births: Iterable[str], dump: Dump, comparer: Comparer, local: Local) -> Misreading | None:
    """How the symptom could be one of the dump rather than of the computation.

    Args:
        symptom: a tensor that is not what the port's own inputs come to.
        births: all of these.
        dump: what the port has.
        comparer: the key and the candidate.
        local: each operation on the port's own inputs.
    """
    found, key = dump.tensor(symptom), comparer.key
    assert found is not None
    axes = key.graph.nodes[symptom.removeprefix(GRADIENT)].axes
    for words, reading in readings(found, key.shapes[symptom], axes):
        right = {}
        for name in (symptom, *births):
            array = dump.tensor(name)
            if array is not None and _fits(array, reading, name, key.shapes[name], local):
                right[name] = reading(array)
            elif name == symptom:
                break
        if right:
            return Misreading("layout", words, list(right), dump.reread(right))
    if found.size < FEW or comparer.is_standard(symptom, found):
        return None
    for other, shape in key.shapes.items():
        if shape == found.shape and same_pass(symptom, other) and comparer.is_standard(other, found):
            return Misreading("mislabelled", f"it holds the numbers of {other}", [symptom], dump.without(symptom))
    return None


def _fits(array: Array, reading: Callable[[Array], Array], name: str, shape: tuple[int, ...], local: Local) -> bool:
    """Whether a dumped tensor, read so, is what the port's own inputs come to."""
    try:
        with np.errstate(all="ignore"):
            read = reading(array)
            birth = local.born(name, read)
    except (ValueError, IndexError):
        return False
    return read.shape == shape and birth is not None and not birth.wrong


def readings(found: Array, wanted: tuple[int, ...], axes: str) -> Iterator[tuple[str, Callable[[Array], Array]]]:
    """Other ways to read a dumped tensor as one of the wanted shape: in words, and as a function of it.

    Args:
        found: as dumped.
        wanted: the key's shape.
        axes: the key's layout in words.
    """
    names = _split(axes)
    if found.shape != wanted and found.size == np.prod(wanted, dtype=int):
        listed = "from the last axis on" if found.shape == wanted[::-1] else f"as {found.shape}"
        yield f"its memory is right, its shape is listed {listed}", _shaped(wanted)
    if found.ndim == len(wanted) <= MOST_AXES:
        for order in permutations(range(found.ndim)):
            if order != tuple(range(found.ndim)) and tuple(found.shape[axis] for axis in order) == wanted:
                dumped = ", ".join(_inverse(names, order)) or "in another order"
                yield f"its axes are {dumped}; the key's are {axes}", _permuted(order)
    if found.size == np.prod(wanted, dtype=int) and 2 < len(wanted) <= MOST_AXES:
        for order in permutations(range(len(wanted))):
            if order != tuple(range(len(wanted))):
                memory = tuple(wanted[axis] for axis in order)
                laid = ", ".join(names[axis] for axis in order) if len(names) == len(wanted) else str(order)
                yield f"its memory is laid out as {laid}; the key's as {axes}", _laid(memory, order)
    if found.dtype.itemsize > 1:
        yield "its bytes are big-endian; the key's are little-endian", _swapped(wanted)


def _split(axes: str) -> list[str]:
    """The names of the axes; what stands in parentheses is one."""
    parts, depth, part = [], 0, ""
    for letter in axes:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append(part.strip())
            part = ""
        else:
            part += letter
    return [*parts, part.strip()] if axes else []


def _inverse(names: list[str], order: tuple[int, ...]) -> list[str]:
    """How the dump's axes are called, if its axis order[i] is the key's axis i."""
    return [names[order.index(axis)] for axis in range(len(order))] if len(names) == len(order) else []


def _shaped(wanted: tuple[int, ...]) -> Callable[[Array], Array]:
    return lambda array: array.reshape(wanted)


def _permuted(order: tuple[int, ...]) -> Callable[[Array], Array]:
    return lambda array: array.transpose(order)


def _laid(memory: tuple[int, ...], order: tuple[int, ...]) -> Callable[[Array], Array]:
    return lambda array: array.reshape(memory).transpose(np.argsort(order))


def _swapped(wanted: tuple[int, ...]) -> Callable[[Array], Array]:
    return lambda array: array.byteswap().reshape(wanted)


def same_pass(name: str, other: str) -> bool:
    """Whether two tensors are of the same pass, so that one may have been dumped under the other's name."""
    return name != other and name.startswith(GRADIENT) == other.startswith(GRADIENT)
