"""Mistakes in attention: queries, keys and values, their scale, the softmax, the heads."""

from collections.abc import Callable
from itertools import permutations

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    Pair,
    Rearrangement,
    Variants,
    at_outputs_of,
    attention_scale,
    change_node,
    gather,
    in_same_module,
    multiply_by,
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


def _scale(graph: Graph, node: Node) -> Variants:
    yield "", change_node(node, settings={"factor": 1.0})


def _scale_twice(graph: Graph, node: Node) -> Variants:
    yield "", change_node(node, settings={"factor": node.settings["factor"] ** 2})


def _scale_width(graph: Graph, node: Node) -> Variants:
    heads, factor = graph.nodes[node.inputs[0]].settings["num_heads"], node.settings["factor"]
    if heads > 1:
        yield "by the width of all heads", change_node(node, settings={"factor": factor * heads**-0.5})
    yield "multiplied by √d instead of divided", change_node(node, settings={"factor": 1 / factor})
    yield "by the number of heads", change_node(node, settings={"factor": heads**-0.5})


def _keys_scaled(graph: Graph, node: Node) -> Variants:
    if node.name.endswith(".k"):
        assert node.operation is not None
        yield "", change_node(node, transform_output(node.operation, multiply_by(attention_scale(graph, node))))


def _scale_folded(graph: Graph, node: Node) -> Variants:
    """The scale in some of what q is computed from, and not where q is scaled."""
    scaled = in_same_module(node.name, "q_scaled")
    if not node.name.endswith(".qkv") or scaled not in graph.nodes:
        return
    assert node.operation is not None
    factor = attention_scale(graph, node)
    for detail, index, parts in (
        ("into q's weights, not into q's bias", 1, (factor, 1.0, 1.0)),
        ("into q's bias, not into q's weights", 2, (factor, 1.0, 1.0)),
        ("into k's weights, not into k's bias", 1, (1.0, factor, 1.0)),
    ):
        if index < len(node.inputs):
            operation = transform_input(node.operation, index, _by_parts(parts))
            yield detail, change_node(node, operation) | change_node(graph.nodes[scaled], settings={"factor": 1.0})


def _by_parts(factors: tuple[float, float, float]) -> Pair:
    """The rows of q, k and v of a weight or bias, each times a factor."""

    def scaled(x: Array) -> Array:
        rows = np.repeat(np.asarray(factors, x.dtype), len(x) // 3)
        return x * rows.reshape(-1, *[1] * (x.ndim - 1))

    return (lambda x: (scaled(x), None)), (lambda dy, _: scaled(dy))


def _softmax_over(axis: int) -> Callable[[Operation], Operation]:
    swap = gather(lambda x: x.swapaxes(axis, -1))
    return lambda operation: transform_output(transform_input(operation, 0, swap), swap)


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
    Mistake("scale-missing", "the queries are not scaled", "q is divided by √d", at_outputs_of("scale", _scale)),
    Mistake(
        "scale-twice", "the queries are scaled twice", "q is divided by √d, once", at_outputs_of("scale", _scale_twice)
    ),
    Mistake(
        "scale-other",
        "the queries are scaled by something else",
        "q is divided by √d",
        at_outputs_of("scale", _scale_width),
    ),
    Mistake(
        "scale-folded",
        "the scale 1/√d is folded into a part of what it multiplies, and the queries are not scaled",
        "folded, the scale is in the weights and in the bias",
        at_outputs_of("linear", _scale_folded),
    ),
    Mistake(
        "keys-scaled",
        "the keys are scaled too",
        "q is divided by √d, or the scores are, and k is not",
        at_outputs_of("split_heads", _keys_scaled),
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
        with_variants("softmax", {"over the queries": _softmax_over(-2), "over the heads": _softmax_over(2)}),
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
