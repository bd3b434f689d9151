"""The factor on the loss that keeps gradients in float16 from underflowing."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from npswin.types import Array

_INITIAL_SCALE, _MAX_SCALE = 2.0**16, 2.0**24
_GROWTH_INTERVAL = 2000  # steps


class LossScale:
    """A power of two, as large as it can be without an overflow.

    Gradients are computed of the loss times the scale, and divided by it in float32. Where one of them overflows, the
    scale is halved and the same batch computed again; after 2000 steps without an overflow, it is doubled
    (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2).

    Args:
        adapts: whether the scale changes; otherwise it stays 1.

    Attributes:
        value: the scale.
        good_steps: steps since it last changed.
    """

    def __init__(self, adapts: bool) -> None:
        self.adapts = adapts
        self.value = _INITIAL_SCALE if adapts else 1.0
        self.good_steps = 0

    def can_halve(self) -> bool:
        """Whether the batch can be computed again with a smaller scale."""
        return self.adapts and self.value > 1

    def halve(self) -> None:
        """Halve the scale, after an overflow."""
        self.value, self.good_steps = self.value / 2, 0

    def count_good_step(self) -> None:
        """Count a step without an overflow, and double the scale after enough of them."""
        self.good_steps += 1
        if self.adapts and self.good_steps >= _GROWTH_INTERVAL:
            self.value, self.good_steps = min(2 * self.value, _MAX_SCALE), 0

    def state(self) -> dict[str, Array]:
        """Tensors for a checkpoint: scale and count; none where the scale does not adapt."""
        return {"loss_scale": np.array([self.value, self.good_steps], np.float64)} if self.adapts else {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Set scale and count to those of a `state()`; without one they stay."""
        if self.adapts and "loss_scale" in state:
            self.value, self.good_steps = float(state["loss_scale"][0]), int(state["loss_scale"][1])
