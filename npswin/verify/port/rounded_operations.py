"""Operations computed in few bits: as a port does that casts to half precision, or quantizes, inside one operation.

Roundings to nearest are not random: an operation that is computed in the same steps has the same rounding errors.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Arithmetic, Node, Operation
from npswin.verify.graph.operations import LAYER_NORM, ROW_TERMS, SOFTMAX
from npswin.verify.graph.precision import rounded
from npswin.verify.mistakes.mistake import transform_output
from npswin.verify.port.operation_steps import STEPS, Rounding

SIXTEEN_BITS = ("float16", "bfloat16")
SMALLEST_NORMAL = 2.0**-14  # of float16
TF32_BITS = 13  # of float32's mantissa that tf32 lacks
PARAMETERS = ("weight", "bias", "table", "absolute_pos_embed")  # ends of parameters' names


@dataclass(frozen=True)
class RoundedOperation:
    """An operation in few bits.

    Attributes:
        precision: "float16", "bfloat16", "tf32" or "int8".
        description: what is rounded, such as "its inputs and its result are rounded to float16".
        operation: the operation, forward and backward.
        on_grid: whether the result is rounded to the grid that was read from the port's.
    """

    precision: str
    description: str
    operation: Operation
    on_grid: bool = False


def rounded_operations(node: Node, grid: Rounding | None = None) -> Iterator[RoundedOperation]:
    """The ways in which a node's operation can be computed in few bits, the simplest first.

    Args:
        node: the operation's.
        grid: rounding to the grid on which the port's result lies, if it lies on one.
    """
    operation = node.operation
    assert operation is not None
    if operation.multiplies:
        factors = tuple(i for i, read in enumerate(node.inputs) if not read.endswith("bias"))
        rounded_too = _with_rounded_gradient(_with_rounded_inputs(operation, to_tf32, factors), to_tf32)
        yield RoundedOperation("tf32", "its factors are rounded to tf32", rounded_too)
        forward_alone = _with_rounded_inputs(operation, to_tf32, factors)
        yield RoundedOperation("tf32", "its factors are rounded to tf32, not the incoming gradient", forward_alone)
    for precision in SIXTEEN_BITS:
        to_bits = to_precision(precision)
        result, inputs = _with_rounded_result(operation, to_bits), _with_rounded_inputs(operation, to_bits)
        yield RoundedOperation(precision, f"its result is rounded to {precision}", result)
        parameters = tuple(i for i, read in enumerate(node.inputs) if read.endswith(PARAMETERS))
        if parameters:
            weights = _with_rounded_inputs(operation, to_bits, parameters)
            yield RoundedOperation(precision, f"its weights are rounded to {precision}", weights)
        yield RoundedOperation(precision, f"its inputs are rounded to {precision}", inputs)
        both = _with_rounded_cache(_with_rounded_result(inputs, to_bits), operation, precision)
        yield RoundedOperation(precision, f"its inputs and its result are rounded to {precision}", both)
        for steps in STEPS.get(operation.name, ()):
            each = replace(operation, forward=_in_steps(operation, steps, to_bits))
            yield RoundedOperation(precision, f"each of its steps is rounded to {precision}", each)
    flushed = _with_rounded_result(_with_rounded_inputs(operation, to_precision("float16")), without_subnormals)
    yield RoundedOperation("float16", "numbers below float16's smallest normal number become 0", flushed)
    if operation.name in ("linear", "patch_embed"):
        yield from _quantized(operation)
        yield from _with_quantized_result(operation, grid) if grid else ()


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


def to_integers(levels: float, axis: int | None = None, zero_point: bool = False) -> Rounding:
    """Rounding to multiples of a step, as quantization does.

    Args:
        levels: the largest number in steps; with a zero point, the steps from the least number to the largest.
        axis: of which each index has a step of its own; None for a single step.
        zero_point: whether the multiples lie between the least and the largest number, and not around 0.
    """

    def quantize(x: Array) -> Array:
        others = tuple(one for one in range(x.ndim) if axis is None or one != axis % x.ndim)
        least = np.minimum(x.min(axis=others, keepdims=True), 0)
        most = np.maximum(x.max(axis=others, keepdims=True), 0)
        step = (most - least) / levels if zero_point else np.maximum(-least, most) / levels
        step = np.where(step == 0, 1, step)
        zero = np.rint(-least / step) if zero_point else 0
        return np.asarray((np.rint(x / step + zero) - zero) * step, x.dtype)

    return quantize


def _quantized(operation: Operation) -> Iterator[RoundedOperation]:
    """A linear map with weights, or also inputs, that are multiples of a step."""
    for name, levels in (("int8", 127.0), ("int8", 127.5), ("int8", 128.0), ("int4", 7.0)):
        for scales, axis in _SCALES.items():
            weights = _with_rounded_inputs(operation, to_integers(levels, axis), (1,))
            yield RoundedOperation(name, f"its weights are {name}, {scales}", weights)
            for what, rounding in _INPUTS.items() if name == "int8" else ():
                both = _with_rounded_inputs(weights, rounding, (0,))
                yield RoundedOperation(name, f"its inputs ({what}) and its weights are {name}, {scales}", both)
    zero_point = _with_rounded_inputs(operation, to_integers(255, zero_point=True), (1,))
    yield RoundedOperation("int8", "its weights are int8 with a zero point, one scale for the tensor", zero_point)
    for what, rounding in _INPUTS.items():
        yield RoundedOperation("int8", f"its inputs are int8 ({what})", _with_rounded_inputs(operation, rounding, (0,)))


def _with_quantized_result(operation: Operation, grid: Rounding) -> Iterator[RoundedOperation]:
    """A linear map with a result on a grid, without and with inputs and weights that are multiples of a step."""
    to_grid = (lambda y: (grid(y), None)), (lambda dy, _: dy)
    result = transform_output(operation, to_grid)
    yield RoundedOperation("int8", "its result is rounded to int8", result, on_grid=True)
    for what, rounding in _INPUTS.items():
        inputs = _with_rounded_inputs(result, rounding, (0,))
        text = f"its inputs ({what}) and its result are rounded to int8"
        yield RoundedOperation("int8", text, inputs, on_grid=True)
        for scales, axis in _SCALES.items():
            both = _with_rounded_inputs(inputs, to_integers(127, axis), (1,))
            text = f"its inputs ({what}), its weights ({scales}) and its result are rounded to int8"
            yield RoundedOperation("int8", text, both, on_grid=True)


def _with_rounded_inputs(operation: Operation, rounding: Rounding, which: tuple[int, ...] | None = None) -> Operation:
    """The operation on rounded inputs; without `which`, all of them, and the incoming gradient as well."""

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        use = (
            rounding(x) if x.dtype.kind == "f" and (which is None or i in which) else x for i, x in enumerate(inputs)
        )
        return operation.forward(*use, **settings)

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        return operation.backward(rounding(dy) if which is None else dy, cache)

    return replace(operation, forward=forward, backward=backward)


def _with_rounded_gradient(operation: Operation, rounding: Rounding) -> Operation:
    """The operation with the incoming gradient rounded."""
    return replace(operation, backward=lambda dy, cache: operation.backward(rounding(dy), cache))


def _with_rounded_result(operation: Operation, rounding: Rounding) -> Operation:
    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        y, cache = operation.forward(*inputs, **settings)
        return rounding(y), cache

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        return tuple(None if one is None else rounding(one) for one in operation.backward(dy, cache))

    return replace(operation, forward=forward, backward=backward)


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


def _in_steps(
    operation: Operation, steps: Callable[..., Array], rounding: Rounding
) -> Callable[..., tuple[Array, Any]]:
    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        y = steps(rounding, *map(rounding, inputs), **settings)
        return y, operation.forward(*inputs, **settings)[1]

    return forward


_SCALES = {"one scale for the tensor": None, "one scale for each row": 0}  # of a weight, as its axis
# How the inputs of a linear map are quantized.
_INPUTS: dict[str, Rounding] = {
    "one scale for the tensor": to_integers(127),
    "one scale for each token": to_integers(127, axis=-2),
    "with a zero point": to_integers(255, zero_point=True),
    "7 bits with a zero point": to_integers(127, zero_point=True),
}
