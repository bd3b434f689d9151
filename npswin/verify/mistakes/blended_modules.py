"""A module whose parameters are multiplied, or mixed with those of modules of the same kind, as averages are.

Linear maps, norms and tables are linear in their parameters. So a module with mixed parameters gives the same mixture
of what the modules give for its own input, with one coefficient for all parameters; and a factor of the weight is a
factor of what the weight contributes. No parameter has to be recovered, which a linear map behind a norm does not
allow: its inputs lie in a plane, so that weight and bias are not determined.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import times
from npswin.verify.fits.factors import simple_factor
from npswin.verify.graph import Node, Operation, Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, transform_input, with_sums

OPERATIONS = ("linear", "patch_embed", "layer_norm", "position_bias")
FEWEST = 16  # numbers for each coefficient
SMALLEST = 1e-3  # coefficient that counts
MOST_OTHERS = 24  # modules that may be mixed


def fit_multiples(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a tensor by factors of its module's parameters, one for each.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = _module(run, name, found)
    if node is None or len(own := _parameters(run, node)) < 2:
        return
    values = {read: run.value(read) for read in node.inputs}
    parts = [
        _result(node, {**values, **{other: np.zeros_like(values[other]) for other in own if other != parameter}})
        for parameter in own
    ]
    coefficients = _coefficients(found - run.compute(name), parts, tolerance)
    if coefficients is None:
        return
    operation, words = node.operation, []
    assert operation is not None
    for parameter, part, more in zip(own, parts, coefficients, strict=True):
        if more:
            factor, exactly = simple_factor(1 + float(more), tolerance / max(float(np.abs(part).max()), tolerance))
            operation = transform_input(operation, node.inputs.index(parameter), _loaded(factor))
            words.append(f"{parameter}: it is multiplied by {exactly}")
    yield Fit("; ".join(words), change_node(node, operation), len(words))


def fit_blends(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a tensor by its module's parameters mixed with those of other modules; as `fit_multiples`."""
    node = _module(run, name, found)
    if node is None:
        return
    own, others = _parameters(run, node), _alike(run, node)[:MOST_OTHERS]
    if not others or found.size < FEWEST * len(others):
        return
    right, values = run.compute(name), {read: run.value(read) for read in node.inputs}
    theirs = [{read: run.value(other) for read, other in zip(own, names, strict=True)} for names in others]
    steps = [_result(node, values | one) - right for one in theirs]
    coefficients = _coefficients(found - right, steps, tolerance)
    if coefficients is None:
        return
    used = [(names, float(share)) for names, share in zip(others, coefficients, strict=True) if share]
    operation = node.operation
    assert operation is not None
    for place, parameter in enumerate(own):
        mixed = [(run.value(names[place]), share) for names, share in used]
        operation = _mixed(operation, node.inputs.index(parameter), mixed)
    words = f"{_and(own)}: {_words(used)}"
    yield Fit(words, change_node(node, with_sums(operation, 1 + len(used))), _fitted(used))


def _module(run: Run, name: str, found: Array) -> Node | None:
    """The node of a tensor that is computed with parameters, if the tensor can be compared with its result."""
    node = run.graph.nodes.get(name)
    if node is None or node.operation is None or node.operation.name not in OPERATIONS:
        return None
    fits = found.shape == run.compute(name).shape and found.size >= FEWEST and np.isfinite(found).all()
    return node if fits else None


def _parameters(run: Run, node: Node) -> list[str]:
    return [read for read in node.inputs if run.graph.nodes[read].axes == "parameter"]


def _alike(run: Run, node: Node) -> list[list[str]]:
    """The parameters of each other module with the same operation, names and shapes."""
    own = _parameters(run, node)
    found = []
    for other in run.graph.nodes.values():
        if other.name == node.name or other.operation is None or other.operation.name not in OPERATIONS:
            continue
        theirs = _parameters(run, other)
        if [_kind(run, read) for read in theirs] == [_kind(run, read) for read in own] and theirs != own:
            found.append(theirs)
    return found


def _kind(run: Run, parameter: str) -> tuple[str, tuple[int, ...]]:
    return ".".join(parameter.split(".")[-2:]), run.value(parameter).shape


def _result(node: Node, values: dict[str, Array]) -> Array:
    """What a node gives for these inputs."""
    assert node.operation is not None
    return np.asarray(node.operation.forward(*(values[read] for read in node.inputs), **node.settings)[0])


def _coefficients(difference: Array, steps: Sequence[Array], tolerance: float) -> Array | None:
    """How much of each step makes the difference; a single step first, then all of them. None where nothing does."""
    matrix, difference = np.stack([step.reshape(-1) for step in steps], axis=1), difference.reshape(-1)
    for place, step in enumerate(matrix.T):
        squares = float(step @ step)
        shares = np.zeros(len(steps))
        shares[place] = float(difference @ step) / squares if squares else 0.0
        if abs(shares[place]) > SMALLEST and _is_sum(difference, matrix, shares, tolerance):
            return shares
    shares, _, rank, _ = np.linalg.lstsq(matrix, difference, rcond=1e-8)
    if len(steps) < 2 or rank < len(steps) or not _is_sum(difference, matrix, shares, tolerance):
        return None
    return np.where(np.abs(shares) < SMALLEST, 0.0, shares)


def _is_sum(difference: Array, matrix: Array, shares: Array, tolerance: float) -> bool:
    return bool(np.abs(difference - matrix @ shares).max() <= 2 * tolerance * max(1.0, float(np.abs(shares).sum())))


def _loaded(factor: float) -> tuple:
    """A product with a constant that was taken when a parameter was loaded: its gradient is that of the product."""
    return times(factor)[0], lambda dy, _: dy


def _mixed(operation: Operation, index: int, values: list[tuple[Array, float]]) -> Operation:
    """The operation with a parameter moved towards others when it was loaded: its gradient is that of the mixture."""

    def forward(x: Array) -> tuple[Array, None]:
        moved = x + sum(share * (value.astype(x.dtype) - x) for value, share in values)
        return np.asarray(moved, x.dtype), None

    return transform_input(operation, index, (forward, lambda dy, _: dy))


def _words(used: list[tuple[list[str], float]]) -> str:
    """What the parameters are."""
    rest, count = 1 - sum(share for _, share in used), len(used) + 1
    modules = [parameters[0].rpartition(".")[0] for parameters, _ in used]
    if all(abs(share - 1 / count) < SMALLEST for share in (rest, *(share for _, share in used))):
        return f"they are the means of their own and those of {_and(modules)}"
    if len(used) == 1 and abs(rest) < SMALLEST:
        return f"they are those of {modules[0]}"
    parts = [f"{share:.4g} of those of {module}" for module, (_, share) in zip(modules, used, strict=True)]
    return f"they are {rest:.4g} of their own and {_and(parts)}, as in an average over weights"


def _fitted(used: list[tuple[list[str], float]]) -> int:
    return sum(abs(share - 1 / (len(used) + 1)) > SMALLEST and abs(share - 1) > SMALLEST for _, share in used)


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
