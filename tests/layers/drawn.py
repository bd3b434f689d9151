"""Layers with drawn parameters, one of each kind."""

import numpy as np

from npswin import layers
from tests.ops.drawn import normal


def draw_params(layer, seed):
    """Draw every parameter with standard deviation 1/2, so that no bias is zero and no term vanishes."""
    rng = np.random.default_rng(seed)
    for value in layer.params.values():
        value[...] = 0.5 * rng.standard_normal(value.shape)
    return layer


def make(name, dtype="float64", **more):
    """A layer of this kind, one of LAYERS, and an input for it."""
    rng = np.random.default_rng(0)
    made = {
        "linear": lambda: (layers.Linear(4, 3, rng, dtype=dtype), (2, 5, 4)),
        "layer_norm": lambda: (layers.LayerNorm(4, dtype), (2, 5, 4)),
        "batch_norm": lambda: (layers.BatchNorm2d(4, dtype, frozen=True), (2, 3, 5, 4)),
        "mlp": lambda: (layers.Mlp(4, 6, rng, dtype=dtype, **more), (2, 5, 4)),
        "window_attention": lambda: (
            layers.WindowAttention(4, 2, 3, rng, shift_size=1, dtype=dtype, **more),
            (2, 5, 4, 4),
        ),
        "swin_transformer_block": lambda: (
            layers.SwinTransformerBlock(4, 2, 3, rng, shift_size=1, dtype=dtype, **more),
            (2, 5, 4, 4),
        ),
        "patch_embed": lambda: (layers.PatchEmbed(2, 3, 4, rng, dtype=dtype), (2, 3, 5, 4)),
        "patch_merging": lambda: (layers.PatchMerging(4, rng, dtype=dtype), (2, 5, 4, 4)),
        "mean_pool": lambda: (layers.MeanPool(), (2, 5, 4, 4)),
        "position_embed": lambda: (
            layers.PositionEmbed(4, (2, 3), rng, **{"drop": 0.0, **more}, dtype=dtype),
            (2, 5, 4, 4),
        ),
    }
    layer, shape = made[name]()
    return draw_params(layer, 1), normal(2, *shape).astype(dtype)


LAYERS = [
    "linear",
    "layer_norm",
    "batch_norm",
    "mlp",
    "window_attention",
    "swin_transformer_block",
    "patch_embed",
    "patch_merging",
    "mean_pool",
    "position_embed",
]
