"""Mistakes in linear layers, residual connections, patch merging and the pool."""

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from npswin.ops.patch_merging import GROUP_ORDER
from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mistake import (
    Mistake,
    Variants,
    at_outputs_of,
    change_node,
    gather,
    gather_node,
    is_output_of,
    transform_input,
    transform_output,
    unchanged,
    with_variants,
    zeros,
)


def _transposed(weight: Array) -> Array:
    return weight.reshape(weight.shape[::-1]).T


def _bias_missing(_: Graph, node: Node) -> Variants:
    if len(node.inputs) == 3:
        assert node.operation is not None
        operation = node.operation

        def forward(x: Array, weight: Array, bias: Array) -> tuple[Array, Any]:
            return operation.forward(x, weight, np.zeros_like(bias))

        yield "", change_node(node, transform_input(operation, 2, gather(zeros)))
        yield "it is 0: was it loaded?", change_node(node, replace(operation, forward=forward))


def _after_norm(graph: Graph, node: Node) -> Variants:
    shortcut, branch = node.inputs
    for name in graph.consumers[shortcut]:
        if is_output_of(graph.nodes[name], "layer_norm"):
            yield "", change_node(node, inputs=(name, branch))


def _from_the_blocks_input(graph: Graph, name: str) -> Variants:
    """The second half of a block, computed from the block's input."""
    node = graph.nodes[name]
    if not (is_output_of(node, "residual") or is_output_of(node, "layer_norm")) or not node.inputs[0].endswith(
        ".residual"
    ):
        return
    start = graph.nodes[node.inputs[0]].inputs[0]
    detail = "the shortcut" if is_output_of(node, "residual") else "norm2"
    yield detail, change_node(node, inputs=(start, *node.inputs[1:]))


def _orders(_: Graph, node: Node) -> Variants:
    assert node.operation is not None
    for order in permutations(range(4)):
        if order != (0, 1, 2, 3):
            positions = ", ".join(str(GROUP_ORDER[part]) for part in order)
            yield (
                f"(row, column) = {positions}",
                change_node(node, transform_output(node.operation, gather(_reordered(order)))),
            )
    yield (
        "channel by channel, the four neighbours of each side by side",
        change_node(node, transform_output(node.operation, gather(_channel_by_channel))),
    )


def _weight_orders(graph: Graph, node: Node) -> Variants:
    """The columns of the reduction's weight, for the four neighbours."""
    assert node.operation is not None
    if not node.name.endswith(".downsample.reduction"):
        return
    for order in permutations(range(4)):
        if order != (0, 1, 2, 3):
            positions = ", ".join(str(GROUP_ORDER[part]) for part in order)
            changed = transform_input(node.operation, 1, gather(_reordered(order)))
            yield f"(row, column) = {positions}", change_node(node, changed)
    changed = transform_input(node.operation, 1, gather(_channel_by_channel))
    yield "channel by channel", change_node(node, changed)


def _reordered(order: tuple[int, ...]) -> Any:
    def rearrangement(x: Array) -> Array:
        parts = np.split(x, 4, axis=-1)
        return np.concatenate([parts[part] for part in order], axis=-1)

    return rearrangement


def _channel_by_channel(x: Array) -> Array:
    return x.reshape(*x.shape[:-1], 4, -1).swapaxes(-1, -2).reshape(x.shape)


def _norm_after_reduction(graph: Graph, name: str) -> Variants:
    """concat -> reduction -> norm, with the first 2C of the norm's 4C weights and biases, or without."""
    if not name.endswith((".downsample.norm", ".downsample.reduction")):
        return
    stem = name.rpartition(".")[0]
    if f"{stem}.norm" not in graph.nodes:
        return
    norm, reduction = graph.nodes[f"{stem}.norm"], graph.nodes[f"{stem}.reduction"]
    if reduction.inputs[0] != norm.name:
        return
    assert norm.operation is not None
    first_half = gather(lambda weight: weight[: len(weight) // 2])
    ones = (lambda weight: (np.ones_like(weight[: len(weight) // 2]), weight.shape)), _no_derivative
    zero = (lambda bias: (np.zeros_like(bias[: len(bias) // 2]), bias.shape)), _no_derivative
    for detail, of_weight, of_bias in (("", first_half, first_half), ("without weight and bias", ones, zero)):
        operation = transform_input(transform_input(norm.operation, 1, of_weight), 2, of_bias)
        parameters, before = norm.inputs[1:], f"{reduction.name} before the norm"
        reduced = replace(reduction, name=before, inputs=(norm.inputs[0], *reduction.inputs[1:]))
        normalized = replace(norm, operation=operation, name=reduction.name, inputs=(before, *parameters))
        yield "; ".join(filter(None, (detail, "under its name"))), {reduction.name: normalized, before: reduced}
        changes = change_node(norm, operation, inputs=(reduction.name, *parameters))
        changes |= change_node(reduction, inputs=(norm.inputs[0], *reduction.inputs[1:]))
        for user in graph.consumers[reduction.name]:
            reads = tuple(norm.name if read == reduction.name else read for read in graph.nodes[user].inputs)
            changes |= change_node(graph.nodes[user], inputs=reads)
        yield detail, changes


def _no_derivative(dy: Array, shape: Any) -> Array:
    return np.zeros(shape, dy.dtype)


def _pool_before_norm(graph: Graph, name: str) -> Variants:
    if name not in ("norm", "avgpool", "head") or "avgpool" not in graph.nodes:
        return
    norm, pool = graph.nodes["norm"], graph.nodes["avgpool"]
    if pool.inputs != ("norm",) or not is_output_of(norm, "layer_norm"):
        return
    before, parameters = norm.inputs[0], norm.inputs[1:]
    changes = change_node(pool, inputs=(before,)) | change_node(norm, inputs=("avgpool", *parameters))
    for user in graph.consumers["avgpool"]:
        reads = tuple("norm" if read == "avgpool" else read for read in graph.nodes[user].inputs)
        changes |= change_node(graph.nodes[user], inputs=reads)
    yield "", changes
    mean = replace(pool, name="mean before the norm", inputs=(before,))
    normalized = replace(norm, name="avgpool", inputs=(mean.name, *parameters), axes=pool.axes)
    yield "avgpool is the normalized mean", {"avgpool": normalized, mean.name: mean}
    after = replace(norm, name="norm of the mean", inputs=("avgpool", *parameters), axes=pool.axes)
    changes = {"norm": replace(norm, operation=unchanged("layer_norm"), inputs=(before,)), after.name: after}
    for user in graph.consumers["avgpool"]:
        reads = tuple(after.name if read == "avgpool" else read for read in graph.nodes[user].inputs)
        changes |= change_node(graph.nodes[user], inputs=reads)
    yield "norm is the map as it is", changes


def _first_token(_: Graph, node: Node) -> Variants:
    yield "", gather_node(node, "mean_pool", lambda x: x[:, 0, 0])


def _sum_over_map(graph: Graph, node: Node) -> Variants:
    assert node.operation is not None
    operation = node.operation

    def forward(x: Array) -> tuple[Array, Any]:
        y, cache = operation.forward(x)
        return y * (x.shape[1] * x.shape[2]), cache

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        return operation.backward(dy * (cache[1] * cache[2]), cache)

    yield "", change_node(node, replace(operation, forward=forward, backward=backward))


BLOCKS = (
    Mistake(
        "weight-transposed",
        "the weight is transposed",
        "y = x Wᵀ + b with W of shape (out, in), row by row",
        with_variants("linear", {"": lambda op: transform_input(op, 1, gather(_transposed))}),
    ),
    Mistake("linear-bias-missing", "the bias is not added", "y = x Wᵀ + b", at_outputs_of("linear", _bias_missing)),
    Mistake(
        "residual-after-norm",
        "the shortcut is taken after the norm",
        "x + branch(norm(x)), with x as it was before the norm",
        at_outputs_of("residual", _after_norm),
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
        with_variants(
            "residual",
            {
                "the shortcut": lambda op: transform_input(op, 0, gather(zeros)),
                "the branch": lambda op: transform_input(op, 1, gather(zeros)),
            },
        ),
    ),
    Mistake(
        "merge-order",
        "patch merging takes the four neighbours in another order",
        "(row, column) = (0, 0), (1, 0), (0, 1), (1, 1)",
        at_outputs_of("patch_concat", _orders),
    ),
    Mistake(
        "merge-weight-order",
        "the reduction's weight has its columns in another order of the four neighbours",
        "(row, column) = (0, 0), (1, 0), (0, 1), (1, 1)",
        at_outputs_of("linear", _weight_orders),
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
        at_outputs_of("mean_pool", _first_token),
    ),
    Mistake("pool-sum", "the pool is a sum", "the mean over the map", at_outputs_of("mean_pool", _sum_over_map)),
)
