"""What a gradient check is asked about: a layer or a pair of functions, its tensors by name, and its passes.

Every call of the user's code is made here, and whatever is changed for a call is put back after it.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from npswin.types import Array

Move: TypeAlias = Mapping[str, Array]  # by tensor name: which way it goes; the others stay


class Problem:
    """L = Σ r·y for random numbers r of y's shape, as a function of the tensors.

    Attributes:
        layer: the layer, or None for a pair of functions.
        tensors: "input 0", … and the parameters, by name; changed in place for a call.
        y: the output where the tensors are, in float64.
        weights: r.
        output_scale: the largest |r·y|.
        precision: eps of the coarsest dtype among the output's and the derivatives'.
    """

    def __init__(self, layer_or_function: Any, inputs: Any, seed: int) -> None:
        arguments = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
        self.layer: Any = None if isinstance(layer_or_function, tuple) else layer_or_function
        self.places: dict[str, int] = {}
        for place, argument in enumerate(arguments):
            if isinstance(argument, np.ndarray) and np.issubdtype(argument.dtype, np.floating):
                _require_float64(f"inputs[{place}]", argument)
                arguments[place] = argument.copy()
                self.places[f"input {place}"] = place
        self.arguments = arguments
        self.params: dict[str, Array] = {} if self.layer is None else getattr(self.layer, "params", {})
        for name, parameter in self.params.items():
            _require_float64(f"params[{name!r}]", parameter)
        self.tensors = {name: arguments[place] for name, place in self.places.items()} | self.params
        if not self.tensors:
            raise ValueError(
                "inputs: got no floating-point array and no parameter, expected something to differentiate by"
            )
        for method in ("forward", "backward"):
            if self.layer is not None and not callable(getattr(self.layer, method, None)):
                raise TypeError(f"layer: {type(self.layer).__name__} has no method {method}")
        self._forward = _seeded(self.layer.forward, seed) if self.layer is not None else layer_or_function[0]
        self._backward = self.layer.backward if self.layer is not None else layer_or_function[1]
        with self._kept() as before:
            result = self._forward(*self.arguments)
            changed = [
                name
                for name, numbers in before.items()
                if not np.array_equal(self.tensors[name], numbers, equal_nan=True)
            ]
        if changed:
            raise ValueError(
                f"forward: changes {changed[0]}, expected it to leave its inputs and parameters as they are"
            )
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"forward: returned {type(result).__name__}, expected two things: y, cache")
        y, self.cache = result
        if np.size(y) == 0:
            raise ValueError(f"forward: got an output of shape {np.shape(y)}, expected at least one number")
        self.y = _real(y)
        # Inputs are often drawn from default_rng(seed): with r equal to x, a transposed xᵀr would pass.
        self.weights = np.asarray(np.random.default_rng([seed, *b"weights of L"]).standard_normal(self.y.shape))
        self.output_scale = float(np.abs(self.weights * self.y).max(initial=0))
        self.precision = _eps(y)

    def backward(self) -> dict[str, Array]:
        """The gradient of L by each tensor as the backward pass has it; the layer's own `grads` stay as they were."""
        return self._gradients(self.cache)

    def nudged_backward(self, seed: int) -> dict[str, Array]:
        """The same with each number of each tensor up to four units of its last digit higher or lower."""
        rng, eps = np.random.default_rng(seed), np.finfo(float).eps
        with self._kept():
            for tensor in self.tensors.values():
                tensor *= 1 + eps * rng.integers(-4, 5, tensor.shape)
            return self._gradients(self._forward(*self.arguments)[1])

    def outputs(self, move: Move, steps: tuple[float, ...]) -> list[Array]:
        """y after a move by each of these steps, in float64."""
        found = []
        with self._kept(move) as kept:
            for step in steps:
                for name, direction in move.items():
                    self.tensors[name][...] = kept[name] + step * direction
                found.append(_real(self._forward(*self.arguments)[0]))
        return found

    def imaginary_output(self, move: Move, step: float) -> Array:
        """Im y after a move by i·step; a layer's arrays in `params` make room for complex ones meanwhile."""
        moved = {name: tensor + 1j * step * move.get(name, 0.0) for name, tensor in self.tensors.items()}
        arguments = list(self.arguments)
        for name, place in self.places.items():
            arguments[place] = moved[name]
        before = dict(self.params)
        try:
            self.params.update({name: moved[name] for name in before})
            return np.imag(self._forward(*arguments)[0])
        finally:
            self.params.update(before)

    def reach(self, move: Move) -> float:
        """The largest |number| that moves, or 1 where all are smaller: the unit of a step."""
        return max(1.0, *(float(np.abs(self.tensors[name][way != 0]).max(initial=0)) for name, way in move.items()))

    @contextmanager
    def _kept(self, names: Any = None) -> Iterator[dict[str, Array]]:
        kept = {name: self.tensors[name].copy() for name in (self.tensors if names is None else names)}
        try:
            yield kept
        finally:
            for name, values in kept.items():
                self.tensors[name][...] = values

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
        if len(results) != len(self.places):
            raise ValueError(
                f"backward: got {len(results)} derivatives, expected {len(self.places)}, one for each float input"
            )
        for name, derivative in zip(self.places, results, strict=True):
            found[name] = derivative
        for name, tensor in self.tensors.items():
            if np.shape(found[name]) != tensor.shape:
                raise ValueError(f"backward: got shape {np.shape(found[name])} for {name}, expected {tensor.shape}")
        self.precision = max(self.precision, *map(_eps, found.values()))
        return found


def _seeded(forward: Callable[..., Any], seed: int) -> Callable[..., Any]:
    if "rng" not in inspect.signature(forward).parameters:
        return forward
    return lambda *arguments: forward(*arguments, rng=np.random.default_rng(seed))


def _real(y: Any) -> Array:
    """A copy in float64: y may be an input that is changed afterwards."""
    return np.asarray(y).astype(np.float64, casting="same_kind")


def _eps(array: Any) -> float:
    dtype = np.asarray(array).dtype
    return float(np.finfo(dtype if np.issubdtype(dtype, np.inexact) else float).eps)


def _require_float64(name: str, array: Array) -> None:
    if array.dtype != np.float64:
        raise ValueError(f"{name}: got dtype {array.dtype}, expected float64 (differences in float32 prove nothing)")
