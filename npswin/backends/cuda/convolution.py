"""Convolutions as matrix products: what a token of one map meets of the other, at all places of the kernel, as a row.

Rows are gathered for a bounded number of tokens at a time. The derivative by x is computed in the same way as y: as a
row of dy for each token of x, so that nothing has to be added up in memory.
"""

from typing import Any, NamedTuple

from npswin.backends.cuda.runtime.launch import blocks, launch
from npswin.backends.cuda.runtime.matrix_product import product
from npswin.devices import cupy

_ROWS_BYTES = 1 << 28  # of the rows that are gathered together


class Convolution(NamedTuple):
    """The sizes of a convolution from x to y.

    Attributes:
        size, size_out: of x and y.
        kernel_size: kh and kw.
        stride, padding: of the convolution.
    """

    size: tuple[int, int]
    size_out: tuple[int, int]
    kernel_size: tuple[int, int]
    stride: int
    padding: int


def _gather(source: Any, first: int, stop: int, convolution: Convolution, transposed: bool) -> Any:
    """(stop − first, kh·kw·channels): for tokens of y what they meet of x, or where it is transposed of x and of y."""
    sizes = convolution.size, convolution.size_out
    target_size, source_size = sizes if transposed else sizes[::-1]
    channels, (height, width) = source.shape[-1], convolution.kernel_size
    rows = cupy().empty((stop - first, height * width * channels), source.dtype)
    numbers = channels, *target_size, *source_size, *convolution.kernel_size, convolution.stride, convolution.padding
    launch(
        "patches",
        "gather_places",
        rows.dtype,
        blocks(rows.size),
        (source, rows, rows.size, first, *numbers, transposed),
    )
    return rows


def _chunks(tokens: int, channels: int, convolution: Convolution, itemsize: int) -> list[tuple[int, int]]:
    """Ranges of tokens whose rows, with so many channels at each place, are gathered together: at least one."""
    height, width = convolution.kernel_size
    most = max(1, _ROWS_BYTES // (height * width * channels * itemsize))
    return [(first, min(first + most, tokens)) for first in range(0, max(1, tokens), most)]


def sum_places(source: Any, weight: Any, convolution: Convolution, transposed: bool) -> Any:
    """y of x, without a bias, or where it is transposed dx of dy.

    Args:
        source: (B, H, W, I) or (B, H', W', O), contiguous.
        weight: (O, I, kh, kw).
        convolution: its sizes.
        transposed: which of the two.
    """
    matrix = weight.transpose(*((1, 2, 3, 0) if transposed else (0, 2, 3, 1))).astype(source.dtype)
    matrix = matrix.reshape(len(matrix), -1)
    height, width = convolution.size if transposed else convolution.size_out
    target = cupy().empty((len(source) * height * width, len(matrix)), source.dtype)
    for first, stop in _chunks(len(target), source.shape[-1], convolution, source.dtype.itemsize):
        rows = _gather(source, first, stop, convolution, transposed)
        target[first:stop] = product(rows, matrix, source.dtype, transpose_right=True)
    return target.reshape(len(source), height, width, len(matrix))


def weight_gradient(x: Any, dy: Any, weight: Any, convolution: Convolution) -> Any:
    """dweight (O, I, kh, kw), in the weight's dtype.

    Args:
        x: (B, H, W, I), contiguous.
        dy: (B, H', W', O), contiguous.
        weight: (O, I, kh, kw).
        convolution: its sizes.
    """
    outputs, inputs = weight.shape[:2]
    tokens = dy.reshape(-1, outputs)
    dmatrix = None
    for first, stop in _chunks(len(tokens), inputs, convolution, x.dtype.itemsize):
        rows = _gather(x, first, stop, convolution, False)
        part = product(tokens[first:stop], rows, weight.dtype, transpose_left=True)
        dmatrix = part if dmatrix is None else dmatrix + part
    assert dmatrix is not None
    dweight = dmatrix.reshape(outputs, *convolution.kernel_size, inputs).transpose(0, 3, 1, 2)
    return cupy().ascontiguousarray(dweight)
