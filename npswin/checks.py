"""Checks of arguments: each function returns the argument, or raises a ValueError that names it.

    batch_size = check_integer("batch_size", batch_size, at_least=1)

The message says what was given and what is expected: "batch_size: got 0, expected an integer of at least 1". NumPy's
numbers are numbers and become Python's, a 0-dimensional array is one as well; booleans, strings and NaN are not.
"""

import math
import reprlib
from collections.abc import Collection
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np

from npswin.devices import is_array, on_gpu
from npswin.files import shortened
from npswin.types import Array

T = TypeVar("T")

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80


def shown(value: Any) -> str:
    """A value for a message: an array's type and shape, else its repr, shortened."""
    if isinstance(value, np.ndarray) and value.ndim:
        kind = "array" if type(value) is np.ndarray else type(value).__name__
        return f"{_with_article(value.dtype.name)} {kind} of shape {value.shape}"
    try:
        return shortened(_REPR.repr(value))
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
) -> float:
    """The finite number, as Python's float.

    Args:
        name: of the argument.
        value: its value, an integer or a float.
        at_least, above: the lower bound, included or not; one of them, or neither.
        at_most, below: the upper bound.
    """
    plain, number = _plain(value), math.nan
    if isinstance(plain, int | float) and not isinstance(plain, bool):
        with suppress(OverflowError):
            number = float(plain)
    if not (
        math.isfinite(number)
        and (at_least is None or number >= at_least)
        and (above is None or number > above)
        and (at_most is None or number <= at_most)
        and (below is None or number < below)
    ):
        raise ValueError(f"{name}: got {shown(value)}, expected {_range(at_least, above, at_most, below)}")
    return number


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


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays without axes as Python's."""
    if isinstance(value, np.generic) or (type(value) is np.ndarray and value.ndim == 0):
        return value.item()
    return value


def _range(at_least: float | None, above: float | None, at_most: float | None, below: float | None) -> str:
    low, high = above if at_least is None else at_least, below if at_most is None else at_most
    if low is not None and high is not None:
        return f"a number in {'(' if at_least is None else '['}{low:g}, {high:g}{')' if at_most is None else ']'}"
    if low is not None:
        return f"a finite number {'above' if at_least is None else 'of at least'} {low:g}"
    if high is not None:
        return f"a finite number {'below' if at_most is None else 'of at most'} {high:g}"
    return "a finite number"


def _with_article(dtype: str) -> str:
    return f"{'an' if dtype[0] in 'aeio' else 'a'} {dtype}"
