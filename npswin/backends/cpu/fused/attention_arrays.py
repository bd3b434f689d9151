"""What the kernels of attention in all precisions read and write."""

from typing import NamedTuple

from npswin.types import Array


class BranchWeights(NamedTuple):
    """All parameters, flat; the norm's, and the bias as `expand_bias_table` has it, are empty where there are none."""

    norm_weight: Array
    norm_bias: Array
    qkv_weight: Array
    qkv_bias: Array
    proj_weight: Array
    proj_bias: Array
    bias: Array


class BranchTransposes(NamedTuple):
    """The transposes of the weights, as `transposed_panels` or `rounded_transpose` makes them."""

    qkv: Array
    proj: Array


class BranchMaps(NamedTuple):
    """y = shortcut + s · attention(x), flat; s is one number an image or a single one.

    In the backward pass y is dx, and shortcut is dy, or zeros where there is no residual connection.
    """

    x: Array
    shortcut: Array
    y: Array
    image_scales: Array


class BranchSaved(NamedTuple):
    """What the forward pass saves for the backward pass; empty in inference.

    Attributes:
        stats: (tiles, 2, tile) mean and 1/√(σ² + eps) of each token.
        qkv: (tiles, 3hd, tile) q, k and v in lanes.
    """

    stats: Array
    qkv: Array


class BranchSums(NamedTuple):
    """Sums of gradients that are not yet added up.

    Attributes:
        by_tile: (tiles, 3C + 3hd) dnorm_weight, dnorm_bias, dproj_bias, dqkv_bias.
        dbias: (parts, numbers of the bias as it is laid out).
    """

    by_tile: Array
    dbias: Array


class BranchOwnSums(NamedTuple):
    """The weights' gradients, summed by each part for itself: (parts, rows · C) each, or empty."""

    dqkv_weight: Array
    dproj_transposed: Array
