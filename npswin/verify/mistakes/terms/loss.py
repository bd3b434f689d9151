"""The derivative of the loss by the logits, and the terms that it may be made of by mistake."""

import numpy as np

from npswin.ops.softmax import softmax_forward
from npswin.types import Array
from npswin.verify.mistakes.loss import targets_of
from npswin.verify.mistakes.terms.derivative import Derivative, Known, Term


def _x(known: Known) -> Array:
    return known.inputs[0]


def _t(known: Known) -> Array:
    return targets_of(known.inputs[0], known.inputs[1])


def _p(known: Known) -> Array:
    return softmax_forward(known.inputs[0])[0]


def _over_batch(known: Known) -> Array:
    return softmax_forward(np.ascontiguousarray(known.inputs[0].T))[0].T


def _by_batch(term: Term) -> Term:
    return lambda known: known.dy * term(known) / len(known.inputs[0])


_TERMS: dict[str, Term] = {
    "p": _p,
    "t": _t,
    "p t": lambda known: _p(known) * _t(known),
    "t / p": lambda known: _t(known) / _p(known),
    "p²": lambda known: _p(known) ** 2,
    "log p": lambda known: np.log(_p(known)),
    "p log p": lambda known: _p(known) * np.log(_p(known)),
    "1": lambda known: np.ones_like(_x(known)),
    "logits": _x,
    "t logits": lambda known: _t(known) * _x(known),
    "exp(logits)": lambda known: np.exp(_x(known)),
    "sigmoid(logits)": lambda known: 0.5 + 0.5 * np.tanh(_x(known) / 2),
    "softmax(p)": lambda known: softmax_forward(_p(known))[0],
    "softmax over the batch": _over_batch,
    "p (1 - p)": lambda known: _p(known) * (1 - _p(known)),
    "p (1 - p) (p - t)": lambda known: _p(known) * (1 - _p(known)) * (_p(known) - _t(known)),
    "p (p - t)": lambda known: _p(known) * (_p(known) - _t(known)),
    "p Σ p (p - t)": lambda known: _p(known) * (_p(known) * (_p(known) - _t(known))).sum(axis=1, keepdims=True),
    "p p[label]": lambda known: _p(known) * (_p(known) * _t(known)).sum(axis=1, keepdims=True),
    "t of the next class": lambda known: np.roll(_t(known), 1, axis=1),
    "t of the image before": lambda known: np.roll(_t(known), 1, axis=0),
    "t summed over the batch": lambda known: np.broadcast_to(_t(known).sum(axis=0), _t(known).shape),
    "p of the image before": lambda known: np.roll(_p(known), 1, axis=0),
}


def _sizes(known: Known) -> dict[str, float]:
    batch, classes = known.inputs[0].shape
    numbers = {"B": float(batch), "1/B": 1 / batch, "K": float(classes), "1/K": 1 / classes, "B/K": batch / classes}
    return {words: number for words, number in numbers.items() if number not in (1.0, 2.0, 0.5)}


CROSS_ENTROPY = {
    0: Derivative(
        "dlogits = p / B - t / B, with p = softmax(logits), and t 1 for the label, 0 for the other classes",
        {"p / B": 1.0, "t / B": -1.0},
        {f"{name} / B": _by_batch(term) for name, term in _TERMS.items()},
        _sizes,
        {
            "the derivative by the probabilities, not by the logits": {"t / p / B": -1.0},
            "the labels are not subtracted": {"p / B": 1.0},
            "the label's entry alone": {"p t / B": 1.0, "t / B": -1.0},
        },
    )
}
