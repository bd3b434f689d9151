"""torchvision's RoI heads with the conventions of mmdetection, which npswin follows."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import box_iou, roi_align

from benchmarks.peers.matcher import MaxIoUMatcher

BOX_SIZE, MASK_SIZE = 7, 14  # bins a side; a mask has twice as many pixels


class AlignedRoIPool(torch.nn.Module):
    """RoIAlign with aligned=True and as many points as a bin has pixels, each RoI on the map that fits its size.

    Args:
        size: bins a side.
        strides: pixels of the image a pixel of each map.
    """

    def __init__(self, size: int, strides: Sequence[int]) -> None:
        super().__init__()
        self.size, self.strides = size, tuple(strides)

    def forward(self, maps: Mapping[str, torch.Tensor], boxes: list[torch.Tensor], image_shapes: Any) -> torch.Tensor:
        """Features (R, C, size, size) of boxes (Rᵢ, 4) of each image."""
        images = torch.cat([torch.full((len(one), 1), float(i), dtype=one.dtype) for i, one in enumerate(boxes)])
        rois = torch.cat([images, torch.cat(boxes)], dim=1)
        side = (rois[:, 3:] - rois[:, 1:3]).clamp(min=0).prod(dim=1).sqrt()
        levels = torch.log2(side / (14 * self.strides[0]) + 1e-6).floor().clamp(0, len(self.strides) - 1)
        finest = next(iter(maps.values()))
        pooled = finest.new_zeros(len(rois), finest.shape[1], self.size, self.size)
        for level, (x, stride) in enumerate(zip(maps.values(), self.strides, strict=False)):
            chosen = torch.where(levels == level)[0]
            pooled[chosen] = roi_align(x, rois[chosen], self.size, 1 / stride, sampling_ratio=0, aligned=True)
        return pooled


class MmdetectionHeads(RoIHeads):
    """Inference is torchvision's; samples and losses are mmdetection's.

    - Proposals get their true box before the true boxes are added to them; a true box also gets the proposals that
      overlap it most, if by at least 0.5.
    - The box loss is L1; masks to learn from are rounded to 0 or 1.

    Class 0 is the background, as everywhere in torchvision.

    Args:
        config: of an `npswin.MaskRCNN`.
        strides: pixels of the image a pixel of each map of the pyramid but the last.
    """

    def __init__(self, config: Mapping[str, Any], strides: Sequence[int]) -> None:
        channels, width, classes = config["channels"], config["width"], config["num_classes"] + 1
        mask_parts = {}
        if config["masks"]:
            mask_parts = {
                "mask_roi_pool": AlignedRoIPool(MASK_SIZE, strides),
                "mask_head": MaskRCNNHeads(channels, [channels] * 4, 1),
                "mask_predictor": MaskRCNNPredictor(channels, channels, classes),
            }
        super().__init__(
            AlignedRoIPool(BOX_SIZE, strides),
            TwoMLPHead(channels * BOX_SIZE**2, width),
            FastRCNNPredictor(width, classes),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=config["roi_samples"],
            positive_fraction=0.25,
            bbox_reg_weights=(10.0, 10.0, 5.0, 5.0),
            score_thresh=config["score_threshold"],
            nms_thresh=0.5,
            detections_per_img=config["detections"],
            **mask_parts,
        )
        self.proposal_matcher = MaxIoUMatcher(0.5, 0.5, least=0.5)

    def select_training_samples(self, proposals: Any, targets: Any) -> Any:
        """For each image: sampled boxes, which true box each has, their labels, and deltas to the true boxes."""
        candidates, assigned, labels = [], [], []
        for boxes, target in zip(proposals, targets, strict=True):
            true_boxes = target["boxes"]
            matches = self.proposal_matcher.assign(box_iou(true_boxes, boxes))
            matches = torch.cat([torch.arange(len(true_boxes)), matches])
            candidates.append(torch.cat([true_boxes, boxes]))
            assigned.append(matches)
            classes = torch.cat([target["labels"], torch.zeros(1, dtype=torch.int64)])  # the last one: the background
            labels.append(classes[matches])
        chosen = self.subsample(labels)
        candidates, assigned, labels = (
            [one[places] for one, places in zip(per_image, chosen, strict=True)]
            for per_image in (candidates, assigned, labels)
        )
        matched = [
            target["boxes"][matches.clamp(min=0)] if len(target["boxes"]) else torch.zeros_like(boxes)
            for target, matches, boxes in zip(targets, assigned, candidates, strict=True)
        ]
        return candidates, assigned, labels, self.box_coder.encode(matched, candidates)

    def forward(self, features: Any, proposals: Any, image_shapes: Any, targets: Any = None) -> Any:
        """In training nothing and the losses; else what is found in each image, and no losses."""
        if not self.training:
            return super().forward(features, proposals, image_shapes)
        rois, assigned, labels, deltas = self.select_training_samples(proposals, targets)
        logits, regression = self.box_predictor(self.box_head(self.box_roi_pool(features, rois, image_shapes)))
        all_labels = torch.cat(labels)
        positive = torch.where(all_labels > 0)[0]
        chosen = regression.reshape(len(regression), -1, 4)[positive, all_labels[positive]]
        box_loss = functional.l1_loss(chosen, torch.cat(deltas)[positive], reduction="sum") / len(all_labels)
        losses = {"loss_cls": functional.cross_entropy(logits, all_labels), "loss_bbox": box_loss}
        if self.has_mask():
            of_images = [torch.where(one > 0)[0] for one in labels]
            boxes = [one[places] for one, places in zip(rois, of_images, strict=True)]
            features = self.mask_head(self.mask_roi_pool(features, boxes, image_shapes))
            mask_logits = self.mask_predictor(features)[torch.arange(len(positive)), all_labels[positive]]
            masks = [
                _mask_targets(target, one, matches[places])
                for target, one, matches, places in zip(targets, boxes, assigned, of_images, strict=True)
            ]
            cross_entropy = functional.binary_cross_entropy_with_logits
            losses["loss_mask"] = cross_entropy(mask_logits, torch.cat(masks)) if len(positive) else mask_logits.sum()
        return [], losses


def _mask_targets(target: Mapping[str, Any], boxes: torch.Tensor, matches: torch.Tensor) -> torch.Tensor:
    """(n, 28, 28), the part of each box that is its object."""
    height, width = target["size"]
    corners = torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height, width, height]))
    rois, masks = torch.cat([matches[:, None].to(boxes.dtype), corners], dim=1), target["masks"][:, None]
    size = 2 * MASK_SIZE
    return (roi_align(masks.to(boxes.dtype), rois, size, 1.0, sampling_ratio=0, aligned=True)[:, 0] >= 0.5).to(
        boxes.dtype
    )
