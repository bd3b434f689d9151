"""The parts of a two-stage detector, from its arguments."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from npswin.checks import check_flag, check_number, check_size, shown
from npswin.models.backbone import SwinBackbone
from npswin.models.detection.box_head import BoxHead
from npswin.models.detection.fpn import FPN
from npswin.models.detection.mask_head import MaskHead
from npswin.models.detection.roi_head import RoIHead
from npswin.models.detection.roi_stage import BOX_SIZE, RoIStage
from npswin.models.detection.rpn_head import RPNHead
from npswin.models.detection.samples import RPNRule, StageRule
from npswin.models.swin import backbone_arguments

_SIZES = ("num_classes", "channels", "width", "rpn_samples", "roi_samples", "detections")
MASK_CONVS = 4
LARGEST_SCALE = 1000  # of anchors, in strides


def checked_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `MaskRCNN` as JSON can hold them.

    Raises:
        ValueError: the first argument that does not fit, named.
    """
    backbone = backbone_arguments(arguments["backbone"], arguments["dtype"], arguments["seed"])
    config = {**arguments, "backbone": backbone, "dtype": backbone["dtype"], "seed": backbone["seed"]}
    for name in _SIZES:
        config[name] = check_size(name, config[name])
    config["anchor_scale"] = check_number("anchor_scale", config["anchor_scale"], above=0, at_most=LARGEST_SCALE)
    config["masks"] = check_flag("masks", config["masks"])
    config["proposals_a_level"] = _two_sizes("proposals_a_level", arguments["proposals_a_level"])
    proposals = arguments["proposals"]
    is_number = not isinstance(proposals, list | tuple)
    config["proposals"] = check_size("proposals", proposals) if is_number else _two_sizes("proposals", proposals)
    config["score_threshold"] = check_number("score_threshold", config["score_threshold"], at_least=0, below=1)
    return config


def _two_sizes(name: str, sizes: Any) -> list[int]:
    if not isinstance(sizes, list | tuple) or len(sizes) != 2:
        raise ValueError(f"{name}: got {shown(sizes)}, expected two sizes, for training and for inference")
    return [check_size(f"{name}[{place}]", size) for place, size in enumerate(sizes)]


def build_parts(
    config: Mapping[str, Any], rpn_rule: RPNRule, rules: Sequence[StageRule], convs: int, class_agnostic: bool
) -> tuple[SwinBackbone, FPN, RPNHead, RoIHead]:
    """Backbone, neck, region proposal network and RoI head, with fresh weights.

    Args:
        config: from `checked_arguments`.
        rpn_rule: of the region proposal network.
        rules: of each stage of the RoI head.
        convs: of each box head; it has two linear layers where there are none, or else one.
        class_agnostic: whether a box has the same deltas for all classes.
    """
    rng = np.random.default_rng([config["seed"], 0])
    channels, num_classes, dtype = config["channels"], config["num_classes"], config["dtype"]
    backbone = SwinBackbone(config["backbone"], rng, stage_norms=True)
    stages = len(backbone.channels)
    strides = [config["backbone"]["patch_size"] * 2**level for level in range(stages + 1)]
    neck = FPN(backbone.channels, channels, rng, dtype)
    rpn_head = RPNHead(channels, strides, config["rpn_samples"], rpn_rule, rng, dtype, config["anchor_scale"])
    heads = []
    for rule in rules:
        linears, width = 1 if convs else 2, config["width"]
        box_head = BoxHead(channels, BOX_SIZE, num_classes, convs, linears, width, class_agnostic, rng, dtype)
        mask_head = MaskHead(channels, num_classes, MASK_CONVS, rng, dtype) if config["masks"] else None
        heads.append(RoIStage(box_head, mask_head, rule, strides[:-1], config["roi_samples"]))
    return backbone, neck, rpn_head, RoIHead(heads)
