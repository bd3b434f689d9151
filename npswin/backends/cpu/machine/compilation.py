"""How functions of this backend are compiled, cached on disk, and announced.

Numba compiles a function when it is first called with arrays of a dtype, and can cache the machine code on disk. Four
things are added here. Cached code is used only while *all* source files of this backend, in all its packages, are
unchanged, since a kernel contains the code of the functions that it calls. Each signature has a file to itself: in a
common one, two processes that compile at the same time can take the same place, and one then loads what the other
compiled for something else. Where no folder can be written to, functions are compiled in each process: a read-only
installation works, and starts more slowly. And a line on stderr names what is being compiled, which takes seconds.
"""

import glob
import hashlib
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba import types
from numba.core import event
from numba.core.caching import IndexDataCacheFile
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

# `error_model="numpy"`: a division by zero gives inf rather than a branch, which would keep a loop scalar.
# `reassoc` lets a sum run in several lanes at once; NaN and infinity keep their meaning.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}


_BACKEND = Path(__file__).parents[1]


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(_BACKEND.rglob("*.py")):
        digest.update(path.relative_to(_BACKEND).as_posix().encode() + b"\0" + path.read_bytes())
    config = numba.config
    settings = numba.__version__, llvmlite.__version__, config.OPT, config.LOOP_VECTORIZE, config.BOUNDSCHECK
    digest.update(repr(settings).encode())
    return digest.hexdigest()


if numba.config.DISABLE_JIT:
    raise ImportError(
        "NUMBA_DISABLE_JIT is set, and the cpu backend is compiled: unset it, or set NPSWIN_BACKEND=numpy"
    )
_DIGEST = _sources_digest()
_kernels: dict[Any, str] = {}


class _FileForEachSignature:
    """The files that cache one function's code; in place of Numba's one index file for all its signatures.

    Args:
        folder: for all files.
        name: what the files' names begin with.
        stamp: changes with the function's source.
    """

    def __init__(self, folder: str, name: str, stamp: Any) -> None:
        self.folder, self.name, self.sources = folder, name, hashlib.sha256(repr((_DIGEST, stamp)).encode()).hexdigest()

    def _file(self, key: Any) -> IndexDataCacheFile:
        digest = hashlib.sha256(repr(key).encode()).hexdigest()
        return IndexDataCacheFile(self.folder, f"{self.name}-{self.sources[:8]}-{digest[:16]}", self.sources)

    def save(self, key: Any, data: Any) -> None:
        self._file(key).save(key, data)
        self._clear_out()

    def _clear_out(self) -> None:
        """Remove what older sources left behind, unless a process that runs them may have written it today."""
        for path in Path(self.folder).glob(f"{glob.escape(self.name)}-*.nb[ci]"):
            with suppress(OSError):
                if f"-{self.sources[:8]}-" not in path.name and path.stat().st_mtime < time.time() - 86400:
                    path.unlink()

    def load(self, key: Any) -> Any:
        return self._file(key).load(key)


def inner_function(function: Any) -> Any:
    """Compile a function that kernels call."""
    return numba.njit(**OPTIONS)(function)


def cached(function: Any) -> Any:
    """Compile a function that is called from Python, and cache its code on disk where that is possible."""
    try:
        compiled = numba.njit(**OPTIONS, cache=True)(function)
        cache = compiled._cache
        stamp = cache._impl.locator.get_source_stamp()
        cache._cache_file = _FileForEachSignature(cache._cache_path, cache._impl.filename_base, stamp)
    except RuntimeError:  # no folder can be written to
        compiled = numba.njit(**OPTIONS)(function)
    return compiled


def kernel(function: Any) -> Any:
    """`cached`, and announced on stderr when it is compiled."""
    compiled = cached(function)
    part = function.__module__.rpartition(".")[2]
    _kernels[compiled] = f"{part} {function.__name__.strip('_')}".replace("_", " ")
    return compiled


class _Announcer(event.Listener):
    """Prints which kernel is being compiled; the functions that it calls are not mentioned."""

    def __init__(self) -> None:
        self.started: dict[Any, float] = {}

    def on_start(self, compilation: Any) -> None:
        compiled = compilation.data["dispatcher"]
        if name := _kernels.get(compiled):
            numbers = {array.dtype for array in compilation.data["args"] if isinstance(array, types.Array)}
            dtype = next((f" for {number}" for number in numbers if isinstance(number, types.Float)), "")
            cached_on_disk = ", once on this machine" if hasattr(compiled._cache, "_cache_file") else ""
            print(f"npswin: compiling {name}{dtype}{cached_on_disk} ...", end="", file=sys.stderr, flush=True)
            self.started[compiled] = time.monotonic()

    def on_end(self, compilation: Any) -> None:
        if started := self.started.pop(compilation.data["dispatcher"], None):
            print(f" {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)


event.register("numba:compile", _Announcer())


@intrinsic
def view(typingctx: Any, array: Any, start: Any, count: Any) -> Any:
    """array[start : start + count] of a flat array, without any cost.

    A loop over `view(...)[i]` is turned into vector code. One over array[start + i] is not, since start + i might be
    negative, which in Python means "from the end"; and a slice would count references.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array_type = signature.args[0]
        whole = context.make_array(array_type)(context, builder, args[0])
        part = context.make_array(signature.return_type)(context, builder)
        itemsize = context.get_constant(types.intp, array_type.dtype.bitwidth // 8)
        populate_array(
            part,
            data=builder.gep(whole.data, [args[1]]),
            shape=[args[2]],
            strides=[itemsize],
            itemsize=itemsize,
            meminfo=None,
        )
        return part._getvalue()

    return types.Array(array.dtype, 1, "C")(array, types.intp, types.intp), codegen
