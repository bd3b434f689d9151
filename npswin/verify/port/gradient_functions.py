"""Functions of each gradient, dumped in its place: of each number by itself, of a tensor, or of a matrix' rows."""

from collections.abc import Callable, Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.numbers import chosen
from npswin.verify.port.gradient_rules import Parameters, Update
from npswin.verify.port.gradient_symptoms import Rule, WrongGradient

FIX = "dump the gradient itself"
SMALLEST_SHARE, LARGEST_SHARE = 0.005, 0.995  # of a gradient's numbers that are 0
SMALL = 1e-300


def _mean(g: Array) -> Array:
    return g - g.mean()


def _standardized(g: Array, ddof: int) -> Array:
    return (g - g.mean()) / max(float(g.std(ddof=min(ddof, g.size - 1))), SMALL)


def _rows(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda g: function(g) if g.ndim > 1 else g


def _row_norms(g: Array) -> Array:
    return g / np.maximum(np.linalg.norm(g, axis=-1, keepdims=True), SMALL)


def _without_row(row: int) -> Callable[[Array], Array]:
    def without(g: Array) -> Array:
        kept = np.ones(len(g)).reshape(-1, *[1] * (g.ndim - 1))
        kept[row] = 0
        return g * kept

    return without


PLAIN: dict[str, Callable[[Array], Array]] = {
    "negative numbers of the gradients are 0 (a ReLU)": lambda g: np.maximum(g, 0),
    "positive numbers of the gradients are 0": lambda g: np.minimum(g, 0),
    "tanh of each number of the gradients is dumped": np.tanh,
    "the root of each number of the gradients is dumped, with its sign": lambda g: np.sign(g) * np.sqrt(np.abs(g)),
    "log(1 + |g|) of each number of the gradients is dumped, with its sign": lambda g: np.sign(g) * np.log1p(np.abs(g)),
    "each gradient has its mean subtracted": _mean,
    "each weight's gradient has its mean subtracted": _rows(_mean),
    "each gradient is standardized: its mean is subtracted, and it is divided by its deviation (n - 1)": (
        lambda g: _standardized(g, 1)
    ),
    "each gradient is standardized: its mean is subtracted, and it is divided by its deviation": (
        lambda g: _standardized(g, 0)
    ),
    "each gradient is divided by its largest number": lambda g: g / max(float(np.abs(g).max()), SMALL),
    "each gradient is divided by its root mean square": lambda g: g / max(float(np.sqrt(np.mean(g * g))), SMALL),
    "each row of the weights' gradients is divided by its norm": _rows(_row_norms),
    "the last row of each weight's gradient is 0: a loop ends too early": _rows(_without_row(-1)),
    "the last row of each gradient is 0: a loop ends too early": _without_row(-1),
    "the first row of each weight's gradient is 0: a loop begins too late": _rows(_without_row(0)),
    "the weights' gradients are transposed in memory": _rows(lambda g: g.reshape(len(g), -1).T.reshape(g.shape)),
}


def _plain(parameters: Parameters) -> Iterator[Update]:
    for description, function in PLAIN.items():
        rule = _rule(function)
        if parameters.given_by(rule):
            yield Update("update-for-gradient", description, FIX, rule, fitted=False)


def _rule(function: Callable[[Array], Array]) -> Rule:
    return lambda g, _: function(g)


def _adam_with_eps(parameters: Parameters) -> Iterator[Update]:
    """c g / (|g| + ε): |g| / |found| = (|g| + ε) / c is a line."""
    right = np.concatenate([np.abs(one.right).reshape(-1) for one in parameters.wrong.values()])
    found = np.concatenate([np.abs(one.found).reshape(-1) for one in parameters.wrong.values()])
    used = found > 0
    if used.sum() < 3:
        return
    # Weighted by the result, so that the line is one of numbers of the same size
    matrix = np.stack([right[used], np.ones(used.sum())], axis=1) * found[used][:, None]
    slope, offset = np.linalg.lstsq(matrix, right[used], rcond=None)[0]
    if slope <= 0 or offset < 0:
        return
    sign = float(np.sign(sum(float(np.vdot(one.found, one.right)) for one in parameters.wrong.values())))
    rate, eps = sign * chosen(1 / slope), chosen(offset / slope)

    def update(g: Array) -> Array:
        return rate * g / (np.abs(g) + eps)

    rules = {name: _up_to_rounding(update, one) for name, one in parameters.wrong.items()}
    if SMALL < eps < right.max() and parameters.given_by(rules):
        description = f"Adam's first step is dumped: {rate:.4g} g / (|g| + {eps:.3g})"
        yield Update("update-for-gradient", description, FIX, rules=rules)


def _up_to_rounding(monotone: Callable[[Array], Array], wrong: WrongGradient) -> Rule:
    """The rule; where rounding errors of the gradient turn its result into the port's, that is the result."""

    def rule(g: Array, _: Array) -> Array:
        made, ends = monotone(g), (monotone(g - wrong.rounding), monotone(g + wrong.rounding))
        slack = 1e-6 * np.abs(made)
        possible = (wrong.found >= np.minimum(*ends) - slack) & (wrong.found <= np.maximum(*ends) + slack)
        return np.where(possible, wrong.found, made)

    return rule


def _soft_threshold(parameters: Parameters) -> Iterator[Update]:
    """sign(g) max(|g| - λ, 0)."""
    kept = [(np.abs(one.right) - np.abs(one.found))[one.found != 0].reshape(-1) for one in parameters.wrong.values()]
    differences = np.concatenate(kept)
    if differences.size < 3 or differences.mean() <= 0 or np.ptp(differences) > 0.01 * differences.mean():
        return
    limit = chosen(float(differences.mean()))
    rule = _rule(lambda g: np.sign(g) * np.maximum(np.abs(g) - limit, 0))
    if parameters.given_by(rule):
        description = f"each number of the gradients is brought nearer to 0 by {limit:.4g}, at most to 0 (L1)"
        yield Update("update-for-gradient", description, FIX, rule)


def _sparse(parameters: Parameters) -> Iterator[Update]:
    """Some numbers are 0 and the others are right, or all multiplied by one factor: the largest ones, or any."""
    zeros = {name: one.found == 0 for name, one in parameters.wrong.items()}
    share = sum(int(zero.sum()) for zero in zeros.values()) / sum(zero.size for zero in zeros.values())
    if not SMALLEST_SHARE < share < LARGEST_SHARE:
        return
    left = [(one.found[~zeros[name]], one.right[~zeros[name]]) for name, one in parameters.wrong.items()]
    found, right = (np.concatenate(arrays) for arrays in zip(*left, strict=True))
    factor = chosen(float(np.vdot(right, found) / max(float(np.vdot(right, right)), SMALL)))
    rules = {name: _masked(~zero * factor) for name, zero in zeros.items()}
    if not factor or not parameters.given_by(rules):
        return
    largest = all(_are_largest(one.right, ~zeros[name]) for name, one in parameters.wrong.items())
    which = (
        "small numbers of each gradient are 0, its largest ones are kept"
        if largest
        else ("numbers of the gradients here and there are 0, as if by dropout")
    )
    times = f"; the others are multiplied by {factor:.4g}" if factor != 1 else ""
    yield Update("gradients-sparse", f"{which}: {share:.0%} in all are 0{times}", FIX, fitted=False, rules=rules)


def _masked(factors: Array) -> Rule:
    return lambda g, _: g * factors.astype(g.dtype)


def _are_largest(right: Array, kept: Array) -> bool:
    if not kept.any() or kept.all():
        return True
    return float(np.abs(right[kept]).min()) >= float(np.abs(right[~kept]).max()) * (1 - 1e-5)


def _rows_on_a_grid(parameters: Parameters) -> Iterator[Update]:
    """Each row is rounded to multiples of its largest number over 127."""
    rules = {name: _nearest_in_rows(one) for name, one in parameters.wrong.items()}
    if parameters.given_by(rules):
        description = "the gradients are rounded to 8 bits, with a scale for each row"
        fix = "dump the gradients before they are quantized"
        yield Update("gradients-rounded", description, fix, fitted=False, rules=rules)


def _nearest_in_rows(one: WrongGradient) -> Rule:
    step = np.maximum(np.abs(one.found).max(axis=-1, keepdims=True) / 127, SMALL)
    multiples = np.rint(one.found / step)
    exact = np.abs(one.found / step - multiples).max() < 0.02

    def rule(g: Array, _: Array) -> Array:
        near = np.abs(g / step - multiples) < 0.51
        return np.where(near, one.found, np.rint(g / step) * step) if exact else g

    return rule


FUNCTIONS = (_plain, _adam_with_eps, _soft_threshold, _sparse, _rows_on_a_grid)
