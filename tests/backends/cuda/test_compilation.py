"""Every CUDA source compiles for real GPUs with the compiler that CuPy calls; it needs no GPU."""

import ctypes
import itertools
from importlib.util import find_spec
from pathlib import Path

import pytest

from npswin.backends.cuda.runtime.launch import _SCALARS, KERNELS
from tests.thorough import some

ARCHITECTURES = ("sm_80", "sm_90")  # A100, H100
SOURCES = sorted(path.stem for path in KERNELS.glob("*.cu"))
assert SOURCES, f"no CUDA sources in {KERNELS}"


def nvidia_files(pattern):
    """Files of NVIDIA's packages for CUDA 13."""
    spec = find_spec("nvidia")
    folders = [] if spec is None else spec.submodule_search_locations
    return [path for folder in folders for path in Path(folder).glob(pattern)]


@pytest.fixture(scope="session")
def nvrtc():
    libraries = nvidia_files("cu13/lib/libnvrtc.so.*")
    if not libraries:
        pytest.skip("NVIDIA's compiler is not installed (pip install 'npswin[nvrtc]', on Linux with x86-64)")
    return ctypes.CDLL(str(libraries[0]))


def compiled(nvrtc, source, options):
    """The machine code, or a RuntimeError with the compiler's log."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None) == 0
    given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    status = nvrtc.nvrtcCompileProgram(program, len(options), given)
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    if status:
        raise RuntimeError(log.value.decode())
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    code = ctypes.create_string_buffer(size.value)
    assert nvrtc.nvrtcGetCUBIN(program, code) == 0
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return code.raw


def options(dtype, architecture):
    folders = {KERNELS, *(path.parent for path in nvidia_files("cu13/include/cuda_fp16.h"))}
    return [
        "-std=c++17",
        f"-arch={architecture}",
        f"-D{_SCALARS[dtype]}",
        *(f"-I{folder}" for folder in folders),
    ]


COMBINATIONS = [
    (name, dtype, architecture)
    for name, dtype, architecture in itertools.product(SOURCES, _SCALARS, ARCHITECTURES)
    if dtype != "float64" or not name.endswith("tensor_cores")
]


def is_default(combination):
    """One architecture, without the source that takes longest to compile, and without the dtype that is used least."""
    name, dtype, architecture = combination
    return architecture == "sm_90" and dtype != "float64" and not name.endswith("tensor_cores")


@pytest.mark.parametrize(("name", "dtype", "architecture"), some(COMBINATIONS, is_default))
def test_a_source_compiles(nvrtc, name, dtype, architecture):
    source = (KERNELS / f"{name}.cu").read_text(encoding="utf-8")
    code = compiled(nvrtc, source, options(dtype, architecture))
    assert code.startswith(b"\x7fELF")
    for line in source.splitlines():
        if line.startswith("KERNEL "):
            assert line.removeprefix("KERNEL ").split("(")[0].encode() in code


def test_an_error_in_a_source_is_reported(nvrtc):
    with pytest.raises(RuntimeError, match="undefined"):
        compiled(nvrtc, '#include "common.cuh"\nKERNEL f() { g(); }', options("float32", "sm_80"))
