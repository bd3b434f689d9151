"""A chain that a dialect does not fuse: the composition of `npswin.ops`, made of the dialect's own words."""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from types import FunctionType
from typing import Any

from npswin import ops


@lru_cache
def composed(dialect: str, word: str) -> Callable[..., Any]:
    """The definition of a word, in which the functions that it calls are the dialect's, where that has them.

    So the composition is not written a second time.

    Args:
        dialect: the name of its module.
        word: of the vocabulary, a function that calls others.
    """
    definition, module = getattr(ops, word), import_module(dialect)
    names = [name for name in definition.__code__.co_names if callable(definition.__globals__.get(name))]
    spoken = {name: getattr(module, name) for name in names if hasattr(module, name)}
    function = FunctionType(definition.__code__, {**definition.__globals__, **spoken}, word, definition.__defaults__)
    function.__kwdefaults__ = definition.__kwdefaults__
    return function
