"""Mask R-CNN (He et al. 2017) on Swin, as the official dense-prediction code has it."""

from collections.abc import Mapping, Sequence
from typing import Any

from npswin.detection.anchors import SCALE
from npswin.models.detection.parts import build_parts, checked_arguments
from npswin.models.detection.samples import RPNRule, StageRule
from npswin.models.detection.two_stage import TwoStageDetector

RPN_RULE = RPNRule(box_loss="l1", anchors_inside=False)
RULE = StageRule(
    iou_threshold=0.5,
    deviations=(0.1, 0.1, 0.2, 0.2),
    loss_weight=1.0,
    box_loss="l1",
    box_loss_weight=1.0,
    low_quality=True,
)


class MaskRCNN(TwoStageDetector):
    """A two-stage detector whose RoI heads are a box head of two linear layers, and a mask head.

        found = model(images, sizes)                                        inference: `DetectorOutput` of each image

        losses, cache = model.loss_forward(images, sizes, objects, rng)     a step of training
        model.zero_grad()
        model.loss_backward(cache)                                          adds to model.grads

    Args:
        num_classes: K.
        backbone: arguments of `SwinTransformer` that differ from its defaults; its images' size is left open.
        channels: of the pyramid and of the convolutions of all heads.
        width: of the box head's linear layers.
        anchor_scale: side of a square anchor, in strides of its map: with patches of 4 pixels, and 8 as in the official
            models, 32 to 512 pixels. Smaller objects need a smaller scale, or larger images.
        rpn_samples: anchors of an image on which the region proposal network is trained.
        roi_samples: proposals of an image on which the box head is trained.
        proposals_a_level: the best of each level of the pyramid, before non-maximum suppression, in training and in
            inference.
        proposals: of an image, at most; or two numbers, for training and for inference.
        score_threshold: above which a box counts as found.
        detections: of an image, at most.
        masks: whether masks are found as well; without, it is Faster R-CNN (Ren et al. 2015), or Cascade R-CNN.
        dtype: "float32" to work, "float64" to verify.
        seed: of the initial weights, and of what `loss_forward` draws when it is given no generator.

    Raises:
        ValueError: an argument that does not fit, named.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: Mapping[str, Any] | None = None,
        channels: int = 256,
        width: int = 1024,
        anchor_scale: float = SCALE,
        rpn_samples: int = 256,
        roi_samples: int = 512,
        proposals_a_level: Sequence[int] = (2000, 1000),
        proposals: int | Sequence[int] = 1000,
        score_threshold: float = 0.05,
        detections: int = 100,
        masks: bool = True,
        dtype: str = "float32",
        seed: int = 0,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        config = {"architecture": "mask_rcnn", **checked_arguments(arguments)}
        super().__init__(config, *build_parts(config, RPN_RULE, [RULE], convs=0, class_agnostic=False))
