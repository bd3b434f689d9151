"""Mistakes in linear layers, residual connections, patch merging and the model's end."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from npswin.ops.patch_merging import GROUP_ORDER
from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    after,
    before,
    gather,
    is_made_by,
    made_by,
    moved,
    otherwise,
    replacing,
    zeros,
)


def _transposed(weight: Array) -> Array:
    return weight.reshape(weight.shape[::-1]).T


def _bias_missing(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    if len(node.inputs) == 3:
        assert node.operation is not None
        operation = node.operation

        def forward(x: Array, weight: Array, bias: Array) -> tuple[Array, Any]:
            return operation.forward(x, weight, np.zeros_like(bias))

        yield "", otherwise(node, before(operation, 2, gather(zeros)))
        yield "it is 0: was it loaded?", otherwise(node, replace(operation, forward=forward))


def _after_norm(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    shortcut, branch = node.inputs
    for name in graph.consumers[shortcut]:
        if is_made_by(graph.nodes[name], "layer_norm"):
            yield "", otherwise(node, inputs=(name, branch))


def _from_the_blocks_input(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
    """The second half of a block, from the map that the first half began with."""
    node = graph.nodes[name]
    if not (is_made_by(node, "residual") or is_made_by(node, "layer_norm")) or not node.inputs[0].endswith(".residual"):
        return
    start = graph.nodes[node.inputs[0]].inputs[0]
    detail = "the shortcut" if is_made_by(node, "residual") else "norm2"
    yield detail, otherwise(node, inputs=(start, *node.inputs[1:]))


def _orders(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    assert node.operation is not None
    for order in permutations(range(4)):
        if order != (0, 1, 2, 3):
            places = ", ".join(str(GROUP_ORDER[part]) for part in order)
            yield f"(row, column) = {places}", otherwise(node, after(node.operation, gather(_parts(order))))
    yield (
        "channel by channel, the four neighbours of each side by side",
        otherwise(node, after(node.operation, gather(_channel_by_channel))),
    )


def _parts(order: tuple[int, ...]) -> Any:
    def move(x: Array) -> Array:
        parts = np.split(x, 4, axis=-1)
        return np.concatenate([parts[part] for part in order], axis=-1)

    return move


def _channel_by_channel(x: Array) -> Array:
    return x.reshape(*x.shape[:-1], 4, -1).swapaxes(-1, -2).reshape(x.shape)


def _norm_after_reduction(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
    """concat -> reduction -> norm, with as much of the norm's 4C weights as 2C channels take."""
    if not name.endswith((".downsample.norm", ".downsample.reduction")):
        return
    stem = name.rpartition(".")[0]
    if f"{stem}.norm" not in graph.nodes:
        return
    norm, reduction = graph.nodes[f"{stem}.norm"], graph.nodes[f"{stem}.reduction"]
    if reduction.inputs[0] != norm.name:
        return
    assert norm.operation is not None
    operation = norm.operation
    for place in (1, 2):
        operation = before(operation, place, gather(lambda weight: weight[: len(weight) // 2]))
    changes = otherwise(norm, operation, inputs=(reduction.name, *norm.inputs[1:]))
    changes |= otherwise(reduction, inputs=(norm.inputs[0], *reduction.inputs[1:]))
    for user in graph.consumers[reduction.name]:
        reads = tuple(norm.name if read == reduction.name else read for read in graph.nodes[user].inputs)
        changes |= otherwise(graph.nodes[user], inputs=reads)
    yield "", changes


def _pool_before_norm(graph: Graph, name: str) -> Iterator[tuple[str, Changes]]:
    if name not in ("norm", "avgpool", "head") or "avgpool" not in graph.nodes:
        return
    norm, pool = graph.nodes["norm"], graph.nodes["avgpool"]
    if pool.inputs != ("norm",):
        return
    changes = otherwise(pool, inputs=norm.inputs[:1]) | otherwise(norm, inputs=("avgpool", *norm.inputs[1:]))
    for user in graph.consumers["avgpool"]:
        reads = tuple("norm" if read == "avgpool" else read for read in graph.nodes[user].inputs)
        changes |= otherwise(graph.nodes[user], inputs=reads)
    yield "", changes


def _first_token(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    yield "", moved(node, "mean_pool", lambda x: x[:, 0, 0])


def _sum_of_places(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    assert node.operation is not None
    operation = node.operation

    def forward(x: Array) -> tuple[Array, Any]:
        y, cache = operation.forward(x)
        return y * (x.shape[1] * x.shape[2]), cache

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        return operation.backward(dy * (cache[1] * cache[2]), cache)

    yield "", otherwise(node, replace(operation, forward=forward, backward=backward))


def _sum_of_images(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    assert node.operation is not None
    operation = node.operation

    def forward(logits: Array, labels: Array) -> tuple[Array, Any]:
        loss, cache = operation.forward(logits, labels)
        return loss * len(labels), (cache, len(labels))

    def backward(dloss: Array, caches: Any) -> tuple[Array | None, ...]:
        cache, batch = caches
        return operation.backward(dloss * batch, cache)

    yield "", otherwise(node, replace(operation, forward=forward, backward=backward))


BLOCKS = (
    Mistake(
        "weight-transposed",
        "the weight is transposed",
        "y = x Wᵀ + b with W of shape (out, in), row by row",
        replacing("linear", {"": lambda op: before(op, 1, gather(_transposed))}),
    ),
    Mistake("linear-bias-missing", "the bias is not added", "y = x Wᵀ + b", made_by("linear", _bias_missing)),
    Mistake(
        "residual-after-norm",
        "the shortcut is taken after the norm",
        "x + branch(norm(x)), with x as it was before the norm",
        made_by("residual", _after_norm),
    ),
    Mistake(
        "blocks-input",
        "the second half of a block starts from the block's input",
        "norm2 and the second shortcut take the sum of the block's input and the attention branch",
        _from_the_blocks_input,
    ),
    Mistake(
        "residual-missing",
        "one of the two that are added is missing",
        "x + branch(norm(x))",
        replacing(
            "residual",
            {
                "the shortcut": lambda op: before(op, 0, gather(zeros)),
                "the branch": lambda op: before(op, 1, gather(zeros)),
            },
        ),
    ),
    Mistake(
        "merge-order",
        "patch merging takes the four neighbours in another order",
        "(row, column) = (0, 0), (1, 0), (0, 1), (1, 1)",
        made_by("patch_concat", _orders),
    ),
    Mistake(
        "norm-after-reduction",
        "patch merging has its norm after the reduction",
        "concatenate, then norm over 4C, then reduce to 2C",
        _norm_after_reduction,
    ),
    Mistake(
        "pool-before-norm",
        "the map is pooled before the last norm",
        "norm each token, then take the mean over the map",
        _pool_before_norm,
    ),
    Mistake(
        "pool-first",
        "the first token is taken for the pool",
        "the mean over the map: Swin has no class token",
        made_by("mean_pool", _first_token),
    ),
    Mistake("pool-sum", "the pool is a sum", "the mean over the map", made_by("mean_pool", _sum_of_places)),
    Mistake(
        "loss-sum", "the loss is the batch's sum", "the mean over the batch", made_by("cross_entropy", _sum_of_images)
    ),
)
