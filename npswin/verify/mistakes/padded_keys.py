"""Attention in which the tokens of the padding are masked: they are no keys for any query."""

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.map_size import map_of_block
from npswin.verify.mistakes.mistake import (
    Mistake,
    Variants,
    at_outputs_of,
    change_node,
    in_same_module,
    transform_input,
)

MASKS = {"their scores are -inf, or as low": -np.inf, "-100 is added to their scores": -100.0}


def _padded_keys(graph: Graph, node: Node) -> Variants:
    """The softmax of scores that are masked where the key is a token of the padding."""
    if in_same_module(node.name, "padded") not in graph.nodes or node.operation is None:
        return
    padded = _padded_tokens(graph, node)
    for words, value in MASKS.items():
        yield words, change_node(node, _masked(node, padded, value))


def _padded_tokens(graph: Graph, node: Node) -> Array:
    """Which tokens of each window are padding, (nW, N) of booleans."""
    tokens: Array = np.ones((1, *map_of_block(graph, node.name.rpartition(".attn.")[0]), 1))
    for part in ("padded", "shifted", "windows"):
        step = graph.nodes.get(in_same_module(node.name, part))
        if step is not None and step.operation is not None:
            tokens, _ = step.operation.forward(tokens, **step.settings)
    return np.asarray(tokens[0, :, :, 0] == 0)


def _masked(node: Node, padded: Array, value: float) -> Operation:
    """The softmax with a number added to the scores (B, nW, heads, N, N) of padded keys; -inf unless all are padded."""
    masked = padded if np.isfinite(value) else padded & ~padded.all(axis=1, keepdims=True)
    added = np.where(masked, value, 0.0)[:, None, None]
    assert node.operation is not None
    return transform_input(node.operation, 0, (lambda x: (x + added.astype(x.dtype), None), lambda dy, _: dy))


PADDED_KEYS = (
    Mistake(
        "padded-keys-masked",
        "the tokens of the padding are masked as keys",
        "padded tokens are keys as all others: mask only pairs of different regions of the shifted map",
        at_outputs_of("softmax", _padded_keys),
    ),
)
