"""An exponential moving average of the weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from npswin.backends import dispatch
from npswin.checks import check_array, check_instance, check_integer, check_number, describe
from npswin.deprecation import renamed_function
from npswin.devices import on_gpu, to_device_of
from npswin.training.trainable import Trainable, check_model, require_same_arrays
from npswin.types import Array


class Ema:
    """The average of a model's recent weights, which varies less than the last ones (Polyak & Juditsky 1992).

    Update t, from 1, multiplies the average by δ_t and adds (1 − δ_t) times the weights, with
    δ_t = min(decay, (1 + t)/(10 + t)): the first averages are short, so that the random initialization soon has no
    influence.

    Parameters are averaged; buffers stay the model's own. The running statistics of batch norm are averages over recent
    steps already, by a rule of their own, and a count of steps has no average that is a count.

    Args:
        model: whose weights are averaged.
        decay: δ in [0, 1); the average is over about the last 1/(1 − δ) steps.

    Attributes:
        average: parameter name -> array of the parameter's shape.

    Raises:
        ValueError: a decay out of its range, or no model.
    """

    def __init__(self, model: Trainable, decay: float) -> None:
        check_model(model, "params")
        self.decay = check_number("decay", decay, at_least=0, below=1)
        self._model, self._params = model, model.params
        self.average: dict[str, Array] = {name: param.copy() for name, param in self._params.items()}

    def update(self, step: int) -> None:
        """Add the weights to the average.

        Args:
            step: t, number of this update, from 1.
        """
        self.update_with_decay(self.decay_at(step))

    def decay_at(self, step: int) -> float:
        """δ_t of update t, from 1."""
        step = check_integer("step", step, 1)
        return min(self.decay, (1 + step) / (10 + step))

    def update_with_decay(self, decay: Any) -> None:
        """Add the weights to the average with this δ_t, a number or a 0-dimensional array on the GPU."""
        decay = decay if on_gpu(decay) else check_number("decay", decay, at_least=0, at_most=1)
        require_same_arrays(self._model.params, self._params, "the average")
        dispatch.ema_update_all(list(self.average.values()), list(self._params.values()), decay)

    def load(self, average: Mapping[str, Array]) -> None:
        """Set the average to a copy of a saved one, parameter name -> array.

        Raises:
            ValueError: a missing or misshapen array. Nothing is changed then.
        """
        check_instance("average", average, Mapping, "arrays by name")
        for name, array in self.average.items():
            found = check_array(f"average[{name!r}]", average.get(name), f"shape {array.shape}")
            if found.shape != array.shape or found.dtype != array.dtype:
                raise ValueError(f"average[{name!r}]: got {describe(found)}, expected {describe(array)}")
        for name, array in self.average.items():
            array[...] = to_device_of(average[name], array)

    def copy_to_model(self) -> None:
        """Overwrite the model's weights with the average."""
        for name, param in self._params.items():
            param[...] = self.average[name]

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Within this context the model has the averaged weights; after it, its own again, bit for bit."""
        own = {name: param.copy() for name, param in self._params.items()}
        try:
            self.copy_to_model()
            yield
        finally:
            for name, param in self._params.items():
                param[...] = own[name]

    apply = renamed_function("apply", update_with_decay)
    settle = renamed_function("settle", copy_to_model)
    applied = renamed_function("applied", averaged_weights)
