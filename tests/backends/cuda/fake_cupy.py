"""The part of CuPy that the cuda backend uses, without a GPU: arrays are NumPy's, kernels run on the CPU.

A kernel's source is compiled for the CPU with `shim.h`. Its arithmetic, its memory accesses and its barriers are those
of a GPU. Speed, races between threads and out-of-bounds writes are not reproduced. As with CuPy, arrays on the "device"
do not mix with NumPy's.
"""

import ctypes
import hashlib
import itertools
import os
import re
import subprocess
import tempfile
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np

SHIM = Path(__file__).parent / "shim.h"


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """Stands for an array on the GPU: NumPy cannot read its numbers."""

    def __init__(self, array):
        self._array = array

    @property
    def data(self):
        return SimpleNamespace(ptr=self._array.ctypes.data)

    def get(self, out=None, blocking=True):
        assert Stream.captured is None, "a capture must not wait for numbers"
        if blocking:
            return self._array.copy()
        now = self._array.copy()
        return Stream.current.copies.append(lambda: out.__setitem__(..., now))

    def __array__(self, dtype=None, copy=None):
        raise TypeError("an array on the GPU is not converted to one of NumPy's; use get()")

    def __array_function__(self, function, types, args, kwargs):
        return _computed(lambda: function(*_mapped(_host_value, args), **_mapped(_host_value, kwargs)), args)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if ufunc is np.matmul and Stream.captured is not None:
            raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
        if ufunc is np.matmul and any(one.ndim > 2 and one.dtype.name == "bfloat16" for one in inputs):
            raise TypeError("CuPy multiplies no more than two axes of bfloat16")
        if out is not None:
            kwargs["out"] = _mapped(_host_value, out)
        return _computed(lambda: getattr(ufunc, method)(*_mapped(_host_value, inputs), **kwargs), ())

    def __getattr__(self, name):
        if name in ("ctypes", "__array_interface__", "__array_struct__"):
            raise AttributeError(f"{name}: an array on the GPU has no address on the CPU")
        value = getattr(self._array, name)
        if not callable(value):
            return _on_device(value)
        return lambda *args, **kwargs: _computed(
            lambda: value(*_mapped(_host_value, args), **_mapped(_host_value, kwargs)), (self,)
        )

    def __getitem__(self, index):
        index = _mapped(_host_value, index)
        if isinstance(index, int):
            index = (index, ...)  # a view without axes, where NumPy would give a number
        return _computed(lambda: self._array[index], (self,))

    def __setitem__(self, index, value):
        _run_or_capture(lambda: self._array.__setitem__(_mapped(_host_value, index), _host_value(value)))

    def __len__(self):
        return len(self._array)

    def set(self, array, stream):
        self._array.view(np.uint8)[...] = 0xFF  # not what was there before, until the copy is done
        stream.copies.append(lambda: self._array.__setitem__(..., array))

    def __iter__(self):
        return map(self.__getitem__, range(len(self._array)))

    def __float__(self):
        assert Stream.captured is None, "a capture must not wait for numbers"
        return float(self._array)

    def __int__(self):
        return int(self._array)

    def __bool__(self):
        return bool(self._array)

    def __repr__(self):
        return f"on the GPU: {self._array!r}"


def _uploaded(array):
    assert Stream.captured is None, "a capture must not copy from the CPU"
    return _on_device(np.array(array))


class Stream:
    """Runs work immediately, or captures it; copies from the CPU are done only when something waits for them."""

    captured = None
    numbers = itertools.count(1)

    def __init__(self, non_blocking=False):
        self.ptr, self.copies = next(self.numbers), []

    def __enter__(self):
        self.before, Stream.current = Stream.current, self
        return self

    def __exit__(self, *_):
        Stream.current = self.before

    def synchronize(self):
        assert Stream.captured is None
        while self.copies:
            self.copies.pop(0)()

    def begin_capture(self):
        Stream.captured = []

    def end_capture(self):
        captured, Stream.captured = Stream.captured, None
        return SimpleNamespace(launch=lambda: [step() for step in captured])

    def wait_event(self, event):
        event.synchronize()


Stream.current = Stream()


class Event:
    """The work that was submitted to a stream before."""

    stream, count = None, 0

    def __init__(self, disable_timing):
        assert disable_timing

    def record(self, stream=None):
        self.stream = stream or Stream.current
        self.copies = list(self.stream.copies)

    @property
    def done(self):
        return not any(copy in self.stream.copies for copy in self.copies)

    def synchronize(self):
        if self.stream is not None:
            for copy in self.copies:
                if copy in self.stream.copies:
                    self.stream.copies.remove(copy)
                    copy()


def _run_or_capture(step):
    """Run a step, or capture it."""
    if Stream.captured is None:
        step()
    else:
        Stream.captured.append(step)


def _computed(compute, sources):
    """The result of a computation; each launch of a capture computes it again, unless it is a view of a source."""
    with np.errstate(all="ignore"):  # a GPU does not warn
        result = _on_device(compute())
    sources = [source._array for source in sources if isinstance(source, ndarray)]
    is_new = isinstance(result, ndarray) and not any(np.may_share_memory(result._array, one) for one in sources)
    if Stream.captured is not None and is_new:

        def again():
            with np.errstate(all="ignore"):
                result._array[...] = compute()

        Stream.captured.append(again)
    return result


def _host_value(value):
    """The NumPy array of an argument."""
    if isinstance(value, ndarray):
        return value._array
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("an array of the CPU among those of the GPU")
    return value


def _mapped(change, value):
    """The value with `change` applied to all arrays in it."""
    if isinstance(value, tuple | list):
        return type(value)(_mapped(change, item) for item in value)
    return {name: _mapped(change, item) for name, item in value.items()} if isinstance(value, dict) else change(value)


def _on_device(value):
    """A result: arrays become arrays on the GPU, also those without axes."""
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value))
    return [_on_device(item) for item in value] if isinstance(value, list) else value


class Generator:
    """A random generator on the GPU."""

    def __init__(self, bit_generator):
        self._generator = np.random.Generator(np.random.PCG64(bit_generator.seed))

    def random(self, size=None, dtype=np.float64):
        return _on_device(self._generator.random(size, dtype))

    def standard_normal(self, size=None, dtype=np.float64):
        return _on_device(self._generator.standard_normal(size, dtype))

    def integers(self, low, high, size):
        return _on_device(self._generator.integers(low, high, size))

    def beta(self, a, b, size):
        return _on_device(self._generator.beta(a, b, size))


def _kernels(source):
    """The names of the kernels in a source."""
    return re.findall(r"^KERNEL (\w+)\(", source, re.MULTILINE)


def build(source, options, folder):
    """The shared library of a source that is compiled for this machine's CPU."""
    launchers = "".join(
        f'extern "C" int launch_{name}(const unsigned* shape, void** args)'
        f" {{ return shim::launch({name}, shape, args); }}\n"
        for name in _kernels(source)
    )
    code = f'#include "{SHIM}"\n{source}\n{launchers}'
    included = "".join(
        path.read_text(encoding="utf-8")
        for option in options
        if option.startswith("-I")
        for path in sorted(Path(option[2:]).glob("*.cuh"))
    )
    key = hashlib.sha256("\0".join([code, included, SHIM.read_text(encoding="utf-8"), *options]).encode()).hexdigest()[
        :24
    ]
    library = folder / f"{key}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            file = Path(scratch) / "kernels.cpp"
            file.write_text(code, encoding="utf-8")
            for header in ("cuda_fp16.h", "cuda_bf16.h"):  # the shim has their contents
                file.with_name(header).touch()
            options = [
                option for option in options if option != "--fmad=false"
            ]  # this compiler does not fuse multiply-adds
            flags = ["-x", "c++", "-O1", "-U_FORTIFY_SOURCE", "-fPIC", "-shared", "-w", f"-I{scratch}", *options]
            command = ["g++", *flags, file, "-o", file.with_suffix(".so")]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr)
            os.replace(file.with_suffix(".so"), library)
    return ctypes.CDLL(str(library))


class RawModule:
    """The kernels of a source."""

    folder = Path(tempfile.gettempdir()) / f"npswin-kernels-{os.getuid()}"

    def __init__(self, code, options=()):
        self.folder.mkdir(exist_ok=True)
        self._library = build(code, options, self.folder)

    def get_function(self, name):
        return _Kernel(getattr(self._library, f"launch_{name}"), name)


class _Kernel:
    def __init__(self, launcher, name):
        self._launch, self._name = launcher, name

    def __call__(self, grid, block, args, *, shared_mem=0):
        assert shared_mem <= 227 * 1024, f"{self._name}: {shared_mem} bytes of shared memory"
        assert int(np.prod(block)) <= 1024, f"{self._name}: {block} threads"
        shape = (ctypes.c_uint * 6)(*grid, *[1] * (3 - len(grid)), *block, *[1] * (3 - len(block)))
        values = []
        for arg in args:
            if isinstance(arg, ndarray):
                assert arg.flags.c_contiguous, f"{self._name}: an array that is not contiguous"
                arg = np.uint64(arg.data.ptr)
            assert isinstance(arg, np.generic), f"{self._name}: {type(arg).__name__} is no kernel's argument"
            values.append(np.array(arg))
        pointers = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))

        def start(_keep=(values, args)):
            if self._launch(shape, pointers):
                raise RuntimeError(f"{self._name}: some threads wait at a barrier that others never reach")

        _run_or_capture(start)


_BLAS_DTYPES = {0: np.float32, 1: np.float64, 2: np.float16, 14: "bfloat16"}


def _columns_first(address, dtype, rows, columns, lead):
    """A matrix in cuBLAS' layout: column after column, `lead` numbers from one to the next."""
    dtype = np.dtype(_BLAS_DTYPES[dtype])
    raw = (ctypes.c_uint8 * (dtype.itemsize * (lead * (columns - 1) + rows))).from_address(address)
    strides = dtype.itemsize, lead * dtype.itemsize
    return np.ndarray((rows, columns), dtype, raw, strides=strides)


class Cublas:
    """The cuBLAS library by its own names; work goes to the stream that was set, with a workspace of its own."""

    stream = workspace = None

    def cublasSetStream_v2(self, handle, stream):
        self.stream, self.workspace = stream, None  # the library resets it as well
        return 0

    def cublasSetWorkspace_v2(self, handle, address, size):
        (ctypes.c_uint8 * size).from_address(address)[size - 1] = 0
        self.workspace = address
        return 0

    def cublasSetMathMode(self, handle, mode):
        assert mode == 16, "sums of 16 bits"
        return 0

    def cublasGemmEx(self, *args):
        assert self.stream == Stream.current.ptr, "the stream was not set"
        assert self.workspace, "memory that must not be allocated in a capture"
        gemm(*args)
        return 0


def gemm(_, op_a, op_b, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc, compute, algorithm):
    """C = op(A) op(B), with sums in float32 or float64."""
    sums = {68: np.float32, 77: np.float32, 70: np.float64}[compute]
    assert a_type == b_type
    assert compute != 77 or a_type == b_type == c_type == 0, "TF32 is for float32 alone"
    assert [_columns_first(scalar, int(sums == np.float64), 1, 1, 1).item() for scalar in (alpha, beta)] == [1, 0]

    def multiply():
        left = _columns_first(a, a_type, *((k, m) if op_a else (m, k)), lda).astype(sums)
        right = _columns_first(b, b_type, *((n, k) if op_b else (k, n)), ldb).astype(sums)
        with np.errstate(all="ignore"):
            _columns_first(c, c_type, m, n, ldc)[...] = (left.T if op_a else left) @ (right.T if op_b else right)

    _run_or_capture(multiply)


def module():
    """The module in the place of CuPy."""
    cupy = ModuleType("cupy")
    cupy.ndarray, cupy.RawModule = ndarray, RawModule
    cupy.empty = lambda shape, dtype: _on_device(_poisoned(shape, dtype))
    cupy.arange = lambda *bounds: _on_device(np.arange(*bounds))
    cupy.asarray = lambda array: array if isinstance(array, ndarray) else _uploaded(array)
    cupy.ascontiguousarray = lambda array: _computed(lambda: np.ascontiguousarray(array._array), (array,))
    cupy.random = SimpleNamespace(Generator=Generator, Philox4x3210=lambda seed: SimpleNamespace(seed=seed))
    runtime = SimpleNamespace(
        getDeviceCount=lambda: 1, getDevice=lambda: 0, CUDARuntimeError=type("CUDARuntimeError", (RuntimeError,), {})
    )
    cupy.cuda = SimpleNamespace(
        runtime=runtime,
        cublas=SimpleNamespace(),
        driver=SimpleNamespace(get_build_version=lambda: 13000),
        device=SimpleNamespace(get_cublas_handle=lambda: 1),
        Device=lambda gpu=0: SimpleNamespace(
            compute_capability="90",
            attributes={"MaxSharedMemoryPerBlockOptin": 232448},
            synchronize=lambda: None,
        ),
        Stream=Stream,
        Event=Event,
        get_current_stream=lambda: Stream.current,
        alloc_pinned_memory=bytearray,
        MemoryPool=lambda: SimpleNamespace(malloc=None),
        using_allocator=lambda _: nullcontext(),
        memory=SimpleNamespace(OutOfMemoryError=type("OutOfMemoryError", (MemoryError,), {})),
    )
    return cupy


def _poisoned(shape, dtype):
    """Uninitialized memory, filled with NaN."""
    array = np.empty(shape, dtype)
    array.reshape(-1).view(np.uint8)[...] = 0xFF  # NaN in every floating-point dtype
    return array
