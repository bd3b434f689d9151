"""The state of training, and one step of it: gradients, clipping, update, average of the weights."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.devices import on_gpu, to_device_of
from npswin.files import listed
from npswin.layers import Layer
from npswin.training.config import TrainConfig
from npswin.training.ema import Ema
from npswin.training.gpu.captured_step import CapturedSteps, StepScalars
from npswin.training.gpu.loss_scale import LossScale
from npswin.training.gpu.transfers import AsyncScalar
from npswin.training.gradients import (
    NonFiniteError,
    batch_gradients,
    require_finite,
    require_finite_gradients,
    require_finite_weights,
)
from npswin.training.optimizers import SGD, AdamW, gradient_scale
from npswin.training.schedules import Schedule
from npswin.training.tasks.metric import LOSS
from npswin.training.tasks.task import CapturableTask, Task
from npswin.training.terminal import print_stderr
from npswin.training.trainable import Trainable
from npswin.types import Array
from npswin.weights.load import model_tensors

_OPTIMIZER, _EMA, _LOSS_SCALE = "optimizer.", "ema.", "loss_scale"


class Learner:
    """A model in training, with all that a step changes: weights, optimizer state, average of the weights, step count.

    Args:
        model: trained in place.
        config: the recipe.
        steps_per_epoch: number of steps in an epoch of the recipe.
        task: what the model learns.

    Attributes:
        step: steps done so far.
        total_steps: in the whole recipe.

    Raises:
        ValueError: the recipe's warm-up is as long as the run.
    """

    def __init__(self, model: Trainable, config: TrainConfig, steps_per_epoch: int, task: Task) -> None:
        self.model, self.config, self.task = model, config, task
        self.step = 0
        self._schedule = Schedule(config, steps_per_epoch)
        self.total_steps = self._schedule.total_steps
        optimizer: type[AdamW | SGD] = AdamW if config.optimizer == "adamw" else SGD
        self.optimizer = optimizer(model, config.lr, weight_decay=config.weight_decay)
        self.loss_scale = LossScale(adapts=config.precision == "float16")
        self.ema = None if config.ema_decay is None else Ema(model, config.ema_decay)
        self._captured: CapturedSteps | None = None
        if on_gpu(next(iter(model.params.values()))) and isinstance(model, Layer) and config.micro_batches == 1:
            if isinstance(task, CapturableTask):
                self._captured = CapturedSteps(task, model, self._update_weights)
            else:
                print_stderr("no CUDA graph for this task, the kernels of a step are launched one by one")

    def train_step(self, inputs: Any, targets: Any, seed: int) -> dict[str, Any]:
        """One step: gradients, clipping, update, average.

        Args:
            inputs: of a batch, from `Task.prepare`.
            targets: the same.
            seed: of the random numbers of the forward pass.

        Returns:
            "step" (from 1), the task's losses by name, "lr" and "gradient_norm" (before clipping). On a GPU losses and
            norm are `AsyncScalar`s, which may not be computed yet; see `finish_step`.

        Raises:
            NonFiniteError: NaN or infinity anywhere; `step` is not increased. On a GPU a step with NaN or infinity
                changes no weights, and `finish_step` raises.
        """
        self.optimizer.lr = self._schedule.rate(self.step)
        losses, norm = self._compute_and_update(inputs, targets, seed)
        while self.loss_scale.can_halve() and not math.isfinite(norm):  # then the update changed nothing
            self.loss_scale.halve()
            losses, norm = self._compute_and_update(inputs, targets, seed)
        self.loss_scale.count_good_step()
        self.optimizer.steps += 1
        require_finite_weights(self.model)
        self.step += 1
        record = {"step": self.step, **losses, "lr": self.optimizer.lr, "gradient_norm": norm}
        return {name: AsyncScalar(number) if on_gpu(number) else number for name, number in record.items()}

    def finish_step(self, record: dict[str, Any]) -> dict[str, Any]:
        """Wait until a step is computed, and check it.

        Args:
            record: from `train_step`.

        Returns:
            The record with plain numbers.

        Raises:
            NonFiniteError: a loss or the norm is NaN or infinite. The step has changed no weights; the step counts are
                set back to those before it.
        """
        names = (*self.task.loss_names(self.model), "gradient_norm")
        plain = {**record, **{name: float(record[name]) for name in names}}
        if not all(math.isfinite(plain[name]) for name in names):
            self.optimizer.steps -= self.step - (plain["step"] - 1)
            self.step = plain["step"] - 1
            require_finite("parameter", self.model.params.items())
            numbers = f"the loss is {plain[LOSS.name]} and the norm of all gradients {plain['gradient_norm']}"
            raise NonFiniteError(f"{numbers}; on a CPU the message would name the tensor")
        return plain

    def _compute_and_update(self, inputs: Any, targets: Any, seed: int) -> tuple[dict[str, Any], Any]:
        """Gradients and update; returns the losses and the norm of the gradients, both without the loss scale."""
        model, config, number = self.model, self.config, self.step + 1
        decay = 1.0 if self.ema is None else self.ema.decay_at(number)
        scalars = StepScalars(self.optimizer.lr, self.optimizer.steps + 1, self.loss_scale.value, decay)
        if self._captured is not None:
            loss, norm = self._captured.run(inputs, targets, seed, scalars)
            return {LOSS.name: loss}, norm
        losses = batch_gradients(self.task, model, inputs, targets, config.micro_batches, seed, scalars.loss_scale)
        return losses, self._update_weights(scalars)

    def _update_weights(self, scalars: StepScalars) -> Any:
        """From the gradients to new weights and a new average of them; returns the norm of the gradients."""
        norm = dispatch.global_norm(self.model.grads.values()) / scalars.loss_scale
        require_finite_gradients(self.model, norm)
        scale = gradient_scale(norm, self.config.clip_norm, scalars.loss_scale)
        self.optimizer.update_params(scalars.lr, scalars.step, scale)
        if self.ema is not None:
            decay = np.where(np.isfinite(scale), scalars.decay, 1.0) if on_gpu(scale) else scalars.decay
            self.ema.update_with_decay(decay)
        return norm

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Within this context the model has the averaged weights, if the recipe has an average; see `Ema`."""
        if self.ema is None:
            yield
        else:
            with self.ema.averaged_weights():
                yield

    def training_state(self) -> dict[str, Array]:
        """All tensors besides the weights on which the next step depends; not copies."""
        tensors = {_OPTIMIZER + name: array for name, array in self.optimizer.state().items()}
        tensors.update(self.loss_scale.state())
        if self.ema is not None:
            tensors.update({_EMA + name: array for name, array in self.ema.average.items()})
        return tensors

    def restore(self, weights: Mapping[str, Array], training_state: Mapping[str, Array], step: int) -> None:
        """Continue from a checkpoint, whose tensors are copied.

        Args:
            weights: parameters and buffers, see `model_tensors`.
            training_state: from `training_state()`.
            step: steps done.

        Raises:
            ValueError: see `check_state`. Nothing is changed then.
        """
        self.check_state(weights, training_state, step)
        for name, array in model_tensors(self.model).items():
            array[...] = to_device_of(weights[name], array)
        self.optimizer.load_state(_with_prefix(_OPTIMIZER, training_state))
        self.loss_scale.load_state(training_state)
        if self.ema is not None:
            self.ema.load(_with_prefix(_EMA, training_state))
        self.step = step

    def check_state(self, weights: Mapping[str, Array], training_state: Mapping[str, Array], step: int) -> None:
        """Raise a ValueError unless `restore` can continue from this state.

        A tensor is missing or unexpected or has another shape or dtype; a weight or an average is not finite; or the
        optimizer has done another number of steps. The loss scale may be missing, or be there and not be needed, since
        a run may be resumed in another precision.
        """
        own = {**model_tensors(self.model), **self.training_state()}
        given = {**weights, **self.loss_scale.state(), **training_state}
        if not self.loss_scale.adapts:
            given.pop(_LOSS_SCALE, None)
        if wrong := sorted(own.keys() ^ given.keys()):
            raise ValueError(f"tensors missing or unexpected: {listed(wrong)}")
        if wrong := [
            name for name in own if own[name].shape != given[name].shape or own[name].dtype != given[name].dtype
        ]:
            raise ValueError(f"tensors of another shape or dtype: {listed(wrong)}")
        # means of squares may be infinite, since squares overflow
        bad = {name: np.isnan if name.startswith(_OPTIMIZER) else _is_not_finite for name in given}
        if wrong := [name for name, array in given.items() if bad[name](array).any()]:
            raise ValueError(f"tensors with NaN or infinity: {listed(wrong)}")
        if (done := int(given[_OPTIMIZER + "step"])) != step:
            raise ValueError(f"the optimizer has done {done} steps, the run {step}")


def _is_not_finite(array: Array) -> Array:
    return ~np.isfinite(array)


def _with_prefix(prefix: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The tensors whose names start with the prefix, by their names without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
