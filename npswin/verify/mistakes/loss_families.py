"""Losses with a number that is fitted to a port's gradients."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from npswin.ops.softmax import softmax_forward
from npswin.types import Array
from npswin.verify.mistakes.loss import (
    Loss,
    cross_entropy_to,
    focal,
    mixed_with_reversed,
    smoothed,
    smoothed_among_others,
    targets_of,
    with_temperature,
)


@dataclass(frozen=True)
class LossFamily:
    """Losses with a number.

    Attributes:
        name, description, fix: of the cause.
        letter: of the number.
        loss: the loss for a number.
        grid: the numbers from which the fit starts.
        neutral: the number that makes the loss the right one.
        of_label: whether it is a function of the label's probability alone, which gives each image a weight and
            leaves the direction of its gradient.
        smallest: a number that is nearer to the neutral one makes no difference.
    """

    name: str
    description: str
    fix: str
    letter: str
    loss: Callable[[float], Loss]
    grid: tuple[float, ...]
    neutral: float
    of_label: bool = False
    smallest: float = 1e-3


def _of_label(value: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Loss:
    """The mean of f(q) for the label's probability q; with dq/dx = q (t - p), its derivative is f'(q) q (t - p) / B."""

    def loss(logits: Array, labels: Array) -> tuple[float, Array]:
        t, p = targets_of(logits, labels), softmax_forward(logits)[0]
        q = (t * p).sum(axis=1, keepdims=True)
        return float(value(q).mean()), slope(q) * q * (t - p) / len(logits)

    return loss


def with_eps(eps: float) -> Loss:
    """-log(q + ε)."""
    return _of_label(lambda q: -np.log(q + eps), lambda q: -1 / (q + eps))


def generalized(power: float) -> Loss:
    """(1 - q^s) / s (Zhang and Sabuncu 2018)."""
    return _of_label(lambda q: (1 - q**power) / power, lambda q: -(q ** (power - 1)))


def with_margin(margin: float) -> Loss:
    """The margin is subtracted from the label's logit (Wang et al. 2018)."""
    return lambda logits, labels: cross_entropy_to(
        logits - margin * targets_of(logits, labels), targets_of(logits, labels)
    )


def with_clipped_logits(limit: float) -> Loss:
    """The logits are clipped to ± a number, beyond which they have no gradient."""

    def loss(logits: Array, labels: Array) -> tuple[float, Array]:
        value, dlogits = cross_entropy_to(np.clip(logits, -limit, limit), targets_of(logits, labels))
        return value, dlogits * (np.abs(logits) < limit)

    return loss


def mixed_with_previous(share: float) -> Loss:
    """The targets λ t + (1 - λ) t', t' those of the image before."""

    def loss(logits: Array, labels: Array) -> tuple[float, Array]:
        t = targets_of(logits, labels)
        return cross_entropy_to(logits, share * t + (1 - share) * np.roll(t, 1, axis=0))

    return loss


def added_over_others(share: float) -> Loss:
    """The targets (1 - ε) t + ε / (K - 1), for the label's class, too: they sum up to more than 1."""

    def loss(logits: Array, labels: Array) -> tuple[float, Array]:
        t, p = targets_of(logits, labels), softmax_forward(logits)[0]
        targets = (1 - share) * t + share / (t.shape[1] - 1)
        total = targets.sum(axis=1, keepdims=True)
        return float(-(targets * np.log(p)).sum() / len(t)), (total * p - targets) / len(t)

    return loss


MIXED = "without augmentation each image has its own label"
PLAIN = "-log p[label], p the softmax of the logits as they are"
FAMILIES = (
    LossFamily("label-smoothing", "the labels are smoothed", "label smoothing is off", "ε", smoothed, (0.05, 0.3), 0.0),
    LossFamily(
        "label-smoothing",
        "the labels are smoothed over the other classes",
        "label smoothing is off",
        "ε",
        smoothed_among_others,
        (0.05, 0.3),
        0.0,
    ),
    LossFamily(
        "label-smoothing",
        "ε / (K - 1) is added to the labels of all classes, so that they do not sum up to 1",
        "label smoothing is off",
        "ε",
        added_over_others,
        (0.05, 0.3),
        0.0,
    ),
    LossFamily(
        "loss-temperature",
        "the logits are divided by a temperature before the loss",
        "softmax(logits), as they are",
        "τ",
        with_temperature,
        (0.03, 0.1, 0.3, 0.6, 0.9, 1.2, 2.0, 5.0, 20.0),
        1.0,
    ),
    LossFamily(
        "loss-focal", "the loss is the focal loss", "the cross-entropy", "γ", focal, (0.3, 1.0, 2.0, 4.0), 0.0, True
    ),
    LossFamily(
        "labels-mixed",
        "the labels are mixed with those of the batch in reverse order, as mixup and CutMix do",
        MIXED,
        "λ",
        mixed_with_reversed,
        (0.3, 0.7),
        1.0,
    ),
    LossFamily(
        "labels-mixed",
        "the labels are mixed with those of the image before",
        MIXED,
        "λ",
        mixed_with_previous,
        (0.3, 0.7),
        1.0,
    ),
    LossFamily(
        "loss-eps",
        "a number is added to the probability before the logarithm: -log(p[label] + ε)",
        PLAIN,
        "ε",
        with_eps,
        (1e-3, 1e-2, 0.1, 1.0),
        0.0,
        True,
        1e-7,
    ),
    LossFamily(
        "loss-generalized",
        "the loss is (1 - p[label]^s) / s, the generalized cross-entropy",
        PLAIN,
        "s",
        generalized,
        (0.3, 0.7, 1.5),
        0.0,
        True,
    ),
    LossFamily(
        "loss-margin",
        "a margin is subtracted from the label's logit",
        PLAIN,
        "m",
        with_margin,
        (-0.5, 0.1, 0.5, 2.0),
        0.0,
        True,
    ),
    LossFamily(
        "loss-clipped",
        "the logits are clipped before the loss",
        PLAIN,
        "limit",
        with_clipped_logits,
        (0.1, 0.3, 0.6, 1.0, 2.0, 5.0, 10.0),
        np.inf,
    ),
)
