"""The Swin Transformer block (section 3.2, Figure 3b)."""

from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.layers.layer import Layer, check_input, check_rate, draw_mask
from npswin.layers.layer_norm import LayerNorm
from npswin.layers.mlp import Mlp
from npswin.layers.window_attention import WindowAttention
from npswin.types import Array


class SwinTransformerBlock(Layer):
    """x + Attention(LN(x)), then x + MLP(LN(x)), each branch dropped as a whole for some of the images.

    Parameters: norm1, attn, norm2, mlp.

    Args:
        dim: C.
        num_heads: h.
        window_size: M.
        rng: draws the weights.
        shift_size: 0 for W-MSA, M//2 for SW-MSA.
        mlp_ratio: hidden channels of the MLP over C.
        drop: rate of the dropout on the attention's projection and in the MLP.
        drop_path: probability that an image skips a branch.
        dtype: of the parameters.
        **attention: further arguments of `WindowAttention`.
    """

    mlp_names = ("norm2.weight", "norm2.bias", *(f"mlp.{name}" for name in Mlp.names))

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: int,
        rng: np.random.Generator,
        shift_size: int = 0,
        mlp_ratio: float = 4.0,
        drop: float = 0.0,
        drop_path: float = 0.0,
        dtype: Any = "float32",
        **attention: Any,
    ) -> None:
        super().__init__()
        check_rate("drop_path", drop_path)
        self.dim, self.drop_path = dim, drop_path
        self.attn = WindowAttention(
            dim, num_heads, window_size, rng, shift_size=shift_size, proj_drop=drop, dtype=dtype, **attention
        )
        self.mlp = Mlp(dim, int(dim * mlp_ratio), rng, drop=drop, dtype=dtype)
        self.norm1 = LayerNorm(dim, dtype)
        self.attention_names = ("norm1.weight", "norm1.bias", *(f"attn.{name}" for name in self.attn.names))
        for name, layer in (
            ("norm1", self.norm1),
            ("attn", self.attn),
            ("norm2", LayerNorm(dim, dtype)),
            ("mlp", self.mlp),
        ):
            self.add_child(name, layer)

    def __call__(self, x: Array) -> Array:
        check_input(self, x, self.dim, rank=4)
        x = dispatch.attention_branch(x, *self.select(self.attention_names), spec=self.attn.spec)
        return dispatch.mlp_branch(x, *self.select(self.mlp_names))

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (B, H, W, C) -> y (B, H, W, C), cache."""
        check_input(self, x, self.dim, rank=4)
        x, attention_cache = dispatch.attention_branch_forward(
            x,
            *self.select(self.attention_names),
            spec=self.attn.spec,
            **self.attn.draw_masks(x, rng),
            path_scale=self._draw_path(x, rng),
        )
        y, mlp_cache = dispatch.mlp_branch_forward(
            x, *self.select(self.mlp_names), **self.mlp.draw_masks(x, rng), path_scale=self._draw_path(x, rng)
        )
        return y, (attention_cache, mlp_cache)

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (B, H, W, C) -> dx (B, H, W, C)."""
        attention_cache, mlp_cache = cache
        dx, *gradients = dispatch.mlp_branch_backward(dy, mlp_cache)
        self.accumulate(self.mlp_names, gradients)
        dx, *gradients = dispatch.attention_branch_backward(dx, attention_cache)
        self.accumulate(self.attention_names, gradients)
        return dx

    def _draw_path(self, x: Array, rng: np.random.Generator | None) -> Array | None:
        return draw_mask(rng, (len(x),), self.drop_path, x)
