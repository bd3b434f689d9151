"""An exponential moving average of the weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from npswin.backends import dispatch
from npswin.devices import beside
from npswin.training.trainable import Trainable, require_same_arrays
from npswin.types import Array


class Ema:
    """The average of a model's recent weights, which is steadier than the last ones (Polyak & Juditsky 1992).

    After update t, from 1, it is δ_t times what it was plus (1 − δ_t) times the weights, with
    δ_t = min(decay, (1 + t)/(10 + t)): at first the average is short, so that the random start is soon forgotten.

    Args:
        model: whose weights are averaged.
        decay: δ in [0, 1); the average is over about the last 1/(1 − δ) steps.

    Attributes:
        average: parameter name -> array of the parameter's shape.

    Raises:
        ValueError: a decay out of its range.
    """

    def __init__(self, model: Trainable, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay: got {decay}, expected a number in [0, 1)")
        self.decay = decay
        self._model, self._params = model, model.params
        self.average: dict[str, Array] = {name: param.copy() for name, param in self._params.items()}

    def update(self, step: int) -> None:
        """Take the weights in.

        Args:
            step: number of this update, from 1.
        """
        self.apply(self.decay_at(step))

    def decay_at(self, step: int) -> float:
        """δ_t of an update's number, from 1."""
        return min(self.decay, (1 + step) / (10 + step))

    def apply(self, decay: Any) -> None:
        """Take the weights in with this δ_t, which may be on the GPU."""
        require_same_arrays(self._model.params, self._params, "the average")
        dispatch.ema_update_all(list(self.average.values()), list(self._params.values()), decay)

    def load(self, average: Mapping[str, Array]) -> None:
        """Go on from an average that was saved; copied."""
        for name, array in self.average.items():
            array[...] = beside(average[name], array)

    def settle(self) -> None:
        """Give the model the averaged weights for good."""
        for name, param in self._params.items():
            param[...] = self.average[name]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within this context the model has the averaged weights; after it, its own to the bit."""
        own = {name: param.copy() for name, param in self._params.items()}
        try:
            self.settle()
            yield
        finally:
            for name, param in self._params.items():
                param[...] = own[name]
