"""On which device arrays are: NumPy's in the computer's memory, CuPy's in a GPU's.

CuPy is imported when a GPU is first used. Until then, no array can be on one.
"""

import sys
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np

DEVICES = ("cpu", "cuda")
HALF_DTYPES = ("bfloat16", "float16")
_INSTALL = "pip install 'npswin[cuda12]' or 'npswin[cuda13]', by the CUDA version that nvidia-smi prints"


@lru_cache(maxsize=1)
def cupy() -> Any:
    """The module CuPy, with a GPU behind it.

    Raises:
        RuntimeError: CuPy, the driver or a GPU is missing; the message names it and what to do.
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
            f"A driver that is too old for this CuPy gives this error, too: {_INSTALL}"
        ) from error
    if not count:
        raise RuntimeError("CuPy and a driver are installed, but there is no NVIDIA GPU")
    try:
        module.cuda.cublas  # noqa: B018 (the first access loads the library)
    except ImportError as error:
        raise RuntimeError(f"CuPy does not find NVIDIA's cuBLAS ({error}): {_INSTALL}") from error
    return module


def on_gpu(value: Any) -> bool:
    """Whether this is an array in a GPU's memory, or a generator that draws there."""
    module = sys.modules.get("cupy")
    return module is not None and isinstance(value, module.ndarray | module.random.Generator)


def is_array(value: Any) -> bool:
    """Whether this is an array, on any device. Masked arrays and matrices are not: ops would ignore what they mean."""
    is_numpys = isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray | np.matrix)
    return is_numpys or (on_gpu(value) and hasattr(value, "dtype"))


def to_gpu(array: Any) -> Any:
    """A copy in the GPU's memory, or the array itself where it is there already."""
    return cupy().asarray(array)


def to_host(array: Any) -> Any:
    """A NumPy array, or the array itself where it is one."""
    return array.get() if on_gpu(array) else array


def array_module(array: Any) -> Any:
    """NumPy or CuPy: the module whose functions create arrays on this array's device."""
    return cupy() if on_gpu(array) else np


def generator_on_device_of(array: Any, seed: int) -> Any:
    """A new random generator on the array's device: NumPy's or CuPy's."""
    if not on_gpu(array):
        return np.random.default_rng(seed)
    return cupy().random.Generator(cupy().random.Philox4x3210(seed))


def to_device_of(array: Any, other: Any) -> Any:
    """The array, or a copy of it on the other array's device."""
    return to_gpu(array) if on_gpu(other) else to_host(array)


def half_dtype(name: str) -> Any:
    """The dtype of 16 bits of this name, one of HALF_DTYPES.

    Raises:
        ValueError: no such name.
        RuntimeError: the package that adds bfloat16 to NumPy and CuPy is missing.
    """
    if not isinstance(name, str) or name not in HALF_DTYPES:
        raise ValueError(f"name: got {str(name)[:80]}, expected one of {', '.join(map(repr, HALF_DTYPES))}")
    if name != "bfloat16":
        return np.dtype(name)
    try:
        return np.dtype(import_module("ml_dtypes").bfloat16)
    except ImportError as error:
        raise RuntimeError(f"bfloat16 needs ml_dtypes: {_INSTALL}") from error


def device_of(array: Any) -> str:
    """ "cpu" or "cuda"."""
    return DEVICES[on_gpu(array)]
