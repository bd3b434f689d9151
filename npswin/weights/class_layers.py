"""The layers of a model whose outputs are of classes: what does not fit a model of other classes."""

import math
import re
from collections.abc import Iterable, Mapping

import numpy as np

from npswin.types import Array

# With the deviation of their initial weights, where it does not follow from their shape.
_LAYERS: tuple[tuple[re.Pattern[str], float | None], ...] = tuple(
    (re.compile(rf"{layer}\.(?:weight|bias)"), deviation)
    for layer, deviation in (
        (r"head", 0.02),
        (r"(?:decode|auxiliary)_head\.conv_seg", 0.01),
        (r"roi_head\.bbox_head\.(?:\d+\.)?fc_cls", 0.01),
        (r"roi_head\.bbox_head\.(?:\d+\.)?fc_reg", 0.001),
        (r"roi_head\.mask_head\.(?:\d+\.)?conv_logits", None),
    )
)


def class_layers(names: Iterable[str]) -> list[str]:
    """Those of the names that are weights and biases of such layers."""
    return [name for name in names if any(pattern.fullmatch(name) for pattern, _ in _LAYERS)]


def draw_class_layers(params: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """New values of a model's such layers, as it begins with: normally distributed weights, biases of zero.

    Args:
        params: of the model, by official name.
        rng: draws the weights.
    """
    return {name: _drawn(name, params[name], rng) for name in class_layers(params)}


def _drawn(name: str, param: Array, rng: np.random.Generator) -> Array:
    if name.endswith(".bias"):
        return np.zeros(param.shape, param.dtype)
    deviation = next(deviation for pattern, deviation in _LAYERS if pattern.fullmatch(name))
    if deviation is None:
        deviation = math.sqrt(2 / len(param))  # a convolution 1×1 of so many outputs (He et al. 2015, equation 14)
    return rng.normal(0, deviation, param.shape).astype(param.dtype)
