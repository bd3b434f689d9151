"""Cascade Mask R-CNN (Cai, Vasconcelos 2018, "Cascade R-CNN: Delving into High Quality Object Detection") on Swin."""

from collections.abc import Mapping, Sequence
from typing import Any

from npswin.checks import check_choice, check_flag
from npswin.detection.anchors import SCALE
from npswin.models.detection.parts import build_parts, checked_arguments
from npswin.models.detection.samples import RPNRule, StageRule
from npswin.models.detection.two_stage import TwoStageDetector

BOX_HEADS = ("linear", "convolutional")
RPN_BOX_LOSSES = ("l1", "smooth_l1")
_OWN = ("box_head", "rpn_box_loss", "anchors_inside")  # arguments that `MaskRCNN` does not have
# Of each stage (section 4.3): the threshold of IoU, the deviations of the deltas, the weight of the losses.
STAGES = (
    (0.5, (0.1, 0.1, 0.2, 0.2), 1.0),
    (0.6, (0.05, 0.05, 0.1, 0.1), 0.5),
    (0.7, (0.033, 0.033, 0.067, 0.067), 0.25),
)


class CascadeMaskRCNN(TwoStageDetector):
    """A two-stage detector with three stages of RoI heads, each of which begins with the boxes of the one before it.

    It is called as `MaskRCNN` is. With `box_head="convolutional"`, as in the official Swin models, a box head is four
    convolutions with batch norm and a linear layer, has deltas for each class, and learns by the GIoU of the decoded
    box, with weight 10. With "linear", as in the paper, it is two linear layers, has the same deltas for all classes,
    and learns by the smooth L1 loss of the deltas.

    The region proposal network is trained as in the official cascades, which differs from the official Mask R-CNN: by
    the smooth L1 loss of the deltas, on anchors that lie within the image, and with 2000 proposals for the next stage.

    Args:
        num_classes: K.
        backbone: arguments of `SwinTransformer` that differ from its defaults; its images' size is left open.
        box_head: "convolutional" or "linear".
        channels, width, anchor_scale, rpn_samples, roi_samples, proposals_a_level, proposals, score_threshold,
        detections, masks, dtype, seed: as in `MaskRCNN`.
        rpn_box_loss: of the region proposal network's deltas, "l1" or "smooth_l1", which is linear beyond 1/9.
        anchors_inside: whether the region proposal network is trained on those anchors alone that lie within the
            image. Small images need an `anchor_scale` for which some do; without any, it does not learn.

    Raises:
        ValueError: an argument that does not fit, named.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: Mapping[str, Any] | None = None,
        box_head: str = "convolutional",
        channels: int = 256,
        width: int = 1024,
        anchor_scale: float = SCALE,
        rpn_samples: int = 256,
        roi_samples: int = 512,
        proposals_a_level: Sequence[int] = (2000, 1000),
        proposals: int | Sequence[int] = (2000, 1000),
        score_threshold: float = 0.05,
        detections: int = 100,
        masks: bool = True,
        dtype: str = "float32",
        seed: int = 0,
        rpn_box_loss: str = "smooth_l1",
        anchors_inside: bool = True,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__", *_OWN)}
        config = {
            "architecture": "cascade_mask_rcnn",
            "box_head": check_choice("box_head", box_head, BOX_HEADS),
            "rpn_box_loss": check_choice("rpn_box_loss", rpn_box_loss, RPN_BOX_LOSSES),
            "anchors_inside": check_flag("anchors_inside", anchors_inside),
            **checked_arguments(arguments),
        }
        convolutional = box_head == "convolutional"
        loss, loss_weight = ("giou", 10.0) if convolutional else ("smooth_l1", 1.0)
        rules = [
            StageRule(threshold, deviations, weight, loss, loss_weight, low_quality=False)
            for threshold, deviations, weight in STAGES
        ]
        rpn_rule = RPNRule(config["rpn_box_loss"], config["anchors_inside"])
        parts = build_parts(config, rpn_rule, rules, convs=4 if convolutional else 0, class_agnostic=not convolutional)
        super().__init__(config, *parts)
