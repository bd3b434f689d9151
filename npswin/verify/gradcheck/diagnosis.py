"""What a gradient that differs looks like: a bug, a kink, rounding, or a forward pass that the method does not suit.

Nothing here turns a failure into a pass: it says where to look first.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from npswin.types import Array
from npswin.verify.gradcheck.measure import Evidence

DOUBLE = float(np.finfo(float).eps)
WITHIN_NOISE = 20  # standard deviations
SMALLEST_JUMP = 1e-5  # of the output: float32 rounds by less
SMALLEST_NOISE, LARGEST_NOISE = 1e-12, 1e-3  # of the output: below, it may be float64's; above, it is none
COORDINATES_TELL = ", or see along='coordinates', where a bug cannot hide behind it"


@dataclass(frozen=True)
class Failure:
    """A derivative that differs.

    Attributes:
        backward, forward: the two values.
        evidence: what the forward pass shows there.
        doubt: by how much the backward pass's value changes when the tensors change in their last digits.
        alone: whether a single coordinate moved.
        method: how `forward` was found.
        scale: the gradient's, and output_scale: the output's, as in the report's errors.
        precision: eps of the coarsest dtype in use.
    """

    backward: float
    forward: float
    evidence: Evidence
    doubt: float
    alone: bool
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

        A direction crosses many kinks at once, whose gaps may cancel: there the value may lie outside. Where the gap is
        far larger than the mismatch, the function is one that bends within a step.
        """
        kinks, middle = self.evidence.kinks, (self.evidence.left + self.evidence.right) / 2
        between = abs(self.backward - middle) <= (0.55 if self.alone else 5) * kinks
        return between and kinks <= 1e4 * self.mismatch

    @property
    def backward_is_coarse(self) -> bool:
        """Whether the backward pass, or a dtype below float64, does not carry the digits that differ."""
        coarse = 100 * self.precision * self.scale if self.precision > DOUBLE else 0.0
        doubt = self.doubt if self.doubt <= LARGEST_NOISE * self.scale else 0.0  # above, another branch was taken
        return self.mismatch <= max(WITHIN_NOISE * doubt, coarse)

    @property
    def is_not_analytic(self) -> bool:
        """Whether differences, unlike the complex step, find what the backward pass says."""
        nearest = min(abs(estimate - self.backward) for estimate in self.evidence.estimates)
        return self.method == "complex" and nearest <= 0.1 * self.mismatch

    @property
    def is_jump(self) -> bool:
        """Whether the estimates are s + j/h, with a j that no rounding makes."""
        long, middle, short = self.evidence.estimates
        inverse = [1 / step for step in self.evidence.steps]
        jump = (short - middle) / (inverse[2] - inverse[1])
        off = abs(middle - long - jump * (inverse[1] - inverse[0]))
        apart = abs(short - middle)
        return apart > 0.01 * self.mismatch and off <= 1e-3 * apart and abs(jump) > SMALLEST_JUMP * self.output_scale

    @property
    def is_noise(self) -> bool:
        """Whether the rounding errors of L explain the mismatch at every step."""
        noise = self.evidence.noise
        share = noise / max(self.output_scale, np.finfo(float).tiny)
        if share > LARGEST_NOISE or (self.method == "complex" and share <= SMALLEST_NOISE):
            return False  # the complex step does not suffer from float64's rounding
        pairs = zip(self.evidence.steps, self.evidence.estimates, strict=True)
        return all(abs(estimate - self.backward) <= WITHIN_NOISE * noise / step for step, estimate in pairs)

    @property
    def is_settled(self) -> bool:
        """Whether steps agree with each other better than with the backward pass, the shortest one but for rounding."""
        noise = self.evidence.noise
        far, near = np.abs(np.diff(self.evidence.estimates))
        rounded = noise <= LARGEST_NOISE * self.output_scale and near <= WITHIN_NOISE * noise / self.evidence.steps[2]
        agree = near <= 0.3 * self.mismatch or (far <= 0.3 * self.mismatch and rounded)
        return self.method == "complex" or bool(agree)


def diagnose(failures: Sequence[Failure]) -> tuple[list[Failure], list[str]]:
    """What each failure of a tensor looks like, as in `Element`.

    Returns:
        The failures, noise and doubt raised to what is usual among them, since either may be small by chance; and what
        they look like.
    """
    smooth = [failure for failure in failures if failure.is_finite and not failure.is_kink]
    if smooth:
        noise = float(np.median([failure.evidence.noise for failure in smooth]))
        doubt = float(np.median([failure.doubt for failure in smooth]))
        failures = [_raised(failure, noise, doubt) for failure in failures]
    return list(failures), [_looks_like(failure) for failure in failures]


def _raised(failure: Failure, noise: float, doubt: float) -> Failure:
    evidence = replace(failure.evidence, noise=max(failure.evidence.noise, noise))
    return replace(failure, evidence=evidence, doubt=max(failure.doubt, doubt))


def _looks_like(failure: Failure) -> str:
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
    """What the tensor looks like: a bug if some element does, unless rounding is so common that a few look like one."""
    counts = Counter(kinds)
    if counts["bug"] and 10 * counts["bug"] >= counts["rounding"] + counts["unsettled"]:
        return "bug"
    return counts.most_common(1)[0][0]


def explain(kind: str, failures: Sequence[Failure], hint: str) -> str:
    """A sentence on the failures of this kind, with the numbers of the worst, which is the first."""
    failure = failures[0]
    evidence = failure.evidence
    if kind == "not finite":
        which = "backward" if not np.isfinite(failure.backward) else "forward"
        return f"the {which} pass gives numbers that are not finite"
    if kind == "kink":
        return (
            f"looks like a kink: the slope is {evidence.left:.4g} to the left and {evidence.right:.4g} to the right, "
            f"at every step; move the tensor away from it{'' if failure.alone else COORDINATES_TELL}"
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
            "backward is what differences find, but not what the complex step finds: forward drops imaginary parts "
            "(abs, real, a cast, an array that is not the one in params); use method='central'"
        )
    if kind == "unsettled":
        values = ", ".join(f"{estimate:.4g}" for estimate in evidence.estimates)
        return (
            f"cannot be told from a bug: steps from {evidence.steps[0]:.0e} to {evidence.steps[-1]:.0e} give {values}; "
            "try method='complex', a shorter step in case it bends sharply, or a longer one in case of rounding"
        )
    if failure.method == "complex":
        return f"looks like a bug: the complex step is exact{hint}"
    return f"looks like a bug: steps of different length agree with each other{hint}"


def hint_at(backward: Array, forward: Array, shape: tuple[int, ...], tolerance: float) -> str:
    """What turns the true gradient into the wrong one, where it is as simple as a factor; else an empty text.

    Args:
        backward, forward: (N,), all derivatives that were compared.
        shape: of the tensor, where they are its coordinates; else empty.
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
            f"backward changes by {failure.doubt:.1e} when the tensors change in their last digits; "
            "take other inputs, write it so that less cancels, or allow a larger tolerance"
        )
    # error O(share/h) + O(h⁴): the best step, and what it reaches
    noise, step = max(failure.evidence.noise for failure in failures), failure.evidence.steps[0]
    share = noise / failure.scale
    return (
        f"it moves L by {noise:.1e} and the slope by {noise / step:.1e} at a step of {step:.0e}; compute in float64 "
        f"throughout, with numbers near 1, or try step={share**0.2:.0e}, tolerance={20 * share**0.8:.0e}"
    )


def _close(one: Array, other: Array, tolerance: float) -> bool:
    return bool(np.abs(one - other).max() <= tolerance * np.abs(other).max())
