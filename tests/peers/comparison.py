"""npswin compared with a peer: the largest relative errors of logits and of gradients by images and parameters."""

from dataclasses import dataclass

import numpy as np

import npswin
from npswin.weights import load_weights, to_official
from tests.peers.reference import Case, Reference, model_arguments


@dataclass
class Errors:
    """Largest absolute difference over the largest absolute value, for each kind of result."""

    logits: float
    dimages: float
    parameter: float
    worst: str

    @property
    def largest(self) -> float:
        """The largest of the three."""
        return max(self.logits, self.dimages, self.parameter)


def relative(found, expected, where_zero: float = 1.0) -> float:
    """max |found − expected| / max |expected|; where all that is expected is exactly 0, over `where_zero`."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / (np.abs(expected).max() or where_zero))


def compare(case: Case, reference: Reference) -> Errors:
    """Load the peer's weights into npswin, run it on the peer's images, and compare every result."""
    model = npswin.SwinTransformer(**model_arguments(case))
    load_weights(model, reference.state)
    logits, cache = model.forward(reference.images)
    dimages = model.backward(reference.dlogits, cache)
    expected = official_gradients(reference)
    assert set(expected) == set(model.grads)
    # In a shifted window of 2×2 tokens, each may attend to itself only, and then no bias has a gradient.
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    errors = {name: relative(gradient, expected[name], largest) for name, gradient in model.grads.items()}
    worst = max(errors, key=lambda name: errors[name])
    np.testing.assert_array_equal(model(reference.images), logits)
    return Errors(relative(logits, reference.logits), relative(dimages, reference.dimages), errors[worst], worst)


def official_gradients(reference: Reference) -> dict[str, np.ndarray]:
    """The peer's gradients under official names, converted as weights are, since a layout is a permutation."""
    return to_official(reference.grads, like=reference.state)[1]
