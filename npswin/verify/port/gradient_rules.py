"""Rules that make something of each parameter's gradient, and whether they make a port's gradients."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.gradient_symptoms import GradientSymptoms, Rule, WrongGradient, with_gradients

FEWEST_NUMBERS = 32  # of all wrong gradients together
SAME = 1e-3  # relative distance within which two fitted numbers are the same, unless the precision is coarser
ROUNDINGS = 2  # of a gradient that is computed in another way
SMALLEST_ROUNDING = 1e-6  # relative to a gradient's largest number
SHARE = 2 / 3  # of the wrong gradients that a rule has to give


@dataclass(frozen=True)
class Parameters:
    """The wrong gradients of parameters, and the parameters.

    Attributes:
        wrong, values: by parameter.
        near: the relative distance within which two fitted numbers are the same.
        all_wrong: whether no dumped gradient of a parameter is right.
    """

    wrong: Mapping[str, WrongGradient]
    values: Mapping[str, Array]
    near: float
    all_wrong: bool = True

    def largest_found(self) -> float:
        """The largest number of all gradients of the port."""
        return max(float(np.abs(one.found).max()) for one in self.wrong.values())

    def joined(self, pick: Callable[[str, WrongGradient], Array]) -> Array:
        """One vector of all tensors' numbers, each divided by the root mean square of its right gradient."""
        parts = []
        for name, one in self.wrong.items():
            rms = float(np.sqrt(np.mean(one.right**2)))
            parts.append(pick(name, one).reshape(-1) / rms)
        return np.concatenate(parts)

    def given_by(self, rules: Rule | Mapping[str, Rule]) -> bool:
        """Whether a rule, or one for each parameter, gives most of the port's gradients."""
        count = 0
        with np.errstate(all="ignore"):
            for name, one in self.wrong.items():
                rule = rules[name] if isinstance(rules, Mapping) else rules
                made = rule(one.right, self.values[name])
                limit = self.near * float(np.abs(one.found).max()) + 2 * one.rounding
                count += bool((np.abs(made - one.found) <= limit).all())
        return count >= SHARE * len(self.wrong)


@dataclass(frozen=True)
class Update:
    """Something that is made of each gradient.

    Attributes:
        name, description, fix: of the cause.
        rule: what is made of a gradient and its parameter.
        fitted: whether it has a fitted number.
        rules: by parameter, where they differ.
        fitted_numbers: how many, where that are many.
    """

    name: str
    description: str
    fix: str
    rule: Rule | None = None
    fitted: bool = True
    rules: Mapping[str, Rule] | None = None
    fitted_numbers: int = 0


def wrong_parameters(wrong: GradientSymptoms, fewest: int = 1) -> Parameters | None:
    """The wrong gradients of parameters; None if the first wrong one is another's, or if they have too few numbers.

    Args:
        wrong: all wrong gradients.
        fewest: parameters.
    """
    of_parameters = wrong.wrong_parameters
    numbers = sum(one.found.size for one in of_parameters.values())
    if wrong.first not in of_parameters or numbers < FEWEST_NUMBERS or len(of_parameters) < fewest:
        return None
    values = {name: np.asarray(wrong.run.value(name), np.float64) for name in of_parameters}
    return Parameters(of_parameters, values, max(SAME, wrong.nearness), not wrong.right_factors)


def hypothesis_of(wrong: GradientSymptoms, update: Update) -> Hypothesis:
    """The hypothesis that an update was made of the wrong gradients of parameters."""
    rules = update.rules or dict.fromkeys(wrong.wrong_parameters, update.rule)
    changes = with_gradients(wrong.graph, rules)  # type: ignore[arg-type]
    detail = f"in {len(rules)} parameters"
    place = wrong.graph.consumers[wrong.first][0]
    text = update.name, update.description, update.fix
    one = Hypothesis(*text, detail, place, changes, backward=True, fitted=update.fitted)
    one.fitted_numbers = update.fitted_numbers
    return one


def replaced_by(array: Array, wrong: WrongGradient, near: float = SMALLEST_ROUNDING) -> Rule:
    """The rule that puts constant numbers in place of a gradient; up to rounding errors, they are the port's.

    Args:
        array: the numbers.
        wrong: the port's gradient.
        near: the rounding errors, relative to the gradient's largest number.
    """
    limit = ROUNDINGS * wrong.rounding + near * float(np.abs(wrong.found).max())
    made = np.where(np.abs(array - wrong.found) <= limit, wrong.found, array)
    return lambda gradient, _: made.astype(gradient.dtype)
