"""What an op takes: described once, beside its definition, and checked in every backend.

    @op(x="... in", weight="out in", bias="out")
    def linear_forward(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Any]: ...

Each argument has a description:

    "out in", Axes(...)              an array, with a word for each of its axes
    integer(...), number(...), ...   a number or several; a size that is named may be a word, too
    Each(...)                        a list of arrays or numbers, one for each parameter of a model

None is allowed where the function's annotation allows it. All arrays of a call are NumPy's, or all CuPy's, and of one
precision, float32 or float64; complex numbers of that precision, too, for complex-step checks. On a GPU, maps may have
16 bits, with parameters in float32. `npswin.ops.checked` applies the checks where ops become public.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar, get_args

import numpy as np

from npswin.checks import check_array, check_integer, check_number, shown
from npswin.devices import HALF_DTYPES, device_of, on_gpu
from npswin.types import Array

Function = TypeVar("Function", bound=Callable[..., Any])

LARGEST_SIDE = 1 << 16  # of maps and windows
_MAY_BE_EMPTY = "B"
_PRECISIONS = {"float32": "float32", "float64": "float64", "complex64": "float32", "complex128": "float64"}
_GPU_DTYPES = (*HALF_DTYPES, "float32", "float64")
_MOST_KNOWN = 4096  # kinds of calls that an op remembers
_kind_of = attrgetter("__class__", "shape", "dtype")  # of an array: all that the checks depend on


class Axes:
    """An array, its axes described by words.

    A word is a number, a name, or a product of those, such as "3*h*d". The same name stands for the same size in all
    arguments of an op. "..." stands for any number of axes, the same ones in all arguments. These and the axis B, the
    images of a batch, may be empty; all others have at least one entry.

    Args:
        alternatives: words with spaces between them; the array fits one of these.
        any_dtype: whether the op only moves numbers, of whatever dtype.
        updated: whether the op writes to it.
    """

    def __init__(self, *alternatives: str, any_dtype: bool = False, updated: bool = False) -> None:
        self.alternatives, self.any_dtype, self.updated = alternatives, any_dtype, updated
        self._words = [[_factors(word) for word in words.split()] for words in alternatives]

    def check(self, name: str, shape: tuple[int, ...], sizes: "Sizes") -> None:
        """Raise a ValueError unless a shape fits; the sizes that it tells are added to those that are known."""
        for words in self._words:
            trial = sizes.copy()
            if _fits(words, shape, trial):
                sizes.learn(trial, f", as {name} has")
                return
        wanted = " or ".join(f"({', '.join(words.split())}{',' * (' ' not in words)})" for words in self.alternatives)
        told = sizes.shown(factor for words in self._words for word in words for factor in word)
        more = f" with {told}" if told else ", with nothing empty" if 0 in shape else ""
        raise ValueError(f"{name}: got shape {shown(shape)}, expected {wanted}{more}")


def _factors(word: str) -> list[int | str]:
    return [int(factor) if factor.isdigit() else factor for factor in word.split("*")]


def _fits(words: list[list[int | str]], shape: tuple[int, ...], sizes: "Sizes") -> bool:
    """Whether a shape is as the words say; adds what it tells to the sizes."""
    if ["..."] in words:
        before, after = words.index(["..."]), len(words) - words.index(["..."]) - 1
        if len(shape) < before + after:
            return False
        middle = shape[before : len(shape) - after]
        if sizes.setdefault("...", middle) != middle:
            return False
        words = [word for word in words if word != ["..."]]
        shape = shape[:before] + shape[len(shape) - after :]
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
    if not known or size % known or (size == 0 and unknown != _MAY_BE_EMPTY):
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
        """A copy that may be tried."""
        other = Sizes(self.derived)
        other.update(self)
        return other

    def learn(self, sizes: Mapping[Any, Any], origin: str) -> None:
        """Add sizes; `origin` is how a message says where they are from."""
        self._origins.update({name: origin for name in sizes if name not in self})
        self.update(sizes)

    def find(self, name: str) -> Any:
        """A size, or None where it is unknown."""
        if name not in self and name in self.derived:
            needed = inspect.signature(self.derived[name]).parameters
            if all(self.find(other) is not None for other in needed):
                self[name] = self.derived[name](*(self[other] for other in needed))
        return self.get(name)

    def shown(self, names: Iterable[Any]) -> str:
        """Those sizes that are known, for a message, and where they are from."""
        by_origin: dict[str, list[str]] = {}
        for name in dict.fromkeys(names):
            value = None if isinstance(name, int) else self.find(name)
            if value is not None:
                by_origin.setdefault(self._origins.get(name, ""), []).append(f"{name} = {shown(value)}")
        return ", and ".join(" and ".join(sizes) + origin for origin, sizes in by_origin.items())


@dataclass(frozen=True)
class Value:
    """An argument that is no array.

    Attributes:
        check: of the argument's name and value; returns the value as the op takes it.
        sizes: what its number or numbers are called where they are sizes of axes.
        may_be_on_gpu: whether the cuda backend takes it as an array without axes, too, which is not read.
    """

    check: Callable[[str, Any], Any]
    sizes: tuple[str, ...] = ()
    may_be_on_gpu: bool = False


@dataclass(frozen=True)
class Each:
    """A list with one argument for each parameter of a model."""

    argument: Any


def integer(*sizes: str, at_least: int | None = None, at_most: int | None = None, may_be_on_gpu: bool = False) -> Value:
    """An integer in a range; `sizes` is its name as the size of an axis."""
    return Value(lambda name, value: check_integer(name, value, at_least, at_most), sizes, may_be_on_gpu)


def number(*, may_be_on_gpu: bool = False, **bounds: float) -> Value:
    """A finite number, with the bounds that `npswin.checks.check_number` has."""
    low, high = bounds.get("at_least"), bounds.get("at_most")
    is_closed = set(bounds) <= {"at_least", "at_most"}
    low, high = -math.inf if low is None else low, math.inf if high is None else high

    def check(name: str, value: Any) -> float:
        if type(value) is float and is_closed and low <= value <= high and value != math.inf:  # nearly always
            return value
        return check_number(name, value, **bounds)

    return Value(check, may_be_on_gpu=may_be_on_gpu)


def any_number(may_be_on_gpu: bool = False) -> Value:
    """Any real number, NaN and infinity too."""
    return Value(check_real, may_be_on_gpu=may_be_on_gpu)


def check_real(name: str, value: Any) -> float:
    """The number, as Python's float; it may be NaN or infinite."""
    if isinstance(value, float | np.floating) and not np.isfinite(value):
        return float(value)
    return check_number(name, value)


def pair(*sizes: str) -> Value:
    """Height and width."""

    def check(name: str, value: Any) -> tuple[int, int]:
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise ValueError(f"{name}: got {shown(value)}, expected (height, width)")
        height, width = (check_integer(f"{name}[{i}]", side, 1, LARGEST_SIDE) for i, side in enumerate(value))
        return height, width

    return Value(check, sizes)


class Description:
    """What an op takes; see `op`.

    Attributes:
        definition: the op's function in `npswin.ops`.
        arguments: what describes each argument, by its name.
        optional: names of those that may be None.
        bind: from arguments as they are given to a list of all of them, in the definition's order.
        names: of the arguments, in this order.
        positional: how many of them may be given by position.
        keywords: the others' places.
    """

    def __init__(
        self,
        definition: Callable[..., Any],
        arguments: Mapping[str, Any],
        derived: Mapping[str, Callable[..., int]],
        also: Callable[..., None] | None,
    ) -> None:
        self.definition, self.arguments, self.derived, self.also = definition, arguments, derived, also
        parameters = _parameters(definition, arguments)
        self.bind, self.names = binder(definition.__name__, parameters), [one.name for one in parameters]
        undescribed = set(self.names) ^ set(arguments)
        if undescribed:
            raise TypeError(f"{definition.__name__}: its arguments and their description differ: {undescribed}")
        self.keywords = {one.name: place for place, one in enumerate(parameters) if one.kind is one.KEYWORD_ONLY}
        self.positional = len(self.names) - len(self.keywords)
        self.optional = {one.name for one in parameters if _allows_none(one.annotation)}
        places = [(place, name, arguments[name]) for place, name in enumerate(self.names)]
        self._values = [(place, name, value) for place, name, value in places if isinstance(value, Value)]
        self._sized = [(place, name, value.sizes) for place, name, value in self._values if value.sizes]
        self._sized_places = [place for place, *_ in self._sized]
        self._arrays = [(place, name, axes) for place, name, axes in places if isinstance(axes, Axes)]
        self._array_places = [place for place, *_ in self._arrays]
        self._updated = [(place, name) for place, name, axes in self._arrays if axes.updated]
        self._lists = [(place, name, value.argument) for place, name, value in places if isinstance(value, Each)]
        self._known: dict[tuple[Any, ...], bool] = {}

    def check(self, values: list[Any], backend: str) -> bool:
        """Check a call's arguments, and replace its numbers by Python's.

        Args:
            values: as `bind` returns them.
            backend: "numpy", "cpu" or "cuda".

        Returns:
            Whether some array is complex.

        Raises:
            ValueError: an argument that does not fit, named.
        """
        for place, name, value in self._values:
            if not (value.may_be_on_gpu and backend == "cuda" and on_gpu(values[place])):
                values[place] = value.check(name, values[place])
        if self._lists:
            return self._check_lists(values, backend)
        for place, name in self._updated:
            _check_writeable(name, values[place])
        # the outcome of all further checks depends on this alone
        try:
            kinds = [None if values[place] is None else _kind_of(values[place]) for place in self._array_places]
            key = backend, *kinds, *[values[place] for place in self._sized_places]
            is_complex = self._known.get(key)
        except (AttributeError, TypeError):
            key, is_complex = None, None
        if is_complex is None:
            is_complex = self._check_arrays(values, backend)
            self._remember(key, is_complex)
        return is_complex

    def _remember(self, key: tuple[Any, ...] | None, is_complex: bool) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        if key is not None:
            self._known[key] = is_complex

    def _check_arrays(self, values: list[Any], backend: str) -> bool:
        sizes = Sizes(self.derived)
        for place, name, symbols in self._sized:
            numbers = values[place] if isinstance(values[place], tuple) else (values[place],)
            sizes.learn(dict(zip(symbols, numbers, strict=False)), f", by {name}")
        rows = [(name, values[place], axes, name in self.optional) for place, name, axes in self._arrays]
        is_complex = _check_alike(rows, sizes, backend)
        if self.also is not None:
            self.also(**dict(zip(self.names, values, strict=True)))
        return is_complex

    def _check_lists(self, values: list[Any], backend: str) -> bool:
        """As `check`, for ops of lists; arrays at one place in all lists are checked together."""
        first = self._lists[0][1]
        for place, name, _ in self._lists:
            values[place] = _as_list(name, values[place])
            expected = len(values[self._lists[0][0]])
            if len(values[place]) != expected:
                raise ValueError(f"{name}: got {len(values[place])} of them, expected {expected}, as {first} has")
        for place, name, argument in self._lists:
            if isinstance(argument, Value):
                values[place] = [argument.check(f"{name}[{i}]", value) for i, value in enumerate(values[place])]
        columns = [(place, name, axes) for place, name, axes in self._lists if isinstance(axes, Axes)]
        updated = [(place, name) for place, name, axes in columns if axes.updated]
        found = False
        for i, row in enumerate(zip(*(values[place] for place, *_ in columns), strict=True)):
            for place, name in updated:
                _check_writeable(name, values[place][i])
            try:
                key = backend, *map(_kind_of, row)
                is_complex = self._known.get(key)
            except (AttributeError, TypeError):
                key, is_complex = None, None
            if is_complex is None:
                named = [
                    (f"{name}[{i}]", array, axes, False) for (_, name, axes), array in zip(columns, row, strict=True)
                ]
                is_complex = _check_alike(named, Sizes({}), backend)
                self._remember(key, is_complex)
            found = found or is_complex
        return found


DESCRIPTIONS: dict[str, Description] = {}


def op(
    also: Callable[..., None] | None = None,
    derived: Mapping[str, Callable[..., int]] | None = None,
    **arguments: Any,
) -> Callable[[Function], Function]:
    """Describe the arguments of an op: of its forward function, or of the only one.

    Args:
        also: a function of all arguments by name, which raises a ValueError where they do not fit together. It is not
            called again for the same shapes, dtypes and sizes.
        derived: sizes that follow from others, each a function of those.
        **arguments: a description for each of the function's parameters, and for those that it passes on.
    """
    as_axes = {name: Axes(value) if isinstance(value, str) else value for name, value in arguments.items()}

    def describe(definition: Function) -> Function:
        DESCRIPTIONS[definition.__name__] = Description(definition, as_axes, derived or {}, also)
        return definition

    return describe


def binder(name: str, parameters: Iterable[inspect.Parameter]) -> Callable[..., list[Any]]:
    """A function with these parameters that returns a list of its arguments.

    It is compiled, as those of `collections.namedtuple` are: that is as fast as a call, and a missing argument is
    Python's own TypeError.
    """
    plain = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    defaults = {parameter.name: parameter.default for parameter in plain}
    shown_defaults = [
        one if one.default is one.empty else one.replace(default=_Source(f"_defaults[{one.name!r}]")) for one in plain
    ]
    names = ", ".join(parameter.name for parameter in plain)
    signature = str(inspect.Signature(shown_defaults))[1:-1]
    function = eval(f"lambda {signature}: [{names}]", {"_defaults": defaults})
    function.__name__ = function.__qualname__ = name
    return function


class _Source:
    """Its repr is a piece of source text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _parameters(definition: Callable[..., Any], arguments: Iterable[str]) -> list[inspect.Parameter]:
    """The definition's parameters; those that it takes as **others are named by the description."""
    own = inspect.signature(definition).parameters
    plain = [parameter for parameter in own.values() if parameter.kind is not parameter.VAR_KEYWORD]
    if len(plain) < len(own):
        passed_on = [name for name in arguments if name not in own]
        kind = inspect.Parameter.KEYWORD_ONLY
        plain += [inspect.Parameter(name, kind, default=None, annotation=Array | None) for name in passed_on]
    return plain


def _allows_none(annotation: Any) -> bool:
    return type(None) in get_args(annotation)


def _check_writeable(name: str, array: Any) -> None:
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        raise ValueError(f"{name}: got a read-only array, expected one that can be written to")


def _as_list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, Iterable) or isinstance(value, str | bytes | Mapping) or hasattr(value, "dtype"):
        raise ValueError(f"{name}: got {shown(value)}, expected a list with one entry for each parameter")
    return list(value)


def _check_alike(rows: list[tuple[str, Any, Axes, bool]], sizes: Sizes, backend: str) -> bool:
    """Check arrays, which belong together: (name, array, axes, whether it may be None). Whether one is complex."""
    first: tuple[str, Array] | None = None
    is_complex = False
    for name, array, axes, optional in rows:
        if array is None and optional:
            continue
        check_array(name, array, f"an array{' or None' if optional else ''}")
        _check_place(name, array, first, backend)
        _check_dtype(name, array, first, axes.any_dtype)
        axes.check(name, array.shape, sizes)
        first = first or (name, array)
        is_complex = is_complex or array.dtype.kind == "c"
    return is_complex


def _check_place(name: str, array: Any, first: tuple[str, Any] | None, backend: str) -> None:
    wanted = device_of(first[1]) if first else {"cpu": "cpu", "cuda": "cuda"}.get(backend, device_of(array))
    if device_of(array) != wanted:
        why = f"as {first[0]} is" if first else f"where the backend {backend!r} computes"
        raise ValueError(f"{name}: got an array on {device_of(array)!r}, expected one on {wanted!r}, {why}")


def _check_dtype(name: str, array: Any, first: tuple[str, Any] | None, any_dtype: bool) -> None:
    dtype, short = array.dtype, array.dtype.name if array.dtype.isnative else array.dtype.str
    if any_dtype:
        if short != dtype.name or (dtype.kind not in "biufc" and short not in HALF_DTYPES):
            raise ValueError(f"{name}: got dtype {short}, expected numbers in the machine's byte order")
        return
    if first is None:
        allowed: Iterable[str] = _GPU_DTYPES if on_gpu(array) else _PRECISIONS
        wanted = ", ".join(_GPU_DTYPES) if on_gpu(array) else "float32 or float64"
        if short not in allowed:
            raise ValueError(f"{name}: got dtype {short}, expected {wanted}")
        return
    other = first[1].dtype.name
    of_one = (other, "float32") if other in HALF_DTYPES else (other,)
    alike = short in of_one if on_gpu(array) else _PRECISIONS.get(short) == _PRECISIONS[other]
    if not alike:
        raise ValueError(f"{name}: got dtype {short}, expected {' or '.join(of_one)}, as {first[0]} has")
