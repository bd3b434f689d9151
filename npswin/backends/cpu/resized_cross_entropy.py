"""`resized_cross_entropy`: logits of one pixel at a time, and their derivative at once.

The derivative by a pixel's logits is known as soon as its loss is, but for the factor that the backward pass brings. So
the forward pass resizes the logits to a pixel, computes both, and adds the derivative to those of the logits that the
pixel was interpolated between. Nothing of the pixels' size is kept. Pieces of work are blocks of the pixels' rows, each
with a sum of its own over the logits' rows that it reads; the sums are added in the blocks' order.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.simd.elementary_functions import exp
from npswin.ops.pixel_cross_entropy import check_labels
from npswin.ops.resize import bilinear_pixels
from npswin.types import Array

_BLOCK = 16  # rows of pixels


class _Sizes(NamedTuple):
    """Of the logits (height, width, classes) and of the pixels; `blocks` and `rows` of a block's sum, for an image."""

    height: int
    width: int
    classes: int
    out_height: int
    out_width: int
    blocks: int
    rows: int
    ignore_index: int


class _Readings(NamedTuple):
    """The two logits between which each row and each column of pixels lies, and their weights; flat."""

    row: Array
    row_weight: Array
    column: Array
    column_weight: Array


@inner_function
def _blend(
    count: int, first: Any, x: Array, at: int, second: Any, y: Array, y_at: int, out: Array, out_at: int
) -> None:
    """out = first · x + second · y."""
    one, other, result = view(x, at, count), view(y, y_at, count), view(out, out_at, count)
    for k in range(count):
        result[k] = first * one[k] + second * other[k]


@inner_function
def _add(count: int, factor: Any, x: Array, at: int, out: Array, out_at: int) -> None:
    """out += factor · x."""
    source, result = view(x, at, count), view(out, out_at, count)
    for k in range(count):
        result[k] += factor * source[k]


@inner_function
def _loss_and_derivative(z: Array, at: int, classes: int, label: int) -> Any:
    """−log p of the label; z becomes its derivative, p − [k = label]."""
    x, number = view(z, at, classes), z.dtype.type
    largest, total, wanted = x[0], number(0), x[label]
    for k in range(classes):
        largest = x[k] if x[k] > largest else largest
    for k in range(classes):
        x[k] = exp(x[k] - largest)
    for k in range(classes):  # a loop of its own: with a store in it, its order would depend on the arrays' addresses
        total += x[k]
    for k in range(classes):
        x[k] /= total
    x[label] -= number(1)
    return number(math.log(total)) - (wanted - largest)


@kernel
def _forward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    logits: Array,
    labels: Array,
    sums: Array,
    losses: Array,
    s: _Sizes,
    r: _Readings,
) -> None:
    """first, stop: blocks of all images; each has `rows` rows of derivatives in `sums`, and its loss in `losses`."""
    row_size, number = s.width * s.classes, logits.dtype.type
    dblended, pixel = row_size, 2 * row_size  # where they are in scratch, after the blended row
    for block in range(first, stop):
        image, top = block // s.blocks, block % s.blocks * _BLOCK
        first_row, out, loss = r.row[2 * top], block * s.rows * row_size, number(0)
        for k in range(s.rows * row_size):
            sums[out + k] = number(0)
        for h in range(top, min(top + _BLOCK, s.out_height)):
            near, far = 2 * h, 2 * h + 1
            at, other = (image * s.height + r.row[near]) * row_size, (image * s.height + r.row[far]) * row_size
            _blend(row_size, r.row_weight[near], logits, at, r.row_weight[far], logits, other, scratch, 0)
            for k in range(row_size):
                scratch[dblended + k] = number(0)
            for w in range(s.out_width):
                label = labels[(image * s.out_height + h) * s.out_width + w]
                if label == s.ignore_index:
                    continue
                left, right = 2 * w, 2 * w + 1
                at, other = r.column[left] * s.classes, r.column[right] * s.classes
                weight, other_weight = r.column_weight[left], r.column_weight[right]
                _blend(s.classes, weight, scratch, at, other_weight, scratch, other, scratch, pixel)
                loss += _loss_and_derivative(scratch, pixel, s.classes, label)
                _add(s.classes, weight, scratch, pixel, scratch, dblended + at)
                _add(s.classes, other_weight, scratch, pixel, scratch, dblended + other)
            _add(row_size, r.row_weight[near], scratch, dblended, sums, out + (r.row[near] - first_row) * row_size)
            _add(row_size, r.row_weight[far], scratch, dblended, sums, out + (r.row[far] - first_row) * row_size)
        losses[block] = loss


def resized_cross_entropy_forward(logits: Array, labels: Array, ignore_index: int = 255) -> tuple[Any, Any]:
    """See `npswin.ops.resized_cross_entropy_forward`."""
    batch, height, width, classes = logits.shape
    out_height, out_width = labels.shape[1:]
    dtype = logits.dtype
    count = int(check_labels(labels, classes, ignore_index).sum())
    (row, row_weight), (column, column_weight) = bilinear_pixels(out_height, height), bilinear_pixels(out_width, width)
    tops = np.arange(0, out_height, _BLOCK)
    first_rows, last_rows = row[tops, 0], row[np.minimum(tops + _BLOCK, out_height) - 1, 1]
    rows = int((last_rows - first_rows).max()) + 1
    sizes = _Sizes(height, width, classes, out_height, out_width, len(tops), rows, ignore_index)
    readings = _Readings(*(flat(one) for one in (row, row_weight.astype(dtype), column, column_weight.astype(dtype))))
    sums = pooled_empty((batch, len(tops), rows, width, classes), dtype)
    losses = np.empty(batch * len(tops), dtype)
    run_parallel(
        *(_forward, batch * len(tops), (2 * width + 1) * classes, dtype),
        *(flat(logits), flat(labels.astype(np.int64)), sums.reshape(-1), losses, sizes, readings),
    )
    dlogits = pooled_empty(logits.shape, dtype)
    dlogits[...] = 0
    for block, (first, last) in enumerate(zip(first_rows, last_rows, strict=True)):
        dlogits[:, first : last + 1] += sums[:, block, : last + 1 - first]
    divisor = dtype.type(max(count, 1))
    return losses.sum() / divisor, (dlogits, divisor)


def resized_cross_entropy_backward(dloss: Any, cache: Any) -> Array:
    """See `npswin.ops.resized_cross_entropy_backward`."""
    dlogits, divisor = cache
    return dlogits * (dlogits.dtype.type(dloss) / divisor)
