"""The feed-forward layer of a block."""

from typing import Any, ClassVar

import numpy as np

from npswin.backends import dispatch
from npswin.checks import LARGEST_SIZE, check_number, check_size
from npswin.layers.layer import Layer, check_input, draw_mask, keep, kept_for, require_not_overridden
from npswin.layers.linear import Linear
from npswin.types import Array


def hidden_width(dim: int, mlp_ratio: float) -> int:
    """The hidden channels of a block's MLP.

    Raises:
        ValueError: the ratio leaves none.
    """
    width = int(dim * check_number("mlp_ratio", mlp_ratio, above=0))
    if not 1 <= width <= LARGEST_SIZE:
        raise ValueError(f"mlp_ratio: got {mlp_ratio}, expected one with 1 to {LARGEST_SIZE} hidden channels for {dim}")
    return width


class Mlp(Layer):
    """Linear, GELU, linear; dropout after the GELU and at the end.

    Args:
        dim: C, channels of x and of y.
        hidden_dim: channels between the two linear layers.
        rng: draws the weights.
        drop: rate of both dropouts.
        dtype: of the parameters.
    """

    fused_children: ClassVar[dict[str, type[Layer]]] = {"fc1": Linear, "fc2": Linear}
    drop_rates = ("drop",)
    names = ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")

    def __init__(
        self, dim: int, hidden_dim: int, rng: np.random.Generator, drop: float = 0.0, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.dim = dim = check_size("dim", dim)
        self.hidden_dim = hidden_dim = check_size("hidden_dim", hidden_dim)
        self.drop = check_number("drop", drop, at_least=0, below=1)
        self.add_child("fc1", Linear(dim, hidden_dim, rng, dtype=dtype))
        self.add_child("fc2", Linear(hidden_dim, dim, rng, dtype=dtype))

    def extra_repr(self) -> str:
        """The rate of the dropout."""
        return f"drop={self.drop}"

    def draw_masks(self, x: Array, rng: np.random.Generator | None) -> dict[str, Array | None]:
        """The dropout masks for an input of x's shape, as keyword arguments of the op."""
        check_input(self, x, self.dim, rng=rng)
        return {
            "hidden_drop_mask": draw_mask(rng, (*x.shape[:-1], self.hidden_dim), self.drop, x),
            "output_drop_mask": draw_mask(rng, x.shape, self.drop, x),
        }

    def __call__(self, x: Array) -> Array:
        check_input(self, x, self.dim)
        require_not_overridden(self)
        return dispatch.mlp(x, *self.select(self.names))

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (..., C) -> y (..., C), cache."""
        masks = self.draw_masks(x, rng)  # checks the arguments
        require_not_overridden(self)
        y, cache = dispatch.mlp_forward(x, *self.select(self.names), **masks)
        return y, keep(self, (y,), cache)

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (..., C) -> dx (..., C)."""
        dx, *gradients = dispatch.mlp_backward(dy, kept_for(self, dy, cache))
        self.accumulate(self.names, gradients)
        return dx
