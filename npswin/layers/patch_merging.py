"""The patch merging layer."""

from typing import Any, ClassVar

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_flag, check_size
from npswin.layers.layer import Layer, check_input, keep, kept_for, require_not_overridden
from npswin.layers.layer_norm import LayerNorm
from npswin.layers.linear import Linear
from npswin.types import Array


class PatchMerging(Layer):
    """2×2 neighbours become one token: 4C channels, normalized, then reduced to 2C (section 3.1).

    Parameters: norm.weight (4C,), norm.bias (4C,), reduction.weight (2C, 4C), reduction.bias (2C,).

    Args:
        dim: C.
        rng: draws the weights.
        norm: whether there is a norm, as in the official model.
        bias: whether the reduction has a bias; in the official model it has none.
        dtype: of the parameters.
    """

    fused_children: ClassVar[dict[str, type[Layer]]] = {"norm": LayerNorm, "reduction": Linear}
    names = ("norm.weight", "norm.bias", "reduction.weight", "reduction.bias")

    def __init__(
        self, dim: int, rng: np.random.Generator, norm: bool = True, bias: bool = False, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.dim = dim = check_size("dim", dim)
        if check_flag("norm", norm):
            self.add_child("norm", LayerNorm(4 * dim, dtype))
        self.add_child("reduction", Linear(4 * dim, 2 * dim, rng, bias=bias, dtype=dtype))

    def __call__(self, x: Array) -> Array:
        check_input(self, x, self.dim, rank=4)
        require_not_overridden(self)
        return dispatch.patch_merging(x, *self.select(self.names))

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (B, H, W, C) -> y (B, ⌈H/2⌉, ⌈W/2⌉, 2C), cache."""
        check_input(self, x, self.dim, rank=4, rng=rng)
        require_not_overridden(self)
        y, cache = dispatch.patch_merging_forward(x, *self.select(self.names))
        return y, keep(self, (y,), cache)

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (B, ⌈H/2⌉, ⌈W/2⌉, 2C) -> dx (B, H, W, C)."""
        dx, *gradients = dispatch.patch_merging_backward(dy, kept_for(self, dy, cache))
        self.accumulate(self.names, gradients)
        return dx
