"""Which backend runs an op: chosen once for the process, or for each call by where its arrays are.

A backend is a module with functions of the names in `npswin.ops`, with the same arguments, shapes and meaning. Layers
call `dispatch.linear_forward(...)`, which is looked up in the backend that is set at that moment, or in "cuda" if the
first argument is on a GPU.

An op that a backend lacks falls back to its definition in `npswin.ops`; `missing_ops` lists these. A pair falls back as
a whole, since only the backend that made a cache can read it: do not change the backend between a forward pass and its
backward pass.

`dispatch.linear(...)` is inference: the y of `linear_forward`, without a cache. A backend may implement it, in order to
save nothing; if it does not, y is taken from `linear_forward`.
"""

import os
import sys
from collections.abc import Callable, Collection, Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from npswin import ops
from npswin.checks import check_callable, check_choice, check_flag, check_integer, shown
from npswin.devices import is_array, on_gpu

_GPU = "cuda"
MOST_THREADS = 4096
# A backend is imported when its first op is called.
_BACKENDS: dict[str, ModuleType | str] = {"numpy": ops, "cpu": "npswin.backends.cpu", _GPU: "npswin.backends.cuda"}


class Dispatcher:
    """An attribute for each op, which is the current backend's implementation of it."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._found: dict[tuple[str, int, str], tuple[ModuleType, Any]] = {}  # keeps the module, so that its id stays

    def __getattr__(self, op: str) -> Any:
        host_op = self._in(self._backend, op)
        return host_op if "cupy" not in sys.modules else partial(self._by_device, op, host_op)

    def _by_device(self, op: str, host_op: Callable[..., Any], *args: Any, **named: Any) -> Any:
        values = [*args, *named.values()]
        if values and isinstance(values[0], Iterator):
            values[0] = list(values[0])
        first = values[0] if values else None
        array = next(iter(first), None) if isinstance(first, Collection) and not is_array(first) else first
        named = dict(zip(named, values[len(args) :], strict=True))
        return (self._in(_GPU, op) if on_gpu(array) else host_op)(*values[: len(args)], **named)

    def _in(self, backend: str, op: str) -> Any:
        key = backend, id(_BACKENDS.get(backend)), op
        found = self._found.get(key)
        if found is None:
            module = _module(backend)
            found = self._found[backend, id(module), op] = module, _find(op, module)
        return found[1]


def _find(op: str, backend: ModuleType) -> Any:
    if op in ops.__all__:
        return getattr(_implementing(op, backend), op)
    if f"{op}_forward" in ops.__all__:
        module = _implementing(f"{op}_forward", backend)
        inference = getattr(backend, op, None)  # or a submodule of this name
        if module is not ops and callable(inference):
            return inference
        return _first_result(getattr(module, f"{op}_forward"))
    raise AttributeError(f"{op!r} is not an op of npswin.ops")


def _module(backend: str) -> ModuleType:
    module = _BACKENDS[backend if backend == _GPU else _checked(backend, "NPSWIN_BACKEND")]
    if isinstance(module, str):
        module = _BACKENDS[backend] = import_module(module)
    return module


def _implementing(op: str, backend: ModuleType) -> ModuleType:
    """The backend, if it has the op and, of a pair, both functions; else `npswin.ops`."""
    stem = op.removesuffix("_forward").removesuffix("_backward")
    pair = [name for name in (f"{stem}_forward", f"{stem}_backward") if name in ops.__all__] or [op]
    return backend if all(hasattr(backend, name) for name in pair) else ops


def _first_result(forward: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: forward(*args, **kwargs)[0]


def missing_ops(backend: str) -> list[str]:
    """The ops of `npswin.ops` that a backend lacks, sorted; they run as NumPy's (on a GPU: CuPy's) definition.

    Args:
        backend: "numpy", "cpu" or "cuda". The latter two are imported, which needs Numba or CuPy.

    Raises:
        ValueError: no backend has this name.
    """
    module = _module(check_choice("backend", backend, tuple(_BACKENDS)))
    return [op for op in sorted(ops.__all__) if _implementing(op, module) is ops and module is not ops]


def _has_numba() -> bool:
    try:
        return find_spec("numba") is not None
    except ImportError:
        return False


def _checked(backend: str, source: str) -> str:
    choices = [name for name in _BACKENDS if name != _GPU]
    if not isinstance(backend, str) or backend not in choices:
        is_gpu = isinstance(backend, str) and backend == _GPU
        hint = "; a model on a GPU, model.to('cuda'), needs no setting" if is_gpu else ""
        raise ValueError(f"{source}: got {shown(backend)}, expected one of {', '.join(map(repr, choices))}{hint}")
    if backend == "cpu" and not _has_numba():
        raise ValueError(f"{source}: got 'cpu', which needs Numba: pip install 'npswin[cpu]'")
    return backend


dispatch = Dispatcher(os.environ.get("NPSWIN_BACKEND") or ("cpu" if _has_numba() else "numpy"))


def set_backend(backend: str) -> None:
    """Choose the backend for arrays in the computer's memory. The environment variable NPSWIN_BACKEND sets the default.

    Args:
        backend: "cpu", compiled by Numba, the default where Numba is installed; or "numpy".

    Raises:
        ValueError: no backend has this name, or it needs a package that is not installed.
    """
    dispatch._backend = _checked(backend, "backend")


def get_backend() -> str:
    """The name of the backend that runs ops on arrays in the computer's memory.

    Raises:
        ValueError: the environment variable NPSWIN_BACKEND names none.
    """
    return _checked(dispatch._backend, "NPSWIN_BACKEND")


def set_thread_count(count: int) -> None:
    """How many threads the "cpu" backend's kernels use; by default NUMBA_NUM_THREADS, or else one per core.

    Args:
        count: 1 to 4096.

    Raises:
        ValueError: it is no integer in this range.
    """
    count = check_integer("count", count, 1, MOST_THREADS)
    if _has_numba():
        from npswin.backends.cpu.machine.threads import set_thread_count as set_kernel_threads

        set_kernel_threads(count)


def thread_count() -> int:
    """How many threads the "cpu" backend's kernels use."""
    if not _has_numba():
        return 1
    from npswin.backends.cpu.machine.threads import thread_count as kernel_threads

    return kernel_threads()


def allow_tf32(allowed: bool) -> bool:
    """Whether float32 matrices on a GPU may be multiplied by tensor cores, which round each factor to 10 bits.

    Args:
        allowed: False at first. Sums are in float32 either way.

    Returns:
        What was allowed before.

    Raises:
        ValueError: it is neither True nor False.
    """
    from npswin.backends.cuda.runtime import matrix_product

    before, matrix_product.tf32_allowed = matrix_product.tf32_allowed, check_flag("allowed", allowed)
    return before


def why_no_bfloat16() -> str | None:
    """Whether the "cpu" backend can multiply in bfloat16 on this processor.

    Returns:
        None if it can, else the reason, in one line.
    """
    if not _has_numba():
        return "it takes the cpu backend, which needs Numba: pip install 'npswin[cpu]'"
    from npswin.backends.cpu.simd.bfloat16_product import why_no_bfloat16 as reason

    return reason()


def allow_bfloat16(allowed: bool) -> bool:
    """Whether the "cpu" backend may round to bfloat16 what products of float32 maps multiply: 8 bits of mantissa.

    That is for layers of attention, MLPs and linear maps, forward and backward; a backward pass does as its forward
    pass did. All else, sums and what is between the products, stays float32. It holds for the whole process.

    Args:
        allowed: False at first.

    Returns:
        What was allowed before.

    Raises:
        ValueError: it is neither True nor False.
        RuntimeError: the processor has no instructions for it; the message says what is missing.
    """
    if check_flag("allowed", allowed) and (reason := why_no_bfloat16()):
        raise RuntimeError(f"no products in bfloat16: {reason}")
    if not _has_numba():
        return False
    from npswin.backends.cpu.tile import precision

    before, precision.bfloat16_allowed = precision.bfloat16_allowed, allowed
    return before


def capture(function: Callable[..., Any], *examples: Any) -> Callable[..., Any]:
    """A function of arrays, such as a model, recorded once and then run without Python between its kernels.

    infer = npswin.capture(model, images)
    logits = infer(images)                # of the same shape and dtype, as often as needed

    Of arrays on a GPU it is a CUDA graph: see `backends/cuda/runtime/graph.py`. Of arrays in the computer's memory it
    is a list of the "cpu" backend's kernels: see `backends/cpu/machine/captured.py`.

    Args:
        function: of arrays; returns an array.
        *examples: arrays such as it is to be called with.

    Returns:
        The recording. It takes arrays of the examples' shapes and dtypes, and returns a new array.

    Raises:
        ValueError: an example is no array, they are not all in one place, or the function cannot be captured.
    """
    check_callable("function", function)
    if any(map(on_gpu, examples)):
        from npswin.backends.cuda.runtime.graph import Captured as CapturedOnGpu

        return CapturedOnGpu(function, *examples)
    if not examples:
        raise ValueError("examples: got none, expected an array for each argument of the function")
    if get_backend() != "cpu":
        what = f"the backend {get_backend()!r} has no kernels to record; npswin.set_backend('cpu') has"
        raise ValueError(f"examples: got arrays in the computer's memory, where {what}")
    from npswin.backends.cpu.machine.captured import Captured

    return Captured(function, *examples)
