"""What an optimizer makes of each parameter's gradient g, dumped in its place: decayed, clipped, rounded."""

from collections.abc import Callable, Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.gradient_factors import CLIPPING_EPS, RATES, SIGMAS
from npswin.verify.port.gradient_functions import FUNCTIONS, SMALL
from npswin.verify.port.gradient_norms import NORMS
from npswin.verify.port.gradient_rules import SAME, Parameters, Update, hypothesis_of, wrong_parameters
from npswin.verify.port.gradient_symptoms import GradientSymptoms, Rule, WrongGradient

ROUNDING = 2e-7  # of a limit in float32
SMALLEST_TERM = 1e-2  # of an added term, as a share of what is wrong
DECAYS = tuple(digit * 10.0**power for power in range(-1, -7, -1) for digit in (1, 5, 2, 3))
NEARLY_SIGNS = 0.05  # by which half of the numbers may be smaller than the largest, if signs alone are left
LIMITS = (1.0, 2.0, 5.0, 10.0)  # of clipping, besides those numbers
FEWEST_AT_LIMIT = 8  # numbers that are as large as the largest one, if these are clipped
STEPS_OF_BITS = {8: 127, 4: 7}  # of a symmetric grid


def update_hypotheses(wrong: GradientSymptoms) -> Iterator[Hypothesis]:
    """What may have been made of the gradients of parameters; none if the first wrong one is another's."""
    parameters = wrong_parameters(wrong)
    if parameters is None:
        return
    own = (_added_term, _clipped_by_value, _clipped_by_tensor, _signs, _powers, _centred, _flushed, _on_a_grid)
    of_several = (*FUNCTIONS, *NORMS) if len(parameters.wrong) > 1 else ()
    for fit in (*own, *of_several):
        for update in fit(parameters):
            yield hypothesis_of(wrong, update)


def _rounded_to(number: float, known: tuple[float, ...], near: float) -> float | None:
    """The one of some known numbers that a fitted number is."""
    return next((one for one in known if abs(number / one - 1) <= near), None)


def _added_term(parameters: Parameters) -> Iterator[Update]:
    """a g + λ θ: weight decay, or the parameter after the step; a g + λ sign(θ)."""
    found, right = parameters.joined(lambda _, one: one.found), parameters.joined(lambda _, one: one.right)
    terms: dict[str, Callable[[Array], Array]] = {"the parameter": lambda theta: theta, "its sign": np.sign}
    for what, term in terms.items():
        added = parameters.joined(lambda name, _, term=term: term(parameters.values[name]))  # type: ignore[misc]
        (factor, decay), *_ = np.linalg.lstsq(np.stack([right, added], axis=1), found, rcond=None)
        size = np.linalg.norm(found - right)
        if not np.isfinite(decay) or np.linalg.norm(decay * added) < SMALLEST_TERM * size or not factor:
            continue
        if what == "the parameter" and abs(decay - 1) < parameters.near:
            rate = _rounded_to(-factor, RATES, parameters.near) or -float(factor)
            description = f"the parameter after the step is dumped: θ - {rate:.4g} g"
            rule = _linear(-rate, 1.0, term)
            yield Update("update-for-gradient", description, "dump the gradient itself", rule)
            continue
        exact = _rounded_to(abs(decay), DECAYS, parameters.near)
        number = float(np.sign(decay) * exact) if exact else float(decay)
        multiple = 1.0 if abs(factor - 1) <= parameters.near else float(factor)
        description = f"{number:.4g} times {what} is added to each gradient, weight decay"
        if multiple != 1:
            description += f", and the gradient is multiplied by {multiple:.5g}"
        fix = "dump the gradients before the decay is added; decoupled decay (AdamW) does not touch them"
        fitted = exact is None or multiple != 1
        yield Update("decay-added", description, fix, _linear(multiple, number, term), fitted)


def _linear(factor: float, decay: float, term: Callable[[Array], Array]) -> Rule:
    return lambda gradient, theta: factor * gradient + decay * term(theta)


def _clipped_by_value(parameters: Parameters) -> Iterator[Update]:
    largest = parameters.largest_found()
    cut = sum(int((np.abs(one.right) > largest * (1 + parameters.near)).sum()) for one in parameters.wrong.values())
    at_limit = sum(int((np.abs(one.found) >= largest * (1 - ROUNDING)).sum()) for one in parameters.wrong.values())
    if cut and not all(one.is_zero for one in parameters.wrong.values()):
        limit = _rounded_to(largest, (*DECAYS, *LIMITS), parameters.near) or largest
        description = f"each number of the parameters' gradients is clipped to ±{limit:.4g}"
        fix = "compare the gradients before they are clipped"
        fitted = limit == largest and at_limit < FEWEST_AT_LIMIT
        rules = {name: _clipped_to(limit, one) for name, one in parameters.wrong.items()}
        yield Update("gradients-clipped", description, fix, fitted=fitted, rules=rules)


def _clipped_to(limit: float, wrong: WrongGradient) -> Rule:
    """The rule that clips; what it leaves of a sum has the rounding errors of the whole sum, and may be the port's."""

    def rule(g: Array, _: Array) -> Array:
        clipped = np.clip(g, -limit, limit)
        return np.where(np.abs(clipped - wrong.found) <= wrong.rounding, wrong.found, clipped)

    return rule


def _clipped_by_tensor(parameters: Parameters) -> Iterator[Update]:
    """Each tensor has the same norm: clipped to it, or divided by its own."""
    norms = [float(np.linalg.norm(one.found)) for one in parameters.wrong.values()]
    if len(norms) < 2 or not norms[0] or np.ptp(norms) > parameters.near * norms[0]:
        return
    limit = _rounded_to(norms[0], (*DECAYS, *LIMITS), parameters.near) or norms[0]
    fix = "compare the gradients before they are clipped or normalized"
    to_norm = [("gradients-clipped", f"each parameter's gradient by itself is clipped to the norm {limit:.4g}", 1.0)]
    if parameters.all_wrong:  # a clipped one may be right, as it is smaller
        description = f"each parameter's gradient is divided by its own norm (times {limit:.4g})"
        to_norm.append(("gradients-normalized", description, np.inf))
    for name, description, most in to_norm:
        for eps in (0.0, CLIPPING_EPS):
            yield Update(name, description, fix, _to_norm(limit, most, eps), limit == norms[0])


def _to_norm(limit: float, most: float, eps: float) -> Rule:
    """g c / (‖g‖ + ε), with a factor of at most `most`."""
    return lambda g, _: g * min(most, limit / max(float(np.linalg.norm(g)) + eps, SMALL))


def _signs(parameters: Parameters) -> Iterator[Update]:
    """c sign(g), and c g / (|g| + 1e-8), the first step of Adam."""
    largest = parameters.largest_found()
    if not largest:
        return
    sizes = np.concatenate([np.abs(one.found).reshape(-1) for one in parameters.wrong.values()])
    if np.median(np.abs(sizes / largest - 1)) > NEARLY_SIGNS:
        return
    sign = float(
        np.sign(sum(float(np.vdot(np.sign(one.found), np.sign(one.right))) for one in parameters.wrong.values()))
    )
    rate = sign * (_rounded_to(largest, (1.0, *RATES), parameters.near) or largest)
    fix = "dump the gradient itself"
    for description, rule in (
        (f"only the signs of the gradients are left, times {rate:.4g}", lambda g: rate * np.sign(g)),
        (f"the first step of Adam is dumped, {rate:.4g} g / (|g| + 1e-8)", lambda g: rate * g / (np.abs(g) + 1e-8)),
    ):
        slack = parameters.near * abs(rate)
        rules = {name: _up_to_rounding(rule, one, slack) for name, one in parameters.wrong.items()}
        yield Update("update-for-gradient", description, fix, fitted=abs(rate) == largest, rules=rules)


def _up_to_rounding(monotone: Callable[[Array], Array], wrong: WrongGradient, slack: float) -> Rule:
    """The rule; where rounding errors of the gradient turn its result into the port's, that is the result."""

    def rule(g: Array, _: Array) -> Array:
        ends = monotone(g - wrong.rounding), monotone(g + wrong.rounding)
        possible = (wrong.found >= np.minimum(*ends) - slack) & (wrong.found <= np.maximum(*ends) + slack)
        return np.where(possible, wrong.found, monotone(g))

    return rule


def _powers(parameters: Parameters) -> Iterator[Update]:
    """c g² (Adam's second moment), c |g|."""
    found = parameters.joined(lambda _, one: one.found)
    powers: dict[str, Callable[[Array], Array]] = {"the square": np.square, "the absolute value": np.abs}
    for what, power in powers.items():
        made = parameters.joined(lambda _, one, power=power: power(one.right))  # type: ignore[misc]
        factor = float(np.vdot(made, found) / np.vdot(made, made))
        if factor and np.linalg.norm(found - factor * made) <= parameters.near * SIGMAS * np.linalg.norm(found):
            exact = _rounded_to(factor, (1.0, 0.001, 0.01, 0.05, 0.02, 0.1), parameters.near)
            number = exact or factor
            description = f"{what} of each gradient is dumped, times {number:.4g}"
            if what == "the square":
                description += ": Adam's second moment, whose first value is (1 - β2) g²" if number != 1 else ""
            rule = _power_rule(power, number)
            yield Update("update-for-gradient", description, "dump the gradient itself", rule, exact is None)


def _power_rule(power: Callable[[Array], Array], factor: float) -> Rule:
    return lambda g, _: factor * power(g)


def _centred(parameters: Parameters) -> Iterator[Update]:
    """g minus its mean over all axes but the first (gradient centralization)."""

    def centred(g: Array, _: Array) -> Array:
        return g - g.mean(axis=tuple(range(1, g.ndim)), keepdims=True) if g.ndim > 1 else g

    first = next((one for one in parameters.wrong.values() if one.found.ndim > 1), None)
    if (
        first is not None
        and np.abs(first.found.mean(axis=tuple(range(1, first.found.ndim)))).max()
        < parameters.near * np.abs(first.found).max()
    ):
        description = "each row of the weights' gradients has its mean subtracted (gradient centralization)"
        yield Update("gradients-centred", description, "dump the gradient itself", centred, False)


def _flushed(parameters: Parameters) -> Iterator[Update]:
    """Small numbers are 0, as in float16 without a loss scale."""
    zeros = [np.abs(one.right[(one.found == 0) & (one.right != 0)]) for one in parameters.wrong.values()]
    others = [np.abs(one.found[one.found != 0]) for one in parameters.wrong.values()]
    largest_zero = max((float(part.max()) for part in zeros if part.size), default=0.0)
    smallest = min((float(part.min()) for part in others if part.size), default=np.inf)
    if 0 < largest_zero < smallest * (1 + ROUNDING) < np.inf:
        middle = (largest_zero + smallest) / 2
        rounded = (float(f"{middle:.{digits}g}") for digits in (1, 2, 3))
        limit = next((number for number in rounded if largest_zero < number <= smallest), middle)
        description = f"gradients of less than about {limit:.3g} are 0"
        fix = "compute gradients in float32 or bfloat16, or scale the loss: float16 has no numbers below 6e-8"
        yield Update("gradients-flushed", description, fix, lambda g, _: np.where(np.abs(g) < limit, 0, g), False)


def _on_a_grid(parameters: Parameters) -> Iterator[Update]:
    """Each tensor is rounded to multiples of one step, its largest number to the last of them."""
    for bits, steps in STEPS_OF_BITS.items():
        rules: dict[str, Rule] = {}
        for name, one in parameters.wrong.items():
            step = float(np.abs(one.found).max()) / steps
            multiples = one.found / step if step else np.full_like(one.found, np.nan)
            if not np.allclose(multiples, np.rint(multiples), atol=0.02):
                break
            rules[name] = _nearest_of_grid(step, one.found)
        else:
            description = f"the gradients are rounded to {bits} bits, with one scale a tensor"
            fix = "dump the gradients before they are quantized"
            yield Update("gradients-rounded", description, fix, rules=rules, fitted=False)


def _nearest_of_grid(step: float, found: Array) -> Rule:
    """The multiple of a step that is nearest; between two, the port's."""

    def rule(g: Array, _: Array) -> Array:
        between = np.abs(np.abs(g / step - np.floor(g / step)) - 0.5) < SAME
        return np.where(between & (np.abs(g - found) < step), found, np.rint(g / step) * step)

    return rule
