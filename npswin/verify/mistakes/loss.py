"""Mistakes in the loss: another reduction, other targets, another function of the logits.

Each loss is a function (logits, labels) -> loss, dlogits, with its derivative beside it. p is softmax(logits), t the
targets (B, K), one_hot(labels) unless said otherwise; sums run over the classes, and the loss is the batch's mean.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from npswin.data.mixing import one_hot
from npswin.ops.loss import cross_entropy_backward, cross_entropy_forward
from npswin.ops.softmax import softmax_backward, softmax_forward
from npswin.types import Array
from npswin.verify.graph import Graph, Node
from npswin.verify.mistakes.mistake import Changes, Mistake, Variants, at_outputs_of, change_node

Loss = Callable[[Array, Array], tuple[Any, Array]]  # (logits, labels) -> the loss, its derivative by the logits

SMOOTHINGS = (0.1, 0.2, 0.05, 0.01)
TEMPERATURES = (0.5, 2.0, 0.1, 0.07, 10.0)


def with_loss(node: Node, loss: Loss) -> Changes:
    """The node of the loss with another function of logits and labels."""
    assert node.operation is not None

    def forward(logits: Array, labels: Array) -> tuple[Array, Any]:
        value, dlogits = loss(logits, labels)
        return np.asarray(value, logits.dtype), dlogits.astype(logits.dtype)

    def backward(dloss: Array, dlogits: Any) -> tuple[Array, None]:
        return dlogits * dlogits.dtype.type(dloss), None

    return change_node(node, replace(node.operation, forward=forward, backward=backward))


def cross_entropy_to(logits: Array, targets: Array) -> tuple[Any, Array]:
    """The cross-entropy with other targets, (B, K)."""
    loss, cache = cross_entropy_forward(logits, targets.astype(logits.dtype))
    return loss, cross_entropy_backward(1.0, cache)


def targets_of(logits: Array, labels: Array) -> Array:
    """The labels as targets (B, K)."""
    return one_hot(labels.astype(np.int64), logits.shape[1], logits.dtype)


def _with_targets(change: Callable[[Array, Array], Array]) -> Loss:
    """The cross-entropy with targets made from the right ones, (targets, logits) -> targets."""
    return lambda logits, labels: cross_entropy_to(logits, change(targets_of(logits, labels), logits))


def _of_probabilities(loss: Loss) -> Loss:
    """A loss of softmax(logits) in place of the logits."""

    def composed(logits: Array, labels: Array) -> tuple[Any, Array]:
        p, cache = softmax_forward(logits)
        value, dp = loss(p, labels)
        return value, softmax_backward(dp, cache)

    return composed


def _negative_entry(x: Array, labels: Array) -> tuple[Any, Array]:
    """-x[label], as a negative log-likelihood of what is no logarithm."""
    t = targets_of(x, labels)
    return -(t * x).sum() / len(x), -t / len(x)


def _binary(x: Array, labels: Array) -> tuple[Any, Array]:
    """Σ log(1 + exp(x)) - t x: its derivative is σ(x) - t."""
    t = targets_of(x, labels)
    return (np.logaddexp(0, x) - t * x).sum() / len(x), (0.5 + 0.5 * np.tanh(x / 2) - t) / len(x)


def _squared(x: Array, labels: Array) -> tuple[Any, Array]:
    """Σ (x - t)²."""
    difference = x - targets_of(x, labels)
    return (difference**2).sum() / len(x), 2 * difference / len(x)


def focal(gamma: float) -> Loss:
    """-(1 - q)^γ log q for the label's probability q (Lin et al. 2017).

    With dq/dx = q (t - p), its derivative by x is (γ (1 - q)^(γ - 1) q log q - (1 - q)^γ) (t - p).
    """

    def loss(logits: Array, labels: Array) -> tuple[Any, Array]:
        t, p = targets_of(logits, labels), softmax_forward(logits)[0]
        q = (t * p).sum(axis=1, keepdims=True)
        slope = gamma * (1 - q) ** (gamma - 1) * q * np.log(q) - (1 - q) ** gamma
        return -((1 - q) ** gamma * np.log(q)).sum() / len(logits), slope * (t - p) / len(logits)

    return loss


def smoothed(epsilon: float) -> Loss:
    """The targets (1 - ε) t + ε / K."""
    return _with_targets(lambda t, _: (1 - epsilon) * t + epsilon / t.shape[1])


def smoothed_among_others(epsilon: float) -> Loss:
    """The targets (1 - ε) t + ε / (K - 1) (1 - t)."""
    return _with_targets(lambda t, _: (1 - epsilon) * t + epsilon / (t.shape[1] - 1) * (1 - t))


def with_labels(labels: Sequence[int]) -> Loss:
    """These labels instead."""
    return _with_targets(lambda t, _: np.eye(t.shape[1])[list(labels)])


def mixed_with_reversed(share: float) -> Loss:
    """The targets λ t + (1 - λ) t', t' those of the batch in reverse order (Zhang et al. 2018)."""
    return _with_targets(lambda t, _: share * t + (1 - share) * t[::-1])


def with_temperature(temperature: float) -> Loss:
    """The logits are divided by a temperature τ; so is the derivative."""

    def loss(logits: Array, labels: Array) -> tuple[Any, Array]:
        value, dlogits = cross_entropy_to(logits / temperature, targets_of(logits, labels))
        return value, dlogits / temperature

    return loss


def scaled(loss: Loss, factor: Callable[[Array], float]) -> Loss:
    """A loss times a number that depends on the logits' shape."""

    def times(logits: Array, labels: Array) -> tuple[Any, Array]:
        value, dlogits = loss(logits, labels)
        return value * factor(logits), dlogits * factor(logits)

    return times


def _mean_over_classes(loss: Loss) -> Loss:
    return scaled(loss, lambda logits: 1 / logits.shape[1])


_cross_entropy = _with_targets(lambda t, _: t)

REDUCTIONS: dict[str, Loss] = {
    "divided by the batch twice": scaled(_cross_entropy, lambda x: 1 / len(x)),
    "divided by the number of classes": _mean_over_classes(_cross_entropy),
    "summed, and divided by the number of classes": scaled(_cross_entropy, lambda x: len(x) / x.shape[1]),
    "the minus sign is missing": scaled(_cross_entropy, lambda x: -1.0),
    "the logarithm has base 2": scaled(_cross_entropy, lambda x: 1 / np.log(2)),
    "the logarithm has base 10": scaled(_cross_entropy, lambda x: 1 / np.log(10)),
}
OTHER_LABELS: dict[str, Loss] = {
    "label + 1": _with_targets(lambda t, _: np.roll(t, 1, axis=1)),
    "label - 1": _with_targets(lambda t, _: np.roll(t, -1, axis=1)),
    "counted from the last class": _with_targets(lambda t, _: t[:, ::-1]),
    "those of the batch in reverse order": _with_targets(lambda t, _: t[::-1]),
    "the next image's": _with_targets(lambda t, _: np.roll(t, -1, axis=0)),
    "the previous image's": _with_targets(lambda t, _: np.roll(t, 1, axis=0)),
    "the first image's for all": _with_targets(lambda t, _: np.broadcast_to(t[:1], t.shape)),
    "the last image's for all": _with_targets(lambda t, _: np.broadcast_to(t[-1:], t.shape)),
    "0 for all": _with_targets(lambda t, _: np.eye(t.shape[1])[np.zeros(len(t), int)]),
    "the class that is predicted": _with_targets(lambda t, x: np.eye(t.shape[1])[x.real.argmax(axis=1)]),
}
OTHER_FUNCTIONS: dict[str, tuple[str, str, dict[str, Loss]]] = {
    "label-smoothing": (
        "the labels are smoothed",
        "the targets are 1 for the label and 0 for other classes: label smoothing is off",
        {
            **{f"ε = {epsilon:g}, over all classes": smoothed(epsilon) for epsilon in SMOOTHINGS},
            **{f"ε = {epsilon:g}, over the other classes": smoothed_among_others(epsilon) for epsilon in SMOOTHINGS},
        },
    ),
    "loss-temperature": (
        "the logits are divided by a temperature before the loss",
        "softmax(logits), as they are",
        {f"τ = {temperature:g}": with_temperature(temperature) for temperature in TEMPERATURES},
    ),
    "softmax-twice": (
        "the loss applies softmax to probabilities: softmax is applied twice",
        "the loss takes the logits; softmax is a part of it",
        {"": _of_probabilities(_cross_entropy)},
    ),
    "loss-without-log": (
        "the loss takes the label's entry of what is no log-probability",
        "-log softmax(logits)[label]",
        {"-logits[label]": _negative_entry, "-softmax(logits)[label]": _of_probabilities(_negative_entry)},
    ),
    "loss-binary": (
        "the loss is the binary cross-entropy of each class by itself",
        "the cross-entropy with a softmax over the classes",
        {
            "sigmoid, mean over batch and classes": _mean_over_classes(_binary),
            "sigmoid, summed over the classes": _binary,
            "sigmoid, summed over batch and classes": scaled(_binary, len),
            "sigmoid of the probabilities, mean over batch and classes": _of_probabilities(_mean_over_classes(_binary)),
        },
    ),
    "loss-squared": (
        "the loss is a squared error",
        "the cross-entropy",
        {
            "of the logits, mean over batch and classes": _mean_over_classes(_squared),
            "of the logits, summed over the classes": _squared,
            "of the logits, half of it, summed over the classes": scaled(_squared, lambda _: 0.5),
            "of the probabilities, mean over batch and classes": _of_probabilities(_mean_over_classes(_squared)),
            "of the probabilities, summed over the classes": _of_probabilities(_squared),
        },
    ),
    "loss-focal": (
        "the loss is the focal loss",
        "the cross-entropy: each image has the same weight, 1/B",
        {
            **{f"γ = {gamma:g}": focal(gamma) for gamma in (2.0, 1.0, 3.0)},
            "γ = 2, α = 0.25": scaled(focal(2.0), lambda _: 0.25),
        },
    ),
}


def _each(losses: dict[str, Loss]) -> Callable[[Graph, str], Variants]:
    def variants(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
        for detail, loss in losses.items():
            yield detail, with_loss(node, loss)

    return at_outputs_of("cross_entropy", variants)


LOSS = (
    Mistake(
        "loss-sum",
        "the loss is the batch's sum",
        "the mean over the batch",
        _each({"": scaled(_cross_entropy, len)}),
    ),
    Mistake("loss-factor", "the loss is multiplied", "-(1/B) Σ log p[label], natural logarithm", _each(REDUCTIONS)),
    Mistake(
        "other-labels",
        "the loss takes other labels",
        "the label of each image, counted from 0, in the order of the images",
        _each(OTHER_LABELS),
    ),
    *(Mistake(name, description, fix, _each(losses)) for name, (description, fix, losses) in OTHER_FUNCTIONS.items()),
)
