"""Mistakes in what is done with the mask of shifted windows: multiplied, subtracted, or added after the softmax."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from npswin.ops.softmax import softmax_backward, softmax_forward
from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import Mistake, Variants, at_outputs_of, change_node, is_output_of

# (scores or probabilities, mask) -> what becomes of them, and the derivative by them
Use = Callable[[Array, Array], tuple[Array, Any]]


def _times_mask(x: Array, mask: Array) -> tuple[Array, Any]:
    return x * mask, mask


def _times_one_more(x: Array, mask: Array) -> tuple[Array, Any]:
    return x * (1 + mask), 1 + mask


def _kept(x: Array, mask: Array) -> tuple[Array, Any]:
    factor = (mask == 0).astype(x.dtype)
    return x * factor, factor


def _replaced(x: Array, mask: Array) -> tuple[Array, Any]:
    return np.where(mask == 0, x, mask), (mask == 0).astype(x.dtype)


def _added(x: Array, mask: Array) -> tuple[Array, Any]:
    return x + mask, np.ones_like(x)


def _subtracted(x: Array, mask: Array) -> tuple[Array, Any]:
    return x - mask, np.ones_like(x)


AFTER: dict[str, Use] = {
    "it is added to the probabilities, after the softmax": _added,
    "probabilities are multiplied by 0 where masked, and not normalized again": _kept,
}


def _on_scores(_: Graph, node: Node) -> Variants:
    assert node.operation is not None
    for detail, use in {
        "the scores are multiplied by it": _times_mask,
        "the scores are multiplied by 1 + mask": _times_one_more,
        "the scores are multiplied by 0 where masked, by 1 elsewhere": _kept,
        "masked scores are set to its value, which is not added: the softmax is the same": _replaced,
        "it is subtracted": _subtracted,
    }.items():
        forward, backward = _using(use)
        yield detail, change_node(node, replace(node.operation, forward=forward, backward=backward))


def _using(use: Use) -> tuple[Callable[..., tuple[Array, Any]], Callable[..., tuple[Array | None, ...]]]:
    def forward(scores: Array, mask: Array) -> tuple[Array, Any]:
        return use(scores, mask[:, None])

    def backward(dy: Array, factor: Any) -> tuple[Array | None, ...]:
        return dy * factor, None

    return forward, backward


def _after_softmax(graph: Graph, name: str) -> Variants:
    """From the softmax, or, where the port dumps the scores without the mask, from these."""
    node = graph.nodes[name]
    if is_output_of(node, "add_mask"):
        unmasked = change_node(node, Operation("add_mask", lambda x, _: (x, None), lambda dy, _: (dy, None)))
        for user in (graph.nodes[one] for one in graph.consumers[name]):
            for detail, use in AFTER.items() if is_output_of(user, "softmax") else ():
                changes = change_node(user, _after(use), inputs=(name, node.inputs[1]))
                yield f"{detail}; the scores are dumped without it", unmasked | changes
    elif is_output_of(node, "softmax") and is_output_of(masked := graph.nodes[node.inputs[0]], "add_mask"):
        for detail, use in AFTER.items():
            yield detail, change_node(node, _after(use), inputs=masked.inputs)


def _after(use: Use) -> Operation:
    def forward(scores: Array, mask: Array) -> tuple[Array, Any]:
        probabilities, cache = softmax_forward(scores)
        y, factor = use(probabilities, mask[:, None])
        return y, (cache, factor)

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        cache, factor = caches
        return softmax_backward(dy * factor, cache), None

    return Operation("softmax", forward, backward)


MASK_USE = (
    Mistake(
        "mask-use",
        "the mask is used in another way",
        "add the mask, 0 or -100, to the scores, then take the softmax",
        at_outputs_of("add_mask", _on_scores),
    ),
    Mistake(
        "mask-after-softmax",
        "the mask is used after the softmax",
        "add the mask, 0 or -100, to the scores, then take the softmax",
        _after_softmax,
    ),
)
