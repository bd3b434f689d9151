"""Checks numerically whether a backward pass is the derivative of its forward pass.

For random numbers r of the output's shape, the backward pass of r gives the gradient of L = Σ r·y. The same derivatives
follow from the forward pass alone (`differences.py`): along each coordinate, along a few random directions for tensors
of many coordinates, or along directions through all tensors at once. A wrong derivative differs in all of these. A
derivative that differs need not be wrong; `diagnosis.py` determines the likely kind of failure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from npswin.checks import check_choice, check_flag, check_integer, check_number, check_size
from npswin.types import Array
from npswin.verify.gradcheck.diagnosis import Failure, diagnose, explain, hint_at, summarize
from npswin.verify.gradcheck.differences import SMALLEST_SHARE, STEPS, Evidence, central_difference, complex_step
from npswin.verify.gradcheck.directions import DirectionSet, direction_sets
from npswin.verify.gradcheck.problem import Direction, ScalarLoss, check_layer_or_function
from npswin.verify.gradcheck.report import Element, GradcheckError, GradcheckReport, TensorCheck

TOLERANCES = {"central": 1e-6, "complex": 1e-11}
ALONG = (None, "coordinates", "directions", "joint")
LISTED = 3  # elements in the report of a tensor that failed


def gradcheck(
    layer_or_function: Any,
    inputs: Array | Sequence[Any],
    *,
    method: str = "central",
    along: str | None = None,
    step: float | None = None,
    tolerance: float | None = None,
    max_coordinates: int = 1000,
    directions: int = 16,
    seed: int = 0,
    raise_on_failure: bool = True,
) -> GradcheckReport:
    """Compare a backward pass with its forward pass, for each input and each parameter.

    A central difference calls the forward pass 4 times, or 12 times where it differs from the backward pass; a complex
    step calls it once. So along="joint", directions=1 checks a correct layer of any size with 1 + 4 calls or 1 + 1. To
    determine the kind of a failure takes one more forward and backward pass, and after a complex step 12 forward passes
    for each element listed.

    The complex step puts complex arrays into a layer's `params` for the call, which has to be a dictionary that
    `forward` reads. The layers of this package create theirs at each access, and their compiled kernels take real
    numbers; check their ops as pairs of functions of `npswin.ops`.

    Args:
        layer_or_function: an object with `y, cache = forward(x)` (or `forward(x, rng)`), `dx = backward(dy, cache)`,
            which adds to the arrays in `grads` for those in `params`, if it has any; or a pair (X_forward, X_backward),
            where X_backward returns the derivatives by the float inputs in their order (None is skipped).
        inputs: an array, or the sequence of arguments. Floating-point arrays among them are checked, and have to be
            float64; other arguments are passed on.
        method: "central", four-point differences; or "complex", exact to the last digits, for forward passes that are
            analytic and take complex arrays.
        along: "coordinates", every element; "directions", random ones in each tensor; "joint", random ones through all
            tensors at once, which do not show which one is wrong and miss one whose gradient is far smaller than the
            others'; None, coordinates or directions by the tensor's size.
        step: the longest step, up to 1; 2e-5 or for the complex step 1e-30. It is multiplied by numbers above 1. Where
            a central difference differs from the backward pass, a fifth and a twenty-fifth of the step are tried.
        tolerance: the largest relative error that passes, below 1; 1e-6 for central differences, 1e-11 for the complex
            step.
        max_coordinates: where `along` is None, tensors of more numbers are checked along random directions.
        directions: the number of random directions.
        seed: of the weights r, the directions, and the generator passed to a layer's forward pass.
        raise_on_failure: raise `GradcheckError` rather than return a report that is not ok.

    Returns:
        The report; `print` it. Each failure is listed with the elements of the largest differences and the likely kind:
        a bug, a kink, or rounding. Every kind is a failure.

    Raises:
        GradcheckError: a gradient is wrong.
        ValueError: inputs or parameters are not float64, another argument does not fit, or the layer does not support
            the method.
    """
    check_layer_or_function(layer_or_function)
    check_choice("method", method, tuple(STEPS))
    check_choice("along", along, ALONG)
    step = check_number("step", STEPS[method] if step is None else step, above=0, at_most=1)
    tolerance = check_number("tolerance", TOLERANCES[method] if tolerance is None else tolerance, at_least=0, below=1)
    max_coordinates, directions = (
        check_integer("max_coordinates", max_coordinates, 0),
        check_size("directions", directions),
    )
    seed = check_integer("seed", seed, 0)
    check_flag("raise_on_failure", raise_on_failure)
    problem = ScalarLoss(layer_or_function, inputs, seed)
    if method == "complex" and problem.params and problem.layer.params is not problem.params:
        raise ValueError(
            "method: got 'complex' with a layer that creates `params` at each access, "
            "expected a dictionary that forward reads, or a pair of functions"
        )
    check = _Check(problem, problem.backward(), method, step, tolerance, seed)
    sets = direction_sets(problem.tensors, along, max_coordinates, directions, seed)
    compared = [check.compare(directions_of_tensor) for directions_of_tensor in sets]
    largest = max(problem.output_scale, *(np.abs(one.forward).max(initial=0) for one in compared))
    report = GradcheckReport(method, tuple(check.tensor_check(one, largest) for one in compared))
    if raise_on_failure and not report.ok:
        raise GradcheckError(str(report))
    return report


@dataclass(frozen=True)
class _Derivatives:
    """Both passes' derivatives along directions, and by number the evidence where they differ."""

    directions: DirectionSet
    backward: Array
    forward: Array
    evidence: dict[int, Evidence]


class _Check:
    """Compares the backward pass's gradients of a problem with its forward pass."""

    def __init__(
        self, problem: ScalarLoss, gradients: dict[str, Array], method: str, step: float, tolerance: float, seed: int
    ) -> None:
        self.problem, self.gradients = problem, gradients
        self.method, self.step, self.tolerance, self.seed = method, step, tolerance, seed
        self._perturbed: dict[str, Array] | None = None

    def compare(self, directions: DirectionSet) -> _Derivatives:
        """Both passes' derivatives along these directions."""
        backward, forward = np.empty(directions.count), np.empty(directions.count)
        evidence = {}
        for number in range(directions.count):
            direction = directions.direction(number)
            backward[number] = _slope(direction, self.gradients)
            if self.method == "complex":
                forward[number] = complex_step(self.problem, direction, self.step)
            else:
                forward[number], found = central_difference(
                    self.problem, direction, self.step, backward[number], 0.1 * self.tolerance
                )
                if found is not None:
                    evidence[number] = found
        return _Derivatives(directions, backward, forward, evidence)

    def tensor_check(self, compared: _Derivatives, largest: float) -> TensorCheck:
        """The tensor's check; `largest` is the largest number of any gradient and of the output."""
        directions, backward, forward = compared.directions, compared.backward, compared.forward
        scale = max(np.abs(forward).max(initial=0), SMALLEST_SHARE * largest, np.finfo(float).tiny)
        with np.errstate(all="ignore"):
            errors = np.abs(backward - forward) / scale
        order = np.argsort(-np.nan_to_num(errors, nan=np.inf), kind="stable")
        differing = [int(number) for number in order if not errors[number] <= self.tolerance]
        kind = directions.kind if directions.count != 1 else directions.kind.removesuffix("s")
        check = TensorCheck(
            name=directions.name,
            shape=self.problem.tensors[directions.name].shape if directions.name in self.problem.tensors else (),
            along=f"{directions.count} {kind}",
            error=float(errors[order[0]]) if errors.size else 0.0,
            tolerance=self.tolerance,
            compared=directions.count,
            differing=len(differing),
            elements=tuple(
                Element(directions.index(int(number)), float(backward[number]), float(forward[number]))
                for number in (differing or order)[:LISTED]
            ),
        )
        return self._with_kind(check, compared, differing, scale) if differing else check

    def _with_kind(self, check: TensorCheck, compared: _Derivatives, differing: list[int], scale: float) -> TensorCheck:
        """The check with the kind of its failures."""
        directions = compared.directions
        if self.method == "complex":
            differing = differing[:LISTED]  # central differences are computed for these only
        failures, kinds = diagnose([self._failure(compared, number, scale) for number in differing])
        kind = summarize(kinds)
        others = {other: kinds.count(other) for other in dict.fromkeys(kinds) if other != kind}
        hint = hint_at(compared.backward, compared.forward, directions.shape, 10 * self.tolerance)
        of_kind = [failure for failure, other in zip(failures, kinds, strict=True) if other == kind]
        explanation = explain(kind, of_kind, hint)
        if others:
            explanation += " (others: " + ", ".join(f"{count} {other}" for other, count in others.items()) + ")"
        if directions.kind == "joint directions":
            explanation += "; along='directions' shows which tensor"
        elements = tuple(
            replace(element, looks_like=looks_like) for element, looks_like in zip(check.elements, kinds, strict=False)
        )
        return replace(check, looks_like=kind, explanation=explanation, elements=elements)

    def _failure(self, compared: _Derivatives, number: int, scale: float) -> Failure:
        direction = compared.directions.direction(number)
        evidence = compared.evidence.get(number)
        if evidence is None:
            _, evidence = central_difference(self.problem, direction, STEPS["central"], np.nan, 0.0)
            assert evidence is not None  # no estimate is near NaN
        if self._perturbed is None:
            self._perturbed = self.problem.perturbed_backward(self.seed)
        return Failure(
            backward=float(compared.backward[number]),
            forward=float(compared.forward[number]),
            evidence=evidence,
            backward_noise=abs(_slope(direction, self._perturbed) - float(compared.backward[number])),
            is_coordinate=compared.directions.are_coordinates,
            method=self.method,
            scale=scale,
            output_scale=self.problem.output_scale,
            precision=self.problem.precision,
        )


def _slope(direction: Direction, gradients: dict[str, Array]) -> float:
    """The derivative along a direction, from the gradients."""
    return sum(float(np.vdot(change, gradients[name])) for name, change in direction.items())
