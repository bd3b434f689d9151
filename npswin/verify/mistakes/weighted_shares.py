"""Gradients of tensors that are read several times: the shares of those that read it have other factors than 1.

Where y₁ = f(x) and y₂ = g(x), the chain rule gives dx = dy₁ ∂f/∂x + dy₂ ∂g/∂x, each share once. A buffer that one
share overwrites before another one is added, a sum in place of which the mean is taken, or a share that is added twice
give dx = a dy₁ ∂f/∂x + b dy₂ ∂g/∂x.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from npswin.types import Array
from npswin.verify.fits.numbers import chosen
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node, Run
from npswin.verify.mistakes.mistake import Changes, change_node, transform_derivative
from npswin.verify.mistakes.other_terms import OtherTerms, derivative_by

NUMBERS_PER_SHARE = 8  # of a gradient, at least
NEAR = 1e-3  # distance of a fitted factor from a known one, unless the fit is coarser
SIMPLE = {"0": 0.0, "1": 1.0, "2": 2.0, "1/2": 0.5, "-1": -1.0, "3": 3.0, "4": 4.0, "1/3": 1 / 3, "1/4": 0.25}
MOST_FITTED = 1  # factors that are no known numbers
FIX = "what is read several times has the sum of the derivatives by all that read it, each once"


def fit_weighted_shares(run: Run, symptom: str, found: Array, tolerance: float) -> Iterator[OtherTerms]:
    """Explanations of a gradient by the factors of the shares that it is the sum of.

    Args:
        run: the graph on the port's own inputs.
        symptom: the gradient's name.
        found: the port's gradient.
        tolerance: the largest difference of equal numbers.
    """
    tensor = symptom.removeprefix(GRADIENT_PREFIX)
    users = run.graph.differentiable_consumers(tensor)
    if tensor == symptom or len(users) < 2 or found.size < NUMBERS_PER_SHARE * len(users):
        return
    shares = {user: derivative_by(run, user, tensor) for user in users}
    if not np.isfinite(found).all() or any(one.shape != found.shape for one in shares.values()):
        return
    factors = _factors(found, shares, len(found), tolerance)
    if factors is None:
        return
    fitted = sum(words not in SIMPLE and words != "1/B" for words, _ in factors.values())
    detail = f"{', '.join(_in_words(user, words) for user, (words, _) in factors.items())}"
    numbers = [factor for _, factor in factors.values()]
    description = "the gradient of what is read several times is another sum of its shares"
    readers = [_reader(run.graph.nodes[user]) for user in users]
    alike = [name for name in run.graph.nodes if [_reader(one) for one in _nodes(run.graph, name)] == readers]
    operations = [operation for operation, _ in readers]
    like = [name for name in run.graph.nodes if [_reader(one)[0] for one in _nodes(run.graph, name)] == operations]
    for number, places in enumerate(([tensor], alike, like)):
        if (number and len(places) < 2) or (number == 2 and like == alike):
            continue
        changes: Changes = {}
        for name in reversed(places):
            changes |= _with_factors(run.graph, name, numbers)
        where = f"; likewise for all of {len(places)} such tensors" if len(places) > 1 else ""
        yield OtherTerms(description, detail + where, FIX, users[0], changes, fitted, len(places) > 1)


def _factors(
    found: Array, shares: Mapping[str, Array], batch: int, tolerance: float
) -> dict[str, tuple[str, float]] | None:
    """The factor of each share, in words and as a number; None if the gradient is no other sum of them."""
    columns = np.stack([one.reshape(-1).astype(np.float64) for one in shares.values()], axis=1)
    fit, _, rank, _ = np.linalg.lstsq(columns, found.reshape(-1).astype(np.float64), rcond=None)
    if rank < len(shares):
        return None
    known = SIMPLE | ({"1/B": 1 / batch} if batch > 4 else {})
    errors = tolerance / np.maximum(np.sqrt(np.mean(columns**2, axis=0)), 1e-300)
    factors: dict[str, tuple[str, float]] = {}
    for user, factor, error in zip(shares, fit, errors, strict=True):
        words = next((one for one, number in known.items() if abs(factor - number) <= max(NEAR, error)), "")
        number = known[words] if words else chosen(float(factor))
        factors[user] = words or f"{number:.4g}", number
    numbers = np.array([number for _, number in factors.values()])
    limit = 2 * tolerance * max(1.0, float(np.abs(numbers).max()))
    fitted = sum(words not in known for words, _ in factors.values())
    if np.ptp(numbers) == 0 or fitted > MOST_FITTED:  # one factor of all is no matter of the shares
        return None
    return factors if np.abs(columns @ numbers - found.reshape(-1)).max() <= limit else None


def _with_factors(graph: Graph, tensor: str, numbers: list[float]) -> Changes:
    """The operations that read a tensor with a factor of their derivatives by it."""
    changes: Changes = {}
    for node, factor in zip(_nodes(graph, tensor), numbers, strict=True):
        operation = node.operation
        assert operation is not None
        for index in (place for place, read in enumerate(node.inputs) if read == tensor):
            operation = transform_derivative(operation, index, _times(factor))
        changes |= change_node(node, operation)
    return changes


def _times(factor: float) -> Callable[[Array], Array]:
    return lambda dx: dx * dx.dtype.type(factor)


def _nodes(graph: Graph, tensor: str) -> list[Node]:
    return [graph.nodes[user] for user in graph.differentiable_consumers(tensor)]


def _reader(node: Node) -> tuple[str, str]:
    """The operation that reads a tensor, and the name of its result in its block."""
    assert node.operation is not None
    name = node.name.rpartition(".")[2]
    return node.operation.name, "" if name.isdigit() else name


def _in_words(user: str, factor: str) -> str:
    if factor in ("0", "1"):
        return f"{'with' if factor == '1' else 'without'} the share by {user}"
    return f"{factor} times the share by {user}"
