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
    compute_gradients,
    require_finite,
    require_finite_gradients,
    require_finite_weights,
)
from npswin.training.optimizers import SGD, AdamW, gradient_scale, warmup_cosine
from npswin.training.trainable import Trainable
from npswin.types import Array

_OPTIMIZER, _EMA, _LOSS_SCALE = "optimizer.", "ema.", "loss_scale"


class Learner:
    """A model in training, with all that a step changes: weights, optimizer state, average of the weights, step count.

    Args:
        model: trained in place.
        config: the recipe.
        steps_per_epoch: number of steps in an epoch of the recipe.

    Attributes:
        step: steps done so far.
        total_steps: in the whole recipe.
    """

    def __init__(self, model: Trainable, config: TrainConfig, steps_per_epoch: int) -> None:
        self.model, self.config = model, config
        self.step = 0
        self.total_steps = config.epochs * steps_per_epoch
        self._warmup_steps = min(round(config.warmup_epochs * steps_per_epoch), self.total_steps - 1)
        optimizer: type[AdamW | SGD] = AdamW if config.optimizer == "adamw" else SGD
        self.optimizer = optimizer(model, config.lr, weight_decay=config.weight_decay)
        self.loss_scale = LossScale(adapts=config.precision == "float16")
        self.ema = None if config.ema_decay is None else Ema(model, config.ema_decay)
        is_captured = (
            on_gpu(next(iter(model.params.values()))) and isinstance(model, Layer) and config.micro_batches == 1
        )
        self._captured = CapturedSteps(model, self._update_weights) if is_captured else None

    def train_step(self, images: Array, targets: Array, seed: int) -> dict[str, Any]:
        """One step: gradients, clipping, update, average.

        Args:
            images: (B, c, H, W), see `as_input`.
            targets: labels (B,) or soft targets (B, K).
            seed: of the dropout masks.

        Returns:
            "step" (from 1), "loss", "lr" and "gradient_norm" (before clipping). On a GPU loss and norm are
            `AsyncScalar`s, which may not be computed yet; see `finish_step`.

        Raises:
            NonFiniteError: NaN or infinity anywhere; `step` is not increased. On a GPU a step with NaN or infinity
                changes no weights, and `finish_step` raises.
        """
        self.optimizer.lr = warmup_cosine(
            self.step, self.total_steps, self.config.lr, self._warmup_steps, self.config.min_lr
        )
        loss, norm = self._compute_and_update(images, targets, seed)
        while self.loss_scale.can_halve() and not math.isfinite(norm):  # then the update changed nothing
            self.loss_scale.halve()
            loss, norm = self._compute_and_update(images, targets, seed)
        self.loss_scale.count_good_step()
        self.optimizer.steps += 1
        require_finite_weights(self.model)
        self.step += 1
        loss, norm = (AsyncScalar(number) if on_gpu(number) else number for number in (loss, norm))
        return {"step": self.step, "loss": loss, "lr": self.optimizer.lr, "gradient_norm": norm}

    def finish_step(self, record: dict[str, Any]) -> dict[str, Any]:
        """Wait until a step is computed, and check it.

        Args:
            record: from `train_step`.

        Returns:
            The record with plain numbers.

        Raises:
            NonFiniteError: loss or norm is NaN or infinite. The step has changed no weights; the step counts are set
                back to those before it.
        """
        plain = {**record, **{name: float(record[name]) for name in ("loss", "gradient_norm")}}
        if not (math.isfinite(plain["loss"]) and math.isfinite(plain["gradient_norm"])):
            self.optimizer.steps -= self.step - (plain["step"] - 1)
            self.step = plain["step"] - 1
            require_finite("parameter", self.model.params.items())
            numbers = f"the loss is {plain['loss']} and the norm of all gradients {plain['gradient_norm']}"
            raise NonFiniteError(f"{numbers}; on a CPU the message would name the tensor")
        return plain

    def _compute_and_update(self, images: Array, targets: Array, seed: int) -> tuple[Any, Any]:
        """Gradients and update; returns the loss and the norm of the gradients, both without the loss scale."""
        model, config, number = self.model, self.config, self.step + 1
        decay = 1.0 if self.ema is None else self.ema.decay_at(number)
        scalars = StepScalars(self.optimizer.lr, self.optimizer.steps + 1, self.loss_scale.value, decay)
        if self._captured is not None:
            return self._captured.run(images, targets, config.label_smoothing, seed, scalars)
        loss = compute_gradients(
            model, images, targets, config.label_smoothing, config.micro_batches, seed, scalars.loss_scale
        )
        return loss, self._update_weights(scalars)

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
        """Within this context the model has the averaged weights, if the recipe has an average."""
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
            weights: as in `model.params`.
            training_state: from `training_state()`.
            step: steps done.

        Raises:
            ValueError: see `check_state`. Nothing is changed then.
        """
        self.check_state(weights, training_state, step)
        for name, param in self.model.params.items():
            param[...] = to_device_of(weights[name], param)
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
        own = {**self.model.params, **self.training_state()}
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
