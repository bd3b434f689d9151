"""The fixture `cuda`: the cuda backend on a GPU if there is one, otherwise on the CPU with `fake_cupy`."""

import shutil
import sys
import warnings
from importlib import import_module

import pytest

from tests.backends.cuda import fake_cupy


def _cupy_with_a_gpu():
    try:
        cupy = import_module("cupy")
        return cupy if cupy.cuda.runtime.getDeviceCount() else None
    except Exception:  # no CuPy, or one without a driver
        return None


def _clear_caches():
    for module in [
        name
        for name in sys.modules
        if name.startswith(("npswin.backends.cuda", "npswin.devices", "npswin.training.gpu.captured_step"))
    ]:
        for value in vars(sys.modules[module]).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


@pytest.fixture(scope="module")
def cuda():
    """The backend."""
    real = _cupy_with_a_gpu()
    if real is not None:
        warnings.simplefilter("ignore", real._util.PerformanceWarning)  # of RuntimeWarnings, which are errors here
        yield import_module("npswin.backends.cuda")
        return
    if shutil.which("g++") is None:
        pytest.skip("neither a GPU nor g++, which would compile the kernels for the CPU")
    sys.modules["cupy"] = fake_cupy.module()
    _clear_caches()
    cublas = import_module("npswin.backends.cuda.runtime.cublas")
    library, fake = cublas.library, fake_cupy.Cublas()
    cublas.library = lambda: fake
    try:
        yield import_module("npswin.backends.cuda")
    finally:
        cublas.library = library
        del sys.modules["cupy"]
        _clear_caches()
