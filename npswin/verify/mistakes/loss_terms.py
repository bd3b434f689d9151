"""Terms that a loss may have besides the cross-entropy, or in place of it, and other functions of the logits."""

from collections.abc import Callable

import numpy as np

from npswin.ops.softmax import softmax_backward, softmax_forward
from npswin.types import Array
from npswin.verify.mistakes.loss import Loss, cross_entropy_to, targets_of

CROSS_ENTROPY = "the cross-entropy"
FUNCTION_OF_LOSS = "loss-of-loss"  # the name of the cause


def _of_logits(value: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Loss:
    """The mean over the images of a sum over the classes."""
    return lambda x, _: (value(x).sum() / len(x), slope(x) / len(x))


def _of_probabilities(value: Callable[[Array, Array], Array], slope: Callable[[Array, Array], Array]) -> Loss:
    """The same of p, with the targets t: value(p, t), slope(p, t)."""

    def loss(x: Array, labels: Array) -> tuple[float, Array]:
        (p, cache), t = softmax_forward(x), targets_of(x, labels)
        return value(p, t).sum() / len(x), softmax_backward(slope(p, t) / len(x), cache)

    return loss


def _to(change: Callable[[Array, Array], Array]) -> Loss:
    return lambda x, labels: cross_entropy_to(x, change(targets_of(x, labels), x))


def _log_sum(x: Array) -> Array:
    largest = x.max(axis=1, keepdims=True)
    return largest + np.log(np.exp(x - largest).sum(axis=1, keepdims=True))


def _softmax_over_batch(x: Array, labels: Array) -> tuple[float, Array]:
    """-log of the label's entry of a softmax over the images."""
    t, p = targets_of(x, labels), softmax_forward(x.T)[0].T
    return -(t * np.log(p)).sum() / len(x), (p * t.sum(axis=0) - t) / len(x)


def _hinge(x: Array, labels: Array) -> tuple[float, Array]:
    """The mean over the classes of max(0, 1 - x[label] + x), the label's left out."""
    t = targets_of(x, labels)
    margins = (1 - t) * (1 + x - (t * x).sum(axis=1, keepdims=True))
    over = (margins > 0) * 1.0
    return np.maximum(margins, 0).sum() / x.size, (over - t * over.sum(axis=1, keepdims=True)) / x.size


# By name a loss whose multiples are added up. Each is a mean over the batch.
LOSS_TERMS: dict[str, Loss] = {
    CROSS_ENTROPY: _to(lambda t, _: t),
    "the entropy of the probabilities": _of_probabilities(lambda p, _: -p * np.log(p), lambda p, _: -np.log(p) - 1),
    "logsumexp(logits)²": lambda x, _: ((_log_sum(x) ** 2).mean(), 2 * _log_sum(x) * softmax_forward(x)[0] / len(x)),
    "logsumexp(logits)": lambda x, _: (_log_sum(x).mean(), softmax_forward(x)[0] / len(x)),
    "Σ logits²": _of_logits(np.square, lambda x: 2 * x),
    "Σ |logits|": _of_logits(np.abs, np.sign),
    "the cross-entropy to equal shares, (1/K) Σ -log p": _to(lambda t, _: np.full_like(t, 1 / t.shape[1])),
    "(1 - p[label])": _of_probabilities(lambda p, t: t * (1 - p), lambda _, t: -t),
    "Σ (p - t)²": _of_probabilities(lambda p, t: (p - t) ** 2, lambda p, t: 2 * (p - t)),
    "Σ p²": _of_probabilities(lambda p, _: p**2, lambda p, _: 2 * p),
    "Σ |p - t|": _of_probabilities(lambda p, t: np.abs(p - t), lambda p, t: np.sign(p - t)),
    "-Σ log(1 - p) of the other classes": _of_probabilities(
        lambda p, t: -(1 - t) * np.log(1 - p), lambda p, t: (1 - t) / (1 - p)
    ),
    "Σ logits": _of_logits(lambda x: x, np.ones_like),
    "Σ log(1 + exp(logits))": _of_logits(lambda x: np.logaddexp(0, x), lambda x: 0.5 + 0.5 * np.tanh(x / 2)),
    "logits[label]": lambda x, labels: (
        (targets_of(x, labels) * x).sum() / len(x),
        targets_of(x, labels) / len(x),
    ),
    "the binary cross-entropy of the labels' classes": lambda x, labels: (
        (targets_of(x, labels) * np.logaddexp(0, -x)).sum() / len(x),
        -targets_of(x, labels) * (0.5 - 0.5 * np.tanh(x / 2)) / len(x),
    ),
    "the binary cross-entropy of the other classes": lambda x, labels: (
        ((1 - targets_of(x, labels)) * np.logaddexp(0, x)).sum() / len(x),
        (1 - targets_of(x, labels)) * (0.5 + 0.5 * np.tanh(x / 2)) / len(x),
    ),
    "Σ (logits - t)²": lambda x, labels: (
        ((x - targets_of(x, labels)) ** 2).sum() / len(x),
        2 * (x - targets_of(x, labels)) / len(x),
    ),
    "Σ |logits - t|": lambda x, labels: (
        np.abs(x - targets_of(x, labels)).sum() / len(x),
        np.sign(x - targets_of(x, labels)) / len(x),
    ),
    "the cross-entropy to the labels of the image before": _to(lambda t, _: np.roll(t, 1, axis=0)),
    "the cross-entropy to the predicted classes": _to(lambda t, x: np.eye(t.shape[1])[x.argmax(axis=1)]),
}


def _normalized(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    z = x / norm
    return z, lambda dz: (dz - z * (z * dz).sum(axis=1, keepdims=True)) / norm


def _standardized(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    deviation = x.std(axis=1, keepdims=True)
    z = (x - x.mean(axis=1, keepdims=True)) / deviation

    def backward(dz: Array) -> Array:
        return (dz - dz.mean(axis=1, keepdims=True) - z * (z * dz).mean(axis=1, keepdims=True)) / deviation

    return z, backward


def _entrywise(function: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Callable[[Array], tuple]:
    return lambda x: (function(x), lambda dz: dz * slope(x))


def _cross_entropy_of(change: Callable[[Array], tuple]) -> Loss:
    """The cross-entropy of changed logits; a change gives them and its backward function."""

    def loss(x: Array, labels: Array) -> tuple[float, Array]:
        z, backward = change(x)
        value, dz = cross_entropy_to(z, targets_of(x, labels))
        return value, backward(dz)

    return loss


def _of_loss(value: Callable[[float], float], slope: Callable[[float], float]) -> Loss:
    """A function of the right loss."""

    def loss(x: Array, labels: Array) -> tuple[float, Array]:
        right, dlogits = cross_entropy_to(x, targets_of(x, labels))
        return value(right), slope(right) * dlogits

    return loss


def _of_mean_probability(x: Array, labels: Array) -> tuple[float, Array]:
    """-log of the mean over the images of p[label]."""
    t, p = targets_of(x, labels), softmax_forward(x)[0]
    q = (t * p).sum(axis=1, keepdims=True)
    return float(-np.log(q.mean())), q * (p - t) / q.sum()


# By name, description and fix of a cause, its variants, which are no entries of the catalogue.
OTHER_LOSSES: dict[str, tuple[str, str, dict[str, Loss]]] = {
    "loss-logits": (
        "the logits are changed before the loss",
        "the cross-entropy of the logits as they are",
        {
            "sigmoid": _cross_entropy_of(
                _entrywise(lambda x: 0.5 + 0.5 * np.tanh(x / 2), lambda x: 0.25 - 0.25 * np.tanh(x / 2) ** 2)
            ),
            "tanh": _cross_entropy_of(_entrywise(np.tanh, lambda x: 1 - np.tanh(x) ** 2)),
            "ReLU": _cross_entropy_of(_entrywise(lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0)),
            "absolute values": _cross_entropy_of(_entrywise(np.abs, np.sign)),
            "the other sign": _cross_entropy_of(_entrywise(lambda x: -x, lambda x: -np.ones_like(x))),
            "divided by their norm": _cross_entropy_of(_normalized),
            "less their mean, over their deviation": _cross_entropy_of(_standardized),
        },
    ),
    FUNCTION_OF_LOSS: (
        "the loss is a function of the right one",
        "the mean of the cross-entropies",
        {
            "its square": _of_loss(lambda loss: loss**2, lambda loss: 2 * loss),
            "its exponential, the perplexity": _of_loss(np.exp, np.exp),
            "its root": _of_loss(np.sqrt, lambda loss: 0.5 / np.sqrt(loss)),
            "its logarithm": _of_loss(np.log, lambda loss: 1 / loss),
            "the mean over the images is taken before the logarithm": _of_mean_probability,
        },
    ),
    "loss-batch": ("the loss' softmax runs over the batch", "the softmax over the classes", {"": _softmax_over_batch}),
    "loss-hinge": ("the loss is the hinge loss", "the cross-entropy", {"margin 1, mean over the classes": _hinge}),
}
