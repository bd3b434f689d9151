"""Where arrays are: NumPy's in the computer's memory, CuPy's in a GPU's.

CuPy is imported when a GPU is first asked for. As long as it is not, no array can be on one.
"""

import sys
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

DEVICES = ("cpu", "cuda")
SHORT_DTYPES = ("bfloat16", "float16")
_INSTALL = "pip install 'npswin[cuda12]' or 'npswin[cuda13]', by the CUDA version that nvidia-smi prints"


@lru_cache(maxsize=1)
def cupy() -> Any:
    """The module CuPy, with a GPU behind it.

    Raises:
        RuntimeError: CuPy, the driver or a GPU is missing; it says which, and what to do.
    """
    try:
        module = import_module("cupy")
    except ImportError as error:
        raise RuntimeError(f"no CuPy, which the GPU needs ({error}): {_INSTALL}") from error
    try:
        count = module.cuda.runtime.getDeviceCount()
    except module.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(
            f"CuPy finds no NVIDIA GPU with a working driver ({error}): is there one, and does nvidia-smi list it? "
            f"A driver that is too old for this CuPy says so too: {_INSTALL}"
        ) from error
    if not count:
        raise RuntimeError("CuPy and a driver are installed, but there is no NVIDIA GPU")
    try:
        module.cuda.cublas  # noqa: B018 (CuPy looks for the library when it is first named)
    except ImportError as error:
        raise RuntimeError(f"CuPy does not find NVIDIA's cuBLAS ({error}): {_INSTALL}") from error
    return module


def on_gpu(value: Any) -> bool:
    """Whether this is an array in a GPU's memory, or a generator that draws there."""
    module = sys.modules.get("cupy")
    return module is not None and isinstance(value, module.ndarray | module.random.Generator)


def is_array(value: Any) -> bool:
    """Whether this is an array, wherever it is. Not one with a mask: that is ignored by all arithmetic here."""
    is_numpys = isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)
    return is_numpys or (on_gpu(value) and hasattr(value, "dtype"))


def to_gpu(array: Any) -> Any:
    """A copy in the GPU's memory, or the array itself where it is there already."""
    return cupy().asarray(array)


def to_host(array: Any) -> Any:
    """A NumPy array, or the array itself where it is one."""
    return array.get() if on_gpu(array) else array


def library(array: Any) -> Any:
    """The module whose functions make arrays where this one is: NumPy or CuPy."""
    return cupy() if on_gpu(array) else np


def generator_beside(array: Any, seed: int) -> Any:
    """A new generator that draws where the array is: NumPy's, or CuPy's."""
    if not on_gpu(array):
        return np.random.default_rng(seed)
    return cupy().random.Generator(cupy().random.Philox4x3210(seed))


def beside(array: Any, other: Any) -> Any:
    """The array, or a copy of it where the other one is."""
    return to_gpu(array) if on_gpu(other) else to_host(array)


def short_dtype(name: str) -> Any:
    """The dtype of 16 bits of this name, one of SHORT_DTYPES.

    Raises:
        RuntimeError: the package that adds bfloat16 to NumPy and CuPy is missing.
    """
    if name != "bfloat16":
        return np.dtype(name)
    try:
        return np.dtype(import_module("ml_dtypes").bfloat16)
    except ImportError as error:
        raise RuntimeError(f"bfloat16 needs ml_dtypes: {_INSTALL}") from error


def device_of(array: Any) -> str:
    """ "cpu" or "cuda"."""
    return DEVICES[on_gpu(array)]
