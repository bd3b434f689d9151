"""The dialects of the vocabulary, and the one place that chooses between them.

A dialect is a module that speaks words of `npswin.ops` under the same names, with the same arguments, shapes and
meaning. Layers say `words.linear_forward(...)` and get the dialect that is set at that moment; where the first argument
is on a GPU, they get "cuda".

A word that a dialect lacks is taken from `npswin.ops`, where a chain such as `attention_branch` is a composition of
NumPy's own words. A pair is taken from one dialect, since its cache is the dialect's own business; do not change the
backend between a forward pass and its backward pass.

`words.linear(...)` is inference: the y of `linear_forward`, without a cache. A dialect may speak it itself, so as to
keep nothing.
"""

import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from npswin import ops
from npswin.devices import is_array, on_gpu

_GPU = "cuda"
# A dialect is imported when its first word is spoken.
_DIALECTS: dict[str, ModuleType | str] = {"numpy": ops, "cpu": "npswin.backends.cpu", _GPU: "npswin.backends.cuda"}


class Words:
    """The vocabulary in the current dialect: an attribute for each word."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._found: dict[tuple[str, int, str], tuple[ModuleType, Any]] = {}  # with its dialect, so that the id stays

    def __getattr__(self, word: str) -> Any:
        own = self._in(self._backend, word)
        return own if "cupy" not in sys.modules else partial(self._by_place, word, own)

    def _by_place(self, word: str, own: Callable[..., Any], first: Any, *others: Any, **named: Any) -> Any:
        if isinstance(first, Iterable) and not is_array(first):
            first = list(first)
        deciding = next(iter(first), None) if isinstance(first, list) else first
        return (self._in(_GPU, word) if on_gpu(deciding) else own)(first, *others, **named)

    def _in(self, backend: str, word: str) -> Any:
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
        inference = getattr(dialect, word, None)  # or a file of this name
        spoken = callable(inference) and not forward.__module__.startswith(ops.__name__)
        return inference if spoken else _first_result(forward)
    raise AttributeError(f"{word!r} is no word of the vocabulary")


def _dialect(backend: str) -> ModuleType:
    dialect = _DIALECTS[backend if backend == _GPU else _checked(backend, "NPSWIN_BACKEND")]
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
    choices = [name for name in _DIALECTS if name != _GPU]
    if not isinstance(backend, str) or backend not in choices:
        way = "; a model on a GPU, model.to('cuda'), needs no setting" if backend == _GPU else ""
        raise ValueError(f"{source}: got {backend!r}, expected one of {', '.join(map(repr, choices))}{way}")
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


def allow_tf32(allowed: bool) -> bool:
    """Whether float32 matrices on a GPU may be multiplied by tensor cores, which see 10 bits of each number's fraction.

    Args:
        allowed: False at first. Sums are in float32 either way.

    Returns:
        What was allowed before.
    """
    from npswin.backends.cuda import product

    before, product.tf32_allowed = product.tf32_allowed, bool(allowed)
    return before


def capture(function: Callable[..., Any], *examples: Any) -> Callable[..., Any]:
    """A function of arrays on a GPU, a model for example, recorded as a CUDA graph: see `backends/cuda/graph.py`.

    infer = npswin.capture(model, images)
    logits = infer(images)                # of the same shape and dtype, as often as one likes
    """
    from npswin.backends.cuda.graph import Captured

    return Captured(function, *examples)


def get_backend() -> str:
    """The name of the dialect that runs.

    Raises:
        ValueError: the environment variable NPSWIN_BACKEND names none.
    """
    return _checked(words._backend, "NPSWIN_BACKEND")
