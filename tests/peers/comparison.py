"""npswin beside a peer's results: the largest relative error of logits, of the images' gradient, of any parameter's."""

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
        """The worst of the three."""
        return max(self.logits, self.dimages, self.parameter)


def relative(found, expected, where_zero: float = 1.0) -> float:
    """max |found − expected| / max |expected|; where all that is expected is exactly 0, over `where_zero`."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / (np.abs(expected).max() or where_zero))


def compare(case: Case, reference: Reference) -> Errors:
    """The peer's weights into npswin, the peer's images through it, every result against the peer's."""
    model = npswin.SwinTransformer(**model_arguments(case))
    load_weights(model, reference.state)
    logits, cache = model.forward(reference.images)
    dimages = model.backward(reference.dlogits, cache)
    expected = official_gradients(reference)
    assert set(expected) == set(model.grads)
    # A shifted window of 2×2 tokens isolates each of them, and then no bias has a gradient.
    largest = max(np.abs(gradient).max() for gradient in expected.values())
    errors = {name: relative(gradient, expected[name], largest) for name, gradient in model.grads.items()}
    worst = max(errors, key=lambda name: errors[name])
    np.testing.assert_array_equal(model(reference.images), logits)
    return Errors(relative(logits, reference.logits), relative(dimages, reference.dimages), errors[worst], worst)


def official_gradients(reference: Reference) -> dict[str, np.ndarray]:
    """The peer's gradients under official names: a layout is a permutation, so its gradient moves as the weights do."""
    return to_official(reference.grads, like=reference.state)[1]
