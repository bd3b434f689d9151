"""Norms that follow attention and the MLP, as in Swin V2, or the sum, as in the first Transformer."""

from dataclasses import replace
from functools import partial
from itertools import product

from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mistake import Changes, Mistake, Variants, is_output_of, unchanged
from npswin.verify.mistakes.stream import Part, in_one_or_all, reading


def _norms(graph: Graph, block: Part) -> list[tuple[Node, Node]]:
    """The norm and the sum of each half; none where they are not as in Swin."""
    pairs = []
    for norm, total in (("norm1", f"{block.end}.residual"), ("norm2", block.end)):
        node, end = graph.nodes.get(f"{block.end}.{norm}"), graph.nodes[total]
        if node is None or not is_output_of(node, "layer_norm") or not is_output_of(end, "residual"):
            return []
        if node.inputs[0] != end.inputs[0]:
            return []
        pairs.append((node, end))
    return pairs


def _before_the_sum(graph: Graph, block: Part) -> Changes:
    """x + norm(branch(x)): the norm reads the branch's result."""
    changes: Changes = {}
    for norm, total in _norms(graph, block):
        x, branch = total.inputs
        changes = reading(graph, changes, graph.consumers[norm.name], {norm.name: x})
        changes |= {
            norm.name: replace(norm, inputs=(branch, *norm.inputs[1:])),
            total.name: replace(total, inputs=(x, norm.name)),
        }
    return changes


def _after_the_sum(graph: Graph, block: Part, sums_are_normalized: tuple[bool, bool]) -> Changes:
    """norm(x + branch(x)); for each half the tensor of the sum's name may be the norm's result as well."""
    changes: Changes = {}
    stream = block.start
    for (norm, total), is_normalized in zip(_norms(graph, block), sums_are_normalized, strict=False):
        changes = reading(graph, changes, graph.consumers[norm.name], {norm.name: stream})
        sum_name = f"sum before {norm.name}" if is_normalized else total.name
        changes[sum_name] = replace(total, name=sum_name, inputs=(stream, total.inputs[1]))
        changes[norm.name] = replace(norm, inputs=(sum_name, *norm.inputs[1:]))
        if is_normalized:
            changes[total.name] = replace(total, operation=unchanged("residual"), inputs=(norm.name,))
        stream = total.name if is_normalized else norm.name
    return reading(graph, changes, block.later(graph), {block.end: stream}) if changes else changes


def _post_norm(graph: Graph, name: str) -> Variants:
    for detail, changes in in_one_or_all(graph, name, _before_the_sum):
        yield f"before their results are added, as in Swin V2, {detail}", changes
    for normalized in product((True, False), (True, False)):
        change = partial(_after_the_sum, sums_are_normalized=normalized)
        for detail, changes in in_one_or_all(graph, name, change):
            named = [words for words, one in zip(("residual", "the block's output"), normalized, strict=True) if one]
            kept = f"; dumped after its norm: {', '.join(named)}" if named else ""
            yield f"after the sums, as in the first Transformer, {detail}{kept}", changes


NORM_ORDER = (
    Mistake(
        "norm-after-branch",
        "the norms follow attention and MLP",
        "x + attention(norm1(x)), then x + mlp(norm2(x))",
        _post_norm,
        shows_forward=True,
    ),
)
