"""Checks of arguments: each function returns the argument, or raises a ValueError that names it.

    batch_size = check_integer("batch_size", batch_size, at_least=1)

The message says what was given and what is expected: "batch_size: got 0, expected an integer of at least 1". NumPy's
numbers are numbers and become Python's, a 0-dimensional array is one as well; booleans, strings and NaN are not.
"""

import math
import os
import reprlib
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from npswin.devices import is_array, on_gpu
from npswin.files import shortened
from npswin.types import Array

T = TypeVar("T")

LARGEST_SIZE = 2**31 - 1  # no axis of an array that fits into memory is longer
LARGEST_COUNT = 2**63 - 1  # of steps; larger ones are no int64

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80
_REPR.maxlevel = 3


def shown(value: Any) -> str:
    """A value for a message: an array's type and shape, else its repr, shortened."""
    if isinstance(value, np.ndarray) and value.ndim:
        kind = "array" if type(value) is np.ndarray else type(value).__name__
        return f"{_with_article(dtype_name(value.dtype))} {kind} of shape {value.shape}"
    try:
        return shortened(_REPR.repr(value).replace("\n", " "), 90)
    except Exception:  # an object whose repr fails, or an integer of thousands of digits
        return f"<{type(value).__name__}>"


def check_integer(name: str, value: Any, at_least: int | None = None, at_most: int | None = None) -> int:
    """The integer, as Python's.

    Args:
        name: of the argument.
        value: its value.
        at_least: the smallest value, or None.
        at_most: the largest value, or None.
    """
    number = _plain(value)
    is_integer = isinstance(number, int) and not isinstance(number, bool)
    if not is_integer or (at_least is not None and number < at_least) or (at_most is not None and number > at_most):
        bounds = "" if at_least is None else f" of at least {at_least}"
        bounds += "" if at_most is None else f"{' and' if bounds else ' of'} at most {at_most}"
        raise ValueError(f"{name}: got {shown(value)}, expected an integer{bounds}")
    return int(number)


def check_number(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    finite: bool = True,
    dtype: Any = None,
) -> float:
    """The finite number, as Python's float.

    Args:
        name: of the argument.
        value: its value, an integer or a float.
        at_least, above: the lower bound, included or not; one of them, or neither.
        at_most, below: the upper bound.
        finite: whether it has to be; otherwise infinity is a number as well, and NaN where there is no bound.
        dtype: in which it is computed with: there, too, it has to be finite, and not 0 unless it is.
    """
    plain, number, is_number = _plain(value), math.nan, False
    if isinstance(plain, int | float) and not isinstance(plain, bool):
        with suppress(OverflowError):
            number = float(plain)
            is_number = math.isfinite(number) or not finite
    if not (
        is_number
        and (at_least is None or number >= at_least)
        and (above is None or number > above)
        and (at_most is None or number <= at_most)
        and (below is None or number < below)
    ):
        raise ValueError(f"{name}: got {shown(value)}, expected {_range(at_least, above, at_most, below, finite)}")
    if dtype is not None:
        with np.errstate(all="ignore"):
            rounded = np.dtype(dtype).type(number)
        if not np.isfinite(rounded) or bool(rounded) != bool(number):
            raise ValueError(f"{name}: got {shown(value)}, which in {np.dtype(dtype)} is {rounded}")
    return number


def check_numbers(name: str, value: Any, count: int, **bounds: Any) -> tuple[float, ...]:
    """So many finite numbers, as a tuple of Python's floats.

    Args:
        name: of the argument.
        value: a tuple, a list or an array with one axis.
        count: how many numbers.
        **bounds: of each number, as in `check_number`.
    """
    if isinstance(value, list | tuple) or (is_array(value) and value.ndim == 1):
        with suppress(ValueError):
            numbers = tuple(check_number(name, one, **bounds) for one in value)
            if len(numbers) == count:
                return numbers
    each = _range(bounds.get("at_least"), bounds.get("above"), bounds.get("at_most"), bounds.get("below"))
    raise ValueError(f"{name}: got {shown(value)}, expected {count} numbers, each {each}")


def check_scale(value: Any, dtype: Any) -> Any:
    """The factor on a derivative, finite in the derivative's dtype; one on a GPU as it is."""
    return value if on_gpu(value) and is_array(value) else check_number("scale", value, dtype=dtype)


def check_size(name: str, value: Any, at_least: int = 1) -> int:
    """The length of an axis, or another number of things that are held in memory."""
    size = check_integer(name, value, at_least)
    return size if size <= LARGEST_SIZE else check_integer(name, value, at_least, LARGEST_SIZE)


def check_flag(name: str, value: Any) -> bool:
    """True or False, NumPy's as well."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}: got {shown(value)}, expected True or False")
    return bool(value)


def check_choice(name: str, value: T, choices: Collection[T]) -> T:
    """One of a few values."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"{name}: got {shown(value)}, expected one of {', '.join(map(repr, choices))}")
    return value


def check_text(name: str, value: Any, expected: str = "text") -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError(f"{name}: got {shown(value)}, expected {expected}")
    return value


def check_path(name: str, value: Any, error: type[ValueError] = ValueError) -> Path:
    """The path of a file or a folder, which need not exist.

    Args:
        name: of the argument.
        value: its value.
        error: raised for what is no path; for a file that is read, the class of that kind of file.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise error(f"{name}: got {shown(value)}, expected a path")
    return Path(text)


def check_instance(name: str, value: Any, kinds: type[Any] | tuple[type[Any], ...], expected: str) -> Any:
    """An object of one of these classes."""
    if not isinstance(value, kinds):
        raise ValueError(f"{name}: got {shown(value)}, expected {expected}")
    return value


def check_callable(name: str, value: T, expected: str = "a function") -> T:
    """A function, or anything else that can be called."""
    if not callable(value):
        raise ValueError(f"{name}: got {shown(value)}, expected {expected}")
    return value


def check_dtype(name: str, value: Any, choices: Collection[str] = ()) -> np.dtype[Any]:
    """A dtype in the machine's byte order.

    Args:
        name: of the argument.
        value: a dtype, its name or its type.
        choices: the names of those that are accepted; any floating-point dtype where there are none.
    """
    dtype = None
    if isinstance(value, str | type | np.dtype):
        with suppress(Exception):  # of many kinds, for text that is no dtype
            dtype = np.dtype(value).newbyteorder("=")
    if dtype is None or not (dtype.name in choices if choices else dtype.kind == "f"):
        expected = " or ".join(map(repr, choices)) or "a floating-point dtype"
        raise ValueError(f"{name}: got {shown(value)}, expected {expected}")
    return dtype


def check_generator(name: str, value: Any) -> Any:
    """A `numpy.random.Generator`, or CuPy's."""
    if not isinstance(value, np.random.Generator) and not (on_gpu(value) and not is_array(value)):
        raise ValueError(f"{name}: got {shown(value)}, expected a generator, such as numpy.random.default_rng(0)")
    return value


def check_array(name: str, value: Any, expected: str = "an array") -> Array:
    """An array, NumPy's or CuPy's, of any shape and dtype.

    Masked arrays and matrices are refused: operations would ignore the mask, and `*` is another product.

    Args:
        name: of the argument.
        value: its value.
        expected: what it has to be, for the message.
    """
    if not is_array(value):
        hint = "; numpy.asarray makes one" if isinstance(value, list | tuple | np.matrix) else ""
        hint = "; its mask would be ignored: .filled(...)" if isinstance(value, np.ma.MaskedArray) else hint
        raise ValueError(f"{name}: got {shown(value)}, expected {expected}{hint}")
    return value


def check_array_like(name: str, value: Any, expected: str = "an array") -> Array:
    """An array, or one that is made of numbers in lists or tuples; see `check_array`."""
    if isinstance(value, list | tuple) and not _hides_mask(value):
        with suppress(ValueError):  # rows of different lengths
            array = np.asarray(value)
            if array.dtype.kind in "biuf":
                return array
    return check_array(name, value, expected)


def describe(value: Any) -> str:
    """An array's dtype and shape for a message, or another value as `shown` has it."""
    return f"{dtype_name(value.dtype)} of shape {value.shape}" if is_array(value) else shown(value)


def dtype_name(dtype: Any) -> str:
    """A dtype for a message, short even if it has fields: "float32" in the machine's byte order, ">f4" in another."""
    return dtype.name if dtype.isnative else dtype.str


def first_non_finite(array: Array) -> tuple[int, ...] | None:
    """The index of the first NaN or infinity in an array, or None."""
    finite = np.isfinite(array)
    return None if finite.all() else tuple(int(i) for i in np.argwhere(~finite)[0])


def _hides_mask(value: Any) -> bool:
    """Whether a masked array is among the items of a list, or of lists in it, which may contain themselves."""
    lists, seen = [value], {id(value)}
    while lists:
        for item in lists.pop():
            if isinstance(item, np.ma.MaskedArray | np.ma.core.MaskedConstant):
                return True
            if isinstance(item, list | tuple) and id(item) not in seen:
                seen.add(id(item))
                lists.append(item)
    return False


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays without axes as Python's."""
    if isinstance(value, np.bool_ | np.number) or (type(value) is np.ndarray and value.ndim == 0):
        plain = value if isinstance(value, np.timedelta64) else value.item()
        return float(plain) if isinstance(plain, np.floating) else plain  # Python has no long double
    return value


def _range(
    at_least: float | None, above: float | None, at_most: float | None, below: float | None, finite: bool = True
) -> str:
    low, high = above if at_least is None else at_least, below if at_most is None else at_most
    if low is not None and high is not None:
        return f"a number in {'(' if at_least is None else '['}{low:g}, {high:g}{')' if at_most is None else ']'}"
    number = "a finite number" if finite else "a number"
    if low is not None:
        return f"{number} {'above' if at_least is None else 'of at least'} {low:g}"
    if high is not None:
        return f"{number} {'below' if at_most is None else 'of at most'} {high:g}"
    return number


def _with_article(dtype: str) -> str:
    return f"{'an' if dtype[0] in 'aeio' else 'a'} {dtype}"
