"""Mistakes in attention: queries, keys and values, their scale, the softmax, the heads."""

from collections.abc import Callable, Iterator
from itertools import permutations

from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    Move,
    after,
    before,
    gather,
    made_by,
    otherwise,
    replacing,
    scale_of,
    sibling,
    times,
)


def _all_parts(graph: Graph, name: str, operation: Operation, parts: tuple[int, ...] = (0, 1, 2)) -> Changes:
    """q, k and v made by one other operation, each of this part of qkv."""
    changes: Changes = {}
    for letter, part in zip("qkv", parts, strict=True):
        changes |= otherwise(graph.nodes[sibling(name, letter)], operation, settings={"part": part})
    return changes


def _head_by_head(qkv: Array, heads: int) -> Array:
    """Columns (head, q|k|v, d) brought to (q|k|v, head, d)."""
    return qkv.reshape(*qkv.shape[:-1], heads, 3, -1).swapaxes(-3, -2).reshape(qkv.shape)


def _channel_by_channel(qkv: Array, heads: int) -> Array:
    """Columns (head, d, q|k|v) brought to (q|k|v, head, d)."""
    parts = qkv.reshape(*qkv.shape[:-1], heads, -1, 3)
    lead = tuple(range(parts.ndim - 3))
    return parts.transpose(*lead, parts.ndim - 1, parts.ndim - 3, parts.ndim - 2).reshape(qkv.shape)


def _inner_first(qkv: Array, heads: int) -> Array:
    """Columns (q|k|v, d, head) brought to (q|k|v, head, d)."""
    return qkv.reshape(*qkv.shape[:-1], 3, -1, heads).swapaxes(-1, -2).reshape(qkv.shape)


def _interleaved(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    heads, operation = node.settings["num_heads"], node.operation
    assert operation is not None
    for detail, move in (
        ("(head, q|k|v, d)", _head_by_head),
        ("(head, d, q|k|v)", _channel_by_channel),
        ("(q|k|v, d, head)", _inner_first),
    ):
        changed = before(operation, 0, gather(_with_heads(move, heads)))
        yield f"its columns are taken as {detail}", _all_parts(graph, node.name, changed)


def _with_heads(move: Callable[[Array, int], Array], heads: int) -> Move:
    return lambda qkv: move(qkv, heads)


def _order(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    assert node.operation is not None
    for order in permutations(range(3)):
        if order != (0, 1, 2):
            names = ", ".join("qkv"[order.index(part)] for part in range(3))
            yield f"as {names}", _all_parts(graph, node.name, node.operation, order)


def _scale(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    yield "", otherwise(node, settings={"factor": 1.0})


def _scale_twice(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    yield "", otherwise(node, settings={"factor": node.settings["factor"] ** 2})


def _scale_width(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    heads, factor = graph.nodes[node.inputs[0]].settings["num_heads"], node.settings["factor"]
    if heads > 1:
        yield "by the width of all heads", otherwise(node, settings={"factor": factor * heads**-0.5})
    yield "multiplied by √d instead of divided", otherwise(node, settings={"factor": 1 / factor})
    yield "by the number of heads", otherwise(node, settings={"factor": heads**-0.5})


def _keys_scaled(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    if node.name.endswith(".k"):
        assert node.operation is not None
        yield "", otherwise(node, after(node.operation, times(scale_of(graph, node))))


def _softmax_over(axis: int) -> Callable[[Operation], Operation]:
    swap = gather(lambda x: x.swapaxes(axis, -1))
    return lambda operation: after(before(operation, 0, swap), swap)


def _unmerged(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    """The right operation on heads (h, N, d) that are moved so that it makes what the wrong one makes."""
    operation = node.operation
    assert operation is not None

    def as_it_lies(x: Array) -> Array:
        merged = x.reshape(*x.shape[:2], x.shape[3], -1)
        return merged.reshape(*x.shape[:2], x.shape[3], x.shape[2], x.shape[4]).swapaxes(2, 3)

    def channels_first(x: Array) -> Array:
        merged = x.transpose(0, 1, 3, 4, 2)
        return merged.reshape(*x.shape[:2], x.shape[3], x.shape[2], x.shape[4]).swapaxes(2, 3)

    yield (
        "their memory (head, token, d) is read as (token, head, d)",
        otherwise(node, before(operation, 0, gather(as_it_lies))),
    )
    yield "a token's numbers are ordered (d, head)", otherwise(node, before(operation, 0, gather(channels_first)))


ATTENTION = (
    Mistake(
        "qkv-per-head",
        "q, k and v are not stacked but interleaved",
        "the columns of qkv are ordered (q|k|v, head, d)",
        made_by("split_heads", _interleaved),
    ),
    Mistake(
        "qkv-order",
        "q, k and v are taken in another order",
        "q comes first, then k, then v",
        made_by("split_heads", _order),
    ),
    Mistake("scale-missing", "the queries are not scaled", "q is divided by √d", made_by("scale", _scale)),
    Mistake("scale-twice", "the queries are scaled twice", "q is divided by √d, once", made_by("scale", _scale_twice)),
    Mistake(
        "scale-other", "the queries are scaled by something else", "q is divided by √d", made_by("scale", _scale_width)
    ),
    Mistake(
        "keys-scaled",
        "the keys are scaled too",
        "q is divided by √d, or the scores are, and k is not",
        made_by("split_heads", _keys_scaled),
    ),
    Mistake(
        "scores-transposed",
        "queries and keys are exchanged in the scores",
        "the scores' rows are queries, their columns keys: q kᵀ",
        replacing("scores", {"": lambda op: after(op, gather(lambda x: x.swapaxes(-1, -2)))}),
    ),
    Mistake(
        "softmax-axis",
        "the softmax runs over the wrong axis",
        "softmax over the keys, the last axis",
        replacing("softmax", {"over the queries": _softmax_over(-2), "over the heads": _softmax_over(2)}),
    ),
    Mistake(
        "probabilities-transposed",
        "the probabilities are transposed before they meet the values",
        "context = P v, with P's rows the queries",
        replacing("mix", {"": lambda op: before(op, 0, gather(lambda p: p.swapaxes(-1, -2)))}),
    ),
    Mistake(
        "heads-not-merged",
        "the heads are not merged back in order",
        "(head, token, d) becomes (token, head, d) before the heads are joined",
        made_by("merge_heads", _unmerged),
    ),
)
