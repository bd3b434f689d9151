"""`pixel_cross_entropy`: a row of logits at a time; of each row the cache holds the largest logit and Σ exp."""

import math
from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cpu.machine.arrays import flat, flat_or_empty
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.simd.elementary_functions import exp
from npswin.ops.pixel_cross_entropy import check_labels
from npswin.types import Array


class _Rows(NamedTuple):
    """Of each row the class, −1 where it is ignored, the weight (or nothing), the largest logit, and Σ exp(x − it)."""

    classes: Array
    weights: Array
    largest: Array
    totals: Array


@kernel
def _forward(first: int, stop: int, part: int, scratch: Array, logits: Array, rows: _Rows, losses: Array) -> None:
    number = logits.dtype.type
    classes = logits.size // losses.size
    for row in range(first, stop):
        losses[row] = 0
        if rows.classes[row] < 0:
            continue
        x, differences = view(logits, row * classes, classes), view(scratch, 0, classes)
        largest, total = x[0], number(0)
        for k in range(classes):
            largest = x[k] if x[k] > largest else largest
        for k in range(classes):
            differences[k] = x[k] - largest
        for k in range(classes):
            total += exp(differences[k])
        rows.largest[row], rows.totals[row] = largest, total
        weight = rows.weights[row] if rows.weights.size else number(1)
        losses[row] = weight * (number(math.log(total)) - (x[rows.classes[row]] - largest))


@kernel
def _backward(
    first: int, stop: int, part: int, scratch: Array, logits: Array, rows: _Rows, factor: float, dlogits: Array
) -> None:
    number = logits.dtype.type
    classes = logits.size // rows.classes.size
    for row in range(first, stop):
        x, out = view(logits, row * classes, classes), view(dlogits, row * classes, classes)
        label = rows.classes[row]
        if label < 0:
            fill(out, 0)
            continue
        scale = factor * rows.weights[row] if rows.weights.size else factor
        largest, share = rows.largest[row], number(1) / rows.totals[row]
        for k in range(classes):
            out[k] = x[k] - largest
        for k in range(classes):
            out[k] = exp(out[k]) * share
        out[label] -= number(1)
        for k in range(classes):
            out[k] *= scale


def pixel_cross_entropy_forward(
    logits: Array,
    labels: Array,
    weights: Array | None = None,
    ignore_index: int = 255,
    divisor: float | None = None,
) -> tuple[Any, Any]:
    """See `npswin.ops.pixel_cross_entropy_forward`."""
    valid = check_labels(labels, logits.shape[-1], ignore_index)
    divisor = max(int(valid.sum()), 1) if divisor is None else divisor
    losses, largest, totals = (pooled_empty(labels.size, logits.dtype) for _ in range(3))
    classes = flat(np.where(valid, labels.astype(np.int64), -1))
    rows = _Rows(classes, flat_or_empty(weights, logits), largest, totals)
    source = flat(logits)
    run_parallel(_forward, labels.size, logits.shape[-1], logits.dtype, source, rows, losses)
    return losses.sum() / divisor, (source, rows, divisor, logits.shape)


def pixel_cross_entropy_backward(dloss: Any, cache: Any) -> Array:
    """See `npswin.ops.pixel_cross_entropy_backward`."""
    source, rows, divisor, shape = cache
    dlogits, number = pooled_empty(shape, source.dtype), source.dtype.type
    args = source, rows, number(number(dloss) / divisor), dlogits.reshape(-1)
    run_parallel(_backward, rows.classes.size, 0, source.dtype, *args)
    return dlogits
