"""The patch embedding layer."""

from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_flag, check_generator, check_size
from npswin.layers.layer import Layer, check_input, fan_in_uniform, keep, kept_for
from npswin.layers.layer_norm import LayerNorm
from npswin.types import Array


class PatchEmbed(Layer):
    """Patch partition, linear embedding and, where `norm` is set, layer normalization (section 3.1).

    Parameters: proj.weight (C, c, p, p), proj.bias (C,), norm.weight (C,), norm.bias (C,).

    Args:
        patch_size: p.
        in_chans: c, the images' channels.
        embed_dim: C.
        rng: draws the weights.
        norm: whether there is a norm.
        dtype: of the parameters.
    """

    names = ("proj.weight", "proj.bias")

    def __init__(
        self,
        patch_size: int,
        in_chans: int,
        embed_dim: int,
        rng: np.random.Generator,
        norm: bool = True,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.in_chans = in_chans = check_size("in_chans", in_chans)
        patch_size, embed_dim = check_size("patch_size", patch_size), check_size("embed_dim", embed_dim)
        check_generator("rng", rng)
        fan_in = in_chans * patch_size * patch_size
        self.add_parameter(
            "proj.weight", fan_in_uniform(rng, (embed_dim, in_chans, patch_size, patch_size), fan_in), dtype
        )
        self.add_parameter("proj.bias", fan_in_uniform(rng, (embed_dim,), fan_in), dtype)
        self.norm = LayerNorm(embed_dim, dtype) if check_flag("norm", norm) else None
        if self.norm is not None:
            self.add_child("norm", self.norm)

    def __call__(self, x: Array) -> Array:
        return self.forward(x)[0]

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (B, c, H, W) -> y (B, ⌈H/p⌉, ⌈W/p⌉, C), cache."""
        check_input(self, x, rng=rng)
        if x.ndim != 4 or x.shape[1] != self.in_chans:
            raise ValueError(f"PatchEmbed: x: got shape {x.shape}, expected (B, {self.in_chans}, H, W)")
        y, proj_cache = dispatch.patch_embed_forward(x, *self.select(self.names))
        norm_cache = None
        if self.norm is not None:
            y, norm_cache = self.norm.forward(y)
        return y, keep(self, (y,), (proj_cache, norm_cache))

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (B, ⌈H/p⌉, ⌈W/p⌉, C) -> dx (B, c, H, W)."""
        proj_cache, norm_cache = kept_for(self, dy, cache)
        if self.norm is not None:
            dy = self.norm.backward(dy, norm_cache)
        dx, *gradients = dispatch.patch_embed_backward(dy, proj_cache)
        self.accumulate(self.names, gradients)
        return dx
