"""Mistakes in which a factor reaches more of the scores than it should, or less.

The probabilities are softmax(q kᵀ/√d + bias + mask). A fused kernel may multiply by 1/√d later, or
compute the softmax by powers of 2, for which each term has to be multiplied by log2(e).
"""

import math

from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    Variants,
    at_outputs_of,
    change_node,
    in_same_module,
    is_output_of,
    multiply_by,
    transform_input,
    transform_output,
)

LOG2_E = math.log2(math.e)
COUNT = f"only ln 2 = {math.log(2):.4g} times"

FOLDED_INTO = {"scale": "q's scale", "scores": "q kᵀ"}  # by operation


def _path(graph: Graph, node: Node) -> dict[str, Node]:
    """The nodes from a block's scaled q to its probabilities, by what they are; mask and bias may be missing."""
    names = {
        "bias": "relative_position_bias",
        "mask": "mask",
        "add_bias": "biased_scores",
        "add_mask": "masked_scores",
        "softmax": "probabilities",
    }
    inside = {key: graph.nodes.get(in_same_module(node.name, name)) for key, name in names.items()}
    return {key: one for key, one in inside.items() if one is not None}


def _output(node: Node, factor: float) -> Changes:
    assert node.operation is not None
    return change_node(node, transform_output(node.operation, multiply_by(factor)))


def _input(node: Node, index: int, factor: float) -> Changes:
    assert node.operation is not None
    return change_node(node, transform_input(node.operation, index, multiply_by(factor)))


def _after_bias(graph: Graph, node: Node) -> Variants:
    """The scale after the bias, or after bias and mask: the tensors dumped before it or after it."""
    path, factor = _path(graph, node), node.settings["factor"]
    if "add_bias" not in path:
        return
    unscaled = change_node(node, settings={"factor": 1.0})
    biased, softmax = path["add_bias"], path["softmax"]
    masked = path.get("add_mask", biased)
    user = path.get("add_mask", softmax)  # of the biased scores
    yield "to the scores with the bias, without the mask", unscaled | _output(biased, factor)
    yield "to the scores with the bias, without the mask, when they are read", unscaled | _input(user, 0, factor)
    yield "to the scores with bias and mask", unscaled | _output(masked, factor)
    yield "to the scores with bias and mask, inside the softmax", unscaled | _input(softmax, 0, factor)


def _of_two(graph: Graph, name: str) -> Variants:
    """Powers of 2 in the softmax, of scores of which only a part is multiplied by log2(e)."""
    node = graph.nodes[name]
    if not is_output_of(node, *FOLDED_INTO):
        return
    assert node.operation is not None
    path, where = _path(graph, node), FOLDED_INTO[node.operation.name]
    if "add_bias" not in path:
        return
    without = _output(node, LOG2_E) | _input(path["softmax"], 0, 1 / LOG2_E)
    yield f"into {where}: bias and mask count {COUNT}", without
    for rest, factor_of, adding in (("mask", "bias", "add_bias"), ("bias", "mask", "add_mask")):
        detail = f"into {where} and the {factor_of}: the {rest} counts {COUNT}"
        if adding not in path:  # of a block without a mask
            yield detail, without
            continue
        yield detail, without | _output(path[factor_of], LOG2_E)
        yield f"{detail}, the {factor_of} multiplied where it is added", without | _input(path[adding], 1, LOG2_E)


SCALE_USE = (
    Mistake(
        "scale-after-bias",
        "the scale 1/√d is applied after the bias is added, and multiplies the bias too",
        "q is divided by √d before the bias and the mask are added",
        at_outputs_of("scale", _after_bias),
    ),
    Mistake(
        "log2-of-e",
        "the softmax takes powers of 2, and only a part of the scores is multiplied by log2(e) for that",
        "powers of 2 need log2(e) in all terms: 2^(log2(e) (q kᵀ/√d + bias + mask))",
        _of_two,
    ),
)
