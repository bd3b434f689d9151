"""Which tokens of a map patch merging has joined, and whether they were pooled."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Node, Operation, Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, gather_node, is_output_of

MARGIN = 4.0  # times the tolerance
FEWEST_TOKENS = 4  # of a part
LISTED = 4
EVEN, ODD = slice(0, None, 2), slice(1, None, 2)


def fit_merging(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Other tokens that are joined, or a pool of the four, if that gives the port's tensor.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor, (B, H/2, W/2, 4C).
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if name.startswith(GRADIENT_PREFIX) or node is None or not is_output_of(node, "patch_concat"):
        return
    x = run.value(node.inputs[0])
    padded = _padded(x)
    channels = padded.shape[3]
    if found.ndim != 4 or found.shape[3] != 4 * channels or found.size != padded.size:
        return
    yield from _pooled(node, padded, found, tolerance)
    positions = _positions(padded, found.reshape(*found.shape[:3], 4, channels), tolerance)
    if positions is not None:
        known = _known_words(positions, x.shape[1:3])
        words = known or "; ".join(_of_part(positions[..., part], padded.shape[2]) for part in range(4))
        changes = gather_node(node, "patch_concat", _joining(positions))
        yield Fit(f"it joins {words}", changes, int(not known))


def _padded(x: Array) -> Array:
    """The map with zeros at the right and the bottom, to even sides."""
    return np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))


def _positions(x: Array, found: Array, tolerance: float) -> Array | None:
    """For each token (h, w, part) its place in the list of the map's tokens, -1 for zeros; None where it has none.

    Args:
        x: (B, H, W, C).
        found: (B, h, w, 4, C).
        tolerance: the largest difference of equal numbers.
    """
    tokens = np.moveaxis(x, 0, 2).reshape(x.shape[1] * x.shape[2], -1)  # of all images
    wanted = np.moveaxis(found, 0, 3).reshape(-1, tokens.shape[1])
    if len(wanted) < 4 * FEWEST_TOKENS:
        return None
    weights = np.random.default_rng(0).standard_normal(tokens.shape[1])
    order = np.argsort(tokens @ weights)
    sums = (tokens @ weights)[order]
    place = np.clip(np.searchsorted(sums, wanted @ weights), 1, len(sums) - 1)
    below, above = (np.abs(sums[one] - wanted @ weights) for one in (place - 1, place))
    source = order[np.where(below < above, place - 1, place)]
    is_zero = np.abs(wanted).max(axis=1) <= tolerance
    if (np.abs(tokens[source] - wanted).max(axis=1) > MARGIN * tolerance)[~is_zero].any() or is_zero.all():
        return None
    return np.where(is_zero, -1, source).reshape(*found.shape[1:4])


def _joining(positions: Array) -> Callable[[Array], Array]:
    """The rearrangement that joins these tokens."""

    def rearrangement(x: Array) -> Array:
        padded = _padded(x)
        tokens = padded.reshape(len(x), -1, x.shape[3])
        joined = np.where((positions < 0)[..., None], 0, tokens[:, positions])
        return joined.reshape(*joined.shape[:3], -1)

    return rearrangement


def _quarters(grid: Array) -> list[Array]:
    rows, columns = (length // 2 for length in grid.shape)
    return [grid[row : row + rows, column : column + columns] for column in (0, columns) for row in (0, rows)]


def _neighbours(grid: Array) -> list[Array]:
    return [grid[row, column] for column in (EVEN, ODD) for row in (EVEN, ODD)]


def _halves_of_rows(grid: Array) -> list[Array]:
    half = len(grid) // 2
    return [part[:, column] for column in (EVEN, ODD) for part in (grid[:half], grid[half:])]


def _halves_of_columns(grid: Array) -> list[Array]:
    half = grid.shape[1] // 2
    return [part[row] for part in (grid[:, :half], grid[:, half:]) for row in (EVEN, ODD)]


JOINED: dict[str, Callable[[Array], list[Array]]] = {
    "neighbours": _neighbours,
    "the quarters of the map (its halves are taken, not every second row and column)": _quarters,
    "the upper and lower half of the rows, and every second column": _halves_of_rows,
    "every second row, and the left and right half of the columns": _halves_of_columns,
    "four tokens in a row of the list": lambda grid: [grid.reshape(-1)[part::4] for part in range(4)],
    "tokens a quarter of the list apart": lambda grid: list(grid.reshape(4, -1)),
    "neighbours, of the map that is moved by one up and left, around its edge": lambda grid: _neighbours(
        np.roll(grid, (-1, -1), (0, 1))
    ),
    "neighbours, of the map that is moved by one down and right, around its edge": lambda grid: _neighbours(
        np.roll(grid, (1, 1), (0, 1))
    ),
}
GRIDS: dict[str, Callable[[Array], Array]] = {
    "": lambda grid: grid,
    ", of the list that is read as (W, H)": lambda grid: grid.reshape(grid.shape[::-1]),
    ", of the map with rows and columns exchanged": lambda grid: grid.T,
    ", of the map upside down": lambda grid: grid[::-1],
    ", of the map mirrored": lambda grid: grid[:, ::-1],
    ", of the map turned by half a turn": lambda grid: grid[::-1, ::-1],
}


def _known_words(positions: Array, size: Sequence[int]) -> str:
    """What is joined, if it is a known choice of tokens; else "".

    Args:
        positions: as `_positions` returns them.
        size: rows and columns of the map without padding.
    """
    width = size[1] + size[1] % 2
    grid = np.arange(size[0])[:, None] * width + np.arange(size[1])
    found = [positions[..., part].reshape(-1) for part in range(4)]
    for of_grid, view in GRIDS.items():
        for words, choice in JOINED.items():
            for seen in (_with_edge(view(grid)), view(_with_edge(grid))):
                parts = [part.reshape(-1) for part in choice(seen)] if not seen.size % 4 else []
                order = _order(found, parts)
                if order is not None:
                    listed = "" if order == [0, 1, 2, 3] else f", in the order {', '.join(map(str, order))}"
                    return f"{words}{of_grid}{listed}"
    return ""


def _with_edge(grid: Array) -> Array:
    """With -1 at the right and the bottom, to even sides."""
    return np.pad(grid, [(0, length % 2) for length in grid.shape], constant_values=-1)


def _order(found: list[Array], parts: list[Array]) -> list[int] | None:
    """Which part each found one is; None where they are others."""
    order = []
    for one in found:
        places = [place for place, part in enumerate(parts) if place not in order and np.array_equal(one, part)]
        if not places:
            return None
        order.append(places[0])
    return order


def _of_part(positions: Array, width: int) -> str:
    """The rows and columns of a part, or its first tokens."""
    rows, columns = np.where(positions < 0, -1, positions // width), np.where(positions < 0, -1, positions % width)
    if (rows == rows[:, :1]).all() and (columns == columns[:1]).all():
        return f"rows {_list(rows[:, 0])} and columns {_list(columns[0])}"
    places = zip(rows.reshape(-1)[:LISTED], columns.reshape(-1)[:LISTED], strict=True)
    return "(row, column) " + ", ".join(f"({row}, {column})" for row, column in places) + ", ..."


def _list(entries: Array) -> str:
    return ", ".join("none" if entry < 0 else str(entry) for entry in entries)


POOLS: dict[str, Callable[[Array], Array]] = {
    "the largest": lambda parts: parts.max(0),
    "the smallest": lambda parts: parts.min(0),
    "the mean": lambda parts: parts.mean(0),
    "the sum": lambda parts: parts.sum(0),
}
STEP = 1e-6


def _pooled(node: Node, x: Array, found: Array, tolerance: float) -> Iterator[Fit]:
    """One number of the four neighbours, repeated four times."""
    for words, pool in POOLS.items():
        for how, repeat in (("", _side_by_side), (", each channel four times in a row", _in_a_row)):
            if np.abs(repeat(pool(_parts(x))) - found).max() <= MARGIN * tolerance:
                fit = f"{words} of the four neighbours takes the place of each{how}"
                yield Fit(fit, change_node(node, _pooling(pool, repeat)), 0)


def _parts(x: Array) -> Array:
    return np.stack([x[:, row, column] for column in (EVEN, ODD) for row in (EVEN, ODD)])


def _side_by_side(y: Array) -> Array:
    return np.tile(y, 4)


def _in_a_row(y: Array) -> Array:
    return np.repeat(y, 4, axis=-1)


def _pooling(pool: Callable[[Array], Array], repeat: Callable[[Array], Array]) -> Operation:
    """The pool as an operation; its derivative by each of the four is a difference quotient."""

    def forward(x: Array) -> tuple[Array, Any]:
        return repeat(pool(_parts(_padded(x)))), x

    def backward(dy: Array, x: Any) -> tuple[Array]:
        parts = _parts(_padded(x)).astype(np.float64)
        copies = dy.reshape(*dy.shape[:3], 4, -1).sum(3) if repeat is _side_by_side else None
        of_pool = dy.reshape(*dy.shape[:3], -1, 4).sum(4) if copies is None else copies
        dx = np.zeros(_padded(x).shape)
        for part, (row, column) in enumerate((row, column) for column in (EVEN, ODD) for row in (EVEN, ODD)):
            step = np.zeros_like(parts)
            step[part] = STEP
            dx[:, row, column] = of_pool * (pool(parts + step) - pool(parts - step)) / (2 * STEP)
        return (dx[:, : x.shape[1], : x.shape[2]].astype(dy.dtype),)

    return Operation("patch_concat", forward, backward)
