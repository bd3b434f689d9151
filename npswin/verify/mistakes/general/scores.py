"""Other functions of queries and keys in place of their products."""

from typing import Any

from npswin.types import Array
from npswin.verify.fits.rows import after_row, unit_rows
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import (
    Mistake,
    Variants,
    at_outputs_of,
    attention_scale,
    change_node,
    multiply_by,
    transform_input,
    transform_output,
)

FACTORS = (1.0, 10.0, 100.0)


def _cosines(graph: Graph, node: Node) -> Variants:
    """q and k divided by their lengths, as in Swin V2."""
    assert node.operation is not None
    both = transform_input(transform_input(node.operation, 0, after_row(unit_rows)), 1, after_row(unit_rows))
    scale = attention_scale(graph, node)
    for factor in (*FACTORS, scale, 1 / scale):
        yield f"cosines times {factor:.6g}", change_node(node, transform_output(both, multiply_by(factor)))


def _distances(graph: Graph, node: Node) -> Variants:
    scale = attention_scale(graph, node)
    for factor in (1.0, 0.5, scale, scale / 2):
        yield f"-{factor:.6g} |q - k|²", change_node(node, _squared_distances(-factor, 1.0))
        yield (
            f"-{factor:.6g} |q - k|², q before it is scaled",
            change_node(node, _squared_distances(-factor, 1 / scale)),
        )


def _squared_distances(factor: float, of_q: float) -> Operation:
    def forward(q: Array, k: Array) -> tuple[Array, Any]:
        wide = q * of_q
        squares = (wide**2).sum(-1)[..., :, None] + (k**2).sum(-1)[..., None, :] - 2 * wide @ k.swapaxes(-1, -2)
        return factor * squares, (wide, k)

    def backward(dy: Array, cache: Any) -> tuple[Array, Array]:
        q, k = cache
        dq = 2 * factor * (dy.sum(-1)[..., None] * q - dy @ k)
        return dq * of_q, 2 * factor * (dy.sum(-2)[..., None] * k - dy.swapaxes(-1, -2) @ q)

    return Operation("scores", forward, backward)


def _of_one(_: Graph, node: Node) -> Variants:
    """Queries with queries, or keys with keys."""
    yield "q qᵀ", change_node(node, inputs=(node.inputs[0], node.inputs[0]))
    yield "k kᵀ", change_node(node, inputs=(node.inputs[1], node.inputs[1]))


SCORES = (
    Mistake(
        "scores-cosine", "the scores are cosines", "q kᵀ, neither of them normalized", at_outputs_of("scores", _cosines)
    ),
    Mistake("scores-distance", "the scores are distances", "q kᵀ", at_outputs_of("scores", _distances)),
    Mistake(
        "scores-of-one", "the scores are those of one tensor with itself", "q kᵀ", at_outputs_of("scores", _of_one)
    ),
)
