"""Matrix products, by cuBLAS: numbers of 16 bits are summed in float32, and the result may be in another dtype.

CuPy's `@` gives no choice of either, nor of the tensor cores' short float32, and cannot be recorded in a CUDA graph.
"""

from typing import Any

import numpy as np

from npswin.backends.cuda.runtime import cublas
from npswin.backends.cuda.runtime.launch import capability, sum_dtype
from npswin.devices import cupy

# Of cuBLAS: names of dtypes (`cudaDataType`), of operations, and of what is summed in (`cublasComputeType_t`).
_DTYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
_AS_IT_IS, _TRANSPOSED = 0, 1
_IN_FLOAT32, _IN_FLOAT64, _IN_TF32 = 68, 70, 77
_ALGORITHM = -1  # the library chooses
_NO_SHORT_SUMS = 16  # `cublasMath_t`: parts of a sum are not rounded to 16 bits before they are added

tf32_allowed = False  # see `npswin.allow_tf32`


def product(left: Any, right: Any, dtype: Any, *, transpose_left: bool = False, transpose_right: bool = False) -> Any:
    """op(left) op(right), (rows, columns) of a dtype, where op is nothing or the transpose.

    cuBLAS is column-major, so it reads a row-major A as Aᵀ; it therefore computes
    (op(left) op(right))ᵀ = op(right)ᵀ op(left)ᵀ.
    """
    cp = cupy()
    left, right = cp.ascontiguousarray(left), cp.ascontiguousarray(right)
    rows, inner = left.shape[::-1] if transpose_left else left.shape
    columns = right.shape[0] if transpose_right else right.shape[1]
    if inner != right.shape[1 if transpose_right else 0]:
        raise ValueError(f"got matrices of {left.shape} and {right.shape}, whose sides do not fit")
    out, sums = cp.empty((rows, columns), dtype), sum_dtype(left.dtype)
    one, zero = np.ones(1, sums), np.zeros(1, sums)
    if left.dtype.name == "bfloat16" and capability() < 80:
        raise ValueError("bfloat16 takes a GPU of compute capability 8.0 or more; take float16")
    short = tf32_allowed and left.dtype == np.float32
    compute = _IN_FLOAT64 if sums == np.float64 else _IN_TF32 if short else _IN_FLOAT32
    cublas.use_current_stream()
    cublas.call("cublasSetMathMode", _NO_SHORT_SUMS)
    cublas.call(
        "cublasGemmEx",
        _TRANSPOSED if transpose_right else _AS_IT_IS,
        _TRANSPOSED if transpose_left else _AS_IT_IS,
        columns,
        rows,
        inner,
        one.ctypes.data,
        right.data.ptr,
        _DTYPES[right.dtype.name],
        right.shape[1],
        left.data.ptr,
        _DTYPES[left.dtype.name],
        left.shape[1],
        zero.ctypes.data,
        out.data.ptr,
        _DTYPES[out.dtype.name],
        columns,
        compute,
        _ALGORITHM,
    )
    return out
