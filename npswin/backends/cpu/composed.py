"""A branch with dropout inside, which is not fused: the composition of `npswin.ops`, made of this dialect's words."""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from types import FunctionType
from typing import Any

from npswin import ops


@lru_cache
def composed(word: str) -> Callable[..., Any]:
    """The definition of a word, in which the words that it names are those of this dialect.

    So the composition is not written a second time.

    Args:
        word: of the vocabulary, a function that calls others of the vocabulary.
    """
    definition = getattr(ops, word)
    dialect = import_module("npswin.backends.cpu")
    names = set(definition.__code__.co_names) & set(ops.__all__)
    spoken = {name: getattr(dialect, name) for name in names if hasattr(dialect, name)}
    function = FunctionType(definition.__code__, {**definition.__globals__, **spoken}, word, definition.__defaults__)
    function.__kwdefaults__ = definition.__kwdefaults__
    return function
