"""A derivative as a sum of terms: those that it has, and others that a backward pass written by hand may have."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from npswin.types import Array


@dataclass(frozen=True)
class Known:
    """What the backward pass of one operation can read.

    Attributes:
        dy: the derivative of the loss by the operation's result.
        inputs: of the operation.
        y: its result.
        settings: its keyword arguments.
    """

    dy: Array
    inputs: tuple[Array, ...]
    y: Array
    settings: Mapping[str, Any]


Term = Callable[[Known], Array]


@dataclass(frozen=True)
class Derivative:
    """The derivative by one input of an operation.

    Attributes:
        formula: of the right derivative, with what its letters stand for.
        right: by term the factor in the right derivative.
        terms: by name all terms, functions of what is known, with a result of the input's size.
        numbers: the factors that a term may have by mistake, by what they are, such as "C" for the channels.
        known: other sums that have a name, in words; None as a factor stands for any number.
    """

    formula: str
    right: Mapping[str, float]
    terms: Mapping[str, Term]
    numbers: Callable[[Known], Mapping[str, float]] = lambda _: {}
    known: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)

    @property
    def symbol(self) -> str:
        """Of the derivative, such as "dx"."""
        return self.formula.rpartition(": ")[2].partition(" = ")[0]


def described(derivative: Derivative, factors: Mapping[str, float], numbers: Mapping[str, float]) -> str:
    """A sum of terms in words: the sum itself, and how it differs from the right one."""
    right = derivative.right
    ordered = [*(name for name in right if name in factors), *(name for name in factors if name not in right)]
    text = " ".join(_signed(name, factors[name], numbers, index == 0) for index, name in enumerate(ordered))
    named = next((f": {words}" for words, other in derivative.known.items() if _same(factors, other)), "")
    return f"{derivative.symbol} = {text}{named or _difference(right, factors, ordered, numbers)}"


def _same(factors: Mapping[str, float], other: Mapping[str, float | None]) -> bool:
    numbers = {name: factor for name, factor in other.items() if factor is not None}
    near = all(abs(factors.get(name, 0.0) - factor) <= 1e-6 * abs(factor) for name, factor in numbers.items())
    return near and factors.keys() == other.keys()


def _difference(
    right: Mapping[str, float], factors: Mapping[str, float], ordered: Sequence[str], numbers: Mapping[str, float]
) -> str:
    """How a sum differs from the right one, where it has a part of it."""
    missing = [name for name in right if name not in factors]
    added = [name for name in ordered if name not in right]
    kept = [name for name in right if name in factors]
    if not kept or (len(right) == 1 and added):
        return ""
    changes = [
        f"{name} {_changed(factors[name] / right[name], numbers)}" for name in kept if factors[name] != right[name]
    ]
    if len(missing) == len(added) == 1:
        changes.append(f"{added[0]} in place of {missing[0]}")
    else:
        changes += [f"{name} is missing" for name in missing] + [f"{name} is added" for name in added]
    return f": {', '.join(changes)}"


def _signed(name: str, factor: float, numbers: Mapping[str, float], first: bool) -> str:
    number = _number(abs(factor), numbers)
    sign = "-" if factor < 0 else "" if first else "+"
    return f"{sign}{'' if first or not sign else ' '}{'' if number == '1' else number + ' '}{name}"


def _number(size: float, numbers: Mapping[str, float]) -> str:
    named = next((words for words, number in numbers.items() if abs(size / number - 1) < 1e-9), "")
    return named or {0.5: "1/2"}.get(size, f"{size:.5g}")


def _changed(ratio: float, numbers: Mapping[str, float]) -> str:
    if ratio == -1:
        return "has the other sign"
    sign = "-" if ratio < 0 else ""
    return f"is multiplied by {sign}{_number(abs(ratio), numbers)}"


def products(left: Mapping[str, Term], right: Mapping[str, Term], words: str = "{} {}") -> dict[str, Term]:
    """The products of each term with each other one."""

    def product(one: Term, other: Term) -> Term:
        return lambda known: one(known) * other(known)

    return {
        words.format(name, other).strip(): product(term, factor)
        for name, term in left.items()
        for other, factor in right.items()
    }


def counts(sizes: Callable[[Known], Sequence[tuple[str, int]]]) -> Callable[[Known], dict[str, float]]:
    """Sizes and their reciprocals as numbers that a factor may be."""

    def numbers(known: Known) -> dict[str, float]:
        found: dict[str, float] = {}
        for words, size in sizes(known):
            if size > 2:
                found |= {words: float(size), f"1/{words}": 1 / size}
        return found

    return numbers
