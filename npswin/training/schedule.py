"""The learning rate as a function of the step."""

import math


def warmup_cosine(step: int, total_steps: int, base_lr: float, warmup_steps: int = 0, min_lr: float = 0.0) -> float:
    """A straight rise, then half a cosine down (Goyal et al. 2017, section 2.2; Loshchilov & Hutter 2017, equation 5).

        t < w:  η = η_max (t + 1) / (w + 1)
        t ≥ w:  η = η_min + (η_max − η_min) (1 + cos(π (t − w) / (T − w))) / 2

    Args:
        step: t, from 0.
        total_steps: T. The step after the last one would have `min_lr`; later ones have it too.
        base_lr: η_max, reached at t = w.
        warmup_steps: w, less than T.
        min_lr: η_min.

    Returns:
        η for this step.

    Raises:
        ValueError: a negative step, or a warm-up that leaves no steps.
    """
    if step < 0:
        raise ValueError(f"step: got {step}, expected at least 0")
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"warmup_steps: got {warmup_steps}, expected 0 to {total_steps - 1} with total_steps={total_steps}"
        )
    if step < warmup_steps:
        return base_lr * (step + 1) / (warmup_steps + 1)
    progress = min((step - warmup_steps) / (total_steps - warmup_steps), 1.0)
    return min_lr + (base_lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2
