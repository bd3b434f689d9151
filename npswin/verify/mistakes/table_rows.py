"""Another index into the table of relative position biases: which row each pair of a query and a key takes, by a rule.

The rows follow from the bias, as the rows of a table differ. The right row is (Δy + M - 1)(2M - 1) + Δx + M - 1. A
wrong one mostly is another linear form of the coordinates, of which what is outside of the table is taken from its
ends, or counted from its other end, or is 0.
"""

import math
from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.index_rules import linear_words
from npswin.verify.graph import Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import Changes, gather_node, is_output_of

OUTSIDE = -1  # in place of a row: the bias is 0
LARGEST_SHARE_OUTSIDE = 0.5  # of the pairs
FEWEST_ALIKE = 0.25  # of the pairs that follow a linear form


def fit_table_rule(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """The rule by which pairs of query and key take rows of the bias table, where there is one."""
    rows = _rows(run, name, found, tolerance)
    if rows is not None and (rule := rule_of_rows(rows, math.isqrt(len(rows)), len(_table(run, name)))):
        yield Fit(f"a pair takes the table's row {rule}", _with_rows(run, name, rows), 0)


def fit_table_rows(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """The rows of the bias table that the pairs of query and key take, where that is without a rule."""
    rows = _rows(run, name, found, tolerance)
    if rows is not None and not rule_of_rows(rows, math.isqrt(len(rows)), len(_table(run, name))):
        words = f"pairs take other rows of the table: query 0 and key 1 take row {rows[0, 1]}"
        yield Fit(words, _with_rows(run, name, rows), 0)


def _table(run: Run, name: str) -> Array:
    return run.value(run.graph.nodes[name].inputs[0])


def _rows(run: Run, name: str, found: Array, tolerance: float) -> Array | None:
    """For each query and key the row of the table, or OUTSIDE; None where some pair takes no row."""
    node = run.graph.nodes.get(name)
    if node is None or not is_output_of(node, "position_bias"):
        return None
    table = _table(run, name)
    if table.ndim != 2 or found.shape[0] != table.shape[1] or found.shape[1] < 4:
        return None
    pairs = found.reshape(len(found), -1).T
    outside = np.abs(pairs).max(axis=1) <= tolerance
    distances = np.abs(pairs[:, None] - table[None]).max(axis=2)
    if distances[~outside].min(axis=1).max(initial=0) > 2 * tolerance or outside.mean() > LARGEST_SHARE_OUTSIDE:
        return None
    if len(np.unique(table, axis=0)) < len(table):
        return None
    return np.where(outside, OUTSIDE, distances.argmin(axis=1)).reshape(found.shape[1:])


def _with_rows(run: Run, name: str, rows: Array) -> Changes:
    kept = (rows != OUTSIDE)[..., None]
    return gather_node(run.graph.nodes[name], "position_bias", lambda table: (table[rows] * kept).transpose(2, 0, 1))


def rule_of_rows(rows: Array, side: int, size: int) -> str:
    """The rule by which the rows follow from the coordinates of query and key; empty if there is none.

    Args:
        rows: (N, N), for query and key the table's row, or OUTSIDE.
        side: M, of a window.
        size: how many rows the table has.
    """
    y, x = np.divmod(np.arange(side * side), side)
    one = np.ones_like(rows)
    yq, xq, yk, xk = y[:, None] * one, x[:, None] * one, y[None] * one, x[None] * one
    dy, dx = yq - yk, xq - xk
    forms = {
        ", Δ = query's place - key's place": {"Δy": dy, "Δx": dx},
        ", Δ without its sign": {"|Δy|": np.abs(dy), "|Δx|": np.abs(dx)},
        ", Δ without its sign in x": {"Δy": dy, "|Δx|": np.abs(dx)},
        ", Δ without its sign in y": {"|Δy|": np.abs(dy), "Δx": dx},
        ", of the key's place alone": {"y": yk, "x": xk},
        ", of the query's place alone": {"y": yq, "x": xq},
        **{
            f", Δ limited to ±{far}": {"Δy": dy.clip(-far, far), "Δx": dx.clip(-far, far)} for far in range(1, side - 1)
        },
        "": {"y_query": yq, "x_query": xq, "y_key": yk, "x_key": xk},
    }
    for what, terms in forms.items():
        factors = [_step(rows, term, list(terms.values()), size) for term in terms.values()]
        line = sum(factor * term for factor, term in zip(factors, terms.values(), strict=True))
        offsets, counts = np.unique(np.where(_inside(rows, size), rows - line, size**2), return_counts=True)
        counts[offsets == size**2] = 0
        constant = int(offsets[counts.argmax()])
        if counts.max() < FEWEST_ALIKE * _inside(rows, size).sum() or not any(factors):
            continue
        row = line + constant
        beyond = (row < 0) | (row >= size)
        for outside, places in (
            ("", row),
            (f", or the {_ends(row, size)}", row.clip(0, size - 1)),
            (", or 0 where that is outside", np.where(beyond, OUTSIDE, row)),
            (", counted from the table's end where that is negative", np.where(row < 0, row + size, row)),
            (", modulo the table's length", row % size),
        ):
            if np.array_equal(places, rows):
                formula = _formula(dict(zip(terms, factors, strict=True)), constant, side)
                return f"{formula}{what}{outside}"
    return ""


def _ends(row: Array, size: int) -> str:
    """Which rows are taken where a row is limited to those of the table."""
    below = ["first row where that is negative"] if row.min() < 0 else []
    above = ["last row where that is beyond the table"] if row.max() >= size else []
    return " or the ".join(below + above)


def _inside(rows: Array, size: int) -> Array:
    """Whether a row is none of the first, the last and those outside, which may stand for others."""
    return (rows > 0) & (rows < size - 1)


def _step(rows: Array, term: Array, terms: list[Array], size: int) -> int:
    """By how much the row mostly grows where one of the terms grows by 1 and the others stay."""
    flat, inside = rows.reshape(-1), _inside(rows, size).reshape(-1)
    keys = np.stack([other.reshape(-1) for other in terms if other is not term], axis=1)
    order = np.lexsort([term.reshape(-1), *keys.T])
    grows = np.diff(term.reshape(-1)[order]) == 1
    same = grows & (np.diff(keys[order], axis=0) == 0).all(axis=1) & inside[order][1:] & inside[order][:-1]
    steps, counts = np.unique(np.diff(flat[order])[same], return_counts=True)
    return int(steps[counts.argmax()]) if len(steps) else 0


def _formula(factors: dict[str, int], constant: int, side: int) -> str:
    """A linear form in the coordinates; by the window's side M where its numbers have simple forms in it."""
    names = {side**2: "M²", 2 * side + 1: "(2M + 1)", 2 * side: "2M", 2 * side - 1: "(2M - 1)", side: "M"}
    offsets = {"M - 1": side - 1, "": 0, "M": side}
    (first, a), (second, b), *_ = sorted(factors.items(), key=lambda one: -abs(one[1]))
    if len(factors) == 2 and abs(a) in names and abs(b) == 1:
        for one, by in offsets.items():
            for other, add in offsets.items():
                if abs(a) * by + add == constant:
                    outer = f"{'-' if a < 0 else ''}{first}{f' + {one}' if one else ''}"
                    outer = outer if outer == first else f"({outer})"
                    inner = f"{'-' if b < 0 else '+'} {second}{f' + {other}' if other else ''}"
                    return f"{outer} {names[abs(a)]} {inner}"
    terms = [(factor, name) for name, factor in factors.items()]
    return linear_words(terms, constant)
