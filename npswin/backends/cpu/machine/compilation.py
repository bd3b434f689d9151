"""How functions of this backend are compiled, cached on disk, and announced.

Numba compiles a function when it is first called with arrays of a dtype, and can cache the machine code on disk. Four
things are added here.

A function that many kernels call is compiled once, and kernels call it through a symbol (`shared_function`). Numba
would copy its code into each of them, and LLVM would compile each copy. The compiler does only what these functions
need: see `compiler_passes.py`. Cached code is used only while all source files of this backend are unchanged, and a
damaged file or a full disk does not stop anything: see `code_cache.py`. And a line on stderr names what is being
compiled, which takes seconds.
"""

import copy
import gc
import hashlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import numba
from llvmlite.binding import add_symbol
from numba import types
from numba.core import event
from numba.core.caching import FunctionCache
from numba.core.imputils import user_function
from numba.core.registry import CPUDispatcher
from numba.core.sigutils import normalize_signature

from npswin.backends.cpu.machine.code_cache import CodeFiles
from npswin.backends.cpu.machine.compiler_passes import Compiler, InnerCompiler, KernelCompiler

# `error_model="numpy"`: a division by zero gives inf rather than a branch, which would keep a loop scalar.
# `reassoc` lets a sum run in several lanes at once, `contract` a product and a sum become one instruction, and `nsz` a
# zero change its sign; NaN and infinity keep their meaning. Without Numba's runtime (`_nrt`), compiled code allocates
# nothing and counts no references, and is compiled faster.
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz"},
    "_nrt": False,
}

if numba.config.DISABLE_JIT:
    raise ImportError(
        "NUMBA_DISABLE_JIT is set, and the cpu backend is compiled: unset it, or set NPSWIN_BACKEND=numpy"
    )
_kernels: dict[Any, str] = {}


class _Callee(CPUDispatcher):
    """A function that compiled code calls: without what Numba adds for calls from Python.

    Args:
        function: to be compiled.
        specialized: whether it is compiled for each combination of literal numbers among its arguments, as Numba does;
            else once for arguments of the same types.
    """

    compiler: type[Compiler] = Compiler
    wrappers: ClassVar = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}

    def __init__(self, function: Any, specialized: bool = False) -> None:
        options = {"nopython": True, **OPTIONS, **self.wrappers}
        super().__init__(function, targetoptions=options, pipeline_class=self.compiler)
        self.specialized = specialized

    def get_call_template(self, args: Any, kws: Any) -> Any:
        return super().get_call_template(args if self.specialized else [*map(_without_literals, args)], kws)

    def __call__(self, *args: Any) -> Any:
        """From Python, as tests do: through a function that has a wrapper."""
        return self._with_wrapper(*args)

    @cached_property
    def _with_wrapper(self) -> Any:
        return numba.njit(**OPTIONS, pipeline_class=Compiler)(self.py_func)


class _InnerCallee(_Callee):
    """A function whose code is copied into what calls it, and has no address."""

    compiler = InnerCompiler

    def add_overload(self, cres: Any) -> None:
        self.overloads[tuple(cres.signature.args)] = cres


class _Kernel(_Callee):
    """A function that `run_parallel` runs; in place of Numba's wrapper it has a part function."""

    compiler = KernelCompiler
    wrappers: ClassVar = {"no_cfunc_wrapper": True}


class _SharedCallee(_Callee):
    """A function that kernels call through a symbol, which is defined as soon as the function is compiled or loaded.

    The name that Numba gives to a function's code depends on what was compiled before it. The symbol's name depends
    only on the function and on the types of its arguments, so code from disk can refer to it.
    """

    def compile(self, sig: Any) -> Any:
        kinds = normalize_signature(sig)[0]
        is_new = kinds not in self.overloads
        entry_point = super().compile(sig)
        if is_new:
            compiled = self.overloads[kinds]
            described = copy.copy(compiled.fndesc)
            digest = hashlib.sha256(repr(kinds).encode()).hexdigest()
            described.mangled_name = f"{self.__module__}.{self.__name__}.{digest[:16]}"
            add_symbol(described.mangled_name, address_of(compiled))
            call = _reference(described, _Load(self.__module__, self.__name__, kinds))
            self.targetctx.insert_func_defn([(call, entry_point, call.signature)])
        return entry_point


class _Load(NamedTuple):
    """Compiles or loads a shared function; Numba calls this before it loads from disk what refers to the function."""

    module: str
    name: str
    kinds: tuple[Any, ...]

    def __call__(self) -> None:
        getattr(import_module(self.module), self.name).compile(self.kinds)


def _reference(described: Any, load: _Load) -> Any:
    """What generates the code of a call: as Numba's own, but without the called function's code being copied."""
    code = user_function(described, ())

    def call(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        context.active_code_library._reload_init.add(load)
        return code(context, builder, signature, args)

    call.signature, call.libs = code.signature, ()  # type: ignore[attr-defined]
    return call


def _without_literals(kind: Any) -> Any:
    """The type with that of all integers in place of the type of a literal one, in tuples too."""
    if isinstance(kind, types.Tuple):
        return types.BaseTuple.from_types([_without_literals(part) for part in kind.types])
    return types.unliteral(kind)


def address_of(compiled: Any) -> int:
    """Where the code of one compiled signature is."""
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """No search for cyclic garbage while something is compiled.

    The compiler makes millions of objects, and Python would look through all of them again and again.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Cache(FunctionCache):
    """Numba's cache of a function's code, in `CodeFiles`.

    Args:
        function: of Python.

    Raises:
        RuntimeError: no folder can be written to.
    """

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        locator = self._impl.locator
        self._cache_file = CodeFiles(self._cache_path, self._impl.filename_base, locator.get_source_stamp())
        locator.ensure_cache_path = lambda: None  # CodeFiles makes the folder, and reports where it cannot

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load the code of a signature, if it is on disk.

        Numba would first import all that it can compile, which takes longer than loading all kernels of a model.
        """
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def _with_cache(compiled: Any) -> Any:
    """Let a function's code be cached on disk, where that is possible."""
    with suppress(RuntimeError):
        compiled._cache = _Cache(compiled.py_func)
    return compiled


def inner_function(function: Any) -> Any:
    """Compile a function whose code is copied into what calls it: a short one, or one with many arguments."""
    return _InnerCallee(function)


def shared_function(function: Any) -> Any:
    """Compile a function that kernels call, and of which there is one copy for all of them, cached on disk."""
    return _with_cache(_SharedCallee(function))


def specialized_function(function: Any) -> Any:
    """A `shared_function` of which there is one copy for each combination of literal numbers among its arguments."""
    return _with_cache(_SharedCallee(function, specialized=True))


def cached(function: Any) -> Any:
    """Compile a function that is called from Python, and cache its code on disk where that is possible."""
    return _with_cache(numba.njit(**OPTIONS, no_cfunc_wrapper=True, pipeline_class=Compiler)(function))


def announced(compiled: Any) -> Any:
    """Mention a compiled function on stderr when it is compiled."""
    part = compiled.__module__.rpartition(".")[2]
    _kernels[compiled] = f"{part} {compiled.__name__.strip('_')}".replace("_", " ")
    return compiled


def kernel(function: Any) -> Any:
    """Compile a function that `run_parallel` runs, announced and cached as the others."""
    return announced(_with_cache(_Kernel(function)))


class _Announcer(event.Listener):
    """Prints which kernel is being compiled; the functions that it calls are not mentioned."""

    def __init__(self) -> None:
        self.started: dict[Any, float] = {}

    def on_start(self, compilation: Any) -> None:
        compiled = compilation.data["dispatcher"]
        if name := _kernels.get(compiled):
            dtypes = {getattr(argument, "dtype", None) for argument in compilation.data["args"]}
            dtype = next((f" for {dtype}" for dtype in dtypes if isinstance(dtype, types.Float)), "")
            cached_on_disk = ", once on this machine" if isinstance(compiled._cache, _Cache) else ""
            print(f"npswin: compiling {name}{dtype}{cached_on_disk} ...", end="", file=sys.stderr, flush=True)
            self.started[compiled] = time.monotonic()

    def on_end(self, compilation: Any) -> None:
        if started := self.started.pop(compilation.data["dispatcher"], None):
            print(f" {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)


event.register("numba:compile", _Announcer())
