"""The report of a gradient check, tensor by tensor, and its text."""

from dataclasses import dataclass

from npswin.deprecation import renamed_attribute


class GradcheckError(AssertionError):
    """A backward pass is not the derivative of its forward pass; the message is the report."""


@dataclass(frozen=True)
class Element:
    """One derivative that was compared.

    Attributes:
        index: into the tensor, or the direction's number.
        backward, forward: the two values.
        looks_like: "bug", "kink", "jump", "rounding", "not analytic", "unsettled" or "not finite"; empty where it is
            correct or was not examined.
    """

    index: tuple[int, ...]
    backward: float
    forward: float
    looks_like: str = ""

    @property
    def difference(self) -> float:
        """backward − forward."""
        return self.backward - self.forward

    place = renamed_attribute("place", "index")


@dataclass(frozen=True)
class TensorCheck:
    """The check of one tensor.

    Attributes:
        name: "input 0", …, the parameter's name, or "all tensors" where they changed together.
        shape: of the tensor; empty for all.
        along: how many derivatives were compared, and whether along "coordinates", "directions" or "joint directions".
        error: the largest difference between backward pass and forward pass, divided by the gradient's scale.
        tolerance: the largest error that passes.
        compared, differing: how many derivatives were compared, and how many of them exceed the tolerance.
        elements: those with the largest differences, the largest first.
        looks_like: the kind of failure, as in `Element`; empty where the tensor passed.
        explanation: the reason for this kind, and what to do.
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
        """The index of the largest difference."""
        return self.elements[0].index

    @property
    def backward(self) -> float:
        """The backward pass's value at `worst`."""
        return self.elements[0].backward

    @property
    def forward(self) -> float:
        """The forward pass's value at `worst`."""
        return self.elements[0].forward

    def lines(self, width: int) -> list[str]:
        """One line; for a failure also the kind of failure and the elements with the largest differences."""
        head = f"  {'ok  ' if self.ok else 'FAIL'}  {self.name:{width}}  error {self.error:.1e}  ({self.along})"
        if self.ok:
            return [head]
        lines = [f"{head}  {self.differing} of {self.compared} differ", f"        {self.explanation}"]
        for element in self.elements:
            where = f"at {element.index}" if "coordinate" in self.along else f"direction {element.index[0]}"
            lines.append(
                f"        {where}: backward {element.backward:.9g}, forward {element.forward:.9g}, "
                f"difference {element.difference:.1e}"
            )
        return lines


@dataclass(frozen=True)
class GradcheckReport:
    """The checks of all tensors. `print` it: a table with failures first."""

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
