"""Mistakes in the relative position bias."""

import math
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mistake import (
    Mistake,
    Variants,
    at_outputs_of,
    attention_scale,
    change_node,
    gather,
    multiply_by,
    transform_input,
    transform_output,
    with_variants,
    zeros,
)


def _grid(table: Array) -> Array:
    """The table ((2M - 1)², h) as (Δy, Δx, h)."""
    side = math.isqrt(len(table))
    return table.reshape(side, side, -1)


def _columns_first(table: Array) -> Array:
    return _grid(table).swapaxes(0, 1).reshape(table.shape)


def _mirrored(*axes: int) -> Any:
    return lambda table: np.flip(_grid(table), axes).reshape(table.shape)


def _heads_first(table: Array) -> Array:
    return table.reshape(table.shape[::-1]).T


def _heads_as_positions(bias: Array) -> Array:
    return bias.transpose(1, 2, 0).reshape(bias.shape)


def _added_before_scale(graph: Graph, node: Node) -> Variants:
    assert node.operation is not None
    yield "", change_node(node, transform_input(node.operation, 1, multiply_by(attention_scale(graph, node))))


POSITION = (
    Mistake(
        "bias-xy",
        "the bias table is indexed by (x, y) for (y, x)",
        "the row is (Δy + M - 1)(2M - 1) + Δx + M - 1",
        with_variants("position_bias", {"": lambda op: transform_input(op, 0, gather(_columns_first))}),
    ),
    Mistake(
        "bias-sign",
        "the relative position has the wrong sign",
        "Δ = query's position - key's position",
        with_variants(
            "position_bias",
            {
                "key - query (or the bias is transposed)": lambda op: transform_input(op, 0, gather(_mirrored(0, 1))),
                "in Δy alone": lambda op: transform_input(op, 0, gather(_mirrored(0))),
                "in Δx alone": lambda op: transform_input(op, 0, gather(_mirrored(1))),
            },
        ),
    ),
    Mistake(
        "bias-table-transposed",
        "the bias table is read as its transpose",
        "the table is ((2M - 1)², heads): the heads are the last dimension",
        with_variants("position_bias", {"": lambda op: transform_input(op, 0, gather(_heads_first))}),
    ),
    Mistake(
        "bias-heads-positions",
        "heads and positions of the bias are exchanged",
        "table[index] is (query, key, head): move the heads to the front, do not reshape",
        with_variants("position_bias", {"": lambda op: transform_output(op, gather(_heads_as_positions))}),
    ),
    Mistake(
        "bias-missing",
        "the relative position bias is not added",
        "scores = q kᵀ/√d + bias",
        with_variants("add_bias", {"": lambda op: transform_input(op, 1, gather(zeros))}),
    ),
    Mistake(
        "bias-before-scale",
        "the relative position bias is added before the scale",
        "scale the queries (or q kᵀ) first, then add the bias",
        at_outputs_of("add_bias", _added_before_scale),
    ),
)
