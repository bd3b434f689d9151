"""The layer or pair of functions of a gradient check, its tensors by name, and its passes.

Every call of the user's code is made here. Tensors that are changed for a call are restored after it.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from npswin.checks import check_array, dtype_name, shown
from npswin.types import Array

Direction: TypeAlias = Mapping[str, Array]  # by tensor name the change of a tensor; the others do not change


class ScalarLoss:
    """L = Σ r·y for random numbers r of y's shape, as a function of the tensors.

    Attributes:
        layer: the layer, or None for a pair of functions.
        tensors: "input 0", … and the parameters, by name; changed in place for a call. If the layer has
            buffers, they are restored after a call as well.
        y: the output for the given tensors, in float64.
        weights: r.
        output_scale: the largest |r·y|.
        precision: eps of the coarsest dtype among the output's and the derivatives'.
    """

    def __init__(self, layer_or_function: Any, inputs: Any, seed: int) -> None:
        if not isinstance(inputs, np.ndarray | list | tuple) or (isinstance(inputs, list | tuple) and not inputs):
            raise ValueError(f"inputs: got {shown(inputs)}, expected an array, or a list of arguments")
        arguments = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
        self.layer: Any = None if isinstance(layer_or_function, tuple) else layer_or_function
        self.argument_index: dict[str, int] = {}  # of the tensors that are inputs
        for index, argument in enumerate(arguments):
            name = "inputs" if argument is inputs else f"inputs[{index}]"
            if isinstance(argument, np.ndarray) and argument.dtype.kind not in "biu":
                _require_float64(name, argument)
                arguments[index] = argument.copy()
                self.argument_index[f"input {index}"] = index
        self.arguments = arguments
        buffers = getattr(self.layer, "buffers", None)
        named = buffers.items() if isinstance(buffers, Mapping) else ()
        self._buffers = {name: buffer for name, buffer in named if isinstance(buffer, np.ndarray)}
        self.params: dict[str, Array] = {} if self.layer is None else getattr(self.layer, "params", {})
        for name, parameter in self.params.items():
            _require_float64(f"params[{name!r}]", parameter)
            if name not in getattr(self.layer, "grads", ()):
                raise ValueError(f"layer_or_function: its grads lack {name!r}, expected one for each of its params")
        self.tensors = {name: arguments[index] for name, index in self.argument_index.items()} | self.params
        if not self.tensors:
            raise ValueError(
                "inputs: got no floating-point array and no parameter, expected something to differentiate by"
            )
        self._forward = _seeded(self.layer.forward, seed) if self.layer is not None else layer_or_function[0]
        self._backward = self.layer.backward if self.layer is not None else layer_or_function[1]
        with self._restored() as before:
            result = self._forward(*self.arguments)
            changed = [
                name for name, saved in before.items() if not np.array_equal(self.tensors[name], saved, equal_nan=True)
            ]
        if changed:
            raise ValueError(f"forward: changes {changed[0]}, expected it to leave its inputs and parameters unchanged")
        if not isinstance(result, tuple) or len(result) != 2:
            raise ValueError(f"forward: returned {type(result).__name__}, expected two things: y, cache")
        y, self.cache = result
        if np.size(y) == 0:
            raise ValueError(f"forward: got an output of shape {np.shape(y)}, expected at least one number")
        self.y = _real(y)
        # Inputs are often drawn from default_rng(seed). Another seed is used for r: with r equal to x, xᵀr would be
        # symmetric, and its transpose would pass.
        self.weights = np.asarray(np.random.default_rng([seed, *b"weights of L"]).standard_normal(self.y.shape))
        self.output_scale = float(np.abs(self.weights * self.y).max(initial=0))
        self.precision = _eps(y)

    def backward(self) -> dict[str, Array]:
        """The gradient of L by each tensor from the backward pass; the layer's own `grads` do not change."""
        return self._gradients(self.cache)

    def perturbed_backward(self, seed: int) -> dict[str, Array]:
        """As `backward`, with each number of each tensor changed by up to four units of its last digit."""
        rng, eps = np.random.default_rng(seed), np.finfo(float).eps
        with self._restored():
            for tensor in self.tensors.values():
                tensor *= 1 + eps * rng.integers(-4, 5, tensor.shape)
            return self._gradients(self._forward(*self.arguments)[1])

    def outputs(self, direction: Direction, steps: tuple[float, ...]) -> list[Array]:
        """y at each of these steps along a direction, in float64."""
        found = []
        with self._restored(direction) as before:
            for step in steps:
                for name, change in direction.items():
                    self.tensors[name][...] = before[name] + step * change
                found.append(_real(self._forward(*self.arguments)[0]))
        return found

    def imaginary_output(self, direction: Direction, step: float) -> Array:
        """Im y at i·step along a direction; `params` of a layer has complex arrays during the call."""
        moved = {name: tensor + 1j * step * direction.get(name, 0.0) for name, tensor in self.tensors.items()}
        arguments = list(self.arguments)
        for name, index in self.argument_index.items():
            arguments[index] = moved[name]
        before = dict(self.params)
        try:
            self.params.update({name: moved[name] for name in before})
            return np.imag(self._forward(*arguments)[0])
        finally:
            self.params.update(before)

    def step_unit(self, direction: Direction) -> float:
        """The largest |number| that changes along a direction, or 1 where all are smaller."""
        changing = (self.tensors[name][change != 0] for name, change in direction.items())
        return max(1.0, *(float(np.abs(numbers).max(initial=0)) for numbers in changing))

    @contextmanager
    def _restored(self, names: Any = None) -> Iterator[dict[str, Array]]:
        """Yields copies of these tensors, or of all, and restores them and all buffers at the end of the with block."""
        before = {name: self.tensors[name].copy() for name in (self.tensors if names is None else names)}
        buffers_before = {name: buffer.copy() for name, buffer in self._buffers.items()}
        try:
            yield before
        finally:
            for name, values in before.items():
                self.tensors[name][...] = values
            for name, values in buffers_before.items():
                self._buffers[name][...] = values

    def _gradients(self, cache: Any) -> dict[str, Array]:
        grads = getattr(self.layer, "grads", {})
        before = {name: grads[name].copy() for name in self.params}
        try:
            for name in self.params:
                grads[name][...] = 0
            result = self._backward(self.weights.copy(), cache)
            found = {name: grads[name].copy() for name in self.params}
        finally:
            for name in self.params:
                grads[name][...] = before[name]
        results = [one for one in (result if isinstance(result, tuple) else (result,)) if one is not None]
        if len(results) != len(self.argument_index):
            raise ValueError(
                f"backward: got {len(results)} derivatives, expected {len(self.argument_index)}, "
                "one for each float input"
            )
        for name, derivative in zip(self.argument_index, results, strict=True):
            found[name] = derivative
        for name, tensor in self.tensors.items():
            if np.shape(found[name]) != tensor.shape:
                raise ValueError(f"backward: got shape {np.shape(found[name])} for {name}, expected {tensor.shape}")
        self.precision = max(self.precision, *map(_eps, found.values()))
        return found


def check_layer_or_function(value: Any) -> None:
    """Raise a ValueError unless this is an object with forward and backward, or a pair of functions."""
    expected = "expected an object with forward and backward, or a pair of functions"
    if isinstance(value, tuple):
        if len(value) != 2 or not all(map(callable, value)):
            raise ValueError(f"layer_or_function: got {shown(value)}, {expected}")
        return
    if isinstance(value, type):
        raise ValueError(f"layer_or_function: got the class {value.__name__}, {expected}")
    for method in ("forward", "backward"):
        if not callable(getattr(value, method, None)):
            raise ValueError(f"layer_or_function: {type(value).__name__} has no method {method}, {expected}")


def _seeded(forward: Callable[..., Any], seed: int) -> Callable[..., Any]:
    if "rng" not in inspect.signature(forward).parameters:
        return forward
    return lambda *arguments: forward(*arguments, rng=np.random.default_rng(seed))


def _real(y: Any) -> Array:
    """A copy in float64, since y may be an input that is changed later."""
    return np.asarray(y).astype(np.float64, casting="same_kind")


def _eps(array: Any) -> float:
    dtype = np.asarray(array).dtype
    return float(np.finfo(dtype if np.issubdtype(dtype, np.inexact) else float).eps)


def _require_float64(name: str, array: Array) -> None:
    check_array(name, array)
    if array.dtype != np.float64:
        raise ValueError(f"{name}: got dtype {dtype_name(array.dtype)}, expected float64 (float32 is too inaccurate)")
