"""A model while it learns: everything that one step changes, and that a checkpoint has to hold."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from npswin.backends import words
from npswin.devices import beside, on_gpu
from npswin.layers import Layer
from npswin.training.captured import CapturedGradients
from npswin.training.config import TrainConfig
from npswin.training.ema import Ema
from npswin.training.finite import (
    NonFiniteError,
    require_finite,
    require_finite_gradients,
    require_finite_weights,
)
from npswin.training.loss_scale import LossScale
from npswin.training.optimizers import SGD, AdamW, gradient_scale
from npswin.training.schedule import warmup_cosine
from npswin.training.step import compute_gradients
from npswin.training.trainable import Trainable
from npswin.types import Array

_OPTIMIZER, _EMA = "optimizer.", "ema."


def settled(record: dict[str, Any], learner: "Learner") -> dict[str, Any]:
    """What `Learner.learn` returned as plain numbers, once a GPU has computed them.

    Raises:
        NonFiniteError: one of them is NaN or infinite. The step has changed nothing, and `learner.step` is set back.
    """
    plain: dict[str, Any] = {name: float(value) if on_gpu(value) else value for name, value in record.items()}
    if not (math.isfinite(plain["loss"]) and math.isfinite(plain["gradient_norm"])):
        learner.step = plain["step"] - 1
        require_finite("parameter", learner.model.params.items())
        numbers = f"the loss is {plain['loss']} and the norm of all gradients {plain['gradient_norm']}"
        raise NonFiniteError(f"{numbers}; on a CPU the message would name the tensor")
    return plain


class Learner:
    """The model's weights, the optimizer's memory, the average of the weights, and the number of steps done.

    Args:
        model: trained in place.
        config: the recipe.
        steps_per_epoch: by which its epochs are counted.

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
        is_captured = (
            on_gpu(next(iter(model.params.values()))) and isinstance(model, Layer) and config.micro_batches == 1
        )
        self._captured = CapturedGradients(model) if is_captured else None
        self.ema = None if config.ema_decay is None else Ema(model, config.ema_decay)

    def learn(self, images: Array, targets: Array, seed: int) -> dict[str, Any]:
        """One step: gradients, clipping, update, average.

        Args:
            images: (B, c, H, W), see `as_input`.
            targets: labels (B,) or soft targets (B, K).
            seed: of what the model drops.

        Returns:
            "step" (from 1), "loss", "lr" and "gradient_norm" (before clipping). On a GPU loss and norm are arrays
            without axes, which may still be being computed.

        Raises:
            NonFiniteError: NaN or infinity anywhere; `step` then still is the number of good steps. On a GPU a step
                that comes to NaN changes nothing, and `settled` finds out.
        """
        model, config = self.model, self.config
        loss, norm = self._compute_gradients(images, targets, seed)
        while self.loss_scale.can_halve() and not math.isfinite(norm):
            self.loss_scale.halve()
            loss, norm = self._compute_gradients(images, targets, seed)
        require_finite_gradients(model, norm)
        self.optimizer.lr = warmup_cosine(self.step, self.total_steps, config.lr, self._warmup_steps, config.min_lr)
        self.optimizer.step(gradient_scale(norm, config.clip_norm, self.loss_scale.value))
        self.loss_scale.count_good_step()
        require_finite_weights(model)
        self.step += 1
        if self.ema is not None:
            self.ema.update(self.step)
        return {"step": self.step, "loss": loss, "lr": self.optimizer.lr, "gradient_norm": norm}

    def _compute_gradients(self, images: Array, targets: Array, seed: int) -> tuple[Any, Any]:
        """Loss, and norm of the gradients; these are too large by the scale of the loss."""
        config, model, scale = self.config, self.model, self.loss_scale.value
        if self._captured is not None and on_gpu(images):
            loss = self._captured.compute(images, targets, config.label_smoothing, seed, scale)
        else:
            loss = compute_gradients(model, images, targets, config.label_smoothing, config.micro_batches, seed, scale)
        return loss, words.global_norm(model.grads.values()) / scale

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within this context the model has the averaged weights, if the recipe has an average."""
        if self.ema is None:
            yield
        else:
            with self.ema.applied():
                yield

    def memory(self) -> dict[str, Array]:
        """All tensors beside the weights that the next step depends on; not copies."""
        tensors = {_OPTIMIZER + name: array for name, array in self.optimizer.state().items()}
        tensors.update(self.loss_scale.state())
        if self.ema is not None:
            tensors.update({_EMA + name: array for name, array in self.ema.average.items()})
        return tensors

    def restore(self, weights: Mapping[str, Array], memory: Mapping[str, Array], step: int) -> None:
        """Go on from where these were taken; they are copied.

        Args:
            weights: as in `model.params`.
            memory: from `memory()`.
            step: steps done.

        Raises:
            ValueError: a tensor is missing, unexpected or misshapen. Nothing is changed then.
        """
        memory = {**self.loss_scale.state(), **memory}
        if not self.loss_scale.adapts:
            memory.pop("loss_scale", None)  # of a run that went on in another precision
        own = {**self.model.params, **self.memory()}
        given = {**weights, **memory}
        if wrong := sorted(own.keys() ^ given.keys()):
            raise ValueError(f"tensors missing or unexpected: {', '.join(wrong)}")
        if wrong := [
            name for name in own if own[name].shape != given[name].shape or own[name].dtype != given[name].dtype
        ]:
            raise ValueError(f"tensors of another shape or dtype: {', '.join(wrong)}")
        for name, param in self.model.params.items():
            param[...] = beside(weights[name], param)
        self.optimizer.load_state(_under(_OPTIMIZER, memory))
        self.loss_scale.load_state(memory)
        if self.ema is not None:
            self.ema.load(_under(_EMA, memory))
        self.step = step


def _under(prefix: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
