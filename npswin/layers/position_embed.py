"""The layer between the patch embedding and the first block: absolute positions and dropout."""

from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_generator, check_number, check_size, shown
from npswin.layers.layer import Layer, check_input, draw_mask, keep, kept_for, truncated_normal
from npswin.types import Array


class PositionEmbed(Layer):
    """Adds an absolute position embedding, if it has one, and applies the first dropout.

    Parameters: absolute_pos_embed (1, H₀·W₀, C).

    Args:
        dim: C.
        grid: (H₀, W₀) that the embedding is for, or None for no embedding.
        rng: draws the embedding.
        drop: rate of the dropout.
        dtype: of the parameters.
    """

    drop_rates = ("drop",)
    names = ("absolute_pos_embed",)

    def __init__(
        self, dim: int, grid: tuple[int, int] | None, rng: np.random.Generator, drop: float, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.dim, self.drop = check_size("dim", dim), check_number("drop", drop, at_least=0, below=1)
        check_generator("rng", rng)
        if grid is not None:
            if not isinstance(grid, list | tuple) or len(grid) != 2:
                raise ValueError(f"grid: got {shown(grid)}, expected rows and columns, or None")
            grid = check_size("grid", grid[0]), check_size("grid", grid[1])
        self.grid = grid
        if grid is not None:
            self.add_parameter("absolute_pos_embed", truncated_normal(rng, (1, grid[0] * grid[1], dim)), dtype)

    def extra_repr(self) -> str:
        """The size of the map that the embedding is for, and the rate of the dropout."""
        return f"grid={self.grid}, drop={self.drop}"

    def __call__(self, x: Array) -> Array:
        check_input(self, x, self.dim, rank=4)
        if self.grid is None:
            return x
        return dispatch.position_embed_forward(x, *self.select(self.names), self.grid)[0]

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (B, H, W, C) -> y (B, H, W, C), cache."""
        check_input(self, x, self.dim, rank=4, rng=rng)
        embed_cache = None
        if self.grid is not None:
            x, embed_cache = dispatch.position_embed_forward(x, *self.select(self.names), self.grid)
        y, drop_cache = dispatch.dropout_forward(x, draw_mask(rng, x.shape, self.drop, x))
        return y, keep(self, (y,), (embed_cache, drop_cache))

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (B, H, W, C) -> dx (B, H, W, C)."""
        embed_cache, drop_cache = kept_for(self, dy, cache)
        dx = dispatch.dropout_backward(dy, drop_cache)
        if embed_cache is not None:
            dx, *gradients = dispatch.position_embed_backward(dx, embed_cache)
            self.accumulate(self.names, gradients)
        return dx
