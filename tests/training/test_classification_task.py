"""Classification as a task of the trainer: targets, loss with label smoothing, and the step that is captured."""

import numpy as np
import pytest

from npswin import cross_entropy
from npswin.training import TrainConfig, Trainer, compute_gradients
from npswin.training.tasks.classification import ClassificationTask
from tests.training.tiny import tiny_config, tiny_data, tiny_model


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, 3, 8, 8)), np.array([0, 2, 1, 1])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_smoothed_by_the_recipe_and_scaled_in_its_gradient_alone(batch, smoothing):
    model, task = (
        tiny_model(dtype="float64", drop_path_rate=0.0),
        ClassificationTask(TrainConfig(label_smoothing=smoothing)),
    )
    losses = task.forward_backward(model, *batch, np.random.default_rng(0), 4.0)
    assert losses == {"loss": pytest.approx(cross_entropy(model(batch[0]), batch[1], smoothing)[0], rel=1e-12)}
    found = {name: grad.copy() for name, grad in model.grads.items()}
    compute_gradients(model, *batch, label_smoothing=smoothing, loss_scale=4.0)
    for name, grad in model.grads.items():
        np.testing.assert_allclose(found[name], grad, rtol=1e-10, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("soft", [False, True])
def test_the_step_that_is_captured_is_the_same(batch, soft):
    images, labels = batch
    targets = np.eye(3)[labels] if soft else labels
    model, task = tiny_model(dtype="float64", drop_path_rate=0.0), ClassificationTask(TrainConfig(label_smoothing=0.1))
    loss = task.forward_backward(model, images, targets, np.random.default_rng(0), 2.0)["loss"]
    found = {name: grad.copy() for name, grad in model.grads.items()}
    model.zero_grad()
    fixed = task.fixed_targets(model, targets)
    assert (fixed.shape, fixed.dtype) == ((4, 3), np.float64)
    captured = task.captured_forward_backward(model, images, fixed, np.random.default_rng(0), np.full((), 2.0))
    assert captured == pytest.approx(loss, rel=1e-12)
    for name, grad in model.grads.items():
        np.testing.assert_allclose(found[name], grad, rtol=1e-10, atol=1e-14, err_msg=name)


def test_the_task_of_images_with_classes_is_classification_by_the_recipe(tmp_path):
    config = tiny_config(label_smoothing=0.1)
    trainer = Trainer(tiny_model(), tiny_data(), tiny_data(10, "test"), config, tmp_path)
    assert isinstance(trainer.task, ClassificationTask)
    assert trainer.task.config is config
    assert trainer.best_accuracy is trainer.best_metric is None


def test_a_recipe_is_needed():
    with pytest.raises(ValueError, match=r"^config: got None, expected a TrainConfig"):
        ClassificationTask(None)
