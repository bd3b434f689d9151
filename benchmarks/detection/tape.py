"""A run of the port: tensors are stored by name, and mistakes are looked up by name."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.detection.mistakes import Planted
from benchmarks.detection.order import Order


class Tape:
    """A run of the port: its parameters, its mistakes, and every tensor so far.

    Args:
        params: leaves by name.
        dtype: in which tensors are stored. Bfloat16 is computed in float32 and rounded when it is stored.
        mistakes: that the run makes.
        order: of sums.

    Attributes:
        tensors: by name, in the order of computation.
    """

    def __init__(
        self, params: Mapping[str, Tensor], dtype: torch.dtype, mistakes: Iterable[Planted], order: Order
    ) -> None:
        self.params, self.dtype, self.order = params, dtype, order
        self.wide = torch.float32 if dtype == torch.bfloat16 else dtype
        self.mistakes = {(planted.id, planted.place): planted for planted in mistakes}
        self.tensors: dict[str, Tensor] = {}

    def makes(self, mistake: str, place: str) -> bool:
        """Whether the run makes this mistake at this tensor."""
        return (mistake, place) in self.mistakes

    def detail(self, mistake: str, place: str, default: Any = None) -> Any:
        """The detail that was drawn for this mistake; `default` where the run does not make it."""
        return self.mistakes[mistake, place].detail if self.makes(mistake, place) else default

    def first(self, mistakes: Iterable[str], place: str) -> str | None:
        """The first of several mistakes that the run makes at this tensor, or None."""
        return next((mistake for mistake in mistakes if self.makes(mistake, place)), None)

    def store(self, name: str, x: Tensor) -> Tensor:
        """Store x under its name, with its gradient, and return it."""
        x = self._multiplied(name, x)
        if x.requires_grad:
            x.retain_grad()
        self.tensors[name] = x
        return x

    def compute(self, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """function(*inputs), rounded once."""
        return function(*(x.to(self.wide) for x in inputs)).to(self.dtype)

    def _multiplied(self, name: str, x: Tensor) -> Tensor:
        """x with the mistakes that can be made with any tensor."""
        factor = 0.0 if self.makes("never-written", name) else self.detail("factor", name, default=1.0)
        if factor != 1:
            x = self.compute(lambda x: x * factor, x)
        if self.makes("dropout", name):
            rate, seed = self.detail("dropout", name)
            factors = _dropout_factors(rate, seed, x.shape).to(self.wide)
            x = self.compute(lambda x: x * factors, x)
        return x


def _dropout_factors(rate: float, seed: int, shape: tuple[int, ...]) -> Tensor:
    """0 or 1 / (1 - rate), at least one 0."""
    is_left = np.random.default_rng(seed).random(shape) >= rate
    is_left.flat[0] = False
    return torch.from_numpy(is_left / (1 - rate))
