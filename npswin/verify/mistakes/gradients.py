"""Mistakes in backward passes: the forward pass is right, its derivative is not."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    backward_only,
    changed_derivative,
    is_made_by,
    made_by,
    otherwise,
    replacing,
)


def _without(place: int) -> Callable[[Operation], Operation]:
    return lambda operation: changed_derivative(operation, place, np.zeros_like)


def _softmax_without_sum(operation: Operation) -> Operation:
    return backward_only(operation, lambda dy, p: (p * dy,))


def _norm_terms(direct: bool = True, mean: bool = True, variance: bool = True, rstd: bool = True) -> Any:
    """dx = rstd (g - ⟨g⟩ - x̂ ⟨g x̂⟩) with some of its parts left out."""

    def backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
        xhat, scale, weight = cache
        g = dy * weight
        dx = g * direct
        if mean:
            dx = dx - g.mean(axis=-1, keepdims=True)
        if variance:
            dx = dx - xhat * (g * xhat).mean(axis=-1, keepdims=True)
        channels = dy.shape[-1]
        dweight = (dy * xhat).reshape(-1, channels).sum(0)
        return dx * scale if rstd else dx, dweight, dy.reshape(-1, channels).sum(0)

    return lambda operation: backward_only(operation, backward)


def _gain_missing(operation: Operation) -> Operation:
    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        xhat, scale, weight = cache
        dx = operation.backward(dy, (xhat, scale, np.ones_like(weight)))[0]
        return dx, *operation.backward(dy, cache)[1:]

    return backward_only(operation, backward)


def _gelu_without_density(operation: Operation) -> Operation:
    return backward_only(operation, lambda dy, cache: (dy * cache[1],))


def _overwritten(last: bool) -> Callable[[Operation], Operation]:
    def backward(dbias: Array, cache: Any) -> tuple[Array]:
        index, table = cache
        dtable = np.zeros_like(table)
        if index is not None:
            order = slice(None) if last else slice(None, None, -1)
            dtable[index.reshape(-1)[order]] = dbias.reshape(len(dbias), -1).T[order]
        return (dtable,)

    return lambda operation: backward_only(operation, backward)


def _bias_of(what: str) -> Callable[[Operation], Operation]:
    choose: dict[str, Callable[[Array], Array]] = {
        "the last window's": lambda dy: dy[-1:, -1:],
        "the first window's": lambda dy: dy[:1, :1],
        "the last image's": lambda dy: dy[-1:],
        "the mean over windows and images": lambda dy: dy / (dy.shape[0] * dy.shape[1]),
        "the mean over images": lambda dy: dy / dy.shape[0],
    }

    def variant(operation: Operation) -> Operation:
        def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
            return dy, operation.backward(choose[what](dy), cache)[1]

        return backward_only(operation, backward)

    return variant


def _transposed_memory(dweight: Array) -> Array:
    return dweight.T.reshape(dweight.shape)


def _loss_factor(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    assert node.operation is not None
    operation = node.operation

    def scaled(power: int) -> Operation:
        def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
            dlogits, none = operation.backward(dy, cache)
            assert dlogits is not None
            return dlogits * float(len(dlogits)) ** power, none

        return backward_only(operation, backward)

    yield "divided by the batch once more", otherwise(node, scaled(-1))
    yield "not divided by the batch", otherwise(node, scaled(1))


def _shift_passed_on(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    assert node.operation is not None
    operation = node.operation
    yield "not undone", otherwise(node, backward_only(operation, lambda dy, _: (dy,)))
    again = backward_only(operation, lambda dy, shift: (operation.forward(dy, shift=shift)[0],))
    yield "done again rather than undone", otherwise(node, again)


def _padding_not_cropped(operation: Operation) -> Operation:
    def backward(dy: Array, size: Any) -> tuple[Array]:
        height, width = size
        flat = dy.reshape(len(dy), -1, dy.shape[-1])[:, : height * width]
        return (flat.reshape(len(dy), height, width, -1),)

    return backward_only(operation, backward)


def _padding_cropped_elsewhere(operation: Operation) -> Operation:
    def backward(dy: Array, size: Any) -> tuple[Array]:
        return (dy[:, dy.shape[1] - size[0] :, dy.shape[2] - size[1] :],)

    return backward_only(operation, backward)


def _scale_not_undone(operation: Operation) -> Operation:
    return backward_only(operation, lambda dy, _: (dy,))


def _weight_not_transposed(operation: Operation) -> Operation:
    """dx = dy W where the weight's memory is read the other way round."""

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        x, weight, has_bias = cache
        rest = operation.backward(dy, cache)[1:]
        return operation.backward(dy, (x, weight.reshape(weight.shape[::-1]).T, has_bias))[0], *rest

    return backward_only(operation, backward)


def _bias_averaged(node: Node, operation: Operation) -> Operation:
    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        dx, dweight, dbias = operation.backward(dy, cache)
        assert dbias is not None
        return dx, dweight, dbias / (dy.size // dy.shape[-1])

    return backward_only(operation, backward)


def _linear(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    assert node.operation is not None
    yield "dx is made with the transposed weight", otherwise(node, _weight_not_transposed(node.operation))
    if len(node.inputs) == 3:
        yield "the bias' gradient is a mean over the rows", otherwise(node, _bias_averaged(node, node.operation))


def _pool(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    assert node.operation is not None
    operation = node.operation
    yield (
        "",
        otherwise(
            node,
            backward_only(operation, lambda dy, shape: (operation.backward(dy * (shape[1] * shape[2]), shape)[0],)),
        ),
    )


def _product(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    """One of the two derivatives of a product a bᵀ or p v, made with an operand that is not transposed."""
    assert node.operation is not None
    operation = node.operation

    def turned(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        first, _second = operation.backward(dy, cache)
        if is_made_by(node, "scores"):
            return first, dy @ cache[0]
        return first, cache[0] @ dy

    yield (
        "the scores' derivative is not transposed in dk"
        if is_made_by(node, "scores")
        else ("the probabilities are not transposed in dv"),
        otherwise(node, backward_only(operation, turned)),
    )


GRADIENTS = (
    Mistake(
        "shortcut-gradient",
        "a residual path is missing in the backward pass",
        "x reaches the sum twice: its derivative is the shortcut's plus the branch's",
        replacing("residual", {"the shortcut": _without(0), "the branch": _without(1)}),
        backward=True,
    ),
    Mistake(
        "softmax-sum",
        "the softmax's backward pass lacks the sum term",
        "dx = p (dp - Σ p dp)",
        replacing("softmax", {"": _softmax_without_sum}),
        backward=True,
    ),
    Mistake(
        "norm-term",
        "layer normalization's backward pass lacks a term",
        "dx = rstd (g - ⟨g⟩ - x̂ ⟨g x̂⟩), g = dy · weight",
        replacing(
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
        replacing("gelu", {"": _gelu_without_density}),
        backward=True,
    ),
    Mistake(
        "bias-overwritten",
        "the bias table's gradient is overwritten rather than summed",
        "a row of the table is read by many pairs: its gradient is their sum",
        replacing(
            "position_bias",
            {"the last pair's stays": _overwritten(True), "the first pair's stays": _overwritten(False)},
        ),
        backward=True,
    ),
    Mistake(
        "bias-windows",
        "the position bias' gradient is not the sum over all windows",
        "the bias is added in each window of each image: its gradient is their sum",
        replacing(
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
        made_by("cross_entropy", _loss_factor),
        backward=True,
    ),
    Mistake(
        "shift-not-undone",
        "the cyclic shift's backward pass is wrong",
        "the gradient is rolled the other way",
        made_by("cyclic_shift", _shift_passed_on),
        backward=True,
    ),
    Mistake(
        "weight-gradient-transposed",
        "the weight's gradient is transposed",
        "dW = dyᵀ x of shape (out, in), row by row",
        replacing("linear", {"": lambda op: changed_derivative(op, 1, _transposed_memory)}),
        backward=True,
    ),
    Mistake(
        "padding-gradient",
        "the padding's gradient is not cropped",
        "the gradient of the padded map, without the rows and columns of the padding",
        replacing(
            "pad",
            {"the padded memory is read as the map": _padding_not_cropped, "the wrong end": _padding_cropped_elsewhere},
        ),
        backward=True,
    ),
    Mistake(
        "scale-gradient",
        "the scale is missing in the queries' gradient",
        "dq = (dS k) / √d",
        replacing("scale", {"": _scale_not_undone}),
        backward=True,
    ),
    Mistake(
        "linear-gradient",
        "a linear layer's backward pass is wrong",
        "dx = dy W, dW = dyᵀ x, db = Σ dy",
        made_by("linear", _linear),
        backward=True,
    ),
    Mistake(
        "product-gradient",
        "a product's backward pass lacks a transpose",
        "S = q kᵀ: dk = dSᵀ q; o = P v: dv = Pᵀ do",
        lambda graph, name: (
            _product(graph, graph.nodes[name]) if is_made_by(graph.nodes[name], "scores", "mix") else iter(())
        ),
        backward=True,
    ),
    Mistake(
        "pool-gradient",
        "the pool's gradient is not divided",
        "dx = dy / (H W)",
        made_by("mean_pool", _pool),
        backward=True,
    ),
)
