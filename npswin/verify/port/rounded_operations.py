"""Operations computed in few bits: as a port does that casts to half precision, or quantizes, inside one operation.

Roundings to nearest are not random: an operation that is computed in the same steps has the same rounding errors.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.fits.number_formats import FLOATS, scaled
from npswin.verify.graph import Arithmetic, Node, Operation
from npswin.verify.graph.operations import LAYER_NORM, ROW_TERMS, SOFTMAX
from npswin.verify.graph.precision import rounded
from npswin.verify.port.operation_steps import PARTIAL_NORMS, PARTIAL_STEPS, STEPS, Rounding

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
    """

    precision: str
    description: str
    operation: Operation


def rounded_operations(node: Node) -> Iterator[RoundedOperation]:
    """The ways in which a node's operation can be computed in few bits, the simplest first."""
    operation = node.operation
    assert operation is not None
    if operation.multiplies:
        for words, to_bits in {"rounded to tf32": to_tf32, "cut off after tf32's digits": cut_to_tf32}.items():
            factors = _with_rounded_inputs(operation, to_bits, (0, 1))
            yield RoundedOperation("tf32", f"its factors are {words}", with_rounded_gradient(factors, to_bits))
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
        if len(node.inputs) > 1 and not operation.multiplies:
            first = _with_rounded_inputs(operation, to_bits, (0,))
            yield RoundedOperation(precision, f"its first input is rounded to {precision}", first)
        for words, partial in PARTIAL_STEPS.get(operation.name, {}).items():
            one = replace(operation, forward=_in_partial_steps(operation, partial, to_bits))
            yield RoundedOperation(precision, f"{words} rounded to {precision}", one)
        for words, statistics in PARTIAL_NORMS.items() if operation.name == "layer_norm" else ():
            one = replace(operation, forward=_norm_in_partial_steps(statistics, to_bits))
            yield RoundedOperation(precision, f"{words} rounded to {precision}", one)
        for steps in STEPS.get(operation.name, ()):
            each = replace(operation, forward=_in_steps(operation, steps, to_bits))
            yield RoundedOperation(precision, f"each of its steps is rounded to {precision}", each)
    flushed = _with_rounded_result(_with_rounded_inputs(operation, to_precision("float16")), without_subnormals)
    yield RoundedOperation("float16", "numbers below float16's smallest normal number become 0", flushed)
    if operation.multiplies:
        yield from _in_few_bits(operation)
    if operation.name in ("linear", "patch_embed"):
        yield from _quantized(operation)


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


def _in_few_bits(operation: Operation) -> Iterator[RoundedOperation]:
    """A product with factors of 8 bits; their scale, where they have one, is that of the tensor or of each row."""
    second = "weights" if operation.name in ("linear", "patch_embed") else "second factor"
    for name, (rounding, largest) in FLOATS.items():
        fitting = {
            "": (lambda x, r=rounding: r(x), 0),
            ", scaled for the tensor": (scaled(rounding, largest), 1),
            ", scaled for each row": (scaled(rounding, largest), 2),
        }
        for words, (to_bits, rows) in fitting.items():
            each = in_rows(to_bits, rows)
            for what, which in ((f"its {second}", (1,)), ("its input", (0,)), ("its factors", (0, 1))):
                one = _with_rounded_inputs(operation, each, which)
                yield RoundedOperation(name, f"{what} {'are' if what.endswith('s') else 'is'} rounded to {name}{words}", one)
    if operation.name in ("scores", "mix"):
        scales = {"one scale for the tensor": to_integers(127), "one scale for each row": in_rows_of_integers(127)}
        for words, to_steps in scales.items():
            factors = _with_rounded_inputs(operation, to_steps, (0, 1))
            yield RoundedOperation("int8", f"its factors are int8, {words}", factors)


def in_rows(rounding: Rounding, rows: int) -> Rounding:
    """A rounding of (rows, numbers) for any array: with one row (0 or 1), or with the rows along the last axis (2)."""

    def to_bits(x: Array) -> Array:
        flat = x.reshape(1, -1) if rows < 2 else x.reshape(-1, x.shape[-1])
        return np.asarray(rounding(flat).reshape(x.shape), x.dtype)

    return to_bits


def in_rows_of_integers(levels: float) -> Rounding:
    """Rounding to multiples of a step of its own for each row along the last axis, as of each token.

    Args:
        levels: the largest number in steps.
    """

    def quantize(x: Array) -> Array:
        step = np.abs(x).max(axis=-1, keepdims=True) / levels
        step = np.where(step == 0, 1, step)
        return np.asarray(np.rint(x / step) * step, x.dtype)

    return quantize


def _quantized(operation: Operation) -> Iterator[RoundedOperation]:
    """A linear map with weights, or also inputs, that are multiples of a step."""
    for name, levels in (("int8", 127.0), ("int8", 127.5), ("int8", 128.0), ("int4", 7.0)):
        for scales, axis in (("one scale for the tensor", None), ("one scale for each row", 0)):
            weights = _with_rounded_inputs(operation, to_integers(levels, axis), (1,))
            yield RoundedOperation(name, f"its weights are {name}, {scales}", weights)
            for what, rounding in _INPUTS.items() if name == "int8" else ():
                both = _with_rounded_inputs(weights, rounding, (0,))
                yield RoundedOperation(name, f"its inputs ({what}) and its weights are {name}, {scales}", both)
    zero_point = _with_rounded_inputs(operation, to_integers(255, zero_point=True), (1,))
    yield RoundedOperation("int8", "its weights are int8 with a zero point, one scale for the tensor", zero_point)
    for what, rounding in _INPUTS.items():
        yield RoundedOperation("int8", f"its inputs are int8 ({what})", _with_rounded_inputs(operation, rounding, (0,)))


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


def _in_partial_steps(
    operation: Operation, steps: Callable[..., Array], rounding: Rounding
) -> Callable[..., tuple[Array, Any]]:
    """As `_in_steps`, on the inputs as they are."""

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        return steps(rounding, *inputs, **settings), operation.forward(*inputs, **settings)[1]

    return forward


def _norm_in_partial_steps(
    statistics: Callable[[Rounding, Array, float], tuple[Array, Array]], rounding: Rounding
) -> Callable[..., tuple[Array, Any]]:
    """A norm with rounded statistics, which it keeps for its backward pass as they are."""

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        xhat, factor = statistics(rounding, x, eps)
        return xhat * weight + bias, (xhat, factor, weight)

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


# How the inputs of a linear map are quantized.
_INPUTS: dict[str, Rounding] = {
    "one scale for the tensor": to_integers(127),
    "one scale for each token": in_rows_of_integers(127),
    "with a zero point": to_integers(255, zero_point=True),
    "7 bits with a zero point": to_integers(127, zero_point=True),
    "one scale for each channel": to_integers(127, axis=-1),
    "4 bits, one scale for each token": in_rows_of_integers(7),
    "4 bits, one scale for the tensor": to_integers(7),
}
