"""The heads of dense models as transformers and torchvision name them, and torchvision's place of the background.

mmsegmentation and mmdetection name heads officially. torchvision's background is the first class and has box deltas and
a mask, which nothing reads; officially it is the last class, without these. The other differences of its Mask R-CNN are
no weights: it rounds anchors to whole pixels, and its RoIAlign is not aligned.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from npswin.types import Array
from npswin.weights.layout_renames import Rule, official_name

_BOX, _OFFICIAL_BOX = r"roi_heads\.box_head\.", "roi_head.bbox_head."
_MASK, _OFFICIAL_MASK = r"roi_heads\.mask_head\.", "roi_head.mask_head."

_TRANSFORMERS: list[Rule] = [
    (r"((?:decode|auxiliary)_head\..+)\.batch_norm\.(.+)", r"\1.bn.\2"),
    (r"((?:decode|auxiliary)_head)\.classifier\.(.+)", r"\1.conv_seg.\2"),
]
# Where torchvision had other names before 0.13, both.
_TORCHVISION: list[Rule] = [
    (r"backbone\.fpn\.inner_blocks\.(\d+)\.(?:0\.)?(weight|bias)", r"neck.lateral_convs.\1.conv.\2"),
    (r"backbone\.fpn\.layer_blocks\.(\d+)\.(?:0\.)?(weight|bias)", r"neck.fpn_convs.\1.conv.\2"),
    (r"rpn\.head\.conv\.(?:0\.0\.)?(weight|bias)", r"rpn_head.rpn_conv.\1"),
    (r"rpn\.head\.cls_logits\.(.+)", r"rpn_head.rpn_cls.\1"),
    (r"rpn\.head\.bbox_pred\.(.+)", r"rpn_head.rpn_reg.\1"),
    (_BOX + r"fc6\.(.+)", _OFFICIAL_BOX + r"shared_fcs.0.\1"),
    (_BOX + r"fc7\.(.+)", _OFFICIAL_BOX + r"shared_fcs.1.\1"),
    (_BOX + r"(\d+)\.0\.(.+)", _OFFICIAL_BOX + r"shared_convs.\1.conv.\2"),
    (_BOX + r"(\d+)\.1\.(.+)", _OFFICIAL_BOX + r"shared_convs.\1.bn.\2"),
    (r"roi_heads\.box_predictor\.cls_score\.(.+)", _OFFICIAL_BOX + r"fc_cls.\1"),
    (r"roi_heads\.box_predictor\.bbox_pred\.(.+)", _OFFICIAL_BOX + r"fc_reg.\1"),
    (_MASK + r"(\d+)\.0\.(.+)", _OFFICIAL_MASK + r"convs.\1.conv.\2"),
    (_MASK + r"mask_fcn(\d+)\.(.+)", lambda m: f"{_OFFICIAL_MASK}convs.{int(m[1]) - 1}.conv.{m[2]}"),
    (r"roi_heads\.mask_predictor\.conv5_mask\.(.+)", _OFFICIAL_MASK + r"upsample.\1"),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits\.(.+)", _OFFICIAL_MASK + r"conv_logits.\1"),
    (r"backbone\.fpn\.(.+)", r"neck.\1"),  # what has no official name: another kind of neck, ...
    (r"rpn\.(.+)", r"rpn_head.\1"),
    (r"roi_heads\.(.+)", r"roi_head.\1"),
]
_LINEAR = re.compile(_BOX + r"(\d+)\.(?:weight|bias)")


def head_names(names: Iterable[str]) -> dict[str, str]:
    """Names of parts beside a backbone -> their official names; others stay as they are.

    A box head of convolutions and linear layers is one list in torchvision: n convolutions, the flattening, then linear
    layers with ReLUs between them. So the first linear layer is the one of the smallest number.
    """
    names = list(names)
    linears = [int(match[1]) for name in names if (match := _LINEAR.fullmatch(name))]
    first = min(linears, default=0)
    linear: Rule = (
        _BOX + r"(\d+)\.(weight|bias)",
        lambda m: f"{_OFFICIAL_BOX}shared_fcs.{(int(m[1]) - first) // 2}.{m[2]}",
    )
    return {name: official_name(name, [*_TRANSFORMERS, linear, *_TORCHVISION]) for name in names}


def convert_heads(tensors: Mapping[str, Array], names: Mapping[str, str]) -> dict[str, Array]:
    """Tensors of parts beside a backbone by official name, the background last, and without it where nothing reads it.

    Args:
        tensors: by key.
        names: the official name of each key that is converted.

    Raises:
        ValueError: two tensors would get the same name, or one of torchvision's has no axis of classes.
    """
    official: dict[str, Array] = {}
    keys: dict[str, str] = {}
    for key, name in names.items():
        if name in official:
            raise ValueError(f"both {keys[name]} and {key} are {name}")
        official[name], keys[name] = _background_last(key, tensors[key]), key
    return official


def _background_last(key: str, tensor: Array) -> Array:
    match = re.search(r"(?:^|\.)roi_heads\.(?:box|mask)_predictor\.(cls_score|bbox_pred|mask_fcn_logits)\.", key)
    if not match:
        return tensor
    if not tensor.ndim:
        raise ValueError(f"{key}: got shape (), expected an axis of classes")
    if match[1] == "cls_score":
        return np.concatenate([tensor[1:], tensor[:1]])
    return tensor[4:] if match[1] == "bbox_pred" else tensor[1:]
