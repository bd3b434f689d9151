"""Derivatives as sums of terms, for backward passes that are written by hand.

A derivative such as that of a norm is a sum of a few products of tensors that the operation knows. A wrong one mostly
is another such sum: a term is missing, doubled, unscaled, or made from another tensor. For each operation the terms
that are likely are listed here; which of them make a port's gradient is found by `npswin.verify.fits.combination`.
"""

from collections.abc import Mapping

from npswin.verify.mistakes.terms.derivative import Derivative
from npswin.verify.mistakes.terms.functions import GELU, SOFTMAX
from npswin.verify.mistakes.terms.loss import CROSS_ENTROPY
from npswin.verify.mistakes.terms.norm import NORM
from npswin.verify.mistakes.terms.products import LINEAR, MIX, PATCH_EMBED, SCORES
from npswin.verify.mistakes.terms.sums import (
    ADD_BIAS,
    ADD_MASK,
    PAD,
    PATCH_CONCAT,
    POOL,
    POSITION_BIAS,
    RESIDUAL,
    SCALE,
)

DERIVATIVES: Mapping[str, Mapping[int, Derivative]] = {
    "layer_norm": NORM,
    "softmax": SOFTMAX,
    "gelu": GELU,
    "linear": LINEAR,
    "scale": SCALE,
    "scores": SCORES,
    "mix": MIX,
    "add_bias": ADD_BIAS,
    "add_mask": ADD_MASK,
    "position_bias": POSITION_BIAS,
    "mean_pool": POOL,
    "pad": PAD,
    "patch_embed": PATCH_EMBED,
    "residual": RESIDUAL,
    "patch_concat": PATCH_CONCAT,
    "cross_entropy": CROSS_ENTROPY,
}

__all__ = ["DERIVATIVES", "Derivative"]
