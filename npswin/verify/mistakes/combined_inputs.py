"""An operation that reads a combination of tensors: a sum, a mean, a product, or some channels of each.

Where an operation is linear in its input, its result on a u + b v is a times that on u and b times that on v. So the
port's result is compared with those on each tensor that the port has, by least squares, two at a time. A layer norm is
not linear, but its result gives the direction of each token's centred channels: what is orthogonal to it in u is then
-b/a times what is in v.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.combinations import OTHERS, Combination, rounded_factor, weighted_sum
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node, Run
from npswin.verify.mistakes.combined import combine_addends, combine_for_all, combine_input
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, is_output_of, multiply_by, transform_input

LINEAR = ("linear", "scores", "mix", "mean_pool", "patch_concat", "pad", "cut_windows", "join_windows", "cyclic_shift")
MOST_CANDIDATES = 48
MOST_ROWS, MOST_OUTPUTS = 256, 64  # of an operation that treats each row by itself
BY_ROWS = ("linear", "layer_norm", "gelu")
DEPENDENT = 1e-6  # share of a tensor's result that another one's must not explain
MARGIN = 4.0  # times the tolerance
LISTED = 3


class _Operand(NamedTuple):
    """An input that may be another one: the node, the input's place, and the values that may be there by name."""

    graph: Graph
    node: Node
    place: int
    values: Mapping[str, Array]
    others: list[Array | None]
    found: Array

    @property
    def read(self) -> str:
        return self.node.inputs[self.place]

    def result(self, x: Array) -> Array:
        """The operation's result with an array in the input's place."""
        assert self.node.operation is not None
        inputs = [x if other is None else other for other in self.others]
        return self.node.operation.forward(*inputs, **self.node.settings)[0]


def fit_inputs(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Combinations of tensors that explain a tensor of the port as the result of its operation.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if name.startswith(GRADIENT_PREFIX) or node is None or node.operation is None:
        return
    for index, read in enumerate(node.inputs):
        if run.graph.nodes[read].axes == "parameter" or is_output_of(node, "cross_entropy"):
            continue
        operand = _operand(run, node, index, found)
        if is_output_of(node, "residual"):
            yield from _residuals(operand, node.inputs, tolerance)
            return
        if is_output_of(node, *LINEAR):
            yield from _sums(operand, tolerance)
        elif is_output_of(node, "layer_norm"):
            yield from _normalized_sums(operand, tolerance)
        yield from _others(operand, tolerance)


def _operand(run: Run, node: Node, index: int, found: Array) -> _Operand:
    read = node.inputs[index]
    own = run.value(read)
    values = {read: own} | {other: run.value(other) for other in _candidates(run, node.name, own)}
    others = [None if place == index else run.value(other) for place, other in enumerate(node.inputs)]
    if is_output_of(node, *BY_ROWS):
        count = own.size // own.shape[-1]
        rows = np.unique(np.linspace(0, count - 1, min(count, MOST_ROWS)).astype(int))
        values = {other: value.reshape(count, -1)[rows] for other, value in values.items()}
        found = found.reshape(count, -1)[rows]
    if is_output_of(node, "linear"):
        others = [None if other is None else other[:MOST_OUTPUTS] for other in others]
        found = found[:, :MOST_OUTPUTS]
    return _Operand(run.graph, node, index, values, others, found)


def _candidates(run: Run, name: str, own: Array) -> list[str]:
    """Tensors of the port with the same shape that are computed before: the nearest ones and blocks' outputs."""
    names = list(run.graph.nodes)
    before = [
        other
        for other in names[: names.index(name)]
        if other in run.given and run.graph.nodes[other].operation is not None and run.given[other].shape == own.shape
    ]
    if len(before) > MOST_CANDIDATES:
        before = sorted(before, key=lambda other: ".attn." in other or ".mlp." in other)[:MOST_CANDIDATES]
    return [other for other in before if other not in run.graph.nodes[name].inputs]


def _sums(operand: _Operand, tolerance: float) -> Iterator[Fit]:
    """Sums of two tensors, or a multiple of one, that a linear operation may have read."""
    bias = operand.result(np.zeros_like(operand.values[operand.read]))
    if bias.shape != operand.found.shape:
        return
    names = list(operand.values)
    columns = np.stack([(operand.result(value) - bias).reshape(-1) for value in operand.values.values()])
    target = (operand.found - bias).reshape(-1)
    yield from islice(_described(operand, _two_columns(names, columns, target), tolerance), LISTED)


def _residuals(operand: _Operand, addends: Sequence[str], tolerance: float) -> Iterator[Fit]:
    """Weighted sums of two tensors in place of a block's sum."""
    values = dict(operand.values) | {addends[1]: np.asarray(operand.others[1])}
    columns = np.stack([value.reshape(-1) for value in values.values()])
    for u, v, a, b in _two_columns(list(values), columns, operand.found.reshape(-1))[:LISTED]:
        a, b = rounded_factor(a), rounded_factor(b)
        combination = weighted_sum(a, b)
        near = np.abs(combination.forward(values[u], values[v]) - operand.found).max() <= MARGIN * tolerance
        if near and {u, v} == set(addends) and (a, b) != (1.0, 1.0):
            words = combination.words.format(x=u, v=v)
            changes = combine_addends(operand.node, u, v, combination)
            yield Fit(f"it is {words}", changes, combination.fitted)


def _two_columns(names: list[str], columns: Array, target: Array) -> list[tuple[str, str, float, float]]:
    """(u, v, a, b) for which a u + b v is the nearest to the target, the nearest first."""
    products, onto, square = columns @ columns.T, columns @ target, float(target @ target)
    found = []
    for first in range(len(names)):
        for second in range(first, len(names)):
            pp, qq, pq = products[first, first], products[second, second], products[first, second]
            if first == second:
                a, b = onto[first] / pp if pp else 0.0, 0.0
            else:
                determinant = pp * qq - pq * pq
                if determinant <= DEPENDENT * pp * qq:
                    continue
                a = (onto[first] * qq - onto[second] * pq) / determinant
                b = (onto[second] * pp - onto[first] * pq) / determinant
            left = square - a * onto[first] - b * onto[second]
            found.append((left, names[first], names[second], float(a), float(b)))
    found.sort(key=lambda one: (one[0] > DEPENDENT * square, one[1] != one[2], one[0]))
    return [one[1:] for one in found[: 2 * LISTED]]


def _normalized_sums(operand: _Operand, tolerance: float) -> Iterator[Fit]:
    """Sums u + b v whose norm is the port's tensor."""
    weight, bias = (np.asarray(one) for one in operand.others[1:3])
    kept = np.abs(weight) > 0.1 * np.abs(weight).max(initial=0)
    if kept.sum() < 3:
        return
    normal = ((operand.found - bias) / np.where(kept, weight, 1))[:, kept]
    length = (normal * normal).sum(-1, keepdims=True)
    names = list(operand.values)
    rows = [(value - value.mean(-1, keepdims=True))[:, kept] for value in operand.values.values()]
    sizes = np.array([float((row * row).sum()) for row in rows])
    rows = [row - normal * ((row * normal).sum(-1, keepdims=True) / np.where(length, length, 1)) for row in rows]
    columns = np.stack([row.reshape(-1) for row in rows])
    products = columns @ columns.T
    found = []
    for first in range(len(names)):
        for second in range(first + 1, len(names)):
            pp, qq, pq = products[first, first], products[second, second], products[first, second]
            if pp > DEPENDENT * sizes[first] and qq > DEPENDENT * sizes[second]:
                found.append(((pp - pq * pq / qq) / sizes[first], names[first], names[second], -pq / qq))
    found.sort(key=lambda one: (one[0] > DEPENDENT, one[1] != operand.read, one[0]))
    sums = [
        (u, v, scale, scale * b)
        for _, u, v, b in found[: 2 * LISTED]
        for scale in (1.0, -1.0, 1 / (1 + b) if b > 0 else 0.5)
    ]
    yield from islice(_described(operand, sums, tolerance), LISTED)


def _described(operand: _Operand, sums: list[tuple[str, str, float, float]], tolerance: float) -> Iterator[Fit]:
    """The sums that give the port's tensor."""
    for u, v, a, b in sums:
        a, b = rounded_factor(a), rounded_factor(b)
        if not a or (u != v and not b) or (u == v and a == 1.0):  # another tensor alone is another explanation
            continue
        combination = weighted_sum(a, b)
        reach = max(1.0, abs(a) + abs(b))
        if _agrees(operand, combination.forward(operand.values[u], operand.values[v]), reach * tolerance):
            yield from _fits(operand, u, v, combination)


def _fits(operand: _Operand, u: str, v: str, combination: Combination) -> Iterator[Fit]:
    """That all operations read the combination, and that only this one does."""
    if u == operand.read and v != u and len(operand.graph.consumers[u]) > 1:
        changes = combine_for_all(operand.graph, u, v, combination, operand.node.name)
        if changes is not None:
            words = combination.words.format(x=u, v=v)
            yield Fit(f"in place of {u}, as all that read it do: {words}", changes, combination.fitted)
    yield _fit(operand, u, v, combination)


def _fit(operand: _Operand, u: str, v: str, combination: Combination) -> Fit:
    words = combination.words.format(x=u, v=v)
    if u != v:
        changes = combine_input(operand.graph, operand.node, operand.place, u, v, combination)
    else:
        assert operand.node.operation is not None
        factor = float(combination.forward(np.ones(1), np.zeros(1))[0])
        inputs = (*operand.node.inputs[: operand.place], u, *operand.node.inputs[operand.place + 1 :])
        operation = transform_input(operand.node.operation, operand.place, multiply_by(factor))
        changes = change_node(operand.node, operation, inputs=inputs)
    return Fit(f"in place of {operand.read}: {words}", changes, combination.fitted)


def _others(operand: _Operand, tolerance: float) -> Iterator[Fit]:
    """Products, larger numbers and halves of the input and another tensor."""
    own = operand.values[operand.read]
    for other, value in operand.values.items():
        for combination in OTHERS if other != operand.read else ():
            if _agrees(operand, combination.forward(own, value), tolerance):
                yield from _fits(operand, operand.read, other, combination)


def _agrees(operand: _Operand, x: Array, tolerance: float) -> bool:
    y = operand.result(x)
    return y.shape == operand.found.shape and bool(np.abs(y - operand.found).max(initial=0) <= MARGIN * tolerance)
