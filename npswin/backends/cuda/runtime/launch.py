"""Compilation and launch of the kernels in `kernels/`, CUDA C++ that is compiled when it is first needed.

CuPy compiles with NVIDIA's own compiler at run time and keeps the result on disk.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from npswin.devices import cupy

KERNELS = Path(__file__).parents[1] / "kernels"
WARP = 32
BLOCK = 256  # threads of a block, where a kernel does not ask for another number
_MOST_BLOCKS = 1 << 14  # more than any GPU runs at a time: threads take several numbers each

# What a kernel's source calls its numbers, by the dtype of the arrays; and the dtype of sums.
_SCALARS = {
    "float32": "SCALAR_FLOAT",
    "float64": "SCALAR_DOUBLE",
    "float16": "SCALAR_HALF",
    "bfloat16": "SCALAR_BFLOAT16",
}


# A product and a sum are rounded one after the other where bytes are to be those of a CPU.
_OPTIONS = {"rand_augment": ("--fmad=false",)}

# What else they are declared as; a struct is an array of int.
_KINDS = {
    "Index": np.dtype(np.int64),
    "int": np.dtype(np.int32),
    "double": np.dtype(np.float64),
    "unsigned long long": np.dtype(np.uint64),
    "Byte": np.dtype(np.uint8),
    "Geometry": np.dtype(np.int32),
}


def capability() -> int:
    """Of the current GPU: 80 for an A100, 90 for an H100."""
    return _limits(cupy().cuda.runtime.getDevice())[0]


def max_shared_memory() -> int:
    """Bytes that a block may have on the current GPU."""
    return _limits(cupy().cuda.runtime.getDevice())[1]


@lru_cache
def _limits(gpu: int) -> tuple[int, int]:
    device = cupy().cuda.Device(gpu)
    return int(device.compute_capability), int(device.attributes["MaxSharedMemoryPerBlockOptin"])


def sum_dtype(dtype: Any) -> Any:
    """In which dtype sums, statistics and elementary functions are computed: float64 for float64, else float32."""
    return np.dtype(np.float64 if np.dtype(dtype) == np.float64 else np.float32)


class _Kernel(NamedTuple):
    """A compiled kernel, and for each of its parameters a name and a dtype; a pointer's is in brackets."""

    function: Any
    parameters: list[tuple[str, Any]]


@lru_cache(maxsize=256)
def _kernel(file: str, name: str, dtype: Any) -> _Kernel:
    source = (KERNELS / f"{file}.cu").read_text(encoding="utf-8")
    headers = "".join(path.read_text(encoding="utf-8") for path in sorted(KERNELS.glob("*.cuh")))
    # CuPy keeps what it compiled by source and options, and does not see that a header has changed.
    key = f"-DHEADERS={crc32(headers.encode())}"
    options = ("-std=c++17", f"-I{KERNELS}", f"-D{_SCALARS[dtype.name]}", key, *_OPTIONS.get(file, ()))
    function = cupy().RawModule(code=source, options=options).get_function(name)
    return _Kernel(function, _parameters(source, name, dtype))


def _parameters(source: str, name: str, dtype: Any) -> list[tuple[str, Any]]:
    """What a kernel takes, as its source declares it: (name, dtype), or (name, [dtype]) for an array."""
    found = re.search(rf"^KERNEL {name}\(([^)]*)\)", source, re.MULTILINE)
    assert found is not None, name
    kinds = {"Scalar": dtype, "Sum": sum_dtype(dtype), **_KINDS}
    parameters: list[tuple[str, Any]] = []
    for declaration in found[1].split(","):
        kind, own_name = declaration.replace("const ", "").strip().rsplit(maxsplit=1)
        parameters.append((own_name, [kinds[kind[:-1]]] if kind.endswith("*") else kinds[kind]))
    return parameters


def _as_given(parameter: tuple[str, Any], arg: Any) -> Any:
    """An argument as CuPy passes it on; a kernel would read wrong numbers from an array of another dtype."""
    name, dtype = parameter
    if not isinstance(dtype, list):
        return dtype.type(arg)
    if arg is None:
        return np.intp(0)
    if not isinstance(arg, cupy().ndarray):
        raise ValueError(f"{name}: got a {type(arg).__name__}, expected an array on the GPU")
    if arg.dtype != dtype[0]:
        raise ValueError(f"{name}: got dtype {arg.dtype}, expected {dtype[0]}")
    if not arg.flags.c_contiguous:
        raise ValueError(f"{name}: expected a contiguous array")
    return arg


def launch(
    file: str,
    name: str,
    dtype: Any,
    grid: tuple[int, ...],
    args: tuple[Any, ...],
    block: tuple[int, ...] = (BLOCK,),
    shared: int = 0,
) -> None:
    """Start a kernel on the current stream.

    Args:
        file, name: which.
        dtype: what `Scalar` is in its source.
        grid: how many blocks, along up to three axes.
        args: arrays and numbers in the order of its parameters; None is a null pointer.
        block: how many threads a block has.
        shared: bytes of shared memory that its size asks for.

    Raises:
        ValueError: an array of another dtype than the source says, or not contiguous.
    """
    function, parameters = _kernel(file, name, np.dtype(dtype))
    if shared > 48 * 1024:
        function.max_dynamic_shared_size_bytes = shared
    function(grid, block, tuple(_as_given(*pair) for pair in zip(parameters, args, strict=True)), shared_mem=shared)


def blocks(size: int, each: int = BLOCK) -> tuple[int]:
    """The grid for so many pieces of work, `each` of them a block."""
    return (max(1, min(-(-size // each), _MOST_BLOCKS)),)


def reduction_splits(rows: int) -> int:
    """Into how many reduction_splits the rows of a matrix are cut that is added up column by column."""
    return max(1, min(-(-rows // 64), 128))


def sum_over_rows(x: Any) -> Any:
    """Σ over all axes but the last, (columns,) in the dtype of sums."""
    cp, columns = cupy(), x.shape[-1]
    rows = x.size // columns
    partial = cp.empty((reduction_splits(rows), columns), sum_dtype(x.dtype))
    grid = (-(-columns // WARP), len(partial))
    launch("sums", "column_sums", x.dtype, grid, (x, partial, rows, columns), (WARP, 8))
    return add_partial_sums(partial)


def add_partial_sums(partial: Any) -> Any:
    """Σ over the first axis of partial sums."""
    out = cupy().empty(partial.shape[1:], partial.dtype)
    launch("sums", "add_partial_sums", partial.dtype, blocks(out.size), (partial, out, len(partial), out.size))
    return out
