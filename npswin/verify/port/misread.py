"""Dumps that hold the right numbers in the wrong way: axes in another order, bytes in another order, another's numbers.

They are looked for before any mistake of the computation, since they are what a port's first dump gets wrong.
"""

from collections.abc import Callable, Iterator
from itertools import permutations

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT

MOST_AXES = 5


def readings(found: Array, wanted: tuple[int, ...], axes: str) -> Iterator[tuple[str, Callable[[Array], Array]]]:
    """Other ways to read a dumped tensor as one of the wanted shape: in words, and as a function of it.

    Args:
        found: as dumped.
        wanted: the key's shape.
        axes: the key's layout in words.
    """
    names = _split(axes)
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


def _permuted(order: tuple[int, ...]) -> Callable[[Array], Array]:
    return lambda array: array.transpose(order)


def _laid(memory: tuple[int, ...], order: tuple[int, ...]) -> Callable[[Array], Array]:
    return lambda array: array.reshape(memory).transpose(np.argsort(order))


def _swapped(wanted: tuple[int, ...]) -> Callable[[Array], Array]:
    return lambda array: array.byteswap().reshape(wanted)


def same_pass(name: str, other: str) -> bool:
    """Whether two tensors are of the same pass, so that one may have been dumped under the other's name."""
    return name != other and name.startswith(GRADIENT) == other.startswith(GRADIENT)
