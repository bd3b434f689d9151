"""A model while it learns: everything that one step changes, and that a checkpoint has to hold."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.devices import beside, on_gpu
from npswin.layers import Layer
from npswin.training.arriving import Arriving
from npswin.training.captured import CapturedSteps, Rates
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
        NonFiniteError: one of them is NaN or infinite. The step has changed nothing, and the counts of steps are set
            back to what they were before it.
    """
    plain = {**record, **{name: float(record[name]) for name in ("loss", "gradient_norm")}}
    if not (math.isfinite(plain["loss"]) and math.isfinite(plain["gradient_norm"])):
        learner.optimizer.steps -= learner.step - (plain["step"] - 1)
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
        self.ema = None if config.ema_decay is None else Ema(model, config.ema_decay)
        is_captured = (
            on_gpu(next(iter(model.params.values()))) and isinstance(model, Layer) and config.micro_batches == 1
        )
        self._captured = CapturedSteps(model, self._update) if is_captured else None

    def learn(self, images: Array, targets: Array, seed: int) -> dict[str, Any]:
        """One step: gradients, clipping, update, average.

        Args:
            images: (B, c, H, W), see `as_input`.
            targets: labels (B,) or soft targets (B, K).
            seed: of what the model drops.

        Returns:
            "step" (from 1), "loss", "lr" and "gradient_norm" (before clipping). On a GPU loss and norm may still be
            being computed: `float()` waits for them.

        Raises:
            NonFiniteError: NaN or infinity anywhere; `step` then still is the number of good steps. On a GPU a step
                that comes to NaN changes nothing, and `settled` finds out.
        """
        self.optimizer.lr = warmup_cosine(
            self.step, self.total_steps, self.config.lr, self._warmup_steps, self.config.min_lr
        )
        loss, norm = self._try(images, targets, seed)
        while self.loss_scale.can_halve() and not math.isfinite(norm):  # then nothing was changed
            self.loss_scale.halve()
            loss, norm = self._try(images, targets, seed)
        self.loss_scale.count_good_step()
        self.optimizer.steps += 1
        require_finite_weights(self.model)
        self.step += 1
        loss, norm = (Arriving(number) if on_gpu(number) else number for number in (loss, norm))
        return {"step": self.step, "loss": loss, "lr": self.optimizer.lr, "gradient_norm": norm}

    def _try(self, images: Array, targets: Array, seed: int) -> tuple[Any, Any]:
        """Gradients and update; the loss, and the norm of the gradients without the scale of the loss."""
        model, config, number = self.model, self.config, self.step + 1
        decay = 1.0 if self.ema is None else self.ema.decay_at(number)
        rates = Rates(self.optimizer.lr, self.optimizer.steps + 1, self.loss_scale.value, decay)
        if self._captured is not None:
            return self._captured.run(images, targets, config.label_smoothing, seed, rates)
        loss = compute_gradients(
            model, images, targets, config.label_smoothing, config.micro_batches, seed, rates.loss_scale
        )
        return loss, self._update(rates)

    def _update(self, rates: Rates) -> Any:
        """From the gradients to new weights and a new average of them; returns the norm of the gradients."""
        norm = dispatch.global_norm(self.model.grads.values()) / rates.loss_scale
        require_finite_gradients(self.model, norm)
        scale = gradient_scale(norm, self.config.clip_norm, rates.loss_scale)
        self.optimizer.apply(rates.lr, rates.step, scale)
        if self.ema is not None:
            self.ema.apply(np.where(np.isfinite(scale), rates.decay, 1.0) if on_gpu(scale) else rates.decay)
        return norm

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
