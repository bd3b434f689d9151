"""The layers: parameters, forward and backward pass, in terms of the ops in `npswin.ops`."""

from npswin.layers.batch_norm import BatchNorm2d
from npswin.layers.block import SwinTransformerBlock
from npswin.layers.layer import Layer
from npswin.layers.layer_norm import LayerNorm
from npswin.layers.linear import Linear
from npswin.layers.mlp import Mlp
from npswin.layers.patch_embed import PatchEmbed
from npswin.layers.patch_merging import PatchMerging
from npswin.layers.pool import MeanPool
from npswin.layers.position_embed import PositionEmbed
from npswin.layers.window_attention import WindowAttention

__all__ = [
    "BatchNorm2d",
    "Layer",
    "LayerNorm",
    "Linear",
    "MeanPool",
    "Mlp",
    "PatchEmbed",
    "PatchMerging",
    "PositionEmbed",
    "SwinTransformerBlock",
    "WindowAttention",
]
