"""The mistakes that the port can make on purpose."""

from dataclasses import dataclass
from typing import Any

FORWARD = {
    "bgr": "the input's channels are reversed",
    "image-layout": "the pixels' memory is read as (H, W, c)",
    "image-upside-down": "the image's rows are counted from below",
    "normalization": "mean 0.5 and deviation 0.5 for each channel",
    "image-caffe": "BGR, from 0 to 255, the mean subtracted, nothing divided",
    "image-unit-bgr": "BGR from 0 to 1",
    "image-minus-one-to-one": "pixels from -1 to 1",
    "image-half-bgr": "BGR, mean and deviation 0.5",
    "image-clip": "OpenCLIP's mean and deviation",
    "image-no-deviation": "the mean is subtracted, nothing more",
    "image-not-scaled": "pixels from 0 to 255",
    "image-gray": "a gray image",
    "image-own-statistics": "each image's own mean and deviation",
    "image-mirrored": "the image's columns are counted from the right",
    "patch-channels-last": "the patch kernel's memory is read as (C, p, p, c)",
    "patch-rows-columns": "the patch kernel's rows and columns are exchanged",
    "patch-kernel-flipped": "the patch kernel is flipped in both directions",
    "patch-crop": "pixels that fill no patch are left out",
    "patch-pad-before": "the image is padded at the top and the left",
    "patch-pad-edge": "the image's edge is repeated in the padding",
    "patch-pad-mirrored": "the image is mirrored in the padding",
    "patch-pad-more": "an image of whole patches is padded by one more",
    "patch-bias-missing": "the patch embedding has no bias",
    "norm-eps": "LayerNorm with another epsilon",
    "norm-unbiased": "LayerNorm divides the squares by C - 1",
    "norm-over-tokens": "LayerNorm's mean and variance are taken over the map, for each channel",
    "norm-eps-outside": "LayerNorm divides by the deviation + eps",
    "norm-of-squares": "LayerNorm subtracts no mean",
    "norm-gain-missing": "LayerNorm does not multiply by its weight",
    "other-parameters": "a block's norms take each other's parameters",
    "norm-bias-missing": "LayerNorm does not add its bias",
    "pad-after-shift": "the map is rolled first and padded then, on the way back cropped first and rolled then",
    "pad-before-norm": "the map is padded before the norm, whose bias then stands in the padding",
    "pad-other-side": "the map is padded at the top and the left, and cropped there",
    "pad-amount": "rows, or columns, that are whole windows get one window more",
    "pad-missing": "rows and columns that fill no window are left out, and are zero when the map is put together",
    "pad-rows-alone": "columns that fill no window are left out, rows are padded",
    "pad-mirrored": "the map is mirrored in the padding",
    "pad-around": "the map begins again in the padding",
    "pad-both-sides": "half of the padding is at the top and the left, and is cropped there",
    "pad-value": "the map's edge is repeated in the padding",
    "crop-elsewhere": "the map is taken from the bottom and the right of the padded one",
    "crop-memory": "the first tokens in the padded map's memory are taken as the map",
    "roll-direction": "the map is rolled down and right, and back up and left",
    "roll-missing": "the map is not rolled, neither there nor back; the mask stays",
    "roll-one-axis": "only rows, or only columns, are rolled, there and back",
    "roll-back-missing": "the map is not rolled back",
    "roll-back-direction": "the map is rolled up and left a second time instead of back",
    "roll-back-size": "the map is rolled back by another number of rows and columns",
    "shift-size": "shifted by another number of rows and columns: roll, mask and way back",
    "shift-where-none": "a block is shifted, and masked, that should not be",
    "windows-columns-first": "a window's tokens are counted column by column, there and back",
    "cut-columns-first": "a window's tokens are counted column by column when it is cut",
    "windows-turned": "windows are counted column by column, there and back",
    "join-columns-first": "a window's tokens are counted column by column when the map is put together",
    "qkv-order": "q, k and v are taken in another order",
    "qkv-per-head": "qkv's columns are taken as (head, q|k|v, d)",
    "scale-missing": "q is not scaled",
    "scale-twice": "q is scaled twice",
    "scale-by-width": "q is scaled by the root of all channels, not of a head's",
    "keys-scaled": "k is scaled as q is",
    "scores-transposed": "the scores are k qᵀ",
    "bias-xy": "the relative position's rows and columns are exchanged",
    "bias-sign": "the relative position is key - query",
    "bias-table-transposed": "the bias table's memory is read as (heads, positions)",
    "bias-heads-positions": "the bias (N, N, heads) is reshaped to (heads, N, N), not permuted",
    "bias-missing": "no relative position bias",
    "bias-before-scale": "the relative position bias is scaled as q is",
    "mask-missing": "a shifted block without a mask",
    "mask-transposed": "the mask is that of a map with height and width exchanged",
    "mask-unpadded": "the mask's regions are numbered on the map before padding",
    "mask-bands": "the mask's last region is of M - shift rows and columns",
    "mask-rows-alone": "the mask's counter goes up after each row of regions alone",
    "mask-columns-alone": "the mask's counter begins at 0 in each row of regions",
    "mask-two-slices": "the last of the mask's three slices is forgotten",
    "mask-sum-of-bands": "the mask's regions are numbered row + column",
    "mask-slices-exchanged": "window_size and shift_size are exchanged in the mask's slices",
    "mask-of-square": "the mask is that of a square map",
    "mask-rolled": "the mask's regions are rolled as the map is",
    "mask-one-direction": "only positive differences of the regions' numbers are masked",
    "mask-last-for-all": "the last window's mask for all windows",
    "mask-inverted": "neighbours are masked",
    "mask-other-corner": "the mask's slices are counted from the map's start",
    "mask-padding-apart": "the mask's padding is a region, and the regions are those of the map before padding",
    "mask-padding-too": "keys in the padding are masked as well",
    "mask-multiplied": "scores are multiplied by the mask",
    "mask-subtracted": "the mask is subtracted",
    "mask-after-softmax": "masked probabilities are set to 0, and the others stay as they are",
    "mask-first-image": "only the first image is masked",
    "mask-first-head": "only the first head is masked",
    "mask-not-for-heads": "masks are repeated over windows and heads, not for each head",
    "mask-other-window": "window i of the batch takes mask i // B, not i modulo the windows",
    "mask-value": "masked pairs get another number",
    "mask-before-scale": "the mask is scaled as q is",
    "mask-on-unshifted": "a block that is not shifted has a mask",
    "softmax-over-queries": "softmax over the queries",
    "probabilities-transposed": "the values are mixed by the transposed probabilities",
    "heads-not-merged": "heads and tokens are not transposed before the heads are merged",
    "weight-transposed": "a linear weight's memory is read as (in, out)",
    "linear-bias-missing": "a linear layer does not add its bias",
    "blocks-input": "the second sum of a block takes the block's input for its shortcut",
    "residual-missing": "a sum lacks its shortcut",
    "branch-missing": "a sum lacks its branch",
    "residual-after-norm": "the shortcut begins after the norm",
    "drop-path": "whole branches are dropped, as in training",
    "gelu-tanh": "GELU's approximation with tanh",
    "gelu-sigmoid": "GELU's approximation x sigmoid(1.702 x)",
    "gelu-erf": "GELU with a rational approximation of erf, right to 1.5e-7",
    "gelu-relu": "ReLU instead of GELU",
    "gelu-silu": "SiLU instead of GELU",
    "merge-order": "patch merging takes the four neighbours in another order",
    "merge-crop": "patch merging leaves out the last row or column of an odd map",
    "merge-pad-before": "patch merging pads an odd map at the top and the left",
    "merge-pad-edge": "patch merging repeats the edge of an odd map",
    "merge-pad-mirrored": "patch merging mirrors an odd map",
    "merge-pad-around": "patch merging pads an odd map with its first row and column",
    "norm-after-reduction": "patch merging reduces first and normalizes then",
    "merge-bias": "patch merging's reduction has a bias",
    "pool-before-norm": "the mean over the map comes before the last norm",
    "pool-first": "the first token is taken for the pool",
    "pool-sum": "the pool is a sum",
    "loss-sum": "the loss is the batch's sum",
    "never-written": "a tensor is 0, and so is what it does to those that follow",
    "dropout": "dropout, as in training",
    "factor": "all of a tensor is multiplied",
}

BACKWARD = {
    "shortcut-gradient": "an addition passes nothing back through its shortcut",
    "softmax-sum": "softmax's derivative lacks the sum over the keys",
    "norm-direct": "LayerNorm's derivative lacks the direct term",
    "norm-mean": "LayerNorm's derivative lacks the mean's term",
    "norm-variance": "LayerNorm's derivative lacks the variance's term",
    "gelu-density": "GELU's derivative lacks the density's term",
    "bias-overwritten": "the bias table's gradient is assigned pair after pair, not summed",
    "bias-windows": "the bias' gradient is not summed over all windows and images",
    "averaged-twice": "the loss' gradient is divided by the batch twice",
    "shift-not-undone": "the roll's derivative is not rolled back",
    "weight-gradient-transposed": "a linear weight's gradient is written as (in, out)",
    "padding-gradient": "the padding's derivative takes the first tokens in memory instead of cropping",
    "scale-gradient": "the scale passes the gradient on as it is",
    "linear-gradient": "a linear layer's input gradient is made with the weight's memory read as (in, out)",
    "bias-gradient-averaged": "a linear bias' gradient is the mean over the rows, not their sum",
    "product-gradient": "the derivative by k is dS q, that by v is P do: without their transposes",
    "pool-gradient": "the mean's derivative is not divided",
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
            merge-order: the neighbours' order, a permutation of 0..3; merge-bias: seed of the bias; roll-one-axis: 1 or
            2, the map's axis; roll-back-size: rows and columns; qkv-order: the parts taken as q, k, v; mask-value and
            factor: the number; dropout: (rate, seed); bias-windows: one of backward.REDUCTIONS. Else None.
    """

    id: str
    place: str
    detail: Any = None

    def __post_init__(self) -> None:
        if self.id not in MISTAKES:
            raise ValueError(f"id: got {self.id!r}, expected one of {', '.join(MISTAKES)}")
