"""Factors of each parameter's own: by its norm, by its depth, or without a rule."""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from npswin.types import Array
from npswin.verify.fits.numbers import chosen
from npswin.verify.port.gradient_rules import SHARE, Parameters, Update
from npswin.verify.port.gradient_symptoms import Rule

LARGEST_RESIDUAL = 1e-3  # of a gradient from a multiple of the right one
FEWEST = 4  # parameters
LISTED = 3  # factors in words
FIX = "dump the gradient itself, before the optimizer's rates"


def _factors(parameters: Parameters) -> dict[str, float]:
    """By parameter the factor of its gradient; none where one of them is no multiple."""
    factors = {}
    for name, one in parameters.wrong.items():
        limit = max(LARGEST_RESIDUAL, parameters.near)
        far = float(np.linalg.norm(one.found - one.factor * one.right)) - 2 * one.rounding * math.sqrt(one.found.size)
        if not math.isfinite(one.factor) or far > limit * float(np.linalg.norm(one.found)):
            return {}
        factors[name] = one.factor
    return factors


def _by_norms(parameters: Parameters) -> Iterator[Update]:
    """c ‖θ‖ / ‖g‖ (LARS, LAMB), and at most 1 (adaptive clipping)."""
    factors = _factors(parameters)
    if len(factors) < FEWEST:
        return
    norms = {name: float(np.linalg.norm(parameters.values[name])) for name in factors}
    sizes = {name: float(np.linalg.norm(parameters.wrong[name].right)) for name in factors}
    rates = [factors[name] * sizes[name] / norms[name] for name in factors if norms[name] and sizes[name]]
    rate = float(np.median(rates)) if rates else 0.0
    same = sum(abs(one / rate - 1) <= parameters.near for one in rates) if rate else 0
    if same < max(FEWEST, SHARE * len(factors)):
        return
    rate = chosen(rate)
    clipped = all(0 < factor < 1 for factor in factors.values())
    words = f"each parameter's gradient is multiplied by {rate:.4g} ‖θ‖ / ‖g‖, the ratio of norms of LARS and LAMB"
    if clipped:
        words += f"; or clipped to {rate:.4g} times the parameter's norm, adaptive clipping"

    def rule(g: Array, theta: Array) -> Array:
        return g * (rate * float(np.linalg.norm(theta)) / max(float(np.linalg.norm(g)), 1e-300))

    yield Update("gradients-normalized", words, FIX, rule)


def _by_depth(parameters: Parameters) -> Iterator[Update]:
    """r^n, n the number of layers behind: rates that decay from layer to layer."""
    factors = _factors(parameters)
    values = [factor for factor in factors.values() if abs(factor - 1) > parameters.near]
    if len(values) < FEWEST or min(values) <= 0:
        return
    rate = max(values) if max(values) < 1 else min(values) if min(values) > 1 else 0.0
    if not rate:
        return
    rate = chosen(rate)
    powers = {name: math.log(factor) / math.log(rate) for name, factor in factors.items()}
    whole = {name: round(power) for name, power in powers.items()}
    if len(set(whole.values())) < 3 or any(abs(powers[name] - whole[name]) > 0.01 for name in powers):
        return
    rules = {name: _times(rate**power) for name, power in whole.items()}
    if parameters.given_by(rules):
        first, last = min(whole, key=lambda name: -whole[name]), min(whole, key=lambda name: whole[name])
        description = (
            f"the gradients are multiplied by {rate:.4g} once more from layer to layer: by {rate:.4g}^{whole[last]} at "
            f"{last}, by {rate:.4g}^{whole[first]} at {first}: layer-wise decay of learning rates"
        )
        yield Update("gradients-scaled", description, FIX, fitted=False, rules=rules)


def _each_its_own(parameters: Parameters) -> Iterator[Update]:
    """Each gradient has a factor, and there is no rule for them."""
    factors = _factors(parameters)
    different = {float(f"{factor:.3g}") for factor in factors.values()}
    if len(factors) < FEWEST or len(different) < max(FEWEST, len(factors) / 2):
        return
    listed = ", ".join(f"{factor:.4g} for {name}" for name, factor in list(factors.items())[:LISTED])
    description = f"each parameter's gradient is multiplied by a number of its own: {listed}, ..."
    rules: Mapping[str, Rule] = {name: _times(factor) for name, factor in factors.items()}
    yield Update("gradients-scaled", description, FIX, rules=rules, fitted_numbers=len(factors))


def _times(factor: float) -> Rule:
    return lambda g, _: g * g.dtype.type(factor)


NORMS = (_by_norms, _by_depth, _each_its_own)
