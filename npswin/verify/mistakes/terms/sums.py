"""The derivatives of sums, tables and the pool, and the terms that they may be made of by mistake."""

from collections.abc import Callable

import numpy as np

from npswin.ops.position_bias import relative_position_index
from npswin.types import Array
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.mistakes.terms.derivative import Derivative, Known, Term, counts

_windows = counts(
    lambda known: [
        ("B", known.dy.shape[0]),
        ("nW", known.dy.shape[1]),
        ("B nW", known.dy.shape[0] * known.dy.shape[1]),
        ("N", known.dy.shape[-1]),
        ("heads", known.dy.shape[2]),
    ]
)


def _dy(known: Known) -> Array:
    return known.dy


def _sum_of_windows(known: Known) -> Array:
    if known.inputs[1].shape[0] != known.dy.shape[2]:
        raise NotApplicable("one bias for all heads")
    return known.dy.sum(axis=(0, 1))


def _of_heads(known: Known) -> Array:
    bias = _sum_of_windows(known)
    return np.broadcast_to(bias.sum(axis=0, keepdims=True), bias.shape)


ADD_BIAS = {
    0: Derivative("dscores = dy", {"dy": 1.0}, {"dy": _dy, "scores": lambda k: k.inputs[0]}),
    1: Derivative(
        "dbias = Σ dy over windows and images",
        {"Σ dy": 1.0},
        {
            "Σ dy": _sum_of_windows,
            "Σ dyᵀ, query and key exchanged": lambda known: _sum_of_windows(known).swapaxes(-1, -2),
            "Σ dy over the heads, too": _of_heads,
            "Σ |dy|": lambda known: np.abs(known.dy).sum(axis=(0, 1)),
            "Σ (scores + bias)": lambda known: known.y.sum(axis=(0, 1)),
            "the bias": lambda known: known.inputs[1],
        },
        _windows,
    ),
}


def _masked(known: Known, hidden: bool) -> Array:
    return known.dy * ((known.inputs[1] != 0) == hidden)[:, None]


ADD_MASK = {
    0: Derivative(
        "dscores = dy",
        {"dy": 1.0},
        {
            "dy": _dy,
            "dy where the mask is not 0": lambda known: _masked(known, True),
            "the mask": lambda known: np.broadcast_to(known.inputs[1][:, None], known.dy.shape),
            "scores": lambda known: known.inputs[0],
        },
    )
}


def _collected(change: Callable[[Array], Array]) -> Term:
    """The table's rows as sums over the pairs that read them, of a change of dy (heads, query, key)."""

    def term(known: Known) -> Array:
        table = known.inputs[0]
        if table.ndim != 2 or known.dy.shape[0] != table.shape[1]:
            raise NotApplicable("no table of offsets")
        index = relative_position_index(known.settings["window_size"]).reshape(-1)
        sums = np.zeros(table.shape, known.dy.dtype)
        np.add.at(sums, index, change(known.dy).reshape(len(known.dy), -1).T)
        return sums

    return term


def _on_diagonal(dy: Array, side: int) -> Array:
    """The pairs with a query before (-1), at (0) or behind (1) the key; 0 elsewhere."""
    query, key = np.arange(dy.shape[-2])[:, None], np.arange(dy.shape[-1])
    return dy * (np.sign(query - key) == side)


def _averaged(known: Known) -> Array:
    count = _collected(np.ones_like)(known)
    return _collected(lambda dy: dy)(known) / np.maximum(count, 1)


POSITION_BIAS = {
    0: Derivative(
        "drow = Σ of its pairs, over all pairs that read this row of the table",
        {"Σ of its pairs": 1.0},
        {
            "Σ of its pairs": _collected(lambda dy: dy),
            "Σ of its pairs, query and key exchanged": _collected(lambda dy: dy.swapaxes(-1, -2)),
            "the mean of its pairs": _averaged,
            "Σ of its pairs with the query before the key": _collected(lambda dy: _on_diagonal(dy, -1)),
            "Σ of its pairs with the query at the key": _collected(lambda dy: _on_diagonal(dy, 0)),
            "Σ of its pairs with the query behind the key": _collected(lambda dy: _on_diagonal(dy, 1)),
            "Σ of its pairs and of all heads": _collected(
                lambda dy: np.broadcast_to(dy.sum(axis=0, keepdims=True), dy.shape)
            ),
            "Σ of its pairs, the memory of (head, query, key) read as (query, key, head)": _collected(
                lambda dy: dy.reshape(-1, len(dy)).T.reshape(dy.shape)
            ),
            "Σ of the pairs of the row of the opposite offset": lambda known: _collected(lambda dy: dy)(known)[::-1],
            "the table": lambda known: known.inputs[0],
        },
        counts(lambda known: [("N", known.dy.shape[-1]), ("N²", known.dy.shape[-1] ** 2), ("heads", len(known.dy))]),
    )
}


def _spread(known: Known) -> Array:
    x = known.inputs[0]
    return np.broadcast_to(known.dy[:, None, None] / (x.shape[1] * x.shape[2]), x.shape)


def _folded(known: Known) -> Array:
    """The padding's derivative, added to the last row and column of the map."""
    height, width = known.inputs[0].shape[1:3]
    dx = known.dy[:, :height, :width].copy()
    dx[:, -1] += known.dy[:, height:, :width].sum(axis=1)
    dx[:, :, -1] += known.dy[:, :height, width:].sum(axis=2)
    dx[:, -1, -1] += known.dy[:, height:, width:].sum(axis=(1, 2))
    return dx


def _cropped(known: Known) -> Array:
    height, width = known.inputs[0].shape[1:3]
    return known.dy[:, :height, :width]


PAD = {
    0: Derivative(
        "dx = dy without the padding",
        {"dy without the padding": 1.0},
        {"dy without the padding": _cropped, "dy with that of the padding added to the edge": _folded},
    )
}


def _at_largest(known: Known) -> Array:
    x = known.inputs[0]
    return known.dy[:, None, None] * (x == x.max(axis=(1, 2), keepdims=True))


def _at_token(row: int, column: int) -> Term:
    def term(known: Known) -> Array:
        dx = np.zeros(known.inputs[0].shape, known.dy.dtype)
        dx[:, row, column] = known.dy
        return dx

    return term


POOL = {
    0: Derivative(
        "dx = dy / (H W) for each token",
        {"dy / (H W)": 1.0},
        {
            "dy / (H W)": _spread,
            "dy at the token of the largest number": _at_largest,
            "dy at the first token": _at_token(0, 0),
            "dy at the last token": _at_token(-1, -1),
            "x": lambda known: known.inputs[0],
        },
        counts(
            lambda known: [
                ("B", len(known.dy)),
                ("H", known.inputs[0].shape[1]),
                ("W", known.inputs[0].shape[2]),
                ("H W", known.inputs[0].shape[1] * known.inputs[0].shape[2]),
            ]
        ),
    )
}
RESIDUAL = {
    0: Derivative("dx = dy for both terms of the sum", {"dy": 1.0}, {"dy": _dy, "x": lambda known: known.inputs[0]}),
    1: Derivative("dx = dy for both terms of the sum", {"dy": 1.0}, {"dy": _dy, "x": lambda known: known.inputs[0]}),
}


def _neighbour(part: int) -> Term:
    """One of the four parts of dy's channels, at the neighbours that it belongs to."""

    def term(known: Known) -> Array:
        dx = np.zeros_like(known.inputs[0])
        place = dx[:, part % 2 :: 2, part // 2 :: 2]
        channels = slice(part * dx.shape[-1], (part + 1) * dx.shape[-1])
        place[...] = known.dy[:, : place.shape[1], : place.shape[2], channels]
        return dx

    return term


_NEIGHBOURS = {
    f"the part of {row} rows and {column} columns": 2 * (column == "odd") + (row == "odd")
    for column in ("even", "odd")
    for row in ("even", "odd")
}
PATCH_CONCAT = {
    0: Derivative(
        "dx = the four quarters of dy's channels, each at the neighbours that it was made of",
        dict.fromkeys(_NEIGHBOURS, 1.0),
        {name: _neighbour(part) for name, part in _NEIGHBOURS.items()},
    )
}
SCALE = {
    0: Derivative(
        "dq = dy / √d, as q is divided by it",
        {"dy / √d": 1.0},
        {"dy / √d": lambda known: known.dy * known.settings["factor"], "q": lambda known: known.inputs[0]},
        lambda known: {"√d": 1 / known.settings["factor"], "1/√d": known.settings["factor"]},
    )
}
