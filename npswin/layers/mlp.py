"""The feed-forward layer of a block."""

from typing import Any, ClassVar

import numpy as np

from npswin.backends import dispatch
from npswin.layers.layer import Layer, check_input, check_rate, draw_mask, require_not_overridden
from npswin.layers.linear import Linear
from npswin.types import Array


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
    names = ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")

    def __init__(
        self, dim: int, hidden_dim: int, rng: np.random.Generator, drop: float = 0.0, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        check_rate("drop", drop)
        self.dim, self.hidden_dim, self.drop = dim, hidden_dim, drop
        self.add_child("fc1", Linear(dim, hidden_dim, rng, dtype=dtype))
        self.add_child("fc2", Linear(hidden_dim, dim, rng, dtype=dtype))

    def extra_repr(self) -> str:
        """The rate of the dropout."""
        return f"drop={self.drop}"

    def draw_masks(self, x: Array, rng: np.random.Generator | None) -> dict[str, Array | None]:
        """The dropout masks for an input of x's shape, as keyword arguments of the op."""
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
        check_input(self, x, self.dim)
        require_not_overridden(self)
        return dispatch.mlp_forward(x, *self.select(self.names), **self.draw_masks(x, rng))

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (..., C) -> dx (..., C)."""
        dx, *gradients = dispatch.mlp_backward(dy, cache)
        self.accumulate(self.names, gradients)
        return dx
