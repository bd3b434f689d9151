"""The mistakes that the port can make on purpose."""

from dataclasses import dataclass
from typing import Any

FORWARD = {
    "bgr": "the input's channels are reversed",
    "normalization": "mean 0.5 and deviation 0.5 for each channel",
    "patch-channels-last": "the patch kernel's memory is read as (C, p, p, c)",
    "patch-rows-columns": "the patch kernel's rows and columns are exchanged",
    "norm-eps": "LayerNorm with another epsilon",
    "norm-unbiased": "LayerNorm divides the squares by C - 1",
    "norm-over-tokens": "LayerNorm's mean and variance are taken over the map, for each channel",
    "pad-after-shift": "the map is rolled first and padded then, on the way back cropped first and rolled then",
    "pad-before-norm": "the map is padded before the norm, whose bias then stands in the padding",
    "roll-direction": "the map is rolled down and right, and back up and left",
    "roll-back-missing": "the map is not rolled back",
    "roll-back-direction": "the map is rolled up and left a second time instead of back",
    "shift-size": "shifted by another number of rows and columns: roll, mask and way back",
    "shift-where-none": "a block is shifted, and masked, that should not be",
    "qkv-per-head": "qkv's columns are taken as (head, q|k|v, d)",
    "scale-missing": "q is not scaled",
    "scale-twice": "q is scaled twice",
    "scale-by-width": "q is scaled by the root of all channels, not of a head's",
    "bias-xy": "the relative position's rows and columns are exchanged",
    "bias-sign": "the relative position is key - query",
    "bias-table-transposed": "the bias table's memory is read as (heads, positions)",
    "bias-heads-positions": "the bias (N, N, heads) is reshaped to (heads, N, N), not permuted",
    "bias-missing": "no relative position bias",
    "mask-missing": "a shifted block without a mask",
    "mask-transposed": "the mask is that of a map with height and width exchanged",
    "mask-unpadded": "the mask's regions are numbered on the map before padding",
    "mask-bands": "the mask's last region is of M - shift rows and columns",
    "mask-before-scale": "the mask is scaled as q is",
    "mask-on-unshifted": "a block that is not shifted has a mask",
    "softmax-over-queries": "softmax over the queries",
    "heads-not-merged": "heads and tokens are not transposed before the heads are merged",
    "weight-transposed": "a linear weight's memory is read as (in, out)",
    "residual-after-norm": "the shortcut begins after the norm",
    "drop-path": "whole branches are dropped, as in training",
    "gelu-tanh": "GELU's approximation with tanh",
    "gelu-sigmoid": "GELU's approximation x sigmoid(1.702 x)",
    "merge-order": "patch merging takes the four neighbours in another order",
    "norm-after-reduction": "patch merging reduces first and normalizes then",
    "merge-bias": "patch merging's reduction has a bias",
    "pool-before-norm": "the mean over the map comes before the last norm",
}

BACKWARD = {
    "shortcut-gradient": "an addition passes nothing back through its shortcut",
    "softmax-sum": "softmax's derivative lacks the sum over the keys",
    "norm-direct": "LayerNorm's derivative lacks the direct term",
    "norm-mean": "LayerNorm's derivative lacks the mean's term",
    "norm-variance": "LayerNorm's derivative lacks the variance's term",
    "gelu-density": "GELU's derivative lacks the density's term",
    "bias-overwritten": "the bias table's gradient is assigned pair after pair, not summed",
    "averaged-twice": "the loss' gradient is divided by the batch twice",
    "shift-not-undone": "the roll's derivative is not rolled back",
    "weight-gradient-transposed": "a linear weight's gradient is written as (in, out)",
    "padding-gradient": "the padding's derivative takes the first tokens in memory instead of cropping",
}

MISTAKES = FORWARD | BACKWARD


@dataclass(frozen=True)
class Planted:
    """A mistake and where it is made.

    Attributes:
        id: one of MISTAKES.
        place: the first tensor that is wrong, in the order of the right computation; "grad/NAME" for backward ones.
        detail: what was drawn for this mistake:
            norm-eps: epsilon; shift-size: rows and columns; drop-path: (rate, seed of which images are dropped);
            merge-order: the neighbours' order, a permutation of 0..3; merge-bias: seed of the bias. Else None.
    """

    id: str
    place: str
    detail: Any = None

    def __post_init__(self) -> None:
        if self.id not in MISTAKES:
            raise ValueError(f"id: got {self.id!r}, expected one of {', '.join(MISTAKES)}")
