"""The targets of a loss are read off the gradient of the logits."""

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from npswin.verify import diagnose
from npswin.verify.key.golden import draw_pixels
from npswin.verify.key.trace import trace
from npswin.verify.mistakes.loss import targets_of, with_loss
from npswin.verify.mistakes.mistake import with_backward_of
from npswin.verify.port.gradient_targets import OTHERS
from tests.verify.keys import SCALE, computed, random_model

LABELS = np.array([2, 0, 3])
KEY = trace(random_model(), draw_pixels(0, 3, (10, 14)), LABELS, normalization=SCALE)
T = np.eye(5)[LABELS]
SHARES = np.array([[0.9], [0.35], [0.6]])


def at(places):
    made = np.zeros(T.size)
    np.add.at(made, places, 1)
    return made.reshape(T.shape)


# By words of the cause: the targets, and whether only the backward pass has them.
TARGETS = {
    "0.8 t + 0.2 (t of the next image)": (0.8 * T + 0.2 * np.roll(T, -1, axis=0), False),
    "0.63 t + 0.27 (t of the batch in reverse order) + 0.1 (1/K": (0.63 * T + 0.27 * T[::-1] + 0.02, False),
    "0.1 of class 0 and 0.9 of class 2 for image 0, 0.35 of": (SHARES * T + (1 - SHARES) * np.roll(T, -1, 0), False),
    "1 at the flat index label, in place of": (at(LABELS), True),
    "1 at the flat index image · B + label": (at(3 * np.arange(3) + LABELS), True),
    "1 at the flat index image · 8 + label": (at([2, 8]), True),
    "1 at image 0, class 2, image 0, class 4, image 2, class 0": (at([2, 4, 10]), True),
    "t of the last image, 0 for the others": (T * [[0], [0], [1]], True),
}


def planted(targets, only_backward, of_sigmoids=False):
    def loss(logits, labels):
        if of_sigmoids:
            return (np.logaddexp(0, logits) - targets * logits).mean(), (expit(logits) - targets) / logits.size
        value = -(targets * log_softmax(logits, 1)).sum() / 3
        return value, (softmax(logits, 1) - targets) / 3

    node = KEY.graph.nodes["loss"]
    changes = with_loss(node, loss)
    if only_backward:
        changes = {"loss": with_backward_of(node, changes["loss"])}
    return computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=2)


def only_cause(tensors):
    diagnosis = diagnose(KEY, tensors)
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    return diagnosis.causes[0].hypothesis


@pytest.mark.parametrize("words", TARGETS)
def test_other_targets(words):
    cause = only_cause(planted(*TARGETS[words]))
    assert cause.name == "other-targets"
    assert words in str(cause)


def test_targets_of_sigmoids():
    cause = only_cause(planted(0.9 * T + 0.02, False, of_sigmoids=True))
    assert "0.9 t + 0.1 (1/K for each class)" in str(cause)
    assert "binary cross-entropy of sigmoids, a mean over the classes" in str(cause)


def test_each_mixture_is_of_arrays_of_the_targets_shape():
    logits = np.random.default_rng(0).standard_normal((3, 5))
    for name, make in OTHERS.items():
        made = np.asarray(make(targets_of(logits, LABELS), softmax(logits, 1)))
        assert made.shape == (3, 5), name
        assert made.min() >= 0


def test_noise_is_no_target():
    tensors = planted(T, True)
    noise = 0.1 * np.random.default_rng(1).standard_normal((3, 5))
    diagnosis = diagnose(KEY, tensors | {"grad/head": (tensors["grad/head"] + noise).astype(np.float32)})
    assert not diagnosis.causes, str(diagnosis)
