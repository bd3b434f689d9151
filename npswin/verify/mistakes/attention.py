"""Mistakes in attention: queries, keys and values, the softmax, the heads."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    Rearrangement,
    Variants,
    at_outputs_of,
    change_node,
    gather,
    in_same_module,
    transform_input,
    transform_output,
    with_variants,
)

COLUMNS = ("q|k|v", "head", "d")  # the axes of qkv's columns, in their order


def _all_parts(graph: Graph, name: str, operation: Operation, parts: tuple[int, ...] = (0, 1, 2)) -> Changes:
    """q, k and v computed by another operation, each from this part of qkv."""
    changes: Changes = {}
    for letter, part in zip("qkv", parts, strict=True):
        changes |= change_node(graph.nodes[in_same_module(name, letter)], operation, settings={"part": part})
    return changes


def _interleaved(graph: Graph, node: Node) -> Variants:
    """The columns in each of the five other orders of their axes."""
    heads, operation = node.settings["num_heads"], node.operation
    assert operation is not None
    for order in permutations(range(len(COLUMNS))):
        if order != (0, 1, 2):
            changed = transform_input(operation, 0, gather(_columns_taken_as(order, heads)))
            detail = f"its columns are taken as ({', '.join(COLUMNS[axis] for axis in order)})"
            yield detail, _all_parts(graph, node.name, changed)


def _columns_taken_as(order: tuple[int, ...], heads: int) -> Rearrangement:
    """From columns whose axes are in an order to columns (q|k|v, head, d)."""

    def rearranged(qkv: Array) -> Array:
        sizes = 3, heads, qkv.shape[-1] // (3 * heads)
        lead = qkv.ndim - 1
        parts = qkv.reshape(*qkv.shape[:-1], *(sizes[axis] for axis in order))
        return parts.transpose(*range(lead), *(lead + order.index(axis) for axis in range(3))).reshape(qkv.shape)

    return rearranged


def _order(graph: Graph, node: Node) -> Variants:
    assert node.operation is not None
    for order in permutations(range(3)):
        if order != (0, 1, 2):
            names = ", ".join("qkv"[order.index(part)] for part in range(3))
            yield f"as {names}", _all_parts(graph, node.name, node.operation, order)


def _softmax_over(*axes: int) -> Callable[[Operation], Operation]:
    """The softmax of scores (B, nW, heads, queries, keys) over these axes together."""

    def over(operation: Operation) -> Operation:
        def forward(scores: Array) -> tuple[Array, Any]:
            last = tuple(range(-len(axes), 0))
            moved = np.moveaxis(scores, axes, last)
            p, cache = operation.forward(moved.reshape(*moved.shape[: -len(axes)], -1))
            return np.moveaxis(p.reshape(moved.shape), last, axes), (cache, p.shape, moved.shape)

        def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
            cache, flat, shape = caches
            last = tuple(range(-len(axes), 0))
            (dx,) = operation.backward(np.moveaxis(dy, axes, last).reshape(flat), cache)
            assert dx is not None
            return (np.moveaxis(dx.reshape(shape), last, axes),)

        return replace(operation, forward=forward, backward=backward)

    return over


SOFTMAX_AXES = {
    "over the queries": (3,),
    "over the heads": (2,),
    "over the windows": (1,),
    "over the images": (0,),
    "over all pairs (query, key) of a head": (3, 4),
    "over heads, queries and keys of a window together": (2, 3, 4),
    "over windows, heads, queries and keys of an image together": (1, 2, 3, 4),
    "over all scores together": (0, 1, 2, 3, 4),
}


def _unmerged(graph: Graph, node: Node) -> Variants:
    """The correct merge of heads (h, N, d), rearranged so that the result is that of the wrong merge."""
    operation = node.operation
    assert operation is not None

    def as_in_memory(x: Array) -> Array:
        merged = x.reshape(*x.shape[:2], x.shape[3], -1)
        return merged.reshape(*x.shape[:2], x.shape[3], x.shape[2], x.shape[4]).swapaxes(2, 3)

    def channels_first(x: Array) -> Array:
        merged = x.transpose(0, 1, 3, 4, 2)
        return merged.reshape(*x.shape[:2], x.shape[3], x.shape[2], x.shape[4]).swapaxes(2, 3)

    yield (
        "their memory (head, token, d) is read as (token, head, d)",
        change_node(node, transform_input(operation, 0, gather(as_in_memory))),
    )
    yield (
        "a token's numbers are ordered (d, head)",
        change_node(node, transform_input(operation, 0, gather(channels_first))),
    )


ATTENTION = (
    Mistake(
        "qkv-per-head",
        "q, k and v are not stacked but interleaved",
        "the columns of qkv are ordered (q|k|v, head, d)",
        at_outputs_of("split_heads", _interleaved),
    ),
    Mistake(
        "qkv-order",
        "q, k and v are taken in another order",
        "q comes first, then k, then v",
        at_outputs_of("split_heads", _order),
    ),
    Mistake(
        "scores-transposed",
        "queries and keys are exchanged in the scores",
        "the scores' rows are queries, their columns keys: q kᵀ",
        with_variants("scores", {"": lambda op: transform_output(op, gather(lambda x: x.swapaxes(-1, -2)))}),
    ),
    Mistake(
        "softmax-axis",
        "the softmax runs over the wrong axis",
        "softmax over the keys, the last axis",
        with_variants("softmax", {words: _softmax_over(*axes) for words, axes in SOFTMAX_AXES.items()}),
    ),
    Mistake(
        "probabilities-transposed",
        "the probabilities are transposed before the product with the values",
        "context = P v, with P's rows the queries",
        with_variants("mix", {"": lambda op: transform_input(op, 0, gather(lambda p: p.swapaxes(-1, -2)))}),
    ),
    Mistake(
        "heads-not-merged",
        "the heads are not merged back in order",
        "(head, token, d) becomes (token, head, d) before the heads are joined",
        at_outputs_of("merge_heads", _unmerged),
    ),
)
