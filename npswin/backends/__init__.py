"""The dialects of the vocabulary, and the one place that chooses between them.

A dialect is a module that speaks words of `npswin.ops` under the same names, with the same arguments, shapes and
meaning. A word that a dialect lacks is taken from `npswin.ops`, where a chain such as `attention_branch` is a
composition of NumPy's own words. A pair is taken from one dialect, since its cache is the dialect's own business; do
not change the backend between a forward pass and its backward pass. Layers say `words.linear_forward(...)` and get the
dialect that is set at that moment.
"""

import os
from types import ModuleType
from typing import Any

from npswin import ops

_DIALECTS: dict[str, ModuleType] = {"numpy": ops}


class Words:
    """The vocabulary in the current dialect: an attribute for each word."""

    def __init__(self, backend: str) -> None:
        self._backend = backend

    def __getattr__(self, word: str) -> Any:
        if word not in ops.__all__:
            raise AttributeError(f"{word!r} is no word of the vocabulary")
        stem = word.removesuffix("_forward").removesuffix("_backward")
        pair = [name for name in (f"{stem}_forward", f"{stem}_backward") if name in ops.__all__] or [word]
        dialect = _DIALECTS[get_backend()]
        return getattr(dialect if all(hasattr(dialect, name) for name in pair) else ops, word)


def _checked(backend: str, source: str) -> str:
    if backend not in _DIALECTS:
        raise ValueError(f"{source}: got {backend!r}, expected one of {', '.join(map(repr, _DIALECTS))}")
    return backend


words = Words(os.environ.get("NPSWIN_BACKEND") or "numpy")


def set_backend(backend: str) -> None:
    """Choose which dialect runs from now on. The environment variable NPSWIN_BACKEND does the same from the start.

    Args:
        backend: "numpy".

    Raises:
        ValueError: no dialect has this name.
    """
    words._backend = _checked(backend, "backend")


def get_backend() -> str:
    """The name of the dialect that runs.

    Raises:
        ValueError: the environment variable NPSWIN_BACKEND names none.
    """
    return _checked(words._backend, "NPSWIN_BACKEND")
