"""Backward passes that read what the forward pass has kept in other places, in another memory order, or in fewer bits.

What is kept is an input, or one number of each row: a norm's mean and 1 / deviation, a softmax' log-sum-exp and its
sum of p dp. In fewer bits, it may also be a softmax' maximum or its sum of exponentials.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node, Operation, Run
from npswin.verify.graph.precision import rounded
from npswin.verify.mistakes.general.rearrangements import Rearrangement, rearrangements
from npswin.verify.mistakes.general.recomputed import recomputed
from npswin.verify.mistakes.mistake import (
    Mistake,
    Variants,
    at_outputs_of,
    change_node,
    in_same_module,
    is_output_of,
    with_backward,
)
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.mistakes.other_terms import derivative_by

Rows = Callable[[Array], Array]  # scores (..., keys) -> a number for each row
SHORT = ("float16", "bfloat16")
TESTED_ROWS = 32
ROUNDINGS = 8  # by which such a row may differ from a sum of two or three columns
KEPT = ("linear", "scores", "mix", "layer_norm", "gelu")  # operations whose derivatives read their inputs


def _input(graph: Graph, name: str) -> Variants:
    """The derivatives with an input whose numbers are in other places."""
    node = graph.nodes[name]
    if not is_output_of(node, *KEPT):
        return
    for index, read in enumerate(node.inputs):
        for words, rearrange in rearrangements(graph, read):
            yield f"{read}: {words}", change_node(node, _with_input(node, index, rearrange))


def _with_input(node: Node, index: int, rearrange: Rearrangement) -> Operation:
    operation = node.operation
    assert operation is not None

    def forward(*inputs: Array, **settings: Any) -> tuple[Array, Any]:
        y, _ = operation.forward(*inputs, **settings)
        kept = (*inputs[:index], np.ascontiguousarray(rearrange(inputs[index])), *inputs[index + 1 :])
        return y, operation.forward(*kept, **settings)[1]

    return Operation(operation.name, forward, operation.backward, operation.terms, operation.multiplies)


def _norm(graph: Graph, node: Node) -> Variants:
    """A norm's mean, its deviation, or both are those of other rows."""
    for words, rearrange in rearrangements(graph, node.inputs[0], of_rows=True):
        for what, of_mean, of_rstd in (("mean", 1, 0), ("deviation", 0, 1), ("mean and deviation", 1, 1)):
            changed = _with_statistics(node, rearrange if of_mean else None, rearrange if of_rstd else None)
            yield f"{what}: {words}", change_node(node, changed)


def _rounding(precision: str) -> Rearrangement:
    """Numbers rounded to a precision, in the dtype that they have."""
    return lambda kept: rounded(kept.astype(np.float32), precision).astype(kept.dtype)


def _with_statistics(node: Node, of_mean: Rearrangement | None, of_rstd: Rearrangement | None) -> Operation:
    operation = node.operation
    assert operation is not None

    def forward(x: Array, weight: Array, bias: Array, **settings: Any) -> tuple[Array, Any]:
        y, (_, rstd, _) = operation.forward(x, weight, bias, **settings)
        mean = x.mean(axis=-1)
        mean = mean if of_mean is None else of_mean(mean)
        rstd = rstd[..., 0] if of_rstd is None else of_rstd(rstd[..., 0])
        return y, ((x - mean[..., None]) * rstd[..., None], rstd[..., None], weight)

    return Operation(operation.name, forward, operation.backward, operation.terms)


def _log_sum(scores: Array, of_largest: Rearrangement = np.asarray, of_sum: Rearrangement = np.asarray) -> Array:
    """log Σ exp(scores) by the largest score and the sum of exp(scores - largest), both as they are kept."""
    largest = scores.max(axis=-1)
    return np.asarray(of_largest(largest) + np.log(of_sum(np.exp(scores - largest[..., None]).sum(axis=-1))))


def _softmax(graph: Graph, name: str) -> Variants:
    """exp(scores - L) in place of the probabilities with another L than the log-sum-exp of the row."""
    node = graph.nodes[name]
    mix, softmax = (graph.nodes.get(in_same_module(name, part)) for part in ("context", "probabilities"))
    if mix is None or softmax is None or not is_output_of(mix, "mix") or not is_output_of(softmax, "softmax"):
        return
    if node is mix or node is softmax:
        others: dict[str, Rows] = {"L is the maximum: they are not divided by their sum": lambda s: s.max(axis=-1)}
        others["L is 0: they are not divided by their sum"] = lambda s: np.zeros_like(s[..., 0])
        for words, rearrange in rearrangements(graph, softmax.inputs[0], of_rows=True):
            others[f"L, the log-sum-exp: {words}"] = _rearranged(rearrange)
        for precision in SHORT:
            others |= _kept_in(precision)
        for words, rows in others.items():
            yield from _with_rows(node, mix, softmax, words, rows)


def _kept_in(precision: str) -> dict[str, Rows]:
    """The log-sum-exp of numbers that were rounded when they were kept."""
    short = _rounding(precision)
    return {
        f"L, the log-sum-exp, is kept in {precision}": lambda s: short(_log_sum(s)),
        f"the maximum in L is kept in {precision}": lambda s: _log_sum(s, short),
        f"the sum of exponentials in L is kept in {precision}": lambda s: _log_sum(s, of_sum=short),
        f"the maximum and the sum of exponentials in L are kept in {precision}": lambda s: _log_sum(s, short, short),
        f"1 / the sum of exponentials in L is kept in {precision}": lambda s: _log_sum(
            s, of_sum=lambda total: 1 / short(1 / total)
        ),
    }


def _rearranged(rearrange: Rearrangement) -> Rows:
    return lambda scores: rearrange(_log_sum(scores))


def _with_rows(node: Node, mix: Node, softmax: Node, words: str, rows: Rows) -> Variants:
    assert mix.operation is not None
    multiply = mix.operation.forward

    def again(scores: Array) -> Array:
        return np.exp(scores - rows(scores)[..., None])

    in_mix = recomputed(mix, softmax.inputs[0], lambda _, v, scores: multiply(again(scores), v)[1])
    if node is mix:
        yield f"{words}; in dv", in_mix
    for where, with_sum in (("", True), ("; the sum of p dp is right", False)):
        in_softmax = change_node(softmax, _softmax_of(softmax, again, with_sum))
        if node is softmax:
            yield f"{words}{where}", in_softmax
        else:
            yield f"{words}{where}; in dv, too", {**in_mix, **in_softmax}


def _softmax_of(node: Node, again: Callable[[Array], Array], with_sum: bool) -> Operation:
    """dscores = p' (dp - Σ p dp) with p' computed again, in the sum, too, or not."""
    operation = node.operation
    assert operation is not None

    def forward(scores: Array) -> tuple[Array, Any]:
        p, _ = operation.forward(scores)
        return p, (again(scores), p)

    def backward(dp: Array, cache: Any) -> tuple[Array]:
        other, p = cache
        return (other * (dp - ((other if with_sum else p) * dp).sum(axis=-1, keepdims=True)),)

    return Operation(operation.name, forward, backward, operation.terms)


def _sum(graph: Graph, node: Node) -> Variants:
    """The sum of p dp of a row is that of another one."""
    assert node.operation is not None
    short = ((f"kept in {precision}", _rounding(precision)) for precision in SHORT)
    for words, rearrange in (*rearrangements(graph, node.name, of_rows=True), *short):
        yield words, change_node(node, _with_sums(node.operation, rearrange))


def _with_sums(operation: Operation, rearrange: Rearrangement) -> Operation:
    def backward(dp: Array, cache: Any) -> tuple[Array]:
        if not isinstance(cache, np.ndarray):
            raise NotApplicable("the operation has another cache by another mistake")
        return (cache * (dp - rearrange((cache * dp).sum(axis=-1))[..., None]),)

    return with_backward(operation, backward)


def _is_of_rows(run: Run, symptom: str, found: Array, tolerance: float) -> bool:
    """Whether the derivative by a softmax' or a norm's input is what other numbers of each row can make of it.

    It is p (r dp - s) with two numbers r and s of the row, or r g + s x + t with three of them.
    """
    tensor = symptom.removeprefix(GRADIENT_PREFIX)
    users = run.graph.differentiable_consumers(tensor)
    if any(GRADIENT_PREFIX + user not in run.given for user in users):  # it is made by several backward passes
        return True
    for user in users:
        node, dy = run.graph.nodes[user], run.gradient(user)
        x = run.value(node.inputs[0])
        if node.inputs[0] != tensor or x.shape != found.shape or dy.shape != found.shape:
            continue
        if is_output_of(node, "softmax"):
            p = run.value(user)
            columns = [p * dy, p]
        elif is_output_of(node, "layer_norm"):
            columns = [dy * run.value(node.inputs[1]), x, np.ones_like(x)]
        else:
            continue
        rest = found - sum((derivative_by(run, one, tensor) for one in users if one != user), np.zeros(found.shape))
        return _is_spanned(rest, columns, tolerance)
    return any(is_output_of(run.graph.nodes[user], "mix") for user in users)


def _is_spanned(array: Array, columns: Sequence[Array], tolerance: float) -> bool:
    """Whether some rows of an array, spread over all, are sums of multiples of the columns' rows."""
    count = array.size // array.shape[-1]
    rows = np.unique(np.linspace(0, count - 1, min(count, TESTED_ROWS)).astype(np.intp))
    wanted = array.reshape(count, -1)[rows].astype(np.float64)
    basis = np.stack([column.reshape(count, -1)[rows].astype(np.float64) for column in columns], axis=-1)
    if wanted.shape[-1] <= len(columns):
        return True
    factors = np.linalg.pinv(basis) @ wanted[..., None]
    rest = np.abs((basis @ factors)[..., 0] - wanted).max(axis=-1)
    return bool((rest <= ROUNDINGS * tolerance * np.maximum(1.0, np.abs(factors).max(axis=(-2, -1)))).all())


RIGHT = "each number in the place, and of the row, of which the forward pass has kept it"
SAVED = (
    Mistake("saved-input", "the backward pass reads an input with its numbers in other places", RIGHT, _input,
            backward=True),
    Mistake("saved-statistics", "the backward pass of a norm reads the statistics of other rows", RIGHT,
            at_outputs_of("layer_norm", _norm), backward=True, can_make=_is_of_rows),
    Mistake("saved-log-sum", "the backward pass computes exp(scores - L) in place of the probabilities",
            "L is the row's log-sum-exp, so that each row's sum is 1", _softmax, backward=True,
            can_make=_is_of_rows),
    Mistake("saved-sum", "the backward pass of the softmax subtracts another sum of p dp than that of the row", RIGHT,
            at_outputs_of("softmax", _sum), backward=True, can_make=_is_of_rows),
)  # fmt: skip
