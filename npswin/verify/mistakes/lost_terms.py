"""Sums of which a few terms got lost, or were added twice, as where threads add to one number without locking it."""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from npswin.ops.position_bias import relative_position_index
from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Node, Run
from npswin.verify.mistakes.mistake import change_node, is_output_of, transform_derivative, with_backward
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.mistakes.other_terms import OtherTerms
from npswin.verify.mistakes.summed_rows import shares_of_rows
from npswin.verify.mistakes.terms.derivative import Known

MOST_LOST = 4  # terms of one sum
MOST_SUMS = 2**17  # of so many terms, among which the lost ones are looked for
CHANCE = 1e-3  # with which some terms would have the missing sums by chance, at most
CHANCE_OF_ONE = 0.05  # the same of one row of a table, of several
SHARE = 2 / 3  # of the wrong sums whose lost terms are found
MOST_COLUMNS = 64  # of a gradient's numbers, by which lost rows are found
DESCRIPTION = "a gradient lacks some of the terms of its sum, as where threads add without atomic operations"
TWICE = "a gradient has some of the terms of its sum twice"
FIX = "each term is added once"


class _Found(NamedTuple):
    """Which terms are lost (sign -1) or doubled (sign 1), and with which chance some would be found without it."""

    terms: tuple[int, ...]
    sign: int
    chance: float


class _Pairs(NamedTuple):
    """The pairs of tokens that are lost in a table's gradient, or doubled.

    Attributes:
        weights: of each pair in the sums.
        unknown: rows of the table that are wrong in another way.
        sign: -1 for lost ones, 1 for doubled ones.
        chance: with which the rows that several pairs read would be explained without it.
    """

    weights: Array
    unknown: list[int]
    sign: int
    chance: float


def fit_lost_terms(run: Run, symptom: str, found: Array, tolerance: float) -> Iterator[OtherTerms]:
    """Explanations of a parameter's gradient by the terms that its sums lack.

    Args:
        run: the graph on the port's own inputs.
        symptom: the gradient's name.
        found: the port's gradient.
        tolerance: the largest difference of equal numbers.
    """
    tensor = symptom.removeprefix(GRADIENT_PREFIX)
    users = run.graph.differentiable_consumers(tensor)
    if tensor == symptom or len(users) != 1 or not np.isfinite(found).all():
        return
    if run.value(tensor).shape != found.shape:  # by another mistake
        return
    node = run.graph.nodes[users[0]]
    if is_output_of(node, "position_bias"):
        yield from _of_table(run, node, found, tolerance)
    elif is_output_of(node, "linear", "layer_norm") and run.graph.nodes[tensor].axes == "parameter":
        yield from _of_rows(run, node, node.inputs.index(tensor), found, tolerance)


def _of_table(run: Run, node: Node, found: Array, tolerance: float) -> Iterator[OtherTerms]:
    """Pairs of tokens whose derivative is missing in the row of the table that they read.

    A row that one pair alone reads is 0 without it, which other mistakes give, too: there, the table of another block
    has to show that pairs are lost.
    """
    lost = _lost_pairs(run, node, found, tolerance)
    if lost is None or not (lost.chance <= CHANCE or _others_lose_pairs(run, node, tolerance / _peak(found))):
        return
    weights, unknown = lost.weights, lost.unknown
    changed = np.flatnonzero(weights != 1)
    side = math.isqrt(len(weights))
    listed = ", ".join(f"({place // side}, {place % side})" for place in changed[:4])
    what = "missing in" if lost.sign == -1 else "twice in"
    verb = "is" if len(changed) == 1 else "are"
    detail = f"{len(changed)} of {len(weights)} pairs of tokens ({len(changed) / len(weights):.1%}) {verb} {what} the"
    detail += f" sums of their rows of the table: (query, key) {listed}{', ...' * (len(changed) > 4)}"
    assert node.operation is not None
    operation = node.operation

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        if dy[0].size != weights.size:
            raise NotApplicable("another window size by another mistake")
        (table,) = operation.backward(dy * weights.reshape(dy.shape[1:]).astype(dy.dtype), cache)
        assert table is not None
        table[unknown] = found[unknown]
        return (table,)

    changes = change_node(node, with_backward(operation, backward))
    text = DESCRIPTION if lost.sign == -1 else TWICE
    yield OtherTerms(text, detail, FIX, node.name, changes, len(unknown) * found.shape[1], False, True)


def _lost_pairs(run: Run, node: Node, found: Array, tolerance: float) -> _Pairs | None:
    """The pairs of tokens that most wrong rows of a table's gradient lack, or have twice; None if there are none."""
    dbias, right = run.gradient(node.name), run.compute(GRADIENT_PREFIX + node.inputs[0])
    index = relative_position_index(node.settings["window_size"]).reshape(-1)
    if dbias.shape[0] != found.shape[1] or right.shape != found.shape:
        return None
    pairs = dbias.reshape(len(dbias), -1).T
    difference = found - right
    wrong = np.flatnonzero(np.abs(difference).max(axis=1) > tolerance)
    weights, unknown, signs, chance = np.ones(len(index)), [], set(), 1.0
    for row in wrong:
        own = np.flatnonzero(index == row)
        some = _missing(difference[row], pairs[own], 2 * tolerance, CHANCE_OF_ONE)
        if some is None:
            unknown.append(int(row))
        else:
            weights[own[list(some.terms)]] += some.sign
            signs.add(some.sign)
            chance *= some.chance if len(own) > 1 else 1.0
    if len(signs) != 1 or len(unknown) > (1 - SHARE) * len(wrong):
        return None
    return _Pairs(weights, unknown, signs.pop(), chance)


def _others_lose_pairs(run: Run, node: Node, share: float) -> bool:
    """Whether the gradient of another table surely lacks pairs.

    Args:
        run: the graph on the port's own inputs.
        node: the look-up in the table at hand.
        share: of a gradient's largest number, by which equal numbers may differ.
    """
    for other in run.graph.nodes.values():
        found = run.given.get(GRADIENT_PREFIX + other.inputs[0]) if is_output_of(other, "position_bias") else None
        if other is node or found is None or not np.isfinite(found).all():
            continue
        lost = _lost_pairs(run, other, found, share * _peak(found))
        if lost is not None and lost.chance <= CHANCE:
            return True
    return False


def _peak(array: Array) -> float:
    return max(float(np.abs(array).max()), 1e-300)


def _of_rows(run: Run, node: Node, index: int, found: Array, tolerance: float) -> Iterator[OtherTerms]:
    """Tokens of the batch whose share in a layer's gradient is missing: in all of its numbers, or in each by itself."""
    assert node.operation is not None
    right = run.compute(GRADIENT_PREFIX + node.inputs[index])
    inputs = tuple(run.value(read) for read in node.inputs)
    known = Known(run.gradient(node.name), inputs, run.value(node.name), node.settings)
    difference = (found - right).reshape(-1)
    wrong = np.flatnonzero(np.abs(difference) > tolerance)
    columns = wrong[np.unique(np.linspace(0, len(wrong) - 1, min(len(wrong), MOST_COLUMNS)).astype(np.intp))]
    shares = shares_of_rows(known, node.operation.name, index, columns)
    if not len(columns) or shares is None:
        return
    some = _missing(difference[columns], shares, 2 * tolerance)
    if some is None:
        return
    listed = ", ".join(map(str, some.terms))
    what = "missing" if some.sign < 0 else "there twice"
    detail = (
        f"of the {len(shares)} tokens of the batch, number {listed} {'is' if len(some.terms) == 1 else 'are'} {what}"
    )
    every = np.arange(found.size)
    share = _sum_of(lambda: shares_of_rows(known, node.operation.name, index, every), some)  # type: ignore[union-attr]
    changes = change_node(
        node, transform_derivative(node.operation, index, lambda dw: dw + share.reshape(dw.shape).astype(dw.dtype))
    )
    text = DESCRIPTION if some.sign < 0 else TWICE
    yield OtherTerms(text, detail, FIX, node.name, changes, 0, False, True)


def _sum_of(shares: Callable[[], Array | None], some: _Found) -> Array:
    rows = shares()
    assert rows is not None
    return np.asarray(some.sign * rows[list(some.terms)].sum(axis=0))


def _missing(difference: Array, terms: Array, tolerance: float, most: float = CHANCE) -> _Found | None:
    """The fewest terms whose sum is a difference, or its negative; None where chance would find some, too.

    Args:
        difference: (numbers,).
        terms: (terms, numbers).
        tolerance: the largest difference of equal numbers.
        most: the chance, up to which terms are looked for.
    """
    spread = np.maximum(terms.std(axis=0) if len(terms) > 1 else np.abs(terms[0]), 1e-300)
    by_chance = float(np.minimum(1, 2 * tolerance / spread).prod())
    best = int(spread.argmax())  # the number by which terms are looked up
    for count in range(1, MOST_LOST + 1):
        chance = 2 * math.comb(len(terms), count) * by_chance
        if chance > most:
            return None
        for sign in (-1, 1):
            some = _summing_to(sign * difference, terms, count, tolerance, best)
            if some is not None:
                return _Found(some, sign, chance)
    return None


def _summing_to(wanted: Array, terms: Array, count: int, tolerance: float, best: int) -> tuple[int, ...] | None:
    """So many terms whose sum is wanted: sums of one half of them are looked up among those of the other half."""
    halves = [_sums(terms, part) for part in (count // 2, count - count // 2)]
    if any(half is None for half in halves):
        return None
    (few, sums), (others, rest) = halves  # type: ignore[misc]
    order = np.argsort(rest[:, best])
    keys = rest[order, best]
    low = np.searchsorted(keys, wanted[best] - sums[:, best] - tolerance)
    high = np.searchsorted(keys, wanted[best] - sums[:, best] + tolerance)
    for place in np.flatnonzero(high > low):
        for other in order[low[place] : high[place]]:
            chosen = (*few[place], *others[other])
            if len(set(chosen)) == count and np.abs(sums[place] + rest[other] - wanted).max() <= tolerance:
                return tuple(int(one) for one in chosen)
    return None


def _sums(terms: Array, count: int) -> tuple[Array, Array] | None:
    """All sets of so many terms, and their sums; None if these are too many."""
    if math.comb(len(terms), count) > MOST_SUMS:
        return None
    if count == 0:
        return np.zeros((1, 0), np.intp), np.zeros((1, terms.shape[1]))
    if count == 1:
        return np.arange(len(terms))[:, None], terms
    first, second = np.triu_indices(len(terms), 1)
    return np.stack([first, second], axis=1), terms[first] + terms[second]
