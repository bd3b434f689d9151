"""`npswin.cross_entropy`: the loss with labels, label smoothing and checks; its gradient check is in test_gradients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

import npswin
from tests.ops.drawn import SEEDS, normal


@given(SEEDS, st.integers(1, 5), st.integers(1, 6), st.sampled_from([0.0, 0.1, 0.9]), st.booleans())
def test_cross_entropy_equals_its_definition(seed, batch, classes, smoothing, soft):
    logits = 3 * normal(seed, batch, classes)
    rng = np.random.default_rng(seed)
    labels = rng.dirichlet(np.ones(classes), batch) if soft else rng.integers(0, classes, batch)
    targets = labels if soft else np.eye(classes)[labels]
    targets = (1 - smoothing) * targets + smoothing / classes
    loss, dlogits = npswin.cross_entropy(logits, labels, smoothing)
    assert loss == pytest.approx(-(targets * log_softmax(logits, axis=1)).sum() / batch, rel=1e-12)
    np.testing.assert_allclose(dlogits, (np.exp(log_softmax(logits, axis=1)) - targets) / batch, atol=1e-14)


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_cross_entropy_of_large_logits_neither_overflows_nor_vanishes(scale):
    loss, dlogits = npswin.cross_entropy(np.array([[scale, 0.0]], "float32"), np.array([0]))
    assert loss == pytest.approx(max(0.0, -scale))
    assert np.isfinite(dlogits).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_keeps_the_dtype(dtype):
    assert npswin.cross_entropy(np.zeros((2, 3), dtype), np.array([0, 1]), 0.1)[1].dtype == dtype


@pytest.mark.parametrize(
    ("logits", "labels", "smoothing", "message"),
    [
        (np.zeros((2, 3)), np.array([0, 3]), 0.0, "labels: got values from 0 to 3, expected 0 to 2"),
        (np.zeros((2, 3)), np.array([-1, 0]), 0.0, "labels: got values from -1 to 0"),
        (np.zeros((2, 3)), np.array([0.0, 1.0]), 0.0, "labels: got dtype float64"),
        (np.zeros((2, 3)), np.array([0]), 0.0, r"labels: got shape \(1,\), expected 2 rows"),
        (np.zeros((2, 3)), np.zeros((2, 4)), 0.0, r"labels: got shape \(2, 4\)"),
        (np.zeros((2, 3), int), np.array([0, 1]), 0.0, "logits: got dtype int64"),
        (np.zeros((2, 3)), np.full((2, 3), -1 / 3), 0.0, "labels: got soft targets that are no distributions"),
        (np.zeros((2, 3)), np.ones((2, 3)), 0.0, "labels: got soft targets that are no distributions"),
        (np.zeros((2, 3)), np.full((2, 3), np.nan), 0.0, "labels: got soft targets that are no distributions"),
        (np.zeros((2, 3)), np.eye(3, dtype=bool)[:2], 0.0, "labels: got dtype bool"),
        (np.zeros((2, 3)), np.array(1), 0.0, r"labels: got shape \(\)"),
        (np.zeros((0, 3)), np.zeros(0, int), 0.0, r"logits: got shape \(0, 3\)"),
        (np.zeros(3), np.array([0, 1, 2]), 0.0, r"logits: got shape \(3,\)"),
        (np.zeros((2, 3)), np.array([0, 1]), 1.0, "label_smoothing: got 1.0"),
    ],
)
def test_cross_entropy_errors_name_the_argument(logits, labels, smoothing, message):
    with pytest.raises(ValueError, match=message):
        npswin.cross_entropy(logits, labels, smoothing)


@pytest.mark.parametrize("scale", [1e300, 1e-60])
def test_a_scale_that_the_dtype_does_not_hold(scale):
    with pytest.raises(ValueError, match=r"^scale: got 1e.*, which in float32 is (inf|0)"):
        npswin.cross_entropy(np.zeros((2, 3), np.float32), np.array([0, 1]), scale=scale)
    assert np.isfinite(npswin.cross_entropy(np.zeros((2, 3)), np.array([0, 1]), scale=scale)[1]).all()
