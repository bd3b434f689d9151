"""The (shifted) window attention layer."""

from typing import Any, ClassVar

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_choice, check_flag, check_generator, check_integer, check_number, check_size
from npswin.deprecation import warn_renamed
from npswin.devices import to_device_of
from npswin.layers.layer import (
    Layer,
    check_input,
    draw_mask,
    keep,
    kept_for,
    require_not_overridden,
    truncated_normal,
)
from npswin.layers.linear import Linear
from npswin.ops.window_attention import AttentionSpec
from npswin.ops.windows import count_windows, padded_size, shift_mask
from npswin.types import Array

POSITION_BIASES = ("per_head", "shared", "full", "none")


def width_of_head(dim: int, num_heads: int, head_dim: int | None, name: str = "num_heads") -> int:
    """The channels of a head, d.

    Raises:
        ValueError: no `head_dim`, and heads that do not divide the width; the message has this name for the heads.
    """
    if head_dim is not None:
        return check_size("head_dim", head_dim)
    if dim % num_heads:
        raise ValueError(f"{name}: got {num_heads}, expected a divisor of the width {dim} (or give head_dim)")
    return dim // num_heads


class WindowAttention(Layer):
    """W-MSA (shift_size 0) or SW-MSA on a map of any size (section 3.2).

    Parameters: qkv.weight (3hd, C), qkv.bias (3hd,), proj.weight (C, hd), proj.bias (C,), and by `position_bias`
    relative_position_bias_table ((2M − 1)², h) or ((2M − 1)², 1), or position_bias_table (N, N), or nothing.

    Args:
        dim: C.
        num_heads: h.
        window_size: M.
        rng: draws the weights.
        shift_size: rows and columns of the cyclic shift, 0 … M − 1.
        qkv_bias: whether q, k and v have a bias.
        head_dim: d; C/h where it is None.
        position_bias: "per_head", "shared" by the heads, "full" for one number a pair of tokens, or "none".
        mask_value: added to the scores of pairs of tokens that are neighbours only because of the shift.
        attn_drop: rate of the dropout on the probabilities.
        proj_drop: rate of the dropout on the projection.
        dtype: of the parameters.

    Raises:
        ValueError: heads that do not divide the width, an unknown position bias, a shift that does not fit.
    """

    drop_rates = ("attn_drop", "proj_drop")
    fused_children: ClassVar[dict[str, type[Layer]]] = {"qkv": Linear, "proj": Linear}

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: int,
        rng: np.random.Generator,
        shift_size: int = 0,
        qkv_bias: bool = True,
        head_dim: int | None = None,
        position_bias: str = "per_head",
        mask_value: float = -100.0,
        attn_drop: float = 0.0,
        proj_drop: float = 0.0,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.dim = dim = check_size("dim", dim)
        self.num_heads = num_heads = check_size("num_heads", num_heads)
        self.window_size = window_size = check_size("window_size", window_size)
        self.shift_size = check_integer("shift_size", shift_size, 0, window_size - 1)
        self.mask_value = check_number("mask_value", mask_value, below=0, finite=False)
        self.attn_drop = check_number("attn_drop", attn_drop, at_least=0, below=1)
        self.proj_drop = check_number("proj_drop", proj_drop, at_least=0, below=1)
        check_generator("rng", rng)
        check_choice("position_bias", position_bias, POSITION_BIASES)
        check_flag("qkv_bias", qkv_bias)
        head_dim = width_of_head(dim, num_heads, head_dim)
        inner_dim = num_heads * head_dim

        table_name = "position_bias_table" if position_bias == "full" else "relative_position_bias_table"
        self.names = ("qkv.weight", "qkv.bias", "proj.weight", "proj.bias", table_name)
        if position_bias != "none":
            side = window_size**2 if position_bias == "full" else (2 * window_size - 1) ** 2
            columns = {"per_head": num_heads, "shared": 1, "full": window_size**2}[position_bias]
            self.add_parameter(table_name, truncated_normal(rng, (side, columns)), dtype)
        self.add_child("qkv", Linear(dim, 3 * inner_dim, rng, bias=qkv_bias, dtype=dtype))
        self.add_child("proj", Linear(inner_dim, dim, rng, dtype=dtype))

    def extra_repr(self) -> str:
        """Heads, window, shift and dropout."""
        names = ("num_heads", "window_size", "shift_size", "attn_drop", "proj_drop")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)

    @property
    def spec(self) -> AttentionSpec:
        """How attention is computed, as its op takes it."""
        return AttentionSpec(self.num_heads, self.window_size, self.shift_size, self.mask_value)

    @property
    def geometry(self) -> dict[str, Any]:
        """Old name of `spec`, as the keyword arguments that ops took before 0.2.0."""
        warn_renamed("WindowAttention.geometry", "spec")
        num_heads, window_size, shift_size, mask_value = self.spec
        return {"num_heads": num_heads, "window_size": window_size, "shift": shift_size, "mask_value": mask_value}

    def draw_masks(self, x: Array, rng: np.random.Generator | None) -> dict[str, Array | None]:
        """The dropout masks for an input of x's shape, as keyword arguments of the op."""
        check_input(self, x, self.dim, rank=4, rng=rng)
        batch, height, width, _ = x.shape
        tokens, windows = self.window_size**2, batch * count_windows(height, width, self.window_size)
        return {
            "attn_drop_mask": draw_mask(rng, (windows, self.num_heads, tokens, tokens), self.attn_drop, x),
            "proj_drop_mask": draw_mask(rng, (windows, tokens, self.dim), self.proj_drop, x),
        }

    def __call__(self, x: Array) -> Array:
        check_input(self, x, self.dim, rank=4)
        require_not_overridden(self)
        return dispatch.window_attention(x, *self.select(self.names), spec=self.spec)

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (B, H, W, C) -> y (B, H, W, C), cache."""
        masks = self.draw_masks(x, rng)  # checks the arguments
        require_not_overridden(self)
        y, cache = dispatch.window_attention_forward(x, *self.select(self.names), spec=self.spec, **masks)
        return y, keep(self, (y,), cache)

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (B, H, W, C) -> dx (B, H, W, C)."""
        dx, *gradients = dispatch.window_attention_backward(dy, kept_for(self, dy, cache))
        self.accumulate(self.names, gradients)
        return dx

    def probabilities(self, x: Array) -> tuple[Array, tuple[int, int]]:
        """The probability with which each query attends to each key, without dropout.

        Args:
            x: (B, H, W, C).

        Returns:
            (B, nW, h, N, N) and the rows and columns of windows, whose product is nW.
        """
        check_input(self, x, self.dim, rank=4)
        qkv_weight, qkv_bias, _, _, table = self.select(self.names)
        height, width = x.shape[1:3]
        windows, _ = dispatch.window_partition_forward(x, self.window_size, self.shift_size)
        qkv, _ = dispatch.linear_forward(windows, qkv_weight, qkv_bias)
        bias = None if table is None else dispatch.position_bias_forward(table, self.window_size)[0]
        mask = None
        if self.shift_size:
            dtype = "float64" if x.dtype == np.float64 else "float32"
            mask = shift_mask(height, width, self.window_size, self.shift_size, self.mask_value, dtype)
            mask = to_device_of(mask, x)
        probabilities = dispatch.attention_probabilities(qkv, bias, mask, self.num_heads)
        padded_height, padded_width = padded_size(height, width, self.window_size)
        grid = (padded_height // self.window_size, padded_width // self.window_size)
        return probabilities.reshape(len(x), -1, *probabilities.shape[1:]), grid
