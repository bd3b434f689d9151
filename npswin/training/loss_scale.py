"""The factor that keeps derivatives in float16 from becoming zero."""

from typing import Any

import numpy as np

from npswin.types import Array

_FIRST, _GROWTH_INTERVAL, _LARGEST = 2.0**16, 2000, 2.0**24


class LossScale:
    """A power of two, as large as it can be without an overflow.

    Gradients are computed of the loss times the scale, and divided by it in float32. Where one of them overflows, the
    scale is halved and the same batch computed again; after 2000 steps without that, it is doubled (Micikevicius et
    al. 2018, section 3.2).

    Args:
        adapts: whether it is needed at all; otherwise it stays 1.
    """

    def __init__(self, adapts: bool) -> None:
        self.adapts = adapts
        self.value = _FIRST if adapts else 1.0
        self.good_steps = 0

    def can_halve(self) -> bool:
        """Whether it is worth computing the batch again."""
        return self.adapts and self.value > 1

    def halve(self) -> None:
        """After an overflow."""
        self.value, self.good_steps = self.value / 2, 0

    def count_good_step(self) -> None:
        """After a step without one."""
        self.good_steps += 1
        if self.adapts and self.good_steps >= _GROWTH_INTERVAL:
            self.value, self.good_steps = min(2 * self.value, _LARGEST), 0

    def state(self) -> dict[str, Array]:
        """What a checkpoint keeps of it: nothing where it does not adapt."""
        return {"loss_scale": np.array([self.value, self.good_steps], np.float64)} if self.adapts else {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state()` returned."""
        if self.adapts:
            self.value, self.good_steps = float(state["loss_scale"][0]), int(state["loss_scale"][1])
