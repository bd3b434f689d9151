"""The learning rate of each step: a linear warm-up, then a cosine, a line or steps."""

import math

from npswin.checks import LARGEST_COUNT, check_integer, check_number
from npswin.training.config import TrainConfig


class Schedule:
    """The learning rates of a run by its recipe.

    With step t from 0, T steps in all and a warm-up of w steps, the warm-up multiplies the rate that the schedule has
    without it by min(1, (t + 1) / (w + 1)). Without it,

        "cosine":  see `warmup_cosine`, whose cosine begins after the warm-up
        "poly":    η = η_min + (η_max − η_min) (1 − t / T), the polynomial decay of DeepLab (Chen et al. 2017) with
                   power 1, as the official UPerNet recipe has it
        "steps":   η = η_max / 10ⁿ after n of the `decay_epochs`, as the official Mask R-CNN recipes have it

    The warm-up of the official dense recipes differs in its factor, r + (1 − r) t / w with r of 1e-6 or 0.001, by less
    than 1 / w.

    Args:
        config: the recipe.
        steps_per_epoch: number of steps in an epoch.

    Attributes:
        total_steps: T.

    Raises:
        ValueError: the warm-up has as many steps as the run.
    """

    def __init__(self, config: TrainConfig, steps_per_epoch: int) -> None:
        self._config, self._steps_per_epoch = config, steps_per_epoch
        self.total_steps = config.epochs * steps_per_epoch
        if config.warmup_steps >= self.total_steps:
            steps = f"the {self.total_steps} steps of the run"
            raise ValueError(f"warmup_steps: got {config.warmup_steps}, expected fewer than {steps}")
        from_epochs = min(round(config.warmup_epochs * steps_per_epoch), self.total_steps - 1)
        self._warmup_steps = config.warmup_steps or from_epochs

    def rate(self, step: int) -> float:
        """η of a step, from 0."""
        config, warmup_steps = self._config, self._warmup_steps
        if config.schedule == "cosine":
            return warmup_cosine(step, self.total_steps, config.lr, warmup_steps, config.min_lr)
        if config.schedule == "poly":
            rate = config.min_lr + (config.lr - config.min_lr) * (1 - step / self.total_steps)
        else:
            epoch = step // self._steps_per_epoch
            rate = config.lr / 10 ** sum(epoch >= decay_epoch for decay_epoch in config.decay_epochs)
        return rate * min(1.0, (step + 1) / (warmup_steps + 1))


def warmup_cosine(step: int, total_steps: int, base_lr: float, warmup_steps: int = 0, min_lr: float = 0.0) -> float:
    """The learning rate of a step: linear warm-up, then half a cosine (Goyal et al. 2017; Loshchilov & Hutter 2017).

    Section 2.2 and equation 5 of these papers:

        t < w:  η = η_max (t + 1) / (w + 1)
        t ≥ w:  η = η_min + (η_max − η_min) (1 + cos(π (t − w) / (T − w))) / 2

    Args:
        step: t, from 0.
        total_steps: T. From t = T on, the result is `min_lr`.
        base_lr: η_max, reached at t = w.
        warmup_steps: w, less than T.
        min_lr: η_min.

    Returns:
        η for this step.

    Raises:
        ValueError: a number of steps that is no integer or out of its range, such as a warm-up of T steps or more; a
            rate that is negative or not finite.
    """
    step, total_steps = (
        check_integer("step", step, 0, LARGEST_COUNT),
        check_integer("total_steps", total_steps, 1, LARGEST_COUNT),
    )
    warmup_steps = check_integer("warmup_steps", warmup_steps, 0, total_steps - 1)
    base_lr, min_lr = check_number("base_lr", base_lr, at_least=0), check_number("min_lr", min_lr, at_least=0)
    if step < warmup_steps:
        return base_lr * (step + 1) / (warmup_steps + 1)
    progress = min((step - warmup_steps) / (total_steps - warmup_steps), 1.0)
    return min_lr + (base_lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2
