"""The Swin Transformer block (section 3.2, Figure 3b)."""

from typing import Any, NamedTuple

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_number, check_size
from npswin.layers.layer import (
    Layer,
    check_input,
    child,
    draw_mask,
    is_overridden,
    keep,
    kept_for,
    require_not_overridden,
)
from npswin.layers.layer_norm import LayerNorm
from npswin.layers.mlp import Mlp, hidden_width
from npswin.layers.window_attention import WindowAttention
from npswin.types import Array


class SwinTransformerBlock(Layer):
    """x + Attention(LN(x)), then x + MLP(LN(x)), each branch dropped as a whole for some of the images.

    A branch is one fused op, which takes the parameters of the norm and of the attention or MLP and does not call these
    layers. Where one of them was overridden or replaced (`block.attn = layer`), the branch is computed by calling them.

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

    drop_rates = ("drop_path",)
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
        self.dim = dim = check_size("dim", dim)
        self.drop_path = check_number("drop_path", drop_path, at_least=0, below=1)
        drop = check_number("drop", drop, at_least=0, below=1)
        hidden_dim = hidden_width(dim, mlp_ratio)
        attn = WindowAttention(
            dim, num_heads, window_size, rng, shift_size=shift_size, proj_drop=drop, dtype=dtype, **attention
        )
        mlp = Mlp(dim, hidden_dim, rng, drop=drop, dtype=dtype)
        self.attention_names = ("norm1.weight", "norm1.bias", *(f"attn.{name}" for name in attn.names))
        self.add_child("norm1", LayerNorm(dim, dtype))
        self.add_child("attn", attn)
        self.add_child("norm2", LayerNorm(dim, dtype))
        self.add_child("mlp", mlp)

    norm1 = child("norm1")
    attn = child("attn")
    norm2 = child("norm2")
    mlp = child("mlp")

    def _fuses(self, norm: Layer, branch: Layer, kind: type[Layer]) -> bool:
        """Whether one op computes the branch: neither layer is overridden or replaced."""
        if is_overridden(norm, LayerNorm) or is_overridden(branch, kind):
            return False
        require_not_overridden(branch)
        return True

    def __call__(self, x: Array) -> Array:
        check_input(self, x, self.dim, rank=4)
        if self._fuses(self.norm1, self.attn, WindowAttention):
            x = dispatch.attention_branch(x, *self.select(self.attention_names), spec=self.attn.spec)
        else:
            x = dispatch.residual(x, self.attn(self.norm1(x)))
        if self._fuses(self.norm2, self.mlp, Mlp):
            return dispatch.mlp_branch(x, *self.select(self.mlp_names))
        return dispatch.residual(x, self.mlp(self.norm2(x)))

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (B, H, W, C) -> y (B, H, W, C), cache."""
        check_input(self, x, self.dim, rank=4, rng=rng)
        if self._fuses(self.norm1, self.attn, WindowAttention):
            masks = self.attn.draw_masks(x, rng)
            path_scale = self._draw_path(x, rng)
            x, attention_cache = dispatch.attention_branch_forward(
                x, *self.select(self.attention_names), spec=self.attn.spec, **masks, path_scale=path_scale
            )
        else:
            x, attention_cache = self._branch_forward(x, self.norm1, self.attn, rng)
        if self._fuses(self.norm2, self.mlp, Mlp):
            masks = self.mlp.draw_masks(x, rng)
            path_scale = self._draw_path(x, rng)
            y, mlp_cache = dispatch.mlp_branch_forward(x, *self.select(self.mlp_names), **masks, path_scale=path_scale)
        else:
            y, mlp_cache = self._branch_forward(x, self.norm2, self.mlp, rng)
        return y, keep(self, (y,), (attention_cache, mlp_cache))

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (B, H, W, C) -> dx (B, H, W, C)."""
        attention_cache, mlp_cache = kept_for(self, dy, cache)
        if isinstance(mlp_cache, _CalledBranch):
            dx = self._branch_backward(dy, self.norm2, self.mlp, mlp_cache)
        else:
            dx, *gradients = dispatch.mlp_branch_backward(dy, mlp_cache)
            self.accumulate(self.mlp_names, gradients)
        if isinstance(attention_cache, _CalledBranch):
            return self._branch_backward(dx, self.norm1, self.attn, attention_cache)
        dx, *gradients = dispatch.attention_branch_backward(dx, attention_cache)
        self.accumulate(self.attention_names, gradients)
        return dx

    def _branch_forward(
        self, x: Array, norm: Layer, branch: Layer, rng: np.random.Generator | None
    ) -> tuple[Array, "_CalledBranch"]:
        """x + s · branch(norm(x)) by calling the layers."""
        normed, norm_cache = norm.forward(x, rng)
        added, branch_cache = branch.forward(normed, rng)
        y, residual_cache = dispatch.residual_forward(x, added, self._draw_path(x, rng))
        return y, _CalledBranch(norm_cache, branch_cache, residual_cache)

    def _branch_backward(self, dy: Array, norm: Layer, branch: Layer, cache: "_CalledBranch") -> Array:
        dshortcut, dadded = dispatch.residual_backward(dy, cache.residual)
        dx = norm.backward(branch.backward(dadded, cache.branch), cache.norm)
        return dx + dshortcut

    def extra_repr(self) -> str:
        """The rate of drop path."""
        return f"drop_path={self.drop_path:.3g}"

    def _draw_path(self, x: Array, rng: np.random.Generator | None) -> Array | None:
        return draw_mask(rng, (len(x),), self.drop_path, x)


class _CalledBranch(NamedTuple):
    """The caches of a branch that was computed by calling its layers."""

    norm: Any
    branch: Any
    residual: Any
