"""A training step: its learning rate, and the average of the weights."""

import math

import numpy as np
import pytest

from npswin.training.learner import Learner
from npswin.training.tasks.classification import ClassificationTask
from tests.training.tiny import tiny_config, tiny_model

TASK = ClassificationTask(tiny_config())


def _learner(**overrides):
    """Two epochs of five steps, three of them warm-up."""
    recipe = {"epochs": 2, "lr": 0.5, "min_lr": 0.1, "warmup_epochs": 0.6, "ema_decay": None, "clip_norm": None}
    return Learner(tiny_model(dtype="float64"), tiny_config(**{**recipe, **overrides}), steps_per_epoch=5, task=TASK)


def _train_step(learner):
    rng = np.random.default_rng(learner.step)
    return learner.train_step(rng.normal(size=(3, 3, 8, 8)), rng.integers(3, size=3), seed=learner.step)


def _weights(learner):
    return {name: param.copy() for name, param in learner.model.params.items()}


def test_learner_learning_rates_of_a_whole_run():
    """From the first step of the warm-up; the end of the cosine would be the step after the last one."""
    learner = _learner()
    records = [_train_step(learner) for _ in range(learner.total_steps)]
    assert [record["step"] for record in records] == list(range(1, 11))
    cosine = [0.1 + 0.4 * (1 + math.cos(math.pi * step / 7)) / 2 for step in range(7)]
    assert [record["lr"] for record in records] == pytest.approx([0.125, 0.25, 0.375, *cosine], rel=1e-12)


def test_learner_updates_with_the_recorded_learning_rate():
    learner = _learner(optimizer="sgd", weight_decay=0.0)
    before = _weights(learner)
    rate = _train_step(learner)["lr"]  # with momentum, the first update is by the gradient alone
    for name, param in learner.model.params.items():
        np.testing.assert_allclose(param, before[name] - rate * learner.model.grads[name], rtol=1e-12, atol=1e-15)


def test_learner_counts_updates_of_the_average_from_one():
    learner = _learner(ema_decay=0.25)
    average = _weights(learner)
    for decay in (2 / 11, 3 / 12, 0.25, 0.25):
        _train_step(learner)
        for name, param in learner.model.params.items():
            average[name] = decay * average[name] + (1 - decay) * param
            np.testing.assert_allclose(learner.ema.average[name], average[name], rtol=1e-12, atol=1e-15, err_msg=name)
