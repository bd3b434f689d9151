"""A task that is no classification: a line through points, some without a value; its model has a buffer."""

import os
import signal
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from npswin.training import TrainConfig, Trainer
from npswin.training.gradients import require_finite_forward
from npswin.training.tasks.metric import Metric

ERROR = Metric("error", "Root mean square", is_share=False, higher_is_better=False)
COEFFICIENTS = np.array([1.0, -2.0, 0.5])


class Points:
    """Points that are cut by images, as a batch of padded images is."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, part):
        return Points(self.x[part])


@dataclass(frozen=True)
class PointsDataset:
    """Points x (N, 3), each with a value or None."""

    x: np.ndarray
    values: list
    name: str = "points"

    def __len__(self):
        return len(self.x)

    def describe(self):
        return {"name": self.name, "crc32": zlib.crc32(self.x.tobytes())}


def points(count, seed=0):
    """Points on a plane through the origin with a little noise; every fourth has no value."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 3))
    values = x @ COEFFICIENTS + 0.01 * rng.normal(size=count)
    return PointsDataset(x, [None if number % 4 == 1 else value for number, value in enumerate(values)])


class Plane:
    """y = w·x, with the running mean of the inputs as a buffer, which its training changes and nothing else."""

    in_chans = 3
    config = {"kind": "plane"}  # noqa: RUF012
    dtype = np.dtype(np.float64)

    def __init__(self):
        self.params = {"w": np.zeros(3), "b": np.ones(1)}
        self.grads = {}
        self.buffers = {"mean": np.zeros(3), "count": np.zeros((), np.int64)}
        self.zero_grad()

    def zero_grad(self):
        self.grads = {name: np.zeros_like(param) for name, param in self.params.items()}


@dataclass(frozen=True)
class Result:
    error: float


class PlaneTask:
    """The mean square of y − w·x − b, plus a penalty on b."""

    loss_label = "mean square"
    metrics = (ERROR,)
    main_metric = ERROR

    def __init__(self, penalty=0.1, signal_at=None):
        self.penalty, self.signal_at, self.prepared, self.is_loading = penalty, signal_at, 0, True

    def check(self, model, train_data, test_data, config):
        pass

    def loss_names(self, model):
        return "loss", "squares", "penalty"

    def describe(self, train_data):
        return {"task": {"name": "plane", "penalty": self.penalty}}

    def channel_statistics(self, train_data):
        return tuple(train_data.x.mean(axis=0)), tuple(train_data.x.std(axis=0))

    def load(self, dataset, index_batches, like, seed, epoch):
        try:
            for indices in index_batches:
                yield dataset.x[indices], [dataset.values[index] for index in indices]
        finally:
            self.is_loading = False

    def prepare(self, samples, model, normalization, precision, rng):
        self.prepared += 1
        if self.prepared == self.signal_at:
            os.kill(os.getpid(), signal.SIGINT)
        x, values = samples
        return Points(x + 0.1 * rng.normal(size=x.shape)), values

    def size(self, targets):
        return sum(value is not None for value in targets)

    def forward_backward(self, model, inputs, targets, rng, scale):
        x, has_value = inputs.x, np.array([value is not None for value in targets])
        model.buffers["mean"] += 0.1 * (x.mean(axis=0) - model.buffers["mean"])
        model.buffers["count"] += 1
        noise = 0.1 * rng.random((len(x), 1))[:, 0]
        y = np.array([value or 0.0 for value in targets])
        residuals = has_value * (x @ model.params["w"] + model.params["b"] + noise - y)
        count = max(has_value.sum(), 1)
        squares, penalty = (residuals**2).sum() / count, self.penalty * model.params["b"][0] ** 2
        losses = {"loss": squares + penalty, "squares": squares, "penalty": penalty}
        require_finite_forward(model, inputs, {}, losses)
        model.grads["w"] += scale * 2 * residuals @ x / count
        model.grads["b"] += scale * (2 * residuals.sum() / count + 2 * self.penalty * model.params["b"])
        return losses

    def evaluate(self, model, dataset, normalization, precision, each_batch):
        residuals = []
        for x, value in zip(dataset.x, dataset.values, strict=True):
            if value is not None:
                residuals.append(float(x @ model.params["w"] + model.params["b"][0] - value))
            each_batch(1)
        return Result(float(np.sqrt(np.mean(np.square(residuals)))))


def plane_trainer(out, task=None, model=None, **recipe: Any):
    """A run of four epochs of three steps."""
    recipe = {"epochs": 4, "batch_size": 8, "lr": 0.3, "ema_decay": 0.9, "weight_decay": 0.0, **recipe}
    train, test = points(24), points(12, seed=1)
    return Trainer(model or Plane(), train, test, TrainConfig(**recipe), out, task=task or PlaneTask())
