"""Products with factors of few bits: integers of a step, and floats of 8 bits and less."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.number_formats import FLOATS, scaled
from npswin.verify.graph import Operation
from npswin.verify.mistakes.mistake import transform_output
from npswin.verify.port.operation_steps import Rounding
from npswin.verify.port.quantization import FoundGrid
from npswin.verify.port.rounded_operation import RoundedOperation, with_rounded_inputs

Scales = dict[str, Rounding]
SCALES = {"one scale for the tensor": None, "one scale for each row": 0}  # of a weight, as its axis


def quantized_operations(operation: Operation, grid: FoundGrid | None = None) -> Iterator[RoundedOperation]:
    """The ways in which a product can be computed with factors of few bits.

    Args:
        operation: the product.
        grid: rounding to the grid on which the port's result lies, if it lies on one.
    """
    yield from _in_few_bits(operation)
    if operation.name in ("linear", "patch_embed"):
        yield from _quantized(operation)
        yield from _with_quantized_result(operation, grid) if grid else ()


def on_the_grid(operation: Operation, grid: FoundGrid) -> Iterator[RoundedOperation]:
    """Another operation, such as a sum, whose inputs, or whose inputs and result, are on the grid of the result."""
    ranges: Scales = {"the range of the result": grid, "127 steps": grid.within(127)}
    for limits, to_steps in ranges.items():
        inputs = with_rounded_inputs(operation, to_steps, (0, 1))
        text = f"its inputs are rounded to int8 with the step of its result, up to {limits}"
        yield RoundedOperation("int8", text, inputs, on_grid=True)
        result = transform_output(inputs, ((lambda y: (grid(y), None)), (lambda dy, _: dy)))
        text = f"its inputs and its result are rounded to int8 with one step, and limited ({limits})"
        yield RoundedOperation("int8", text, result, on_grid=True)


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


def in_steps_of_first_image(levels: float) -> Rounding:
    """Rounding to multiples of a step that was chosen by the first image; larger numbers of the others are limited.

    Args:
        levels: the largest number in steps.
    """

    def quantize(x: Array) -> Array:
        step = np.abs(x[0]).max() / levels or 1.0
        return np.asarray(np.clip(np.rint(x / step), -levels, levels) * step, x.dtype)

    return quantize


def in_rows(rounding: Rounding, rows: int) -> Rounding:
    """A rounding of (rows, numbers) for any array: with one row (0 or 1), or with the rows along the last axis (2)."""

    def to_bits(x: Array) -> Array:
        flat = x.reshape(1, -1) if rows < 2 else x.reshape(-1, x.shape[-1])
        return np.asarray(rounding(flat).reshape(x.shape), x.dtype)

    return to_bits


def _in_few_bits(operation: Operation) -> Iterator[RoundedOperation]:
    """A product with factors of 8 bits; their scale, where they have one, is that of the tensor or of each row."""
    second = "its weights are" if operation.name in ("linear", "patch_embed") else "its second factor is"
    for name, (rounding, largest) in FLOATS.items():
        fitting = {
            "": (rounding, 0),
            ", scaled for the tensor": (scaled(rounding, largest), 1),
            ", scaled for each row": (scaled(rounding, largest), 2),
        }
        for words, (to_bits, rows) in fitting.items():
            each = in_rows(to_bits, rows)
            for what, which in ((second, (1,)), ("its input is", (0,)), ("its factors are", (0, 1))):
                one = with_rounded_inputs(operation, each, which)
                yield RoundedOperation(name, f"{what} rounded to {name}{words}", one)
    if operation.name in ("scores", "mix"):
        for words, to_steps in _FACTORS.items():
            for what, which in (
                ("its factors are", (0, 1)),
                ("its first factor is", (0,)),
                ("its second factor is", (1,)),
            ):
                factors = with_rounded_inputs(operation, to_steps, which)
                yield RoundedOperation("int8", f"{what} int8, {words}", factors)


def _quantized(operation: Operation) -> Iterator[RoundedOperation]:
    """A linear map with weights, or also inputs, that are multiples of a step."""
    for name, levels in (("int8", 127.0), ("int8", 127.5), ("int8", 128.0), ("int4", 7.0)):
        for scales, axis in SCALES.items():
            weights = with_rounded_inputs(operation, to_integers(levels, axis), (1,))
            yield RoundedOperation(name, f"its weights are {name}, {scales}", weights)
            for inputs, ways in _INPUTS.items() if levels in (127.0, 7.0) else ():
                for what, rounding in ways.items():
                    both = with_rounded_inputs(weights, rounding, (0,))
                    its = f"its inputs ({what}) and its weights are {name}"
                    its = its if inputs == name else f"its inputs are {inputs} ({what}) and its weights {name}"
                    yield RoundedOperation(name, f"{its}, {scales}", both)
    zero_point = with_rounded_inputs(operation, to_integers(255, zero_point=True), (1,))
    yield RoundedOperation("int8", "its weights are int8 with a zero point, one scale for the tensor", zero_point)
    for inputs, ways in _INPUTS.items():
        for what, rounding in ways.items():
            one = with_rounded_inputs(operation, rounding, (0,))
            yield RoundedOperation(inputs, f"its inputs are {inputs} ({what})", one)


def _with_quantized_result(operation: Operation, grid: FoundGrid) -> Iterator[RoundedOperation]:
    """A linear map with a result on a grid, without and with inputs and weights that are multiples of a step."""
    to_grid = (lambda y: (grid(y), None)), (lambda dy, _: dy)
    result = transform_output(operation, to_grid)
    yield RoundedOperation("int8", "its result is rounded to int8", result, on_grid=True)
    for what, rounding in _INPUTS["int8"].items():
        inputs = with_rounded_inputs(result, rounding, (0,))
        text = f"its inputs ({what}) and its result are rounded to int8"
        yield RoundedOperation("int8", text, inputs, on_grid=True)
        for scales, axis in SCALES.items():
            both = with_rounded_inputs(inputs, to_integers(127, axis), (1,))
            text = f"its inputs ({what}), its weights ({scales}) and its result are rounded to int8"
            yield RoundedOperation("int8", text, both, on_grid=True)


_OF_IMAGES: Scales = {
    "one scale for each image": to_integers(127, axis=0),
    "the scale of the first image, larger numbers of others limited": in_steps_of_first_image(127),
}
# In words how a factor of scores or context, (B, nW, heads, rows, columns), is quantized.
_FACTORS: Scales = {
    "one scale for the tensor": to_integers(127),
    "one scale for each row": in_rows_of_integers(127),
    "one scale for each head": to_integers(127, axis=2),
    **_OF_IMAGES,
}
# By precision and in words how the inputs of a linear map are quantized.
_INPUTS: dict[str, Scales] = {
    "int8": {
        "one scale for the tensor": to_integers(127),
        "one scale for each token": in_rows_of_integers(127),
        "one scale for each channel": to_integers(127, axis=-1),
        "with a zero point": to_integers(255, zero_point=True),
        "7 bits with a zero point": to_integers(127, zero_point=True),
        **_OF_IMAGES,
    },
    "int4": {"one scale for the tensor": to_integers(7), "one scale for each token": in_rows_of_integers(7)},
}
