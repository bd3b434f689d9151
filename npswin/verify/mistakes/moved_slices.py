"""Products of matrices whose one factor is that of another head, window or image, and columns of qkv from elsewhere.

The scores and the context have a product for each image, window and head. Where only one of the two factors is taken
from another one, as with keys that heads share or a buffer that is one window late, each product tells which it is: it
is compared with the products of the other factor with all of them. That refuses with the first one that is none.
"""

from collections.abc import Callable, Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.index_rules import index_rules
from npswin.verify.fits.words import ANY_ORDER, Axis, other_words_along, words_along
from npswin.verify.graph import Node, Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, gather, gather_node, is_output_of, transform_input

# By the axes of (image, window, head, ...) that are moved as one: what their entries are.
AXES: dict[tuple[int, int], str] = {
    (2, 3): "head",
    (1, 2): "window",
    (0, 1): "B",
    (0, 2): "window of the batch",
    (1, 3): "head of all windows",
    (0, 3): "head of all windows of the batch",
}
MOST_ENTRIES = 1024
ZERO = -1  # in place of an entry
NEAR = 3  # columns by which a start is told from the right one


def fit_slices(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of scores and of the context by a factor whose heads, windows or images are others.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if node is None or not is_output_of(node, "scores", "mix") or not np.isfinite(found).all():
        return
    assert node.operation is not None
    factors = [run.value(read) for read in node.inputs]
    if found.shape != (*factors[0].shape[:-1], found.shape[-1]) or factors[0].shape[:3] != factors[1].shape[:3]:
        return
    for index, read in enumerate(node.inputs):
        one, other = _few_rows(node, factors, index)
        part_of_found = found[..., :, :1] if index == 0 else found[..., :1, :]

        def multiply(moved: Array, kept: Array, first: bool = index == 0) -> Array:
            operation = node.operation
            assert operation is not None
            return operation.forward(*((moved, kept) if first else (kept, moved)))[0]

        explained = 0
        for (start, end), part in AXES.items():
            if explained and part.startswith("head of"):
                break
            stacks = [stacked(x, start, end) for x in (one, other, part_of_found)]
            source = sources(stacks, multiply, tolerance)
            if source is None:
                continue
            words = words_along(Axis(part, len(source)), source)
            if explained and ANY_ORDER in words:
                continue
            explained += 1
            changed = transform_input(node.operation, index, gather(taken_from(source, start, end)))
            axis = Axis(part, len(source))
            also = tuple(f"{read}: {other}" for other in other_words_along(axis, source))
            yield Fit(f"{read}: {words}", change_node(node, changed), 0, also)


def _few_rows(node: Node, factors: list[Array], index: int) -> tuple[Array, Array]:
    """The factor that may be moved, and of the other one a row or column, which is enough to compare by."""
    one, other = factors[index], factors[1 - index]
    if index == 0 and is_output_of(node, "mix"):
        return one, other[..., :1]
    return one, other[..., :1, :]


def stacked(x: Array, start: int, end: int) -> Array:
    """Some of the first three axes as one: (before, entries, after, rows, columns)."""
    before, entries, after = (int(np.prod(x.shape[a:b])) for a, b in ((0, start), (start, end), (end, 3)))
    return x.reshape(before, entries, after, *x.shape[3:])


def sources(stacks: list[Array], multiply: Callable[[Array, Array], Array], tolerance: float) -> Array | None:
    """For each entry along axis 1 that of which it is the product, ZERO where it is 0; None if some is of none.

    Args:
        stacks: the factor that may be moved, the other one, and the port's products.
        multiply: of the two factors.
        tolerance: the largest difference of equal numbers.
    """
    one, other, found = stacks
    entries = one.shape[1]
    if not 1 < entries <= MOST_ENTRIES:
        return None
    rest = (0, 2, 3, 4)
    source = np.arange(entries)
    for entry in np.flatnonzero(np.abs(multiply(one, other) - found).max(axis=rest) > tolerance):
        mine = found[:, entry : entry + 1]
        is_product = np.abs(multiply(one, other[:, entry : entry + 1]) - mine).max(axis=rest) <= 2 * tolerance
        if is_product.any():
            source[entry] = is_product.argmax()
        elif np.abs(mine).max() <= tolerance:
            source[entry] = ZERO
        else:
            return None
    return None if np.array_equal(source, np.arange(entries)) or (source == ZERO).all() else source


def taken_from(source: Array, start: int, end: int) -> Callable[[Array], Array]:
    """The rearrangement of a factor whose axes from start to end, as one, have the entries that `sources` tells."""

    def taken(x: Array) -> Array:
        slices = stacked(x, start, end)
        kept = (source != ZERO).astype(x.dtype)[None, :, None, None, None]
        return (slices[:, np.maximum(source, 0)] * kept).reshape(x.shape)

    return taken


def fit_columns(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of q, k and v by the columns of qkv that they are."""
    node = run.graph.nodes.get(name)
    if node is None or not is_output_of(node, "split_heads") or len(node.inputs) != 1:
        return
    qkv = run.value(node.inputs[0])
    width = qkv.shape[-1] // 3
    if found.ndim != 5 or found.size * 3 != qkv.size:
        return
    heads = found.shape[2]
    columns = found.swapaxes(2, 3).reshape(-1, width)
    source = _columns(columns, qkv.reshape(-1, 3 * width), tolerance)
    right = node.settings["part"] * width
    if source is None or np.array_equal(source, right + np.arange(width)):
        return

    def rearranged(x: Array) -> Array:
        return x[..., source].reshape(*x.shape[:-1], heads, -1).swapaxes(2, 3)

    start, letter = int(source[0]), "qkv"[node.settings["part"]]
    late = start - right
    if np.array_equal(source, start + np.arange(width)):
        words = f"its columns of qkv start at {start}, not at {right}"
        if abs(late) <= NEAR:
            words = f"its columns of qkv start {abs(late)} {'after' if late > 0 else 'before'} the right ones"
    elif rules := index_rules(source, 3 * width, "c"):
        words = f"channel c of {letter} is column {rules[0]} of qkv"
    else:
        return
    yield Fit(words, gather_node(node, "split_heads", rearranged), 0)


def _columns(found: Array, right: Array, tolerance: float) -> Array | None:
    """For each column the one of the right ones that it is; None if some column is none."""
    few = np.abs(found[:1, :, None] - right[:1, None]) <= tolerance
    source = few[0].argmax(axis=1)
    for column, places in enumerate(few[0]):
        candidates = np.flatnonzero(places)
        far = np.abs(found[:, column, None] - right[:, candidates]).max(axis=0, initial=0)
        if not candidates.size or far.min() > tolerance:
            return None
        source[column] = candidates[far.argmin()]
    return source
