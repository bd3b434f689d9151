"""Is a backward pass the derivative of its forward pass? Numerically, with no framework to compare with.

For random numbers r of the output's shape, the backward pass of r gives the gradient of L = Σ r·y. The same numbers
follow from the forward pass alone:

    central      (8 [y(t + h v) − y(t − h v)] − [y(t + 2h v) − y(t − 2h v)]) / 12h: error O(h⁴) + O(ε/h),
                 for any float64 forward pass
    complex      Im y(t + i h v) / h with h = 1e-30: nothing is subtracted, so it is right to the last digits,
                 for forward passes that are analytic and take complex arrays (Squire and Trapp 1998)

with v a coordinate axis, or a random direction for tensors that have too many coordinates. A function that bends
sharply (a normalization of nearly equal numbers) needs a short step, one that does not a long one: where the long step
and the backward pass disagree, shorter ones are asked. A wrong derivative agrees with none of them.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from npswin.types import Array

STEPS = {"central": (2e-5, 4e-6, 8e-7), "complex": (1e-30,)}
STENCIL = ((1, 8), (-1, -8), (2, -1), (-2, 1))  # (steps, weight · 12)
TOLERANCES = {"central": 1e-6, "complex": 1e-11}
SMALLEST_SHARE = 1e-3  # a gradient that is below this share of the largest, or of the output, is measured against that


class GradcheckError(AssertionError):
    """A backward pass that is not the derivative of its forward pass; the message is the report."""


@dataclass(frozen=True)
class TensorCheck:
    """What was found for one tensor.

    Attributes:
        name: "input 0", … or the parameter's name.
        shape: of the tensor.
        along: how many derivatives were compared, and whether along "coordinates" or "directions".
        error: the largest difference between backward pass and forward pass, over the gradient's scale.
        worst: where it is: an index into the tensor, or the direction's number.
        backward, forward: the two values there.
        tolerance: the largest error that passes.
    """

    name: str
    shape: tuple[int, ...]
    along: str
    error: float
    worst: tuple[int, ...]
    backward: float
    forward: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the error is within the tolerance; NaN is not."""
        return self.error <= self.tolerance


@dataclass(frozen=True)
class GradcheckReport:
    """All tensors' checks; prints as a table, worst first."""

    method: str
    checks: tuple[TensorCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether every tensor passed."""
        return all(check.ok for check in self.checks)

    @property
    def error(self) -> float:
        """The largest error of any tensor."""
        return max(check.error for check in self.checks)

    def __str__(self) -> str:
        width = max(len(check.name) for check in self.checks)
        lines = [f"gradient check, {self.method}: {'passed' if self.ok else 'FAILED'}"]
        for check in sorted(self.checks, key=lambda check: -check.error):
            line = f"  {'ok  ' if check.ok else 'FAIL'}  {check.name:{width}}  error {check.error:.1e}  ({check.along})"
            if not check.ok:
                line += f"  worst at {check.worst}: backward {check.backward:.9g}, forward says {check.forward:.9g}"
            lines.append(line)
        return "\n".join(lines)


def gradcheck(
    layer_or_function: Any,
    inputs: Array | Sequence[Any],
    *,
    method: str = "central",
    tolerance: float | None = None,
    max_coordinates: int = 1000,
    directions: int = 16,
    seed: int = 0,
    raise_on_failure: bool = True,
) -> GradcheckReport:
    """Compare a backward pass with its forward pass, for each input and each parameter.

    Args:
        layer_or_function: an object with `y, cache = forward(x)` (or `forward(x, rng)`), `dx = backward(dy, cache)`,
            which adds to the arrays in `grads` for those in `params`, if it has any; or a pair (X_forward, X_backward),
            where X_backward returns the derivatives by the float inputs in their order (None is passed over).
        inputs: an array, or the sequence of arguments. Floating-point arrays among them are checked, in float64;
            everything else is passed on.
        method: "central", or "complex" for a pair of functions that take complex arrays.
        tolerance: largest relative error that passes; 1e-6 for central differences, 1e-11 for the complex step.
        max_coordinates: tensors of more numbers are checked along random directions.
        directions: how many.
        seed: of the weights r, the directions, and the generator passed to a layer's forward pass.
        raise_on_failure: raise `GradcheckError` rather than return a report that is not ok.

    Returns:
        The report; `print` it.

    Raises:
        GradcheckError: a gradient is wrong.
        ValueError: inputs or parameters that are not float64, an unknown method.
    """
    if method not in STEPS:
        raise ValueError(f"method: got {method!r}, expected 'central' or 'complex'")
    problem = _Problem(layer_or_function, inputs, seed)
    if method == "complex" and problem.layer is not None:
        raise ValueError(
            "method: got 'complex' with a layer, expected a pair of functions (a layer's parameters are real)"
        )
    gradients = problem.backward()
    tolerance = TOLERANCES[method] if tolerance is None else tolerance
    rng = np.random.default_rng([seed, 1])
    compared = []
    for name, tensor in problem.tensors.items():
        if tensor.size <= max_coordinates:
            axes = (_axis(tensor.shape, place) for place in range(tensor.size))
            count, kind = tensor.size, "coordinates"
        else:
            axes = (rng.choice([-1.0, 1.0], tensor.shape) for _ in range(directions))
            count, kind = directions, "directions"
        backward, forward = np.empty(count), np.empty(count)
        for place, axis in enumerate(axes):
            backward[place] = np.vdot(axis, gradients[name])
            forward[place] = problem.derivative(name, axis, method, backward[place], 0.1 * tolerance)
        compared.append((name, tensor.shape, f"{count} {kind}", kind, backward, forward))
    largest = max(problem.output_scale, *(np.abs(forward).max(initial=0) for *_, forward in compared))
    checks = []
    for name, shape, along, kind, backward, forward in compared:
        scale = max(np.abs(forward).max(initial=0), SMALLEST_SHARE * largest, np.finfo(float).tiny)
        errors = np.abs(backward - forward) / scale
        place = int(np.nan_to_num(errors, nan=np.inf).argmax()) if errors.size else 0
        worst = tuple(int(i) for i in np.unravel_index(place, shape)) if kind == "coordinates" else (place,)
        checks.append(TensorCheck(name, shape, along, errors[place], worst, backward[place], forward[place], tolerance))
    report = GradcheckReport(method, tuple(checks))
    if raise_on_failure and not report.ok:
        raise GradcheckError(str(report))
    return report


def _axis(shape: tuple[int, ...], place: int) -> Array:
    axis = np.zeros(shape)
    axis.flat[place] = 1
    return axis


class _Problem:
    """A layer or a pair of functions, its tensors by name, and derivatives of L = Σ r·y along a direction."""

    def __init__(self, layer_or_function: Any, inputs: Any, seed: int) -> None:
        arguments = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
        self.layer = None if isinstance(layer_or_function, tuple) else layer_or_function
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
        self.forward = self._seeded(self.layer.forward, seed) if self.layer is not None else layer_or_function[0]
        self._backward = self.layer.backward if self.layer is not None else layer_or_function[1]
        y, self.cache = self.forward(*self.arguments)
        if np.size(y) == 0:
            raise ValueError(f"forward: got an output of shape {np.shape(y)}, expected at least one number")
        self.weights = np.asarray(np.random.default_rng(seed).standard_normal(np.shape(y)))
        self.output_scale = float(np.abs(self.weights * y).max(initial=0))

    @staticmethod
    def _seeded(forward: Callable[..., Any], seed: int) -> Callable[..., Any]:
        if "rng" not in inspect.signature(forward).parameters:
            return forward
        return lambda *arguments: forward(*arguments, rng=np.random.default_rng(seed))

    def backward(self) -> dict[str, Array]:
        """The gradient of L by each tensor as the backward pass has it; the layer's own `grads` stay as they were."""
        grads = getattr(self.layer, "grads", {})
        before = {name: grads[name].copy() for name in self.params}
        try:
            for name in self.params:
                grads[name][...] = 0
            result = self._backward(self.weights.copy(), self.cache)
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
        return found

    def derivative(self, name: str, axis: Array, method: str, expected: float, tolerance: float) -> float:
        """dL along `axis` in the tensor of this name, by the forward pass alone; of all steps, the one nearest to
        what is expected, the first within the tolerance ending the search."""
        measure = self._complex_step if method == "complex" else self._difference
        nearest = np.nan
        for step in STEPS[method]:
            found = measure(name, axis, step)
            if not abs(found - expected) >= abs(nearest - expected):
                nearest = found
            if abs(found - expected) <= tolerance * max(abs(found), SMALLEST_SHARE * self.output_scale):
                break
        return nearest

    def _complex_step(self, name: str, axis: Array, step: float) -> float:
        shifted = list(self.arguments)
        for each, place in self.places.items():
            shifted[place] = self.tensors[each] + (1j * step * axis if each == name else 0j)
        return float(np.vdot(self.weights, np.imag(self.forward(*shifted)[0])) / step)

    def _difference(self, name: str, axis: Array, step: float) -> float:
        tensor = self.tensors[name]
        step *= max(1.0, float(np.abs(tensor[axis != 0]).max(initial=0)))
        kept = tensor.copy()
        difference = np.zeros_like(self.weights)
        try:
            for steps, weight in STENCIL:
                tensor[...] = kept + steps * step * axis
                difference += weight * self.forward(*self.arguments)[0]
        finally:
            tensor[...] = kept
        return float(np.vdot(self.weights, difference) / (12 * step))


def _require_float64(name: str, array: Array) -> None:
    if array.dtype != np.float64:
        raise ValueError(f"{name}: got dtype {array.dtype}, expected float64 (differences in float32 prove nothing)")
