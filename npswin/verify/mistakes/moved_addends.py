"""A position bias or mask that scores get by a wrong index: that of another head or window, by the flat block number.

The right bias is that of the head, the right mask that of the window. A kernel computes both from one number, that of
its block: (image · nW + window) · heads + head. What each block has added is compared with all biases, or masks; as
some masks are alike, each rule is tried rather than read off.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Operation, Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, is_output_of

PROJECTIONS = 4  # numbers by which a bias or a mask is compared
MARGIN = 8.0  # times the tolerance, for sums of N² numbers in the quadratic mean
FEWEST = 8  # blocks from which a rule is told
MOST_WORDINGS = 12  # of one map
MOST_STEPS = 16  # of an index by a few


def fit_addends(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of scores with bias or mask by the index of what is added.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if node is None or not is_output_of(node, "add_bias", "add_mask") or len(node.inputs) != 2:
        return
    scores, addend = (run.value(read) for read in node.inputs)
    if found.shape != scores.shape or found.ndim != 5 or addend.ndim != 3 or not np.isfinite(found).all():
        return
    is_bias = is_output_of(node, "add_bias")
    usual = np.indices(found.shape[:3])[2 if is_bias else 1]
    is_same = _is_same(found - scores, addend, tolerance)
    if len(addend) < 2 or is_same.size < FEWEST * len(addend) or not is_same.any(axis=-1).all():
        return
    entry, count = ("head", "heads") if is_bias else ("window", "nW")
    rules = {
        f"{node.inputs[1]} is that of {entry} {words}": index
        for words, index in _indices(found.shape[:3], len(addend), count)
        if np.take_along_axis(is_same, index[..., None], -1).all() and not np.array_equal(index, usual)
    }
    if rules:
        first, *also = rules
        changes = change_node(node, _with_index(node.operation, rules[first], is_bias))
        yield Fit(first, changes, 0, tuple(also[:MOST_WORDINGS]))


def _with_index(operation: Operation | None, index: Array, has_gradient: bool) -> Operation:
    """Scores with the addend's entries of an index (B, nW, heads)."""
    assert operation is not None

    def forward(scores: Array, addend: Array, **_: Any) -> tuple[Array, Any]:
        return scores + addend[index], addend.shape

    def backward(dy: Array, shape: Any) -> tuple[Array, Array | None]:
        sums = np.zeros(shape, dy.dtype)
        np.add.at(sums, index, dy)
        return dy, sums if has_gradient else None

    return replace(operation, forward=forward, backward=backward)


def _is_same(added: Array, addend: Array, tolerance: float) -> Array:
    """Whether what is added for each image, window and head is each of the biases or masks: (B, nW, heads, entries)."""
    numbers = addend[0].size
    weights = np.random.default_rng(0).standard_normal((numbers, PROJECTIONS)) / np.sqrt(numbers)
    one, other = added.reshape(*added.shape[:3], numbers) @ weights, addend.reshape(-1, numbers) @ weights
    return np.abs(one[..., None, :] - other).max(axis=-1) <= MARGIN * tolerance


def _indices(shape: tuple[int, ...], size: int, name: str) -> Iterator[tuple[str, Array]]:
    """Rules for an index of so many entries from the numbers of the image, the window and the head."""
    images, windows, heads = shape
    b, w, h = np.indices(shape)
    numbers = {
        "h": h,
        "w": w,
        "b": b,
        "(b nW + w)": b * windows + w,
        "(w heads + h)": w * heads + h,
        "((b nW + w) heads + h)": (b * windows + w) * heads + h,
        "(h nW + w)": h * windows + w,
        "(w B + b)": w * images + b,
    }
    for entry in dict.fromkeys((0, size - 1, *range(size))):
        yield f"{entry}, for all", np.full(shape, entry)
    for step in sorted(range(-MOST_STEPS, MOST_STEPS + 1), key=abs):
        for letter, number in numbers.items():
            moved = number + step
            words = f"({letter} {'-' if step < 0 else '+'} {abs(step)})" if step else letter
            yield f"{words} % {name}", moved % size
            if step:
                yield f"{words}, at {'most the last' if step > 0 else 'least 0'}", moved.clip(0, size - 1)
    for letter, number in numbers.items():
        yield f"{name} - 1 - {letter}", (size - 1 - number) % size
        for group in range(2, int(number.max()) + 2):
            yield f"{letter} // {group}", (number // group) % size
