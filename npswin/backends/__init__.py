"""The dialects of the vocabulary, and the one place that chooses between them.

A dialect is a module that speaks words of `npswin.ops` under the same names, with the same arguments, shapes and
meaning. A word that a dialect lacks is taken from `npswin.ops`, where a chain such as `attention_branch` is a
composition of NumPy's own words. A pair is taken from one dialect, since its cache is the dialect's own business; do
not change the backend between a forward pass and its backward pass. Layers say `words.linear_forward(...)` and get the
dialect that is set at that moment.

`words.linear(...)` is inference: the y of `linear_forward`, without a cache. A dialect may speak it itself, so as to
keep nothing.
"""

import os
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from npswin import ops

# A dialect is imported when its first word is spoken.
_DIALECTS: dict[str, ModuleType | str] = {"numpy": ops, "cpu": "npswin.backends.cpu"}


class Words:
    """The vocabulary in the current dialect: an attribute for each word."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._found: dict[tuple[str, int, str], tuple[ModuleType, Any]] = {}  # with its dialect, so that the id stays

    def __getattr__(self, word: str) -> Any:
        backend = self._backend  # once: another thread may choose another meanwhile
        key = backend, id(_DIALECTS.get(backend)), word
        found = self._found.get(key)
        if found is None:
            dialect = _dialect(backend)
            found = self._found[backend, id(dialect), word] = dialect, _find(word, dialect)
        return found[1]


def _find(word: str, dialect: ModuleType) -> Any:
    if word in ops.__all__:
        return _speaker(word, dialect)
    if f"{word}_forward" in ops.__all__:
        forward = _speaker(f"{word}_forward", dialect)
        inference = getattr(dialect, word, None)
        return _first_result(forward) if inference is None or forward.__module__.startswith(ops.__name__) else inference
    raise AttributeError(f"{word!r} is no word of the vocabulary")


def _dialect(backend: str) -> ModuleType:
    dialect = _DIALECTS[_checked(backend, "NPSWIN_BACKEND")]
    if isinstance(dialect, str):
        dialect = _DIALECTS[backend] = import_module(dialect)
    return dialect


def _speaker(word: str, dialect: ModuleType) -> Any:
    """The word in the dialect if that has the word's whole pair, else NumPy's."""
    stem = word.removesuffix("_forward").removesuffix("_backward")
    pair = [name for name in (f"{stem}_forward", f"{stem}_backward") if name in ops.__all__] or [word]
    return getattr(dialect if all(hasattr(dialect, name) for name in pair) else ops, word)


def _first_result(forward: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: forward(*args, **kwargs)[0]


def _has_numba() -> bool:
    try:
        return find_spec("numba") is not None
    except ImportError:
        return False


def _checked(backend: str, source: str) -> str:
    if not isinstance(backend, str) or backend not in _DIALECTS:
        raise ValueError(f"{source}: got {backend!r}, expected one of {', '.join(map(repr, _DIALECTS))}")
    if backend == "cpu" and not _has_numba():
        raise ValueError(f"{source}: got 'cpu', which needs Numba: pip install 'npswin[cpu]'")
    return backend


words = Words(os.environ.get("NPSWIN_BACKEND") or ("cpu" if _has_numba() else "numpy"))


def set_backend(backend: str) -> None:
    """Choose which dialect runs from now on. The environment variable NPSWIN_BACKEND does the same from the start.

    Args:
        backend: "cpu", compiled by Numba, which runs from the start where Numba is installed; or "numpy".

    Raises:
        ValueError: no dialect has this name, or it needs a package that is not installed.
    """
    words._backend = _checked(backend, "backend")


def set_thread_count(count: int) -> None:
    """How many threads the "cpu" backend's kernels use; NUMBA_NUM_THREADS, or else one a core, before it is called."""
    if _has_numba():
        from npswin.backends.cpu.threads import set_thread_count as set_kernel_threads

        set_kernel_threads(count)


def thread_count() -> int:
    """How many threads the "cpu" backend's kernels use."""
    if not _has_numba():
        return 1
    from npswin.backends.cpu.threads import thread_count as kernel_threads

    return kernel_threads()


def get_backend() -> str:
    """The name of the dialect that runs.

    Raises:
        ValueError: the environment variable NPSWIN_BACKEND names none.
    """
    return _checked(words._backend, "NPSWIN_BACKEND")
