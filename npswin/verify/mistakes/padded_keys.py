"""Attention in which the tokens of the padding are masked: as keys for any query, as queries, or as a region."""

from collections.abc import Callable, Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import plus, replaced_where
from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.map_size import map_of_block
from npswin.verify.mistakes.mistake import (
    Mistake,
    Variants,
    change_node,
    in_same_module,
    is_output_of,
    transform_input,
    transform_output,
)

# What masks scores: a number that is added to them; of lower ones, none can be told from -inf after the softmax.
ADDED = {"-100 is added to their scores": -100.0, "their scores are -inf, or as low": -np.inf}
LOW = {f"{value:g} is added to their scores": value for value in (-1e4, -1e9, float(np.finfo(np.float32).min))}
SET = "their scores are set to -100"
# From which tokens are padding, of queries (nW, N, 1) and of keys (nW, 1, N), to which scores are masked.
PAIRS: dict[str, Callable[[Array, Array], Array]] = {
    "as keys": lambda queries, keys: keys | np.zeros_like(queries),
    "as keys and as queries": lambda queries, keys: queries | keys,
    "as queries": lambda queries, keys: queries | np.zeros_like(keys),
    "as a region of their own, from all others": lambda queries, keys: queries ^ keys,
}


def _in_softmax(graph: Graph, node: Node) -> Variants:
    """The softmax of masked scores."""
    assert node.operation is not None
    for pairs, masked in _masked_scores(graph, node):
        for words, value in ADDED.items():
            if np.isfinite(value) or not masked.all(axis=-1).any():  # the softmax of -inf alone is not defined
                added = plus(np.where(masked, value, 0.0))
                yield f"{pairs}: {words}", change_node(node, transform_input(node.operation, 0, added))


def _in_scores(graph: Graph, node: Node) -> Variants:
    """Scores that are masked where the position bias, or the mask of the shifted map, is added."""
    assert node.operation is not None
    for pairs, masked in _masked_scores(graph, node):
        masks = {words: plus(np.where(masked, value, 0.0)) for words, value in (ADDED | LOW).items()}
        for words, mask in (masks | {SET: replaced_where(masked, np.array(-100.0))}).items():
            yield f"{pairs}: {words}", change_node(node, transform_output(node.operation, mask))


def _masked_scores(graph: Graph, node: Node) -> Iterator[tuple[str, Array]]:
    """Which scores (nW, 1, N, N) of a block with padding may be masked."""
    if in_same_module(node.name, "padded") not in graph.nodes:
        return
    padded = padded_tokens(graph, node.name.rpartition(".attn.")[0])
    for pairs, which in PAIRS.items():
        yield pairs, which(padded[:, :, None], padded[:, None, :])[:, None]


def padded_tokens(graph: Graph, block: str) -> Array:
    """Which tokens of each window of a block are padding, (nW, N) of booleans."""
    tokens: Array = np.ones((1, *map_of_block(graph, block), 1))
    for part in ("padded", "shifted", "windows"):
        step = graph.nodes.get(f"{block}.attn.{part}")
        if step is not None and step.operation is not None:
            tokens, _ = step.operation.forward(tokens, **step.settings)
    return np.asarray(tokens[0, :, :, 0] == 0)


def _wherever_added(graph: Graph, name: str) -> Variants:
    node = graph.nodes[name]
    if is_output_of(node, "softmax"):
        yield from _in_softmax(graph, node)
    elif is_output_of(node, "add_bias", "add_mask"):
        yield from _in_scores(graph, node)


PADDED_KEYS = (
    Mistake(
        "padded-keys-masked",
        "the tokens of the padding are masked",
        "padded tokens are keys as all others: mask only pairs of different regions of the shifted map",
        _wherever_added,
    ),
)
