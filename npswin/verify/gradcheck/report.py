"""What a gradient check found, tensor by tensor, and how it prints."""

from dataclasses import dataclass


class GradcheckError(AssertionError):
    """A backward pass that is not the derivative of its forward pass; the message is the report."""


@dataclass(frozen=True)
class Element:
    """One derivative that was compared.

    Attributes:
        place: an index into the tensor, or the direction's number.
        backward, forward: the two values.
        looks_like: "bug", "kink", "jump", "rounding", "not analytic", "unsettled" or "not finite"; empty where it is
            right or was not looked at.
    """

    place: tuple[int, ...]
    backward: float
    forward: float
    looks_like: str = ""

    @property
    def difference(self) -> float:
        """backward − forward."""
        return self.backward - self.forward


@dataclass(frozen=True)
class TensorCheck:
    """What was found for one tensor.

    Attributes:
        name: "input 0", …, the parameter's name, or "all tensors" where they moved together.
        shape: of the tensor; empty for all.
        along: how many derivatives were compared, and whether along "coordinates", "directions" or "joint directions".
        error: the largest difference between backward pass and forward pass, over the gradient's scale.
        tolerance: the largest error that passes.
        compared, differing: how many derivatives were compared, and how many of them exceed the tolerance.
        elements: those of the largest differences, the worst first.
        looks_like: what the failure looks like, as in `Element`; empty where the tensor passed.
        explanation: why, and what to do about it.
    """

    name: str
    shape: tuple[int, ...]
    along: str
    error: float
    tolerance: float
    compared: int
    differing: int
    elements: tuple[Element, ...]
    looks_like: str = ""
    explanation: str = ""

    @property
    def ok(self) -> bool:
        """Whether the error is within the tolerance; NaN is not."""
        return self.error <= self.tolerance

    @property
    def worst(self) -> tuple[int, ...]:
        """Where the largest difference is."""
        return self.elements[0].place

    @property
    def backward(self) -> float:
        """What the backward pass says there."""
        return self.elements[0].backward

    @property
    def forward(self) -> float:
        """What the forward pass says there."""
        return self.elements[0].forward

    def lines(self, width: int) -> list[str]:
        """One line, or, where it failed, some more: what it looks like, and the worst elements."""
        head = f"  {'ok  ' if self.ok else 'FAIL'}  {self.name:{width}}  error {self.error:.1e}  ({self.along})"
        if self.ok:
            return [head]
        lines = [f"{head}  {self.differing} of {self.compared} differ", f"        {self.explanation}"]
        for element in self.elements:
            where = f"at {element.place}" if "coordinate" in self.along else f"direction {element.place[0]}"
            lines.append(
                f"        {where}: backward {element.backward:.9g}, forward says {element.forward:.9g}, "
                f"difference {element.difference:.1e}"
            )
        return lines


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
        for check in sorted(self.checks, key=lambda check: (check.ok, -check.error)):
            lines += check.lines(width)
        return "\n".join(lines)
