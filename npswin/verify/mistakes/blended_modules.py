"""A module whose parameters are mixed with those of modules of the same kind: averaged, or moved towards them.

Linear maps, norms and tables are linear in their parameters. So a module with mixed parameters gives the same mixture
of what the modules give for its own input, with one coefficient for all parameters. No parameter has to be recovered,
which a linear map behind a norm does not allow: its inputs lie in a plane, so that weight and bias are not determined.
"""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Node, Operation, Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, transform_input, with_sums

OPERATIONS = ("linear", "patch_embed", "layer_norm", "position_bias")
FEWEST = 32  # numbers for each coefficient
SMALLEST = 1e-3  # coefficient that counts
MOST_OTHERS = 24  # modules that may be mixed


def fit_blends(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a tensor by its module's parameters mixed with those of other modules.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if node is None or node.operation is None or node.operation.name not in OPERATIONS:
        return
    own, others = _parameters(run, node), _alike(run, node)[:MOST_OTHERS]
    right = run.compute(name)
    if not others or found.shape != right.shape or not np.isfinite(found).all():
        return
    if found.size < FEWEST * len(others):
        return
    steps = [(_with_parameters(run, node, other) - right).reshape(-1) for other in others]
    difference = (found - right).reshape(-1)
    coefficients = _coefficients(difference, steps, tolerance)
    if coefficients is None:
        return
    used = [(other, float(share)) for other, share in zip(others, coefficients, strict=True) if share]
    operation = node.operation
    for place, parameter in enumerate(own):
        values = [(run.value(other[place]), share) for other, share in used]
        operation = _mixed(operation, node.inputs.index(parameter), values)
    words = f"{_and(own)}: {_words(used)}"
    yield Fit(words, change_node(node, with_sums(operation, 1 + len(used))), _fitted(used))


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


def _with_parameters(run: Run, node: Node, parameters: list[str]) -> Array:
    """What a node gives with other parameters."""
    assert node.operation is not None
    swapped = dict(zip(_parameters(run, node), parameters, strict=True))
    y, _ = node.operation.forward(*(run.value(swapped.get(read, read)) for read in node.inputs), **node.settings)
    return y


def _coefficients(difference: Array, steps: list[Array], tolerance: float) -> Array | None:
    """How much of each step makes the difference; a single step first, then all of them. None where nothing does."""
    for step in steps:
        squares = float(step @ step)
        share = float(difference @ step) / squares if squares else 0.0
        if abs(share) > SMALLEST and np.abs(difference - share * step).max() <= 2 * tolerance * max(1.0, abs(share)):
            return np.array([share if other is step else 0.0 for other in steps])
    if len(steps) < 2:
        return None
    matrix = np.stack(steps, axis=1)
    shares, _, rank, _ = np.linalg.lstsq(matrix, difference, rcond=1e-8)
    if rank < len(steps) or np.abs(difference - matrix @ shares).max() > 2 * tolerance * max(1.0, np.abs(shares).sum()):
        return None
    return np.where(np.abs(shares) < SMALLEST, 0.0, shares)


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
