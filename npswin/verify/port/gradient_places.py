"""Gradients of parameters that are under other names, added to others, or in other places of one buffer."""

from collections.abc import Iterator, Mapping

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.gradient_rules import SHARE, Parameters, Update, hypothesis_of, replaced_by, wrong_parameters
from npswin.verify.port.gradient_symptoms import GradientSymptoms, Rule

LISTED = 3  # parameters in words
LONGEST_SHIFT = 4096  # numbers by which a buffer may be shifted
FEWEST = 2  # parameters
SMALLEST = 4  # numbers of a gradient that is recognized by them


def place_hypotheses(wrong: GradientSymptoms) -> Iterator[Hypothesis]:
    """The numbers of other parameters' gradients in place of the parameters' own, or added to them."""
    parameters = wrong_parameters(wrong, FEWEST)
    if parameters is None:
        return
    right = {name: np.asarray(wrong.run.compute(GRADIENT_PREFIX + name), np.float64) for name in wrong.parameters}
    updates = (_under_other_names(parameters, right), _tied(parameters, right), _shifted(parameters, right))
    for update in updates:
        if update is not None:
            yield hypothesis_of(wrong, update)


def _limit(parameters: Parameters, name: str) -> float:
    one = parameters.wrong[name]
    return 2 * one.rounding + parameters.near * float(np.abs(one.found).max())


def _same_size(name: str, right: Mapping[str, Array]) -> list[str]:
    own = right[name]
    return [other for other, array in right.items() if other != name and array.size == own.size and array.any()]


def _under_other_names(parameters: Parameters, right: Mapping[str, Array]) -> Update | None:
    sources: dict[str, str] = {}
    for name, one in parameters.wrong.items():
        flat, limit = one.found.reshape(-1), _limit(parameters, name)
        for other in _same_size(name, right):
            if flat.size >= SMALLEST and np.abs(right[other].reshape(-1) - flat).max() <= limit:
                sources[name] = other
                break
    if len(sources) < max(FEWEST, SHARE * len(parameters.wrong)):
        return None
    rules = {
        name: replaced_by(right[other].reshape(right[name].shape), parameters.wrong[name])
        for name, other in sources.items()
    }
    listed = ", ".join(f"{name} has that of {other}" for name, other in list(sources.items())[:LISTED])
    more = ", ..." if len(sources) > LISTED else ""
    description = f"gradients are under other parameters' names: {listed}{more}"
    return Update("gradients-named", description, "the gradient of each parameter under its name", None, False, rules)


def _tied(parameters: Parameters, right: Mapping[str, Array]) -> Update | None:
    """Each is the sum of its own and another one's, as if two parameters were one."""
    sources: dict[str, str] = {}
    for name, one in parameters.wrong.items():
        rest, limit = (one.found - one.right).reshape(-1), 2 * _limit(parameters, name)
        for other in _same_size(name, right):
            if rest.size >= SMALLEST and np.abs(right[other].reshape(-1) - rest).max() <= limit:
                sources[name] = other
                break
    if len(sources) < max(FEWEST, SHARE * len(parameters.wrong)):
        return None
    rules = {name: _plus(right[other].reshape(right[name].shape)) for name, other in sources.items()}
    listed = ", ".join(f"{name} and {other}" for name, other in list(sources.items())[:LISTED])
    more = ", ..." if len(sources) > LISTED else ""
    description = f"the gradients of two parameters are added up, as if they were one: {listed}{more}"
    return Update("gradients-tied", description, "each parameter has a gradient of its own", None, False, rules)


def _plus(array: Array) -> Rule:
    return lambda gradient, _: gradient + array.astype(gradient.dtype)


def _shifted(parameters: Parameters, right: Mapping[str, Array]) -> Update | None:
    """All gradients in one buffer, which is read from another place on."""
    names = [name for name in right if name in parameters.wrong]
    if len(names) < FEWEST or len(names) < SHARE * len(right):
        return None
    whole = np.concatenate([right[name].reshape(-1) for name in right])
    starts = dict(zip(right, np.cumsum([0, *(array.size for array in right.values())]), strict=False))
    first = max(names, key=lambda name: right[name].size)
    found, limit = parameters.wrong[first].found.reshape(-1), _limit(parameters, first)
    for shift in sorted(range(-LONGEST_SHIFT, LONGEST_SHIFT + 1), key=abs):
        at = (starts[first] + shift) % whole.size
        if shift and abs(whole[at] - found[0]) <= limit:
            places = (at + np.arange(found.size)) % whole.size
            if np.abs(whole[places] - found).max() <= limit:
                break
    else:
        return None
    rules = {
        name: replaced_by(
            whole[(starts[name] + shift + np.arange(right[name].size)) % whole.size].reshape(right[name].shape),
            parameters.wrong[name],
        )
        for name in names
    }
    if not parameters.given_by(rules):
        return None
    by = f"{abs(shift)} number{'s' if abs(shift) > 1 else ''}"
    description = f"all gradients are in one buffer, which is read {by} too {'late' if shift > 0 else 'early'}"
    return Update("gradients-shifted", description, "each gradient begins where its parameter does", None, False, rules)
