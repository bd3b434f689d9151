"""What an op takes: described once, beside its definition, and checked in every backend.

    @op(x="... in", weight="out in", bias="out")
    def linear_forward(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Any]: ...

Each argument has a description, of `npswin.ops.arguments`:

    "out in", Axes(...)              an array, with a word for each of its axes
    integer(...), number(...), ...   a number or several; a size that is named may be a word, too
    Each(...)                        a list of arrays or numbers, one for each parameter of a model

None is allowed where the function's annotation allows it. All arrays of a call are NumPy's, or all CuPy's, and of one
precision, float32 or float64; complex numbers of that precision, too, for complex-step checks, except where the op
updates arrays in place. On a GPU, maps may have 16 bits, with parameters in float32. `npswin.ops.checked` applies the
checks where ops become public.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from operator import attrgetter
from typing import Any, TypeVar, get_args

import numpy as np

from npswin.checks import check_array, check_number, dtype_name, shown
from npswin.devices import HALF_DTYPES, device_of, on_gpu
from npswin.ops.arguments import Axes, Each, Sizes, Value
from npswin.types import Array

Function = TypeVar("Function", bound=Callable[..., Any])

_PRECISIONS = {"float32": "float32", "float64": "float64", "complex64": "float32", "complex128": "float64"}
_GPU_DTYPES = (*HALF_DTYPES, "float32", "float64")
_NO_LISTS = (str, bytes, Mapping, Set)  # though one can iterate over them; a set has no order
_FLOAT32_LOW, _FLOAT32_HIGH = 1e-37, 1e38  # every dtype of sums holds numbers between them
_MOST_KINDS = 4096  # of calls that an op remembers
_kind_of = attrgetter("__class__", "shape", "dtype")  # of an array: all of it that matters


class Description:
    """What an op takes; see `op`.

    Attributes:
        definition: the op's function in `npswin.ops`.
        arguments: what describes each argument, by its name.
        optional: names of those that may be None.
        bind: from arguments as they are given to a list of all of them, in the definition's order.
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
        self.definition, self.arguments = definition, arguments
        self._derived, self._also = derived, also
        parameters = _parameters(definition, arguments)
        names = [one.name for one in parameters]
        if set(names) != set(arguments):
            raise TypeError(f"{definition.__name__}: takes {names}, described are {list(arguments)}")
        self.bind = binder(definition.__name__, parameters)
        self.optional = {one.name for one in parameters if type(None) in get_args(one.annotation)}
        self.keywords = {one.name: place for place, one in enumerate(parameters) if one.kind is one.KEYWORD_ONLY}
        self.positional = len(names) - len(self.keywords)

        described = [(place, name, arguments[name]) for place, name in enumerate(names)]
        self._values = [one for one in described if isinstance(one[2], Value)]
        self._sizes = [(place, name, value.sizes) for place, name, value in self._values if value.sizes]
        self._size_places = [place for place, *_ in self._sizes]
        self._in_dtype = [(place, name) for place, name, value in self._values if value.in_arrays_dtype]
        self._lists = [one for one in described if isinstance(one[2], Each)]
        entries = [(place, name, getattr(value, "argument", value)) for place, name, value in described]
        arrays = [one for one in entries if isinstance(one[2], Axes)]
        self._array_places, self._arrays = [place for place, *_ in arrays], [(name, axes) for _, name, axes in arrays]
        self._updated = [column for column, (_, axes) in enumerate(self._arrays) if axes.updated]
        self._kinds: dict[tuple[Any, ...], bool] = {}  # of calls that were checked, and whether they are complex

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
        if self._lists:
            self._check_lists(values)
        for place, name, value in self._values:
            if not (value.may_be_on_gpu and backend == "cuda" and on_gpu(values[place])):
                values[place] = value.check(name, values[place])
        if self._lists:
            lists = [values[place] for place in self._array_places]
            rows = zip(*lists, strict=True)
            are_complex = [self._check_arrays(row, (), backend, place) for place, row in enumerate(rows)]
            is_complex = any(are_complex)
        else:
            arrays = [values[place] for place in self._array_places]
            lists = [(array,) for array in arrays]
            is_complex = self._check_arrays(arrays, [values[place] for place in self._size_places], backend)
        if self._updated:
            self._check_distinct(lists)
        if self._in_dtype:
            self._check_range(values, lists[0])
        return is_complex

    def _check_distinct(self, lists: Sequence[Sequence[Any]]) -> None:
        """Check that no array that is updated is given twice; another view of its memory is not noticed."""
        updated: dict[int, tuple[int, int]] = {}
        read = [column for column in range(len(lists)) if column not in self._updated]
        for column in (*self._updated, *read):
            for place, array in enumerate(lists[column]):
                if id(array) in updated:
                    name, other = (
                        _entry(self._arrays[at][0], number if self._lists else None)
                        for at, number in ((column, place), updated[id(array)])
                    )
                    raise ValueError(f"{name}: got the same array as {other}, which is updated in place")
                if column in self._updated:
                    updated[id(array)] = column, place

    def _check_range(self, values: Sequence[Any], arrays: Iterable[Any]) -> None:
        """Check the numbers that the arrays' dtype has to hold."""
        for place, name in self._in_dtype:
            if values[place] and not _FLOAT32_LOW <= abs(values[place]) <= _FLOAT32_HIGH:
                for array in arrays:
                    check_number(name, values[place], dtype=_PRECISIONS.get(array.dtype.name, "float32"))

    def _check_lists(self, values: list[Any]) -> None:
        first_place, first, _ = self._lists[0]
        for place, name, each in self._lists:
            items = values[place]
            if not isinstance(items, Iterable) or isinstance(items, _NO_LISTS) or hasattr(items, "dtype"):
                raise ValueError(f"{name}: got {shown(items)}, expected a list with one entry for each parameter")
            values[place] = items = list(items)
            if len(items) != len(values[first_place]):
                wanted = f"expected {len(values[first_place])}, as {first} has"
                raise ValueError(f"{name}: got a list of length {len(items)}, {wanted}")
            if isinstance(each.argument, Value):
                values[place] = [each.argument.check(f"{name}[{i}]", item) for i, item in enumerate(items)]

    def _check_arrays(
        self, arrays: Sequence[Any], numbers: Sequence[Any], backend: str, place: int | None = None
    ) -> bool:
        """Check arrays that belong together, at a place of their lists if there are any."""
        if self._updated:
            self._check_writeable(arrays, place)
        # the outcome of all other checks depends on the kinds of arrays and the numbers alone
        try:
            kind = backend, *[None if array is None else _kind_of(array) for array in arrays], *numbers
            is_complex = self._kinds.get(kind)
        except (AttributeError, TypeError):  # no array at all
            kind, is_complex = (), None
        if is_complex is None:
            is_complex = self._check_kind(arrays, numbers, backend, place)
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
            self._kinds[kind] = is_complex
        return is_complex

    def _check_writeable(self, arrays: Sequence[Any], place: int | None) -> None:
        for column in self._updated:
            array = arrays[column]
            if isinstance(array, np.ndarray) and not array.flags.writeable:
                name = _entry(self._arrays[column][0], place)
                raise ValueError(f"{name}: got a read-only array, expected one that can be written to")

    def _check_kind(self, arrays: Sequence[Any], numbers: Sequence[Any], backend: str, place: int | None) -> bool:
        sizes = Sizes(self._derived)
        for (_, name, own), value in zip(self._sizes, numbers, strict=True):
            sizes.learn(dict(zip(own, value if isinstance(value, tuple) else (value,), strict=False)), f", by {name}")
        first: tuple[str, Any] | None = None
        for (plain_name, axes), array in zip(self._arrays, arrays, strict=True):
            optional = plain_name in self.optional
            if array is None and optional:
                continue
            name = _entry(plain_name, place)
            check_array(name, array, "an array or None" if optional else "an array")
            _check_device(name, array, first, backend)
            if axes.integers:
                _check_integers(name, array)
                axes.check(name, array.shape, sizes)
                continue
            _check_dtype(name, array, first, axes.any_dtype)
            if self._updated and array.dtype.kind == "c":
                raise ValueError(f"{name}: got dtype {dtype_name(array.dtype)}, expected float32 or float64")
            axes.check(name, array.shape, sizes)
            first = first or (name, array)
        if self._also is not None:
            names = [*(name for name, _ in self._arrays), *(name for _, name, _ in self._sizes)]
            self._also(**dict(zip(names, [*arrays, *numbers], strict=True)))
        return any(array is not None and array.dtype.kind == "c" for array in arrays)


DESCRIPTIONS: dict[str, Description] = {}


def op(
    also: Callable[..., None] | None = None,
    derived: Mapping[str, Callable[..., int]] | None = None,
    **arguments: Any,
) -> Callable[[Function], Function]:
    """Describe the arguments of an op: of its forward function, or of the only one.

    Args:
        also: a function of all arrays and sizes by their arguments' names, which raises a ValueError where they do not
            fit together. It is not called again for the same shapes, dtypes and sizes.
        derived: sizes that follow from others, each a function of those.
        **arguments: a description for each of the function's parameters, and for those that it passes on.
    """
    described = {name: Axes(value) if isinstance(value, str) else value for name, value in arguments.items()}

    def describe(definition: Function) -> Function:
        DESCRIPTIONS[definition.__name__] = Description(definition, described, derived or {}, also)
        return definition

    return describe


def binder(name: str, parameters: Iterable[inspect.Parameter]) -> Callable[..., list[Any]]:
    """A function with these parameters that returns a list of its arguments.

    It is compiled, as those of `collections.namedtuple` are: that is as fast as any call, and the error for a missing
    argument is Python's own.
    """
    plain = [one.replace(annotation=one.empty) for one in parameters]
    defaults = {one.name: one.default for one in plain}
    in_source = [one if one.default is one.empty else one.replace(default=_Default(one.name)) for one in plain]
    source = f"lambda {str(inspect.Signature(in_source))[1:-1]}: [{', '.join(defaults)}]"
    function = eval(source, {"defaults": defaults})
    function.__name__ = function.__qualname__ = name
    return function


class _Default(str):
    """The name of a parameter, shown as source text for its default value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"defaults[{str(self)!r}]"


def _parameters(definition: Callable[..., Any], arguments: Iterable[str]) -> list[inspect.Parameter]:
    """The definition's parameters; those that it takes as **others are named by the description."""
    own = inspect.signature(definition).parameters
    plain = [one for one in own.values() if one.kind is not one.VAR_KEYWORD]
    if len(plain) < len(own):
        kind = inspect.Parameter.KEYWORD_ONLY
        passed_on = [name for name in arguments if name not in own]
        plain += [inspect.Parameter(name, kind, default=None, annotation=Array | None) for name in passed_on]
    return plain


def _entry(name: str, place: int | None) -> str:
    return name if place is None else f"{name}[{place}]"


def _check_device(name: str, array: Any, first: tuple[str, Any] | None, backend: str) -> None:
    """It has to be that of the first array, which for the definitions may be any."""
    device = device_of(array)
    wanted = device_of(first[1]) if first else device if backend == "numpy" else backend
    if device != wanted:
        why = f"as {first[0]} is" if first else "where this backend computes"
        raise ValueError(f"{name}: got an array on {device!r}, expected one on {wanted!r}, {why}")


def _check_integers(name: str, array: Any) -> None:
    if array.dtype.kind not in "iu" or not array.dtype.isnative:
        raise ValueError(f"{name}: got dtype {dtype_name(array.dtype)}, expected integers in the machine's byte order")


def _check_dtype(name: str, array: Any, first: tuple[str, Any] | None, any_dtype: bool) -> None:
    """It has to be of the first array's precision."""
    dtype = dtype_name(array.dtype)
    if any_dtype:
        if not array.dtype.isnative or (array.dtype.kind not in "biufc" and dtype not in HALF_DTYPES):
            raise ValueError(f"{name}: got dtype {dtype}, expected numbers in the machine's byte order")
    elif first is None:
        if dtype not in (_GPU_DTYPES if on_gpu(array) else _PRECISIONS):
            wanted = ", ".join(_GPU_DTYPES) if on_gpu(array) else "float32 or float64"
            raise ValueError(f"{name}: got dtype {dtype}, expected {wanted}")
    else:
        wanted = first[1].dtype.name
        is_parameter = wanted in HALF_DTYPES and dtype == "float32"
        if not is_parameter and _PRECISIONS.get(dtype, dtype) != _PRECISIONS.get(wanted, wanted):
            raise ValueError(f"{name}: got dtype {dtype}, expected {wanted}, as {first[0]} has")
