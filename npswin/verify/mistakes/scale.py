"""Mistakes in the scale 1/√d of the queries: another one, or in another place."""

import math

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mistake import (
    Mistake,
    Pair,
    Variants,
    at_outputs_of,
    attention_scale,
    change_node,
    in_same_module,
    multiply_by,
    transform_input,
    transform_output,
)


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
    yield "by log2(e)/√d, as for powers of 2", change_node(node, settings={"factor": factor * math.log2(math.e)})


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


SCALE = (
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
)
