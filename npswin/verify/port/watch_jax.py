"""Records the results of a JAX module: by an interceptor in flax.linen, by its classes' __call__ in other libraries."""

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.port.recording import NOTHING_CALLED, NameOf, Recording

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class that was made in Python, so that its __call__ can be replaced


@contextmanager
def watch_linen(linen: Any, name_of: NameOf) -> Iterator[Recording]:
    """Record the modules of flax.linen that are called inside the with block."""
    recording, calls = Recording(), Counter[str]()

    def record(call: Any, arguments: Any, keywords: Any, context: Any) -> Any:
        output = call(*arguments, **keywords)
        if context.method_name == "__call__" and (name := name_of(".".join(context.module.path))):
            return _recorded(recording, calls, name, output)
        return output

    with linen.intercept_methods(record):
        yield recording
    if not calls:
        warnings.warn(NOTHING_CALLED, stacklevel=4)


@contextmanager
def watch_calls(module: Any, name_of: NameOf) -> Iterator[Recording]:
    """Record a module that is a plain object. Its classes' __call__ is replaced inside the with block."""
    recording, calls, paths, roots = Recording(), Counter[str](), {}, []

    def add_root(root: Any) -> None:
        roots.append(root)  # keeps the objects alive, as Python gives the id of a deleted object to another one
        paths.update({id(part): path for path, part in _parts(root)})

    add_root(module)
    owners = {_owner_of_call(type(part)) for _, part in _parts(module)} - {None}
    originals = {owner: owner.__call__ for owner in owners}

    def recording_call(original: Any) -> Any:
        def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
            if id(self) not in paths and type(self) is type(module):  # a copy, as jax.grad makes it
                add_root(self)
            output = original(self, *arguments, **keywords)
            path = paths.get(id(self))
            if path and (name := name_of(path)):
                return _recorded(recording, calls, name, output)
            return output

        return call

    try:
        for owner, original in originals.items():
            owner.__call__ = recording_call(original)
        yield recording
    finally:
        for owner, original in originals.items():
            owner.__call__ = original
    if not calls:
        warnings.warn(NOTHING_CALLED, stacklevel=4)


def _owner_of_call(kind: type) -> Any:
    """The class, made in Python, from which a class inherits its __call__; None if there is none."""
    owner = next((each for each in kind.__mro__ if "__call__" in vars(each)), None)
    return owner if owner is not None and owner.__flags__ & _HEAP_TYPE else None


def _parts(module: Any) -> Iterator[tuple[str, Any]]:
    """The submodules of a module with their paths, the module itself first.

    A submodule is an object that can be called, or that shares a base class with the module. Its path consists of the
    attributes, indices and keys that lead to it.
    """
    bases = tuple(kind for kind in type(module).__mro__[1:] if kind.__flags__ & _HEAP_TYPE) or (type(module),)
    waiting, visited = [("", module)], set()
    while waiting:
        path, value = waiting.pop(0)
        start = f"{path}." if path else ""
        if isinstance(value, dict):
            waiting += [(f"{start}{key}", one) for key, one in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(f"{start}{index}", one) for index, one in enumerate(value)]
        elif hasattr(value, "__dict__") and id(value) not in visited:
            visited.add(id(value))
            if value is module or isinstance(value, bases) or _owner_of_call(type(value)) is not None:
                yield path, value
                waiting += [(f"{start}{name}", one) for name, one in vars(value).items()]


def _recorded(recording: Recording, calls: Counter[str], name: str, output: Any) -> Any:
    """Record a call's output, and return the output with a derivative rule that records its gradient."""
    if isinstance(output, tuple) and output:
        first = _recorded(recording, calls, name, output[0])
        return type(output)(first, *output[1:]) if hasattr(output, "_fields") else (first, *output[1:])
    calls[name] += 1
    call = calls[name]
    jax = sys.modules.get("jax")
    if jax is None or not isinstance(output, jax.Array):
        if hasattr(output, "__array__"):
            recording.tensors[name] = np.array(output)
        return output

    def record(name: str, array: Any) -> Any:
        def store(numbers: Any) -> Array:
            if calls[name.removeprefix(GRADIENT_PREFIX)] == call:  # of the last call, whose output is recorded
                recording.tensors[name] = _without_bfloat16(np.array(numbers))
            return np.asarray(numbers)

        if "DynamicJaxprTracer" in type(array).__name__:
            raise TypeError(f"{name}: got a tracer, expected numbers: call the module without jit around it")
        if isinstance(array, jax.core.Tracer):  # of vmap: the callback gets the whole batch
            shape = jax.ShapeDtypeStruct(array.shape, array.dtype)
            return jax.pure_callback(store, shape, array, vmap_method="broadcast_all")
        store(array)
        return array

    identity = jax.custom_vjp(lambda x: record(name, x))
    identity.defvjp(lambda x: (record(name, x), None), lambda _, dy: (record(GRADIENT_PREFIX + name, dy),))
    return identity(output)


def _without_bfloat16(array: Array) -> Array:
    """bfloat16 as float32, since NumPy has no bfloat16."""
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
