"""A mistake at a place of the graph: supposed, as a hypothesis, or found, as a cause."""

import math
from dataclasses import dataclass, field, replace

from npswin.deprecation import renamed_attribute
from npswin.verify.mistakes import Changes

LARGEST_FITTED_RATIO = 0.5  # of the distance to the tolerance: fitted numbers can make many things agree
AS_LOADED = "as it was loaded: the gradient is that of what was loaded"
COMPELLING = 4.0  # times nearer, at least, a mistake has to bring the port's tensor
FEWEST_OF_A_CURVE = 16  # fitted numbers from which an explanation is one of the numbers, not of their derivative


@dataclass
class Hypothesis:
    """A mistake at a place in the graph.

    Attributes:
        name, description, fix, detail: as in the catalogue; those of two mistakes are joined.
        place: the tensor whose operation is changed.
        changes: the changed nodes of the graph.
        backward: whether only the backward pass is wrong.
        tolerance_ratio: the distance of the port's tensor from the changed graph's, divided by the tolerance; up to 1
            they agree.
        symptoms_left: how many symptoms are left when the graph is changed.
        fitted: whether it was fitted to the port's tensor.
        fitted_numbers: how many numbers were fitted.
        rank: its place among fitted ones, the simplest first.
        everywhere: whether the mistake is made at every place from which the symptom may come.
        also: further descriptions that fit as well, as of a move of two heads, which many rules make.
        varies: whether it is the same mistake with other numbers, as those that are drawn or rounded anew.
    """

    name: str
    description: str
    fix: str
    detail: str
    place: str
    changes: Changes
    backward: bool = False
    tolerance_ratio: float = math.inf
    symptoms_left: int = 0
    fitted: bool = False
    fitted_numbers: int = 0
    rank: int = 0
    everywhere: bool = False
    varies: bool = False
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.description}{f' ({self.detail})' if self.detail else ''}"

    @property
    def without_loading(self) -> str:
        """In words, without the remark that a parameter was loaded so."""
        details = [part for part in self.detail.split("; ") if part and part != AS_LOADED]
        return str(replace(self, detail="; ".join(details)))

    @property
    def explains_symptom(self) -> bool:
        """Whether the changed graph's tensor agrees with the port's; a fit has to agree better."""
        return self.tolerance_ratio <= (LARGEST_FITTED_RATIO if self.fitted else 1)

    def is_compelling(self, ratio_without: float) -> bool:
        """Whether it explains much of a symptom.

        Args:
            ratio_without: the symptom's distance without a mistake, divided by the tolerance.
        """
        return self.explains_symptom and ratio_without >= COMPELLING * self.tolerance_ratio

    @property
    def without_derivative(self) -> set[str]:
        """The tensors whose function is a curve that was read off: it does not tell how the port differentiates it."""
        is_curve = self.fitted_numbers >= FEWEST_OF_A_CURVE and not self.backward
        return set(self.changes) if is_curve else set()

    says = renamed_attribute("says", "description")
    mend = renamed_attribute("mend", "fix")
    excess = renamed_attribute("excess", "tolerance_ratio")
    left = renamed_attribute("left", "symptoms_left")


@dataclass
class Cause:
    """A mistake that was found.

    Attributes:
        hypothesis: the mistake.
        symptom: the wrong tensor from which it was found.
        ratio_without: the distance of the symptom without the mistake, divided by the tolerance.
        explained: the symptoms that are gone when the mistake is made in the graph.
        places: the tensors whose operations are changed; the first is the hypothesis'.
        others: further hypotheses, the nearest first. One that explains the symptom as well is
            an alternative to the hypothesis.
        not_used_by: the tensors that follow and agree with the key nevertheless.
        details: by place the numbers there, where a mistake has other numbers at each place.
        with_other_numbers: the same mistake at other places, with other numbers in its description.
    """

    hypothesis: Hypothesis
    symptom: str
    ratio_without: float
    explained: list[str]
    places: list[str]
    others: list[Hypothesis] = field(default_factory=list)
    not_used_by: list[str] = field(default_factory=list)
    details: dict[str, str] = field(default_factory=dict)
    with_other_numbers: list[Hypothesis] = field(default_factory=list)

    def __str__(self) -> str:
        return self.hypothesis.description if len(set(self.details.values())) > 1 else str(self.hypothesis)

    def add_places(self, other: "Cause") -> None:
        """The same mistake, found at other places."""
        if self.hypothesis.varies:
            self.details.setdefault(self.places[0], self.hypothesis.detail)
            self.details |= dict.fromkeys(other.places, other.hypothesis.detail)
        self.places += [place for place in other.places if place not in self.places]
        self.explained += [name for name in other.explained if name not in self.explained]

    @property
    def shown_places(self) -> list[str]:
        """The places, with the numbers of each where they differ."""
        if len(set(self.details.values())) < 2:
            return self.places
        return [f"{place} ({self.details[place]})" for place in self.places]

    without = renamed_attribute("without", "ratio_without")
