"""An op that a backend does not fuse: the composition in `npswin.ops`, made of the backend's own ops."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from types import FunctionType
from typing import Any

from npswin import ops


@lru_cache
def unfused_op(backend: str, op: str) -> Callable[..., Any]:
    """The definition of an op, in which each op that it calls is the backend's, where the backend has it.

    So the composition is not written a second time.

    Args:
        backend: the name of its module.
        op: of `npswin.ops`, a function that calls others.
    """
    definition, module = inspect.unwrap(getattr(ops, op)), import_module(backend)
    names = [name for name in definition.__code__.co_names if callable(definition.__globals__.get(name))]
    implemented = {name: inspect.unwrap(getattr(module, name)) for name in names if hasattr(module, name)}
    function = FunctionType(definition.__code__, {**definition.__globals__, **implemented}, op, definition.__defaults__)
    function.__kwdefaults__ = definition.__kwdefaults__
    return function
