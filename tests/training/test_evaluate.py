"""Loss and accuracy over a data set."""

import numpy as np
import pytest

from npswin import cross_entropy
from npswin.data import normalize
from npswin.training import NonFiniteError, evaluate
from tests.training.tiny import tiny_data, tiny_model

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


@pytest.mark.parametrize("batch_size", [1, 7, 10, 64])
def test_evaluate_is_independent_of_the_batch_size(batch_size):
    model, data = tiny_model(dtype="float64"), tiny_data(10, "test")
    for seed, param in enumerate(model.params.values()):
        param += 0.3 * np.random.default_rng(seed).normal(size=param.shape)
    seen = []
    result = evaluate(model, data, MEAN, STD, batch_size=batch_size, each_batch=seen.append)
    logits = model(normalize(data.images, MEAN, STD, np.float64))
    assert result.loss == pytest.approx(cross_entropy(logits, data.labels)[0], rel=1e-12)
    assert result.accuracy == (logits.argmax(axis=1) == data.labels).mean()
    assert result.images == sum(seen) == 10


def test_evaluate_raises_for_non_finite_weights():
    model = tiny_model()
    model.params["layers.0.blocks.1.mlp.fc1.weight"][0, 0] = np.nan
    with pytest.raises(NonFiniteError, match=r"NaN in parameter layers\.0\.blocks\.1\.mlp\.fc1\.weight: 1 of 256"):
        evaluate(model, tiny_data(), MEAN, STD)


def test_evaluate_names_a_bad_batch_size():
    with pytest.raises(ValueError, match=r"^batch_size: got 0"):
        evaluate(tiny_model(), tiny_data(), MEAN, STD, batch_size=0)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"batch_size": 2.5}, "batch_size"),
        ({"precision": "bf16"}, "precision"),
        ({"precision": "tf32"}, "precision"),
        ({"mean": (0.5, 0.5)}, "mean"),
        ({"std": (0.5, 0, 0.5)}, "std"),
        ({"each_batch": 1}, "each_batch"),
        ({"dataset": None}, "dataset"),
        ({"model": None}, "model"),
    ],
)
def test_errors_name_the_argument(change, name):
    arguments = {"model": tiny_model(), "dataset": tiny_data(3), "mean": MEAN, "std": MEAN}
    with pytest.raises(ValueError, match=f"^{name}: got "):
        evaluate(**{**arguments, **change})


@pytest.mark.parametrize("num_classes", [0, 7])
def test_a_model_of_other_classes_is_refused(num_classes):
    with pytest.raises(ValueError, match=rf"^dataset: has 3 classes, the model has {num_classes}"):
        evaluate(tiny_model(num_classes=num_classes), tiny_data(), (0.5,) * 3, (0.2,) * 3)
