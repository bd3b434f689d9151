"""Which operation of a port is computed in fewer bits than the others.

A tensor's numbers may be float32 and have the errors of float16, as where a norm is computed in half precision before
another operation. Rounding to nearest has the same errors wherever it is done: each operation between the port's own
inputs and the tensor is computed in few bits, and the result is compared with the port's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Operation
from npswin.verify.mistakes import Changes
from npswin.verify.mistakes.not_applicable import NotApplicable, shape_errors_as_not_applicable
from npswin.verify.port.distance import finite_rms
from npswin.verify.port.dumped_inputs import DumpedInputs
from npswin.verify.port.local_error import LocalErrors
from npswin.verify.port.norm_precision import rounded_norms
from npswin.verify.port.quantization import FoundGrid, rounding_to_the_grid_of, usual_grid_of
from npswin.verify.port.rounded_operation import RoundedOperation
from npswin.verify.port.rounded_operations import rounded_operations
from npswin.verify.port.text import join_names

MOST_PLACES = 40  # operations that are looked at, the tensor's own first
# How much of the error may be left. A rounding error is as good as random: of an error with another cause, an emulated
# rounding error explains nothing, and of few numbers something by chance.
LEFT_OF_MANY, LEFT_OF_FEW = 0.35, 0.1
ALIKE = 1.02  # times the error that is left with one way, and another one gives the same numbers
MANY, FEWEST = 32, 6  # numbers of a tensor
FEWEST_OF_GRID = 64  # numbers of a tensor that show the step of which they are multiples
SAME_STEP, SAME_STEPS = 1e-3, 0.98  # of the largest number, less than a step; share of the numbers
SAME_PLACES = 0.99  # share of the infinite numbers and NaN that have to be at the same places
LARGEST_FLOAT16 = 65504.0


@dataclass(frozen=True)
class PrecisionExplanation:
    """An operation in fewer bits that explains a tensor.

    Attributes:
        text: such as "computed in float16: its inputs are rounded to float16".
        evidence: how exactly this gives the port's numbers.
        precision: "float16", "bfloat16", "tf32", "int8" or "int4".
        places: the tensors whose operations are computed so.
        changes: the changed nodes of the graph.
        left: the share of the error that is left with these changes.
        as_near: other ways, with the same places and precision, that are as near; they differ in the backward pass.
    """

    text: str
    evidence: str
    precision: str
    places: tuple[str, ...]
    changes: Changes
    left: float
    as_near: "tuple[PrecisionExplanation, ...]" = ()


@np.errstate(all="ignore")
def precision_explanation(
    local_errors: LocalErrors,
    name: str,
    found: Array,
    most_places: int = MOST_PLACES,
    is_late: Callable[[], bool] = lambda: False,
) -> PrecisionExplanation | None:
    """The operation in fewer bits that makes a tensor what it is in the port, or None.

    Args:
        local_errors: each operation on the port's own inputs.
        name: of a tensor or gradient with a local error.
        found: the port's.
        most_places: how many operations are looked at: the tensor's own, and those back to the port's own inputs.
        is_late: whether no further operation is looked at.
    """
    try:
        expected = local_errors.expected(name)
    except NotApplicable:
        return None
    if expected is None or expected.shape != found.shape or found.size < FEWEST:
        return None
    allowed = LEFT_OF_MANY if found.size >= MANY else LEFT_OF_FEW
    best: PrecisionExplanation | None = None
    grid = None if name.startswith(GRADIENT_PREFIX) else rounding_to_the_grid_of(found)
    if grid is None and found.size < FEWEST_OF_GRID:
        grid = usual_grid_of(found)
    alike = ""  # another precision that gives the same numbers
    statistics = _rounded_statistics(local_errors, name, found)
    for changes, rounded in chain(statistics, _candidates(local_errors, name, most_places, grid)):
        if is_late():
            break
        try:
            with shape_errors_as_not_applicable(name):
                emulated = local_errors.exact.replaced(changes).compute(name)
        except NotApplicable:
            continue
        if rounded.on_grid and not _same_steps(found, emulated):
            continue
        left = _left(found, expected, emulated)
        if left > allowed:
            continue
        if best is None or left < 0.9 * best.left:
            best, alike = _explanation(name, rounded, changes, left, (found, expected, emulated)), ""
        elif _is_in_another_precision(rounded, changes, best) and left <= ALIKE * best.left:
            alike = alike or f", or in {rounded.precision}, which gives the same numbers: {rounded.description}"
        elif left <= ALIKE * best.left:
            one = _explanation(name, rounded, changes, left, (found, expected, emulated))
            if (one.places, one.precision) == (best.places, best.precision):
                best = replace(best, as_near=(*best.as_near, one))
    return replace(best, text=best.text + alike) if best else None


def _is_in_another_precision(rounded: RoundedOperation, changes: Changes, best: PrecisionExplanation) -> bool:
    """Whether it is the same operations as an explanation's in another precision."""
    return rounded.precision != best.precision and changes.keys() == best.changes.keys()


def _rounded_statistics(
    local_errors: LocalErrors, name: str, found: Array
) -> Iterator[tuple[Changes, RoundedOperation]]:
    """A norm with the rounded steps that its tokens' means and deviations show."""
    node, expected, error = local_errors.graph.nodes.get(name), local_errors.expected(name), None
    if node is not None and node.operation is not None and node.operation.name == "layer_norm":
        error = local_errors.error(name, found)
    if node is not None and expected is not None and error is not None:
        inputs = [local_errors.exact.value(read) for read in node.inputs]
        for way in rounded_norms(node, inputs, found, error.tolerance.peak * finite_rms(expected)):
            yield {name: replace(node, operation=way.operation)}, way


def _candidates(
    local_errors: LocalErrors, name: str, most: int, grid: FoundGrid | None
) -> Iterator[tuple[Changes, RoundedOperation]]:
    """Each operation in each way; then all of one kind, all products, and all operations in the same way."""
    nodes = [local_errors.graph.nodes[place] for place in _places(local_errors, name)[:most]]
    ways = {node.name: list(rounded_operations(node, grid if node.name == name else None)) for node in nodes}
    for node in nodes:
        for way in ways[node.name]:
            yield {node.name: replace(node, operation=way.operation)}, way
    kinds = [node.operation.name for node in nodes if node.operation is not None]
    groups = [[node for node, own in zip(nodes, kinds, strict=True) if own == kind] for kind in dict.fromkeys(kinds)]
    groups += [[node for node in nodes if node.operation is not None and node.operation.multiplies], nodes]
    for number, group in enumerate(groups):
        for way in ways[group[0].name] if len(group) > 1 and group not in groups[:number] else ():
            same = {node.name: _same_way(way, ways[group[0].name], ways[node.name]) for node in group}
            changes = {
                node.name: replace(node, operation=one) for node in group if (one := same[node.name]) is not None
            }
            if len(changes) == len(group):
                yield changes, way


def _same_way(
    way: RoundedOperation, of_first: list[RoundedOperation], of_other: list[RoundedOperation]
) -> Operation | None:
    """Another operation in the same way as the first of a group; None if there is no such way."""
    alike = [one for one in of_other if one.description == way.description]
    index = [one for one in of_first if one.description == way.description].index(way)
    return alike[index].operation if index < len(alike) else None


def _places(local_errors: LocalErrors, name: str) -> list[str]:
    """The nodes whose operations lead from the port's own inputs to the tensor, the nearest first."""
    graph = local_errors.graph
    places: list[str] = []
    for one in [name, *DumpedInputs(local_errors.exact, local_errors.exact.given).not_dumped(name)]:
        inner = one.removeprefix(GRADIENT_PREFIX)
        users = [inner] if inner == one else graph.differentiable_consumers(inner)
        places += [place for place in users if graph.nodes[place].operation is not None and place not in places]
    return places


def _left(found: Array, expected: Array, emulated: Array) -> float:
    """The share of the error that is left; infinite unless the same numbers are infinite or NaN."""
    if emulated.shape != found.shape:
        return np.inf
    finite, finite_too = np.isfinite(found), np.isfinite(emulated)
    either = np.count_nonzero(~finite | ~finite_too)
    if np.count_nonzero(~finite & ~finite_too) < SAME_PLACES * either:
        return np.inf
    both = finite & finite_too & np.isfinite(expected)
    error, rest = (_rms(found[both] - other[both]) for other in (expected, emulated))
    if error == 0:
        return 0.0 if either and rest == 0 else np.inf
    return rest / error


def _same_steps(found: Array, emulated: Array) -> bool:
    """Whether two tensors on a grid of 8 bits are equal, but for numbers half-way between two steps.

    The port's own grid makes any numbers agree with it in part, and more so if they are limited.
    """
    if found.shape != emulated.shape:
        return False
    largest = float(np.abs(found).max(initial=0))
    return bool(np.mean(np.abs(found - emulated) <= SAME_STEP * largest) >= SAME_STEPS)


def _rms(x: Array) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) if x.size else 0.0


def _explanation(
    name: str, rounded: RoundedOperation, changes: Changes, left: float, arrays: tuple[Array, Array, Array]
) -> PrecisionExplanation:
    found, expected, emulated = arrays
    places = tuple(changes)
    where = "" if places == (name.removeprefix(GRADIENT_PREFIX),) else f"{join_names(list(places))}: "
    text = f"{where}computed in {rounded.precision}: {rounded.description}"
    if not np.isfinite(found).all():
        largest = float(np.abs(expected[np.isfinite(expected)]).max(initial=0))
        above = rounded.precision == "float16" and largest > LARGEST_FLOAT16
        text += f", which overflows{f' ({largest:.3g} is above {LARGEST_FLOAT16:g})' if above else ''}"
    equal = np.mean(np.float32(emulated) == np.float32(found))
    evidence = f"computed so, {left:.2g} of the error is left, and {equal:.0%} of the numbers are the port's"
    return PrecisionExplanation(text, evidence, rounded.precision, places, changes, left)
