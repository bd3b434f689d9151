"""Is a backward pass the derivative of its forward pass? Numerically, with no framework to compare with.

For random numbers r of the output's shape, the backward pass of r gives the gradient of L = Σ r·y. The same numbers
follow from the forward pass alone (`measure.py`): along each coordinate, along a few random directions for
tensors that have too many coordinates, or along one direction through all tensors at once. A wrong derivative agrees
with none of them. A derivative that differs need not be wrong; what it looks like is told in `diagnosis.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.gradcheck.diagnosis import Failure, diagnose, explain, hint_at, summarize
from npswin.verify.gradcheck.measure import SMALLEST_SHARE, STEPS, Evidence, central, complex_step
from npswin.verify.gradcheck.paths import Path, paths
from npswin.verify.gradcheck.problem import Move, Problem
from npswin.verify.gradcheck.report import Element, GradcheckError, GradcheckReport, TensorCheck

__all__ = ["GradcheckError", "GradcheckReport", "gradcheck"]

TOLERANCES = {"central": 1e-6, "complex": 1e-11}
ALONG = (None, "coordinates", "directions", "joint")
LISTED = 3  # elements that a report shows of a tensor that failed


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

    A central difference calls the forward pass 4 times, or 12 where it disagrees; a complex step calls it once. So
    along="joint", directions=1 checks a layer of any size, if it is right, with 1 + 4 calls or 1 + 1. To tell what a
    failure looks like takes one more pass each way, and after a complex step 12 forward for each element listed.

    The complex step puts complex arrays into a layer's `params` for the call: it has to be a dictionary that `forward`
    reads. The layers of this package make theirs anew at each access, and their compiled kernels take real numbers;
    what they compute is checked as pairs of functions of `npswin.ops`.

    Args:
        layer_or_function: an object with `y, cache = forward(x)` (or `forward(x, rng)`), `dx = backward(dy, cache)`,
            which adds to the arrays in `grads` for those in `params`, if it has any; or a pair (X_forward, X_backward),
            where X_backward returns the derivatives by the float inputs in their order (None is passed over).
        inputs: an array, or the sequence of arguments. Floating-point arrays among them are checked, in float64;
            everything else is passed on.
        method: "central", four-point differences; or "complex", exact to the last digits, for forward passes that are
            analytic and take complex arrays.
        along: "coordinates", every element; "directions", random ones in each tensor; "joint", random ones through all
            tensors at once, which do not tell which one is wrong and miss one whose gradient is far below the others';
            None, coordinates or directions by the tensor's size.
        step: the longest step, 2e-5 or for the complex step 1e-30; it grows with numbers above 1, and where it
            disagrees, central differences are tried with a fifth and a twenty-fifth of it.
        tolerance: largest relative error that passes; 1e-6 for central differences, 1e-11 for the complex step.
        max_coordinates: where `along` is None, tensors of more numbers are checked along random directions.
        directions: how many.
        seed: of the weights r, the directions, and the generator passed to a layer's forward pass.
        raise_on_failure: raise `GradcheckError` rather than return a report that is not ok.

    Returns:
        The report; `print` it. What failed is listed with its worst elements and with what it looks like: a bug, a
        kink, or rounding. Each of them is a failure.

    Raises:
        GradcheckError: a gradient is wrong.
        ValueError: inputs or parameters that are not float64, an unknown method, a layer that the method does not suit.
    """
    if method not in STEPS:
        raise ValueError(f"method: got {method!r}, expected 'central' or 'complex'")
    if along not in ALONG:
        raise ValueError(f"along: got {along!r}, expected None, 'coordinates', 'directions' or 'joint'")
    if directions < 1:
        raise ValueError(f"directions: got {directions}, expected at least 1")
    step = STEPS[method] if step is None else step
    if not 0 < step < np.inf:
        raise ValueError(f"step: got {step}, expected a positive number")
    problem = Problem(layer_or_function, inputs, seed)
    if method == "complex" and problem.params and problem.layer.params is not problem.params:
        raise ValueError(
            "method: got 'complex' with a layer that makes `params` anew at each access, "
            "expected a dictionary that forward reads, or a pair of functions"
        )
    tolerance = TOLERANCES[method] if tolerance is None else tolerance
    check = _Check(problem, problem.backward(), method, step, tolerance, seed)
    compared = [check.compare(path) for path in paths(problem.tensors, along, max_coordinates, directions, seed)]
    largest = max(problem.output_scale, *(np.abs(one.forward).max(initial=0) for one in compared))
    report = GradcheckReport(method, tuple(check.judge(one, largest) for one in compared))
    if raise_on_failure and not report.ok:
        raise GradcheckError(str(report))
    return report


@dataclass(frozen=True)
class _Compared:
    """Along a path: what both passes say, and the evidence that was met where they differ."""

    path: Path
    backward: Array
    forward: Array
    evidence: dict[int, Evidence]


class _Check:
    """A problem, its gradients as the backward pass has them, and how they are compared."""

    def __init__(
        self, problem: Problem, gradients: dict[str, Array], method: str, step: float, tolerance: float, seed: int
    ) -> None:
        self.problem, self.gradients = problem, gradients
        self.method, self.step, self.tolerance, self.seed = method, step, tolerance, seed
        self._nudged: dict[str, Array] | None = None

    def compare(self, path: Path) -> _Compared:
        """Both passes' derivatives along a path."""
        backward, forward = np.empty(path.count), np.empty(path.count)
        evidence = {}
        for place in range(path.count):
            move = path.move(place)
            backward[place] = _slope(move, self.gradients)
            if self.method == "complex":
                forward[place] = complex_step(self.problem, move, self.step)
            else:
                forward[place], met = central(self.problem, move, self.step, backward[place], 0.1 * self.tolerance)
                if met is not None:
                    evidence[place] = met
        return _Compared(path, backward, forward, evidence)

    def judge(self, compared: _Compared, largest: float) -> TensorCheck:
        """The tensor's check; `largest` is the largest number of any gradient and of the output."""
        path, backward, forward = compared.path, compared.backward, compared.forward
        scale = max(np.abs(forward).max(initial=0), SMALLEST_SHARE * largest, np.finfo(float).tiny)
        with np.errstate(all="ignore"):
            errors = np.abs(backward - forward) / scale
        order = np.argsort(-np.nan_to_num(errors, nan=np.inf), kind="stable")
        differing = [int(place) for place in order if not errors[place] <= self.tolerance]
        check = TensorCheck(
            name=path.name,
            shape=self.problem.tensors[path.name].shape if path.name in self.problem.tensors else (),
            along=f"{path.count} {path.kind if path.count != 1 else path.kind.removesuffix('s')}",
            error=float(errors[order[0]]) if errors.size else 0.0,
            tolerance=self.tolerance,
            compared=path.count,
            differing=len(differing),
            elements=tuple(
                Element(path.index(int(place)), float(backward[place]), float(forward[place]))
                for place in (differing or order)[:LISTED]
            ),
        )
        return self._diagnosed(check, compared, differing, scale) if differing else check

    def _diagnosed(self, check: TensorCheck, compared: _Compared, differing: list[int], scale: float) -> TensorCheck:
        """The check with what it looks like."""
        path = compared.path
        if self.method == "complex":
            differing = differing[:LISTED]  # differences are taken at these only
        failures, kinds = diagnose([self._failure(compared, place, scale) for place in differing])
        kind = summarize(kinds)
        others = {other: kinds.count(other) for other in dict.fromkeys(kinds) if other != kind}
        hint = hint_at(compared.backward, compared.forward, path.shape, 10 * self.tolerance)
        of_kind = [failure for failure, other in zip(failures, kinds, strict=True) if other == kind]
        explanation = explain(kind, of_kind, hint)
        if others:
            explanation += " (others: " + ", ".join(f"{count} {other}" for other, count in others.items()) + ")"
        if path.kind == "joint directions":
            explanation += "; along='directions' tells which tensor"
        elements = tuple(
            replace(element, looks_like=looks_like) for element, looks_like in zip(check.elements, kinds, strict=False)
        )
        return replace(check, looks_like=kind, explanation=explanation, elements=elements)

    def _failure(self, compared: _Compared, place: int, scale: float) -> Failure:
        move = compared.path.move(place)
        evidence = compared.evidence.get(place)
        if evidence is None:
            _, evidence = central(self.problem, move, STEPS["central"], np.nan, 0.0)
            assert evidence is not None  # nothing is near NaN
        if self._nudged is None:
            self._nudged = self.problem.nudged_backward(self.seed)
        return Failure(
            backward=float(compared.backward[place]),
            forward=float(compared.forward[place]),
            evidence=evidence,
            doubt=abs(_slope(move, self._nudged) - float(compared.backward[place])),
            alone=compared.path.alone,
            method=self.method,
            scale=scale,
            output_scale=self.problem.output_scale,
            precision=self.problem.precision,
        )


def _slope(move: Move, gradients: dict[str, Array]) -> float:
    """The derivative along a move that gradients mean."""
    return sum(float(np.vdot(way, gradients[name])) for name, way in move.items())
