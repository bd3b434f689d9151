"""Kinds of arguments that ops take, as `npswin.ops.description` names them: arrays with named axes, numbers, lists."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from npswin.checks import check_flag, check_integer, check_number, check_numbers, shown

LARGEST_SIDE = 1 << 16  # of maps and windows
_ANY_AXES = "..."
_MAY_BE_EMPTY = "B", "n", "m"  # images, boxes


class Axes:
    """An array, its axes described by words.

    A word is a number, a name, or a product of those, such as "3*h*d". The same name stands for the same size in all
    arguments of an op. "..." stands for any number of axes, the same ones in all arguments. These and the axes B, the
    images of a batch, n and m, boxes, may be empty; all others have at least one entry.

    Args:
        alternatives: words with spaces between them; the array fits one of these.
        any_dtype: whether the op only moves numbers, of whatever dtype.
        integers: whether these are labels or other integers, of any such dtype.
        updated: whether the op writes to it.
    """

    def __init__(
        self, *alternatives: str, any_dtype: bool = False, integers: bool = False, updated: bool = False
    ) -> None:
        self.alternatives, self.any_dtype, self.integers, self.updated = alternatives, any_dtype, integers, updated
        self._words = [[_factors(word) for word in words.split()] for words in alternatives]

    def check(self, name: str, shape: tuple[int, ...], sizes: "Sizes") -> None:
        """Raise a ValueError unless a shape fits; the sizes that it tells are added to those that are known."""
        for words in self._words:
            trial = sizes.copy()
            if _fits(words, shape, trial):
                sizes.learn(trial, f", as {name} has")
                return
        wanted = " or ".join(f"({', '.join(words.split())})" for words in self.alternatives)
        told = sizes.shown(factor for words in self._words for word in words for factor in word)
        more = f" with {told}" if told else ", with nothing empty" if 0 in shape else ""
        raise ValueError(f"{name}: got shape {shown(shape)}, expected {wanted}{more}")


def _factors(word: str) -> list[int | str]:
    return [int(factor) if factor.isdigit() else factor for factor in word.split("*")]


def _fits(words: list[list[int | str]], shape: tuple[int, ...], sizes: "Sizes") -> bool:
    """Whether a shape is as the words say; adds what it tells to the sizes."""
    if [_ANY_AXES] in words:
        before = words.index([_ANY_AXES])
        after = len(words) - before - 1
        if len(shape) < before + after:
            return False
        middle, shape = shape[before : len(shape) - after], shape[:before] + shape[len(shape) - after :]
        words = words[:before] + words[before + 1 :]
        if sizes.setdefault(_ANY_AXES, middle) != middle:
            return False
    return len(words) == len(shape) and all(_fits_word(*pair, sizes) for pair in zip(words, shape, strict=True))


def _fits_word(word: list[int | str], size: int, sizes: "Sizes") -> bool:
    known, unknown = 1, None
    for factor in word:
        value = factor if isinstance(factor, int) else sizes.find(factor)
        if value is None:
            unknown = factor
        else:
            known *= value
    if unknown is None:
        return size == known
    if not known or size % known or (size == 0 and unknown not in _MAY_BE_EMPTY):
        return False
    sizes[unknown] = size // known
    return True


class Sizes(dict[Any, Any]):
    """The sizes that the words of a call stand for, as far as they are known.

    Args:
        derived: functions that compute further ones from those of their parameters' names.
    """

    def __init__(self, derived: Mapping[str, Callable[..., int]]) -> None:
        super().__init__()
        self.derived = derived
        self._origins: dict[Any, str] = {}

    def copy(self) -> "Sizes":
        """A copy to try something with."""
        other = Sizes(self.derived)
        other.update(self)
        return other

    def learn(self, sizes: Mapping[Any, Any], origin: str) -> None:
        """Add sizes; `origin` is how a message says where they are from."""
        self._origins.update({name: origin for name in sizes if name not in self and name not in self.derived})
        self.update(sizes)

    def find(self, name: Any) -> Any:
        """A size, or None where it is unknown."""
        if name not in self and name in self.derived:
            needed = inspect.signature(self.derived[name]).parameters
            if all(self.find(other) is not None for other in needed):
                self[name] = self.derived[name](*(self[other] for other in needed))
        return self.get(name)

    def _origin(self, name: Any) -> str:
        """Of a derived size: where those are from that it is computed from."""
        needed = inspect.signature(self.derived[name]).parameters if name in self.derived else ()
        return "".join(dict.fromkeys(map(self._origin, needed))) if needed else self._origins.get(name, "")

    def shown(self, names: Iterable[Any]) -> str:
        """Those sizes that are known, for a message, and where they are from."""
        by_origin: dict[str, list[str]] = {}
        for name in dict.fromkeys(names):
            if self.find(name) is not None:
                by_origin.setdefault(self._origin(name), []).append(f"{name} = {shown(self[name])}")
        return ", and ".join(" and ".join(sizes) + origin for origin, sizes in by_origin.items())


@dataclass(frozen=True)
class Value:
    """An argument that is no array.

    Attributes:
        check: of the argument's name and value; returns the value as the op takes it.
        sizes: what its number or numbers are called where they are sizes of axes.
        may_be_on_gpu: whether the cuda backend takes it as an array without axes, too, which is not read.
        in_arrays_dtype: whether it is added to arrays, or divides them, so that their dtype has to hold it: neither as
            infinity nor, unless it is 0, as 0.
    """

    check: Callable[[str, Any], Any]
    sizes: tuple[str, ...] = ()
    may_be_on_gpu: bool = False
    in_arrays_dtype: bool = False


@dataclass(frozen=True)
class Each:
    """A list with one argument for each parameter of a model; those at one place in several lists belong together."""

    argument: Axes | Value


def integer(*sizes: str, at_least: int, at_most: int | None = None, may_be_on_gpu: bool = False) -> Value:
    """An integer in a range; `sizes` is its name as the size of an axis."""
    return Value(lambda name, value: check_integer(name, value, at_least, at_most), sizes, may_be_on_gpu)


def number(*, may_be_on_gpu: bool = False, in_arrays_dtype: bool = False, **bounds: Any) -> Value:
    """A finite number, with the bounds that `npswin.checks.check_number` has."""
    low = max(bounds.get("at_least", -math.inf), math.nextafter(bounds.get("above", -math.inf), math.inf))
    high = min(bounds.get("at_most", math.inf), math.nextafter(bounds.get("below", math.inf), -math.inf))

    def check(name: str, value: Any) -> float:
        # a model has hundreds of weight decays
        return value if type(value) is float and low <= value <= high else check_number(name, value, **bounds)

    return Value(check, may_be_on_gpu=may_be_on_gpu, in_arrays_dtype=in_arrays_dtype)


def any_number(may_be_on_gpu: bool = False) -> Value:
    """A number that may be NaN or infinite."""
    return Value(lambda name, value: check_number(name, value, finite=False), may_be_on_gpu=may_be_on_gpu)


def flag() -> Value:
    """True or False."""
    return Value(check_flag)


def numbers(count: int, **bounds: Any) -> Value:
    """So many finite numbers, each with the bounds that `npswin.checks.check_number` has."""
    return Value(lambda name, value: check_numbers(name, value, count, **bounds))


def or_none(value: Value) -> Value:
    """The same, or None."""
    return replace(value, check=lambda name, given: None if given is None else value.check(name, given))


def pair(*sizes: str) -> Value:
    """Height and width."""

    def check(name: str, value: Any) -> tuple[int, int]:
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise ValueError(f"{name}: got {shown(value)}, expected (height, width)")
        height, width = (check_integer(f"{name}[{i}]", side, 1, LARGEST_SIDE) for i, side in enumerate(value))
        return height, width

    return Value(check, sizes)
