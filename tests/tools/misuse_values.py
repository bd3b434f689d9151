"""Bad values for arguments, and the rules by which some of them are right for some arguments."""

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Kind(NamedTuple):
    """Which values are right for an argument. It states this again, and does not call the package's checks.

    Attributes:
        accepts: whether a value is right. It may still not fit to the other arguments of a call.
        converted: the plain value that a right one stands for: both have to give the same result.
        is_called: whether it is a function of the caller's, or an argument of one, so that what that raises is allowed.
    """

    accepts: Callable[[Any], bool]
    converted: Callable[[Any], Any] = lambda value: value
    is_called: bool = False


def _plain(value):
    """NumPy's numbers and arrays without axes as Python's."""
    is_number = isinstance(value, np.generic) and not isinstance(value, np.timedelta64)
    if not is_number and not (type(value) is np.ndarray and value.ndim == 0):
        return value
    plain = value.item()
    return float(plain) if isinstance(plain, np.longdouble) else plain


def integer(low=None, high=None) -> Kind:
    """An integer, NumPy's as well, in a range."""

    def accepts(value):
        value = _plain(value)
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        return is_integer and (low is None or value >= low) and (high is None or value <= high)

    return Kind(accepts, lambda value: int(_plain(value)))


def number(in_range: Callable[[float], bool] = lambda _: True, finite=True) -> Kind:
    """A number, NumPy's as well, in a range."""

    def accepts(value):
        value = _plain(value)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        try:
            value = float(value)
        except OverflowError:
            return False
        return (np.isfinite(value) or not finite) and bool(in_range(value))

    return Kind(accepts, lambda value: float(_plain(value)))


def numbers(count, in_range: Callable[[float], bool] = lambda _: True, increasing=False) -> Kind:
    """A tuple, list or array of so many numbers."""

    def accepts(value):
        if not (isinstance(value, list | tuple) or (type(value) is np.ndarray and value.ndim == 1)):
            return False
        right = len(value) == count and all(number(in_range).accepts(one) for one in value)
        return right and (not increasing or value[0] <= value[1])

    return Kind(accepts, lambda value: tuple(float(one) for one in value))


def array(kinds, check: Callable[[np.ndarray], bool] = lambda _: True, lists=False) -> Kind:
    """An array of NumPy's own class and of these kinds of dtypes, and where `lists` is set, a list that becomes one."""

    def accepts(value):
        if lists and isinstance(value, list | tuple):
            if any(isinstance(one, np.ma.MaskedArray) for one in value):
                return False
            try:
                value = np.asarray(value)
            except ValueError:
                return False
        return type(value) is np.ndarray and value.dtype.kind in kinds and bool(check(value))

    def converted(value):
        value = np.array(value)
        return value.astype(value.dtype.newbyteorder("="))

    return Kind(accepts, converted)


def like(example, dtype=True) -> Kind:
    """An array of an example's shape, and of its dtype where that counts."""
    return array(example.dtype.kind, lambda a: a.shape == example.shape and (not dtype or a.dtype == example.dtype))


def choice(*values) -> Kind:
    """One of these."""
    return Kind(lambda value: any(type(value) is type(one) and value == one for one in values))


def optional(kind: Kind) -> Kind:
    """Also None."""

    def converted(value):
        return None if value is None else kind.converted(value)

    return Kind(lambda value: value is None or kind.accepts(value), converted, kind.is_called)


def either(*kinds: Kind) -> Kind:
    """A value of one of several kinds."""

    def converted(value):
        return next(kind for kind in kinds if kind.accepts(value)).converted(value)

    return Kind(lambda value: any(kind.accepts(value) for kind in kinds), converted)


def listed(kind: Kind, kinds=(list, tuple), at_least=0) -> Kind:
    """A list or tuple of values of a kind."""
    return Kind(
        lambda value: isinstance(value, kinds) and len(value) >= at_least and all(map(kind.accepts, value)),
        lambda value: (tuple if isinstance(value, tuple) else list)(kind.converted(one) for one in value),
    )


def instance(*classes) -> Kind:
    """An object of one of these classes."""
    return Kind(lambda value: isinstance(value, classes))


def dtype(*names) -> Kind:
    """A dtype, its name or its type: one of these, or any of floats."""

    def accepts(value):
        if not isinstance(value, str | type | np.dtype):
            return False
        try:
            found = np.dtype(value)
        except Exception:  # what is no dtype raises TypeError, ValueError, SyntaxError and others
            return False
        return found.name in names if names else found.kind == "f"

    return Kind(accepts, lambda value: np.dtype(value).name)


FLAG = Kind(lambda value: isinstance(value, bool | np.bool_), bool)
TEXT = instance(str)
FUNCTION = Kind(callable, is_called=True)
GENERATOR = instance(np.random.Generator)
NOTHING = Kind(lambda value: False)
RATE = number(lambda rate: 0 <= rate < 1)
POSITIVE = number(lambda value: value > 0)
NOT_NEGATIVE = number(lambda value: value >= 0)


def _is_path(value):
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else ""
    return isinstance(text, str) and bool(text) and "\0" not in text


PATH = Kind(_is_path, os.fspath)


def _image():
    from PIL import Image

    return Image.new("RGB", (4, 4))


def _array_like(good):
    return good if isinstance(good, np.ndarray) else np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def _with(value):
    def changed(good):
        result = _array_like(good).astype(float)
        result.reshape(-1)[:1] = value
        kept = isinstance(good, np.ndarray) and good.dtype.kind == "f"
        return result.astype(good.dtype) if kept else result

    return changed


def _of_dtype(name):
    return lambda good: _array_like(good).astype(name)


def _non_contiguous(good):
    array = _array_like(good)
    return np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array


def _read_only(good):
    result = _array_like(good).copy()
    result.flags.writeable = False
    return result


def _other_byte_order(good):
    array = _array_like(good)
    return array.astype(array.dtype.newbyteorder("S"))


def _matrix(good):
    return _array_like(good).reshape(-1, 2 if _array_like(good).size % 2 == 0 else 1).view(np.matrix)


def _structured(good):
    return np.zeros(np.shape(_array_like(good)), [("a", "f4"), ("b", "i4")])


# Name -> value, or a function of the right value of the argument, where its name begins with "as " or "its ".
_CONSTANTS: dict[str, Callable[[], Any]] = {
    **{repr(value): lambda value=value: value for value in (None, True, False, "", "1", "nan", "text", b"1", 0, 1, -1)},
    **{repr(value): lambda value=value: value for value in (2, 1.5, -0.5, 0.5, 1.0, 1e-300, 1e300, 1j, 10**30, ...)},
    **{repr(value): lambda value=value: value for value in ((), (0.5, 0.5), (1, 2), "a\0b", "missing/folder/file")},
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"),
    "10**400": lambda: 10**400,
    "-10**30": lambda: -(10**30),
    "[]": list,
    "{}": dict,
    "set()": set,
    "{'a': 1}": lambda: {"a": 1},
    "[1, 2]": lambda: [1, 2],
    "[0.5, 0.5, 0.5]": lambda: [0.5, 0.5, 0.5],
    "[0.5, nan, 0.5]": lambda: [0.5, float("nan"), 0.5],
    "(0.5, 0, 0.5)": lambda: (0.5, 0, 0.5),
    "['a']": lambda: ["a"],
    "[None]": lambda: [None],
    "[[1, 2], [3]]": lambda: [[1, 2], [3]],
    "range(3)": lambda: range(3),
    "iter([1])": lambda: iter([1]),
    "np.bool_(True)": lambda: np.bool_(True),
    "np.int8(-1)": lambda: np.int8(-1),
    "np.int64(1)": lambda: np.int64(1),
    "np.uint8(2)": lambda: np.uint8(2),
    "np.float16(0.5)": lambda: np.float16(0.5),
    "np.float32(0.5)": lambda: np.float32(0.5),
    "np.float64(nan)": lambda: np.float64("nan"),
    "np.longdouble(0.5)": lambda: np.longdouble(0.5),
    "np.array(1)": lambda: np.array(1),
    "np.array(0.5)": lambda: np.array(0.5),
    "np.array([1])": lambda: np.array([1]),
    "np.array([0.5, 0.5, 0.5])": lambda: np.array([0.5, 0.5, 0.5]),
    "np.ma.masked": lambda: np.ma.masked,
    "[np.ma.array([1], mask=[1])]": lambda: [np.ma.array([1.0], mask=[True])],
    "np.datetime64(1, 's')": lambda: np.datetime64(1, "s"),
    "np.timedelta64(3)": lambda: np.timedelta64(3),
    "Decimal('0.5')": lambda: Decimal("0.5"),
    "Fraction(1, 2)": lambda: Fraction(1, 2),
    "object()": object,
    "Exception()": Exception,
    "slice(1)": lambda: slice(1),
    "print": lambda: print,
    "np.sin": lambda: np.sin,
    "int": lambda: int,
    "np.float32": lambda: np.float32,
    "'>f4'": lambda: ">f4",
    "'float16'": lambda: "float16",
    "np.random": lambda: np.random,
    "default_rng(0)": lambda: np.random.default_rng(0),
    "RandomState(0)": lambda: np.random.RandomState(0),
    "Path('missing')": lambda: Path("missing"),
    "a Pillow image": _image,
}
_FROM_RIGHT_ONE: dict[str, Callable[[Any], Any]] = {
    "its list": lambda good: _array_like(good).tolist(),
    "its copy as an object": lambda good: _array_like(good).astype(object),
    "its text": lambda good: _array_like(good).astype(str),
    "it masked": lambda good: np.ma.array(_array_like(good), mask=np.ones(np.shape(_array_like(good)), bool)),
    "its matrix": _matrix,
    "it with nan": _with(np.nan),
    "it with inf": _with(np.inf),
    "it with -1": _with(-1.0),
    "it with 1e30": _with(1e30),
    "it negated": lambda good: -_array_like(good).astype(float),
    "as float16": _of_dtype("float16"),
    "as float32": _of_dtype("float32"),
    "as float64": _of_dtype("float64"),
    "as longdouble": _of_dtype("longdouble"),
    "as complex": _of_dtype("complex128"),
    "as int64": _of_dtype("int64"),
    "as int8": _of_dtype("int8"),
    "as uint8": _of_dtype("uint8"),
    "as bool": _of_dtype("bool"),
    "as the other byte order": _other_byte_order,
    "as a structured array": _structured,
    "it read-only": _read_only,
    "it not contiguous": _non_contiguous,
    "it in Fortran's order": lambda good: np.asfortranarray(_array_like(good)),
    "it transposed": lambda good: _array_like(good).T,
    "its first number": lambda good: np.array(_array_like(good).reshape(-1)[0]) if np.size(_array_like(good)) else good,
    "it with one axis more": lambda good: _array_like(good)[None],
    "its first row": lambda good: _array_like(good)[0] if np.ndim(_array_like(good)) else good,
    "it without its last row": lambda good: _array_like(good)[:-1] if np.ndim(_array_like(good)) else good,
    "it without rows": lambda good: _array_like(good)[:0] if np.ndim(_array_like(good)) else good,
    "it without columns": lambda good: _array_like(good)[..., :0] if np.ndim(_array_like(good)) else good,
    "it without its last column": lambda good: _array_like(good)[..., :-1] if np.ndim(_array_like(good)) else good,
    "its first column": lambda good: _array_like(good)[..., :1] if np.ndim(_array_like(good)) else good,
    "three axes": lambda good: np.ones((2, 2, 2)),
    "its class": type,
    "it in a list": lambda good: [good],
}
VALUES = [*_CONSTANTS, *_FROM_RIGHT_ONE]


def bad_value(name: str, good: Any) -> Any:
    """The value of this name, one of VALUES, for an argument whose right value is given; always a new one."""
    return _CONSTANTS[name]() if name in _CONSTANTS else _FROM_RIGHT_ONE[name](copy.copy(good))


def same_but_for_rounding(one: Any, other: Any) -> bool:
    """Whether two fingerprints are equal, but for what rounding leaves of numbers of their arrays' size."""
    if isinstance(one, tuple | list) and isinstance(other, tuple | list) and len(one) == len(other):
        if one[:1] == ("array",) and one[:3] == other[:3] and np.dtype(one[1]).kind in "fc":
            arrays = [np.frombuffer(each[3], each[1]) for each in (one, other)]
            size = max((abs(number) for number in arrays[1] if np.isfinite(number)), default=0)
            tolerance = 100 * np.finfo(one[1]).eps * size
            return np.allclose(*arrays, rtol=0, atol=tolerance, equal_nan=True)
        if one[:1] == other[:1] == ("plain",):
            return one == other or _are_close(one[1], other[1])
        return all(map(same_but_for_rounding, one, other))
    return one == other


def _are_close(one: str, other: str) -> bool:
    try:
        return bool(np.isclose(float(one), float(other), rtol=1e-14, atol=0))
    except ValueError:  # no numbers
        return False


def fingerprint(value: Any) -> Any:
    """What a value consists of, for a comparison; the same for equal numbers, whether NumPy's or Python's."""
    value = _plain(value)
    if isinstance(value, np.ndarray) and value.dtype == np.longdouble:  # some of whose bytes are not used
        return "long doubles", fingerprint([value.astype(float), (value - value.astype(float)).astype(float)])
    if isinstance(value, np.ndarray):
        native = value.astype(value.dtype.newbyteorder("="))
        return "array", native.dtype.name, native.shape, native.tobytes()
    if isinstance(value, Mapping):
        return "mapping", [(str(key), fingerprint(item)) for key, item in value.items()]
    if isinstance(value, list | tuple | Iterator):
        return "sequence", [fingerprint(item) for item in value]
    if isinstance(value, np.random.Generator):
        return "generator", repr(value.bit_generator.state)
    if isinstance(value, str | bytes | bool | int | float | type(None) | np.dtype):
        return "plain", repr(value)
    parts = {
        name: getattr(value, name) for name in ("params", "grads", "average", "lr", "config") if hasattr(value, name)
    }
    if callable(getattr(value, "state", None)):
        parts["state"] = value.state()
    if not parts and hasattr(type(value), "__dataclass_fields__"):
        parts = {name: getattr(value, name) for name in type(value).__dataclass_fields__}
    return type(value).__name__, fingerprint(parts) if parts else None
