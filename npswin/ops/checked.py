"""Public ops: their arguments checked by their description, in whichever backend they are.

Inside a backend, ops call each other's functions as they are, unchecked.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from npswin.checks import check_array, check_number, dtype_name, shown
from npswin.devices import DEVICES, HALF_DTYPES, device_of, is_array
from npswin.ops.description import DESCRIPTIONS, Description, binder

_FLOATS = (*HALF_DTYPES, "float32", "float64")


class Cache:
    """What the forward function of an op leaves for its backward function, and whose it is.

    Attributes:
        op: the op's name.
        backend: which made it.
        y_type, shape, dtype: of y, and so of its gradient.
        value: what the backward function takes.
    """

    __slots__ = ("backend", "dtype", "op", "shape", "value", "y_type")

    def __init__(self, op: str, backend: str, y: Any, value: Any) -> None:
        self.op, self.backend, self.value = op, backend, value
        self.y_type, self.shape, self.dtype = y.__class__, y.shape, y.dtype

    def __repr__(self) -> str:
        return f"<cache of {self.op}_forward, backend {self.backend!r}>"


def checked_ops(backend: str, functions: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """A backend's ops with their arguments checked, by name.

    Args:
        backend: its name.
        functions: all that it has; what is no op of `npswin.ops` is left out.
    """
    found = {}
    for name, description in DESCRIPTIONS.items():
        pair = name.removesuffix("_forward")
        backward, inference = f"{pair}_backward", functions.get(pair)
        if name == pair and name in functions:
            found[name] = _checked(functions[name], description, backend)
        elif name in functions and backward in functions:
            found[name] = _checked_forward(functions[name], description, backend, pair)
            found[backward] = _checked_backward(functions[backward], description, backend, pair)
            if inspect.isfunction(inference):  # there may be a module of this name instead
                found[pair] = _checked_inference(inference, functions[name], description, backend)
    return found


def _checked(function: Callable[..., Any], description: Description, backend: str) -> Callable[..., Any]:
    """The function with its arguments checked; complex numbers are left to the definition."""
    bind, check, definition = description.bind, description.check, description.definition
    positional, keywords = description.positional, description.keywords

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        values, run = bind(*args, **kwargs), function
        if check(values, backend):
            values, run = _all_complex(values), definition
        if not kwargs:
            return run(*values[:positional])
        named = {name: values[keywords[name]] for name in kwargs if name in keywords}
        return run(*values[:positional], **named)

    return call


def _checked_forward(
    function: Callable[..., Any], description: Description, backend: str, pair: str
) -> Callable[..., Any]:
    checked = _checked(function, description, backend)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        y, cache = checked(*args, **kwargs)
        return y, Cache(pair, backend, y, cache)

    return call


def _checked_inference(
    function: Callable[..., Any], forward: Callable[..., Any], description: Description, backend: str
) -> Callable[..., Any]:
    """y alone; with masks of dropout, which are for training, that of the forward function."""
    bind, check, definition = description.bind, description.check, description.definition
    positional, keywords = description.positional, description.keywords
    own = inspect.signature(function).parameters.keys()

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        values = bind(*args, **kwargs)
        is_complex = check(values, backend)
        values = _all_complex(values) if is_complex else values
        named = {name: values[keywords[name]] for name in kwargs if name in keywords}
        if is_complex:
            return definition(*values[:positional], **named)[0]
        if not named.keys() <= own:
            return forward(*values[:positional], **named)[0]
        return function(*values[:positional], **named)

    return call


def _checked_backward(
    function: Callable[..., Any], description: Description, backend: str, pair: str
) -> Callable[..., Any]:
    """The function with its cache and the gradient of y checked; complex numbers are left to the definition."""
    definition = getattr(import_module(description.definition.__module__), f"{pair}_backward")
    parameters = inspect.signature(definition).parameters
    bind, gradient = binder(definition.__name__, parameters.values()), next(iter(parameters))

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        dy, cache = bind(*args, **kwargs)
        if cache.__class__ is not Cache or cache.op != pair or cache.backend != backend:
            raise ValueError(_wrong_cache(cache, pair, backend))
        if dy.__class__ is not cache.y_type or dy.shape != cache.shape or dy.dtype != cache.dtype:
            _check_gradient(gradient, dy, cache)
        return (definition if cache.dtype.kind == "c" else function)(dy, cache.value)

    return call


def _all_complex(values: list[Any]) -> list[Any]:
    """The arguments, all arrays complex: the definitions add some in place, which real ones can not take up."""
    return [
        value.astype(np.result_type(value.dtype, np.complex64))
        if is_array(value) and value.dtype.kind == "f"
        else value
        for value in values
    ]


def _wrong_cache(cache: Any, pair: str, backend: str) -> str:
    if not isinstance(cache, Cache):
        return f"cache: got a {type(cache).__name__}, expected the cache that {pair}_forward returned"
    if cache.op != pair:
        return f"cache: got that of {cache.op}_forward, expected that of {pair}_forward"
    return (
        f"cache: got that of the backend {cache.backend!r}, expected that of {backend!r}, whose {pair}_backward this is"
    )


def _check_gradient(name: str, dy: Any, cache: Cache) -> None:
    """Raise a ValueError unless this can be the derivative of a loss by y.

    The derivative by a single number may be a Python number as well. That by complex numbers may be real.
    """
    if cache.shape == () and not is_array(dy):
        check_number(name, dy, finite=False)
        return
    expected = f"{cache.dtype} of shape {cache.shape}, as y has"
    check_array(name, dy, f"an array, {expected}")
    device = DEVICES[not issubclass(cache.y_type, np.ndarray | np.generic)]
    is_like_y = dy.dtype == cache.dtype or (cache.shape == () and dy.dtype.name in _FLOATS)
    is_like_y = is_like_y or (cache.dtype.kind == "c" and dy.dtype == np.empty(0, cache.dtype).real.dtype)
    if dy.shape != cache.shape or not is_like_y or device_of(dy) != device:
        where = f" on {device_of(dy)!r}" if device_of(dy) != device else ""
        raise ValueError(f"{name}: got {dtype_name(dy.dtype)} of shape {shown(dy.shape)}{where}, expected {expected}")
