"""cuBLAS, called by its own names: CuPy's wrappers raise an error while a CUDA graph is recorded.

The library is the one that CuPy has loaded, and so is the handle.
"""

import ctypes
import os
from functools import lru_cache
from typing import Any

import numpy as np

from npswin.devices import cupy

_WORKSPACE = 32 << 20  # bytes; what NVIDIA recommends for an H100
_POINTER, _INT = ctypes.c_void_p, ctypes.c_int
_TAKES = {
    "cublasSetStream_v2": (_POINTER, _POINTER),
    "cublasSetWorkspace_v2": (_POINTER, _POINTER, ctypes.c_size_t),
    "cublasSetMathMode": (_POINTER, _INT),
    "cublasGemmEx": (
        *(_POINTER, _INT, _INT, _INT, _INT, _INT, _POINTER, _POINTER, _INT, _INT, _POINTER, _INT, _INT, _POINTER),
        *(_POINTER, _INT, _INT, _INT, _INT),
    ),
}
_workspaces: dict[tuple[int, int], Any] = {}


@lru_cache(maxsize=1)
def library() -> Any:
    """The functions of the library that CuPy has loaded.

    Raises:
        RuntimeError: it is of another version than CuPy.
    """
    cupy().cuda.device.get_cublas_handle()  # loads it
    version = cupy().cuda.driver.get_build_version() // 1000  # that CuPy was built for; another one may be loaded, too
    name = f"cublas64_{version}.dll" if os.name == "nt" else f"libcublas.so.{version}"
    try:
        found = ctypes.CDLL(name, mode=getattr(os, "RTLD_NOLOAD", 0) | getattr(os, "RTLD_NOW", 0))
    except OSError as error:
        raise RuntimeError(f"CuPy has loaded another cuBLAS than {name}: {error}") from error
    for function, kinds in _TAKES.items():
        getattr(found, function).argtypes = kinds
    return found


def call(function: str, *args: Any) -> None:
    """A function of the library on the current stream, given CuPy's handle first.

    Raises:
        RuntimeError: the call failed.
    """
    status = getattr(library(), function)(cupy().cuda.device.get_cublas_handle(), *args)
    if status:
        raise RuntimeError(f"{function} of cuBLAS failed with status {status}")


def use_current_stream() -> None:
    """Later calls run on the current stream, with a workspace of its own.

    cuBLAS must not allocate a workspace while a stream is recorded.
    """
    cp = cupy()
    stream = cp.cuda.get_current_stream().ptr
    key = cp.cuda.runtime.getDevice(), stream
    if key not in _workspaces:
        _workspaces[key] = cp.empty(_WORKSPACE, np.uint8)
    call("cublasSetStream_v2", stream)
    call("cublasSetWorkspace_v2", _workspaces[key].data.ptr, _WORKSPACE)


def take_workspace() -> Any:
    """The current stream's workspace, to be owned by its recording; the stream gets another one."""
    return _workspaces.pop((cupy().cuda.runtime.getDevice(), cupy().cuda.get_current_stream().ptr), None)
