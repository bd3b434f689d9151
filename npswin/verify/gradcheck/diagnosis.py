"""The kind of a failure: a bug, a kink, rounding, or a forward pass that the method does not suit.

Every kind is a failure. The kind shows where to look first.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from npswin.types import Array
from npswin.verify.gradcheck.differences import Evidence

DOUBLE = float(np.finfo(float).eps)
WITHIN_NOISE = 20  # standard deviations
SMALLEST_JUMP = 1e-5  # share of the output; roundings of float32 are smaller
SMALLEST_NOISE, LARGEST_NOISE = 1e-12, 1e-3  # shares of the output: less may be float64's, more is not rounding
COORDINATES_HINT = ", or use along='coordinates', where a kink does not hide a bug"


@dataclass(frozen=True)
class Failure:
    """A derivative that differs.

    Attributes:
        backward, forward: the two values.
        evidence: from the forward pass around the point.
        backward_noise: the change of the backward pass's value when the tensors change in their last digits.
        is_coordinate: whether a single coordinate was changed.
        method: how `forward` was computed.
        scale, output_scale: of the gradient and of the output, as in the report's errors.
        precision: eps of the coarsest dtype in use.
    """

    backward: float
    forward: float
    evidence: Evidence
    backward_noise: float
    is_coordinate: bool
    method: str
    scale: float
    output_scale: float
    precision: float

    @property
    def mismatch(self) -> float:
        """|backward − forward|."""
        return abs(self.backward - self.forward)

    @property
    def is_finite(self) -> bool:
        """Whether both passes, and the steps around the point, give numbers."""
        return bool(np.isfinite([self.backward, self.forward, *self.evidence.estimates]).all())

    @property
    def is_kink(self) -> bool:
        """Whether the one-sided slopes stay apart and the backward pass's value lies between them.

        A direction crosses many kinks at once, whose slope differences may cancel, so that the value may lie outside.
        Where the slope difference is far larger than the mismatch, the function bends within a step.
        """
        kinks, middle = self.evidence.kinks, (self.evidence.left + self.evidence.right) / 2
        between = abs(self.backward - middle) <= (0.55 if self.is_coordinate else 5) * kinks
        return between and kinks <= 1e4 * self.mismatch

    @property
    def backward_is_coarse(self) -> bool:
        """Whether the mismatch is within the rounding errors of the backward pass, or of a dtype below float64."""
        coarse = 100 * self.precision * self.scale if self.precision > DOUBLE else 0.0
        noise = self.backward_noise
        if noise > LARGEST_NOISE * self.scale:  # not rounding: the changed tensors took another branch
            noise = 0.0
        return self.mismatch <= max(WITHIN_NOISE * noise, coarse)

    @property
    def is_not_analytic(self) -> bool:
        """Whether differences, unlike the complex step, agree with the backward pass."""
        nearest = min(abs(estimate - self.backward) for estimate in self.evidence.estimates)
        return self.method == "complex" and nearest <= 0.1 * self.mismatch

    @property
    def is_jump(self) -> bool:
        """Whether the estimates are s + j/h, with a j larger than any rounding."""
        long, middle, short = self.evidence.estimates
        inverse = [1 / step for step in self.evidence.steps]
        jump = (short - middle) / (inverse[2] - inverse[1])
        residual = abs(middle - long - jump * (inverse[1] - inverse[0]))
        change = abs(short - middle)
        is_large = change > 0.01 * self.mismatch and abs(jump) > SMALLEST_JUMP * self.output_scale
        return is_large and residual <= 1e-3 * change

    @property
    def is_noise(self) -> bool:
        """Whether the rounding errors of L explain the mismatch at every step."""
        noise = self.evidence.noise
        share = noise / max(self.output_scale, np.finfo(float).tiny)
        if share > LARGEST_NOISE or (self.method == "complex" and share <= SMALLEST_NOISE):
            return False  # the complex step has no rounding error of float64
        pairs = zip(self.evidence.steps, self.evidence.estimates, strict=True)
        return all(abs(estimate - self.backward) <= WITHIN_NOISE * noise / step for step, estimate in pairs)

    @property
    def is_settled(self) -> bool:
        """Whether the estimates agree with each other better than with the backward pass.

        The shortest step's may differ by rounding.
        """
        noise = self.evidence.noise
        far, near = np.abs(np.diff(self.evidence.estimates))
        rounded = noise <= LARGEST_NOISE * self.output_scale and near <= WITHIN_NOISE * noise / self.evidence.steps[2]
        agree = near <= 0.3 * self.mismatch or (far <= 0.3 * self.mismatch and rounded)
        return self.method == "complex" or bool(agree)


def diagnose(failures: Sequence[Failure]) -> tuple[list[Failure], list[str]]:
    """The kind of each failure of a tensor, as in `Element`.

    Returns:
        The failures, with noise and backward_noise raised to their medians, since either may be small by chance; and
        their kinds.
    """
    smooth = [failure for failure in failures if failure.is_finite and not failure.is_kink]
    if smooth:
        noise = float(np.median([failure.evidence.noise for failure in smooth]))
        backward_noise = float(np.median([failure.backward_noise for failure in smooth]))
        failures = [_with_least_noise(failure, noise, backward_noise) for failure in failures]
    return list(failures), [_kind(failure) for failure in failures]


def _with_least_noise(failure: Failure, noise: float, backward_noise: float) -> Failure:
    evidence = replace(failure.evidence, noise=max(failure.evidence.noise, noise))
    return replace(failure, evidence=evidence, backward_noise=max(failure.backward_noise, backward_noise))


def _kind(failure: Failure) -> str:
    if not failure.is_finite:
        return "not finite"
    if failure.is_kink:
        return "kink"
    if failure.backward_is_coarse:
        return "rounding"
    if failure.is_not_analytic:
        return "not analytic"
    if failure.is_jump:
        return "jump"
    if failure.is_noise:
        return "rounding"
    return "bug" if failure.is_settled else "unsettled"


def summarize(kinds: Sequence[str]) -> str:
    """The kind of a tensor's failures: a bug if one is, unless so many are rounding that a few look like bugs."""
    counts = Counter(kinds)
    if counts["bug"] and 10 * counts["bug"] >= counts["rounding"] + counts["unsettled"]:
        return "bug"
    return counts.most_common(1)[0][0]


def explain(kind: str, failures: Sequence[Failure], hint: str) -> str:
    """A sentence on the failures of this kind, with the numbers of the first, which is the largest."""
    failure = failures[0]
    evidence = failure.evidence
    if kind == "not finite":
        which = "backward" if not np.isfinite(failure.backward) else "forward"
        return f"the {which} pass gives numbers that are not finite"
    if kind == "kink":
        return (
            f"looks like a kink: the slope is {evidence.left:.4g} to the left and {evidence.right:.4g} to the right, "
            f"at every step; move the tensor away from it{'' if failure.is_coordinate else COORDINATES_HINT}"
        )
    if kind == "jump":
        return (
            "looks like a jump, or a bend far shorter than the step: the slope grows as the step shrinks; "
            "move the tensor away from it, or try a shorter step"
        )
    if kind == "rounding":
        return f"looks like rounding: {_explain_rounding(failures)}"
    if kind == "not analytic":
        return (
            "backward agrees with differences but not with the complex step: forward drops imaginary parts (abs, real, "
            "a cast, an array that is not the one in params); use method='central'"
        )
    if kind == "unsettled":
        values = ", ".join(f"{estimate:.4g}" for estimate in evidence.estimates)
        return (
            f"cannot be distinguished from a bug: steps from {evidence.steps[0]:.0e} to {evidence.steps[-1]:.0e} give "
            f"{values}; try method='complex', a shorter step in case it bends sharply, "
            "or a longer one in case of rounding"
        )
    if failure.method == "complex":
        return f"looks like a bug: the complex step is exact{hint}"
    return f"looks like a bug: steps of different length agree with each other{hint}"


def hint_at(backward: Array, forward: Array, shape: tuple[int, ...], tolerance: float) -> str:
    """A simple relation of the wrong gradient to the correct one, such as a factor; an empty text if there is none.

    Args:
        backward, forward: (N,), all derivatives that were compared.
        shape: of the tensor, where the derivatives are by its coordinates; else empty.
        tolerance: largest relative difference from the factor.
    """
    if not (np.isfinite(backward).all() and np.isfinite(forward).all()):
        return ""
    if _close(backward, forward, tolerance):
        return ""
    if not forward.any():
        return ", but the forward pass does not change: backward should be zero everywhere"
    if not backward.any():
        return ", and backward is zero everywhere"
    factor = float(np.vdot(forward, backward) / np.vdot(forward, forward))
    if backward.size > 1 and _close(backward, factor * forward, tolerance):
        return f", and backward is forward times {factor:.7g} everywhere"
    if len(shape) == 2 and shape[0] == shape[1] and _close(backward, forward.reshape(shape).T.ravel(), tolerance):
        return ", and backward is forward transposed"
    return ""


def _explain_rounding(failures: Sequence[Failure]) -> str:
    failure = failures[0]
    if failure.backward_is_coarse:
        if failure.precision > DOUBLE:
            return "an output or a derivative is not in float64; compute it in float64, or allow a larger tolerance"
        return (
            f"backward changes by {failure.backward_noise:.1e} when the tensors change in their last digits; "
            "take other inputs, write it so that less cancels, or allow a larger tolerance"
        )
    # error O(share/h) + O(h⁴): the step with the smallest error, and that error
    noise, step = max(failure.evidence.noise for failure in failures), failure.evidence.steps[0]
    share = noise / failure.scale
    return (
        f"it moves L by {noise:.1e} and the slope by {noise / step:.1e} at a step of {step:.0e}; compute in float64 "
        f"throughout, with numbers near 1, or try step={share**0.2:.0e}, tolerance={20 * share**0.8:.0e}"
    )


def _close(one: Array, other: Array, tolerance: float) -> bool:
    return bool(np.abs(one - other).max() <= tolerance * np.abs(other).max())
