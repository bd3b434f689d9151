"""The gradient of a batch, whole and in pieces."""

import numpy as np
import pytest

from npswin.training import compute_gradients
from npswin.training.step import slice_of_batch
from tests.training.tiny import tiny_model


def _gradients(model, images, labels, **arguments):
    loss = compute_gradients(model, images, labels, **arguments)
    return loss, {name: grad.copy() for name, grad in model.grads.items()}


@pytest.mark.parametrize("pieces", [2, 3, 7, 20])
@pytest.mark.parametrize("dropping", [{}, {"drop_path_rate": 0.5, "drop_rate": 0.3, "attn_drop_rate": 0.3}])
def test_micro_batches_give_the_same_gradients(pieces, dropping):
    rng = np.random.default_rng(0)
    model = tiny_model(dtype="float64", **dropping)
    images, labels = rng.normal(size=(7, 3, 8, 8)), rng.integers(3, size=7)
    whole_loss, whole = _gradients(model, images, labels, label_smoothing=0.1, seed=5)
    loss, grads = _gradients(model, images, labels, label_smoothing=0.1, micro_batches=pieces, seed=5)
    assert loss == pytest.approx(whole_loss, rel=1e-13)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, whole[name], rtol=1e-9, atol=1e-14, err_msg=name)


def test_the_seed_decides_what_is_dropped():
    rng = np.random.default_rng(0)
    model = tiny_model(drop_rate=0.5)
    images, labels = rng.normal(size=(4, 3, 8, 8)).astype(np.float32), rng.integers(3, size=4)
    first, again, other = (compute_gradients(model, images, labels, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_old_gradients_are_gone():
    model = tiny_model()
    images, labels = np.ones((2, 3, 8, 8), np.float32), np.array([0, 1])
    _, first = _gradients(model, images, labels)
    _, second = _gradients(model, images, labels)
    for name, grad in second.items():
        np.testing.assert_array_equal(grad, first[name], err_msg=name)


def test_slices_are_parts_of_one_draw():
    like = np.zeros(1)
    whole = slice_of_batch(3, 0, 6, 6, like).random((12, 5))
    parts = [
        slice_of_batch(3, start, stop, 6, like).random((2 * (stop - start), 5))
        for start, stop in ((0, 1), (1, 4), (4, 6))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
