"""Mistakes in backward passes: the forward pass is correct, its derivative is not.

Some of these backward passes read the cache of the correct operation. They do not apply where another mistake has
changed the operation, so that the cache has other parts.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import (
    Mistake,
    Variants,
    at_outputs_of,
    change_node,
    is_output_of,
    transform_derivative,
    with_backward,
    with_variants,
)
from npswin.verify.mistakes.not_applicable import NotApplicable


def _cache_parts(cache: Any, *types: Any) -> tuple[Any, ...]:
    """The parts of a cache that is a tuple, or the cache itself as its only part.

    Raises:
        NotApplicable: the parts have other types, as another mistake has changed the operation.
    """
    parts = cache if isinstance(cache, tuple) else (cache,)
    if len(parts) != len(types) or not all(map(isinstance, parts, types)):
        raise NotApplicable("the operation has another cache by another mistake")
    return parts


def _without(index: int) -> Callable[[Operation], Operation]:
    return lambda operation: transform_derivative(operation, index, np.zeros_like)


def _softmax_without_sum(operation: Operation) -> Operation:
    def backward(dy: Array, cache: Any) -> tuple[Array]:
        (p,) = _cache_parts(cache, np.ndarray)
        return (p * dy,)

    return with_backward(operation, backward)


def _norm_terms(direct: bool = True, mean: bool = True, variance: bool = True, rstd: bool = True) -> Any:
    """dx = rstd (g - ⟨g⟩ - x̂ ⟨g x̂⟩) with some of its parts left out."""

    def backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
        xhat, scale, weight = _cache_parts(cache, np.ndarray, np.ndarray, np.ndarray)
        g = dy * weight
        dx = g * direct
        if mean:
            dx = dx - g.mean(axis=-1, keepdims=True)
        if variance:
            dx = dx - xhat * (g * xhat).mean(axis=-1, keepdims=True)
        channels = dy.shape[-1]
        dweight = (dy * xhat).reshape(-1, channels).sum(0)
        return dx * scale if rstd else dx, dweight, dy.reshape(-1, channels).sum(0)

    return lambda operation: with_backward(operation, backward)


def _gain_missing(operation: Operation) -> Operation:
    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        xhat, scale, weight = _cache_parts(cache, np.ndarray, np.ndarray, np.ndarray)
        dx = operation.backward(dy, (xhat, scale, np.ones_like(weight)))[0]
        return dx, *operation.backward(dy, cache)[1:]

    return with_backward(operation, backward)


def _gelu_without_density(operation: Operation) -> Operation:
    def backward(dy: Array, cache: Any) -> tuple[Array]:
        _, cdf = _cache_parts(cache, np.ndarray, np.ndarray)
        return (dy * cdf,)

    return with_backward(operation, backward)


def _overwritten(last: bool) -> Callable[[Operation], Operation]:
    def backward(dbias: Array, cache: Any) -> tuple[Array]:
        index, table = _cache_parts(cache, np.ndarray | None, np.ndarray)
        dtable = np.zeros_like(table)
        if index is not None:
            order = slice(None) if last else slice(None, None, -1)
            dtable[index.reshape(-1)[order]] = dbias.reshape(len(dbias), -1).T[order]
        return (dtable,)

    return lambda operation: with_backward(operation, backward)


def _bias_of(what: str) -> Callable[[Operation], Operation]:
    reduced: dict[str, Callable[[Array], Array]] = {
        "the last window's": lambda dy: dy[-1:, -1:],
        "the first window's": lambda dy: dy[:1, :1],
        "the last image's": lambda dy: dy[-1:],
        "the mean over windows and images": lambda dy: dy / (dy.shape[0] * dy.shape[1]),
        "the mean over images": lambda dy: dy / dy.shape[0],
    }

    def variant(operation: Operation) -> Operation:
        def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
            return dy, operation.backward(reduced[what](dy), cache)[1]

        return with_backward(operation, backward)

    return variant


def _transposed_memory(dweight: Array) -> Array:
    return dweight.T.reshape(dweight.shape)


def _loss_factor(graph: Graph, node: Node) -> Variants:
    assert node.operation is not None
    operation = node.operation

    def scaled(power: int) -> Operation:
        def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
            dlogits, none = operation.backward(dy, cache)
            assert dlogits is not None
            return dlogits * float(len(dlogits)) ** power, none

        return with_backward(operation, backward)

    yield "divided by the batch once more", change_node(node, scaled(-1))
    yield "not divided by the batch", change_node(node, scaled(1))


def _shift_not_undone(_: Graph, node: Node) -> Variants:
    assert node.operation is not None
    operation = node.operation
    yield "not undone", change_node(node, with_backward(operation, lambda dy, _: (dy,)))
    again = with_backward(operation, lambda dy, _: (operation.forward(dy, **node.settings)[0],))
    yield "done again rather than undone", change_node(node, again)


def _padding_not_cropped(operation: Operation) -> Operation:
    def backward(dy: Array, size: Any) -> tuple[Array]:
        height, width = _cache_parts(size, int, int)
        flat = dy.reshape(len(dy), -1, dy.shape[-1])[:, : height * width]
        return (flat.reshape(len(dy), height, width, -1),)

    return with_backward(operation, backward)


def _padding_cropped_elsewhere(operation: Operation) -> Operation:
    def backward(dy: Array, size: Any) -> tuple[Array]:
        height, width = _cache_parts(size, int, int)
        return (dy[:, dy.shape[1] - height :, dy.shape[2] - width :],)

    return with_backward(operation, backward)


def _scale_not_undone(operation: Operation) -> Operation:
    return with_backward(operation, lambda dy, _: (dy,))


def _weight_not_transposed(operation: Operation) -> Operation:
    """dx = dy W with the weight's memory read as that of Wᵀ."""

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        x, weight, has_bias = _cache_parts(cache, np.ndarray, np.ndarray, bool)
        rest = operation.backward(dy, cache)[1:]
        return operation.backward(dy, (x, weight.reshape(weight.shape[::-1]).T, has_bias))[0], *rest

    return with_backward(operation, backward)


def _bias_averaged(operation: Operation) -> Operation:
    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        dx, dweight, dbias = operation.backward(dy, cache)
        assert dbias is not None
        return dx, dweight, dbias / (dy.size // dy.shape[-1])

    return with_backward(operation, backward)


def _linear(_: Graph, node: Node) -> Variants:
    assert node.operation is not None
    yield "dx is computed with the transposed weight", change_node(node, _weight_not_transposed(node.operation))
    if len(node.inputs) == 3:
        yield "the bias' gradient is a mean over the rows", change_node(node, _bias_averaged(node.operation))


def _pool(_: Graph, node: Node) -> Variants:
    assert node.operation is not None
    operation = node.operation
    yield (
        "",
        change_node(
            node,
            with_backward(operation, lambda dy, shape: (operation.backward(dy * (shape[1] * shape[2]), shape)[0],)),
        ),
    )


def _product(graph: Graph, node: Node) -> Variants:
    """One of the two derivatives of a product a bᵀ or p v, computed without a transpose."""
    assert node.operation is not None
    operation = node.operation

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        first, _ = operation.backward(dy, cache)
        a, _ = _cache_parts(cache, np.ndarray, np.ndarray)
        return first, dy @ a if is_output_of(node, "scores") else a @ dy

    yield (
        "the scores' derivative is not transposed in dk"
        if is_output_of(node, "scores")
        else ("the probabilities are not transposed in dv"),
        change_node(node, with_backward(operation, backward)),
    )


GRADIENTS = (
    Mistake(
        "shortcut-gradient",
        "a residual path is missing in the backward pass",
        "x is read twice: its derivative is the shortcut's plus the branch's",
        with_variants("residual", {"the shortcut": _without(0), "the branch": _without(1)}),
        backward=True,
    ),
    Mistake(
        "softmax-sum",
        "the softmax's backward pass lacks the sum term",
        "dx = p (dp - Σ p dp)",
        with_variants("softmax", {"": _softmax_without_sum}),
        backward=True,
    ),
    Mistake(
        "norm-term",
        "layer normalization's backward pass lacks a term",
        "dx = rstd (g - ⟨g⟩ - x̂ ⟨g x̂⟩), g = dy · weight",
        with_variants(
            "layer_norm",
            {
                "the mean's, ⟨g⟩": _norm_terms(mean=False),
                "the variance's, x̂ ⟨g x̂⟩": _norm_terms(variance=False),
                "the direct one, g": _norm_terms(direct=False),
                "both means": _norm_terms(mean=False, variance=False),
                "the factor rstd": _norm_terms(rstd=False),
                "the gain": _gain_missing,
            },
        ),
        backward=True,
    ),
    Mistake(
        "gelu-density",
        "GELU's derivative lacks the term x φ(x)",
        "dx = dy (Φ(x) + x φ(x))",
        with_variants("gelu", {"": _gelu_without_density}),
        backward=True,
    ),
    Mistake(
        "bias-overwritten",
        "the bias table's gradient is overwritten rather than summed",
        "a row of the table is read by many pairs: its gradient is their sum",
        with_variants(
            "position_bias",
            {"the last pair's stays": _overwritten(True), "the first pair's stays": _overwritten(False)},
        ),
        backward=True,
    ),
    Mistake(
        "bias-windows",
        "the position bias' gradient is not the sum over all windows",
        "the bias is added in each window of each image: its gradient is their sum",
        with_variants(
            "add_bias",
            {
                what: _bias_of(what)
                for what in (
                    "the last window's",
                    "the first window's",
                    "the last image's",
                    "the mean over windows and images",
                    "the mean over images",
                )
            },
        ),
        backward=True,
    ),
    Mistake(
        "averaged-twice",
        "the loss' gradient is averaged over the batch in another way",
        "dlogits = (p - t) / B, and nothing is divided by B again",
        at_outputs_of("cross_entropy", _loss_factor),
        backward=True,
    ),
    Mistake(
        "shift-not-undone",
        "the cyclic shift's backward pass is wrong",
        "the gradient is rolled the other way",
        at_outputs_of("cyclic_shift", _shift_not_undone),
        backward=True,
    ),
    Mistake(
        "weight-gradient-transposed",
        "the weight's gradient is transposed",
        "dW = dyᵀ x of shape (out, in), row by row",
        with_variants("linear", {"": lambda op: transform_derivative(op, 1, _transposed_memory)}),
        backward=True,
    ),
    Mistake(
        "padding-gradient",
        "the padding's gradient is not cropped",
        "the gradient of the padded map, without the rows and columns of the padding",
        with_variants(
            "pad",
            {"the padded memory is read as the map": _padding_not_cropped, "the wrong end": _padding_cropped_elsewhere},
        ),
        backward=True,
    ),
    Mistake(
        "scale-gradient",
        "the scale is missing in the queries' gradient",
        "dq = (dS k) / √d",
        with_variants("scale", {"": _scale_not_undone}),
        backward=True,
    ),
    Mistake(
        "linear-gradient",
        "a linear layer's backward pass is wrong",
        "dx = dy W, dW = dyᵀ x, db = Σ dy",
        at_outputs_of("linear", _linear),
        backward=True,
    ),
    Mistake(
        "product-gradient",
        "a product's backward pass lacks a transpose",
        "S = q kᵀ: dk = dSᵀ q; o = P v: dv = Pᵀ do",
        lambda graph, name: (
            _product(graph, graph.nodes[name]) if is_output_of(graph.nodes[name], "scores", "mix") else iter(())
        ),
        backward=True,
    ),
    Mistake(
        "pool-gradient",
        "the pool's gradient is not divided",
        "dx = dy / (H W)",
        at_outputs_of("mean_pool", _pool),
        backward=True,
    ),
)
