"""Operations computed in few bits: as a port does that casts to half precision, or quantizes, inside one operation.

Roundings to nearest are not random: an operation that is computed in the same steps has the same rounding errors.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Arithmetic, Node, Operation
from npswin.verify.graph.operations import LAYER_NORM, ROW_TERMS, SOFTMAX
from npswin.verify.graph.precision import rounded
from npswin.verify.port.operation_steps import STEPS, Rounding
from npswin.verify.port.partial_steps import PARTIAL_NORMS, PARTIAL_STEPS
from npswin.verify.port.quantization import FoundGrid
from npswin.verify.port.quantized_operations import on_the_grid, quantized_operations
from npswin.verify.port.rounded_operation import RoundedOperation, with_rounded_inputs, with_rounded_result

SIXTEEN_BITS = ("float16", "bfloat16")
SMALLEST_NORMAL = 2.0**-14  # of float16
TF32_BITS = 13  # of float32's mantissa that tf32 lacks
PARAMETERS = ("weight", "bias", "table", "absolute_pos_embed")  # ends of parameters' names


def rounded_operations(node: Node, grid: FoundGrid | None = None) -> Iterator[RoundedOperation]:
    """The ways in which a node's operation can be computed in few bits, the simplest first.

    Args:
        node: the operation's.
        grid: rounding to the grid on which the port's result lies, if it lies on one.
    """
    operation = node.operation
    assert operation is not None
    if operation.multiplies:
        factors = tuple(i for i, read in enumerate(node.inputs) if not read.endswith("bias"))
        for words, to_digits in {"rounded to tf32": to_tf32, "cut off after tf32's digits": cut_to_tf32}.items():
            one = with_rounded_inputs(operation, to_digits, factors)
            yield RoundedOperation("tf32", f"its factors are {words}", with_rounded_gradient(one, to_digits))
            yield RoundedOperation("tf32", f"its factors are {words}, not the incoming gradient", one)
    for precision in SIXTEEN_BITS:
        to_bits = to_precision(precision)
        result, inputs = with_rounded_result(operation, to_bits), with_rounded_inputs(operation, to_bits)
        yield RoundedOperation(precision, f"its result is rounded to {precision}", result)
        parameters = tuple(i for i, read in enumerate(node.inputs) if read.endswith(PARAMETERS))
        if parameters:
            weights = with_rounded_inputs(operation, to_bits, parameters)
            yield RoundedOperation(precision, f"its weights are rounded to {precision}", weights)
        yield RoundedOperation(precision, f"its inputs are rounded to {precision}", inputs)
        both = _with_rounded_cache(with_rounded_result(inputs, to_bits), operation, precision)
        yield RoundedOperation(precision, f"its inputs and its result are rounded to {precision}", both)
        if len(node.inputs) > 1:
            first = with_rounded_inputs(operation, to_bits, (0,))
            yield RoundedOperation(precision, f"its first input is rounded to {precision}", first)
        incoming = with_rounded_gradient(operation, to_bits)
        yield RoundedOperation(precision, f"the incoming gradient is rounded to {precision}", incoming)
        for words, partial in PARTIAL_STEPS.get(operation.name, {}).items():
            one = replace(operation, forward=_in_partial_steps(operation, partial, to_bits))
            yield RoundedOperation(precision, f"{words} rounded to {precision}", one)
        for norm in PARTIAL_NORMS if operation.name == "layer_norm" else ():
            yield RoundedOperation(precision, norm.words(precision), norm.operation(to_bits, differentiated=False))
        for steps in STEPS.get(operation.name, ()):
            each = replace(operation, forward=_in_steps(operation, steps, to_bits))
            yield RoundedOperation(precision, f"each of its steps is rounded to {precision}", each)
    flushed = with_rounded_result(operation, without_subnormals)
    yield RoundedOperation("float16", "its result is rounded to float16, with 0 for subnormal numbers", flushed)
    incoming = with_rounded_gradient(operation, without_subnormals)
    words = "the incoming gradient is rounded to float16, with 0 for subnormal numbers"
    yield RoundedOperation("float16", words, incoming)
    flushed = with_rounded_result(with_rounded_inputs(operation, to_precision("float16")), without_subnormals)
    yield RoundedOperation("float16", "numbers below float16's smallest normal number become 0", flushed)
    if operation.multiplies:
        yield from quantized_operations(operation, grid)
    elif grid is not None:
        yield from on_the_grid(operation, grid)


def to_precision(precision: str) -> Rounding:
    """Rounding to the nearest number of 16 bits; the dtype stays."""

    def to_nearest(x: Array) -> Array:
        return rounded(np.asarray(x, np.float32), precision).astype(x.dtype)

    return to_nearest


def without_subnormals(x: Array) -> Array:
    """Rounding to float16 with zeros in place of subnormal numbers, as a GPU does that flushes to zero."""
    half = to_precision("float16")(x)
    return np.where(np.abs(half) < SMALLEST_NORMAL, np.zeros((), x.dtype), half)


def to_tf32(x: Array) -> Array:
    """Rounding to tf32, which has float16's digits and float32's range."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    half = np.uint32(1 << (TF32_BITS - 1))
    nearest = ((bits + half) >> np.uint32(TF32_BITS) << np.uint32(TF32_BITS)).view(np.float32)
    return np.where(np.isfinite(x), nearest, x).astype(x.dtype)


def cut_to_tf32(x: Array) -> Array:
    """The number with tf32's digits next to 0, as tensor cores have it that ignore the other digits."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    nearer = (bits >> np.uint32(TF32_BITS) << np.uint32(TF32_BITS)).view(np.float32)
    return np.where(np.isfinite(x), nearer, x).astype(x.dtype)


def _with_rounded_cache(rounded_operation: Operation, operation: Operation, precision: str) -> Operation:
    """The rounded operation with what it keeps for its backward pass rounded too, as PyTorch does.

    Softmax keeps its result; a norm keeps mean and rstd, and takes the sums over its rows in 16 bits.
    """
    to_bits = to_precision(precision)

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        y, cache = rounded_operation.forward(*inputs, **settings)
        if operation.backward is SOFTMAX.backward:
            return y, y
        x, (_, rstd, weight) = to_bits(inputs[0]), cache
        rstd = to_bits(rstd)
        return y, ((x - to_bits(x.mean(axis=-1, keepdims=True))) * rstd, rstd, weight)

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        derivatives = rounded_operation.backward(dy, cache)
        terms = ROW_TERMS.get(operation.backward, lambda *_: (None,) * len(derivatives))(to_bits(dy), cache)
        return tuple(
            one if rows is None else Arithmetic(precision, seed=0).sum_of_rows(rows).astype(dy.dtype)
            for one, rows in zip(derivatives, terms, strict=True)
        )

    if operation.backward not in (SOFTMAX.backward, LAYER_NORM.backward):
        return rounded_operation
    return replace(operation, forward=forward, backward=backward)


def _in_partial_steps(
    operation: Operation, steps: Callable[..., Array], rounding: Rounding
) -> Callable[..., tuple[Array, Any]]:
    """As `_in_steps`, on the inputs as they are."""

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        return steps(rounding, *inputs, **settings), operation.forward(*inputs, **settings)[1]

    return forward


def with_rounded_gradient(operation: Operation, rounding: Rounding) -> Operation:
    """The operation with the incoming gradient rounded, too."""
    return replace(operation, backward=lambda dy, cache: operation.backward(rounding(dy), cache))


def _in_steps(
    operation: Operation, steps: Callable[..., Array], rounding: Rounding
) -> Callable[..., tuple[Array, Any]]:
    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        y = steps(rounding, *map(rounding, inputs), **settings)
        return y, operation.forward(*inputs, **settings)[1]

    return forward
