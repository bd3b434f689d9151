"""torchvision's region proposal network with the conventions of mmdetection, which npswin follows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import box_iou

from benchmarks.peers.matcher import MaxIoUMatcher

RATIOS = (0.5, 1.0, 2.0)  # of anchors


class GridAnchors(torch.nn.Module):
    """Anchors around the upper left pixel of each place of a map; torchvision rounds them to whole pixels.

    Args:
        strides: pixels of the image a pixel of each map.
        scale: side of a square anchor, in strides.
    """

    def __init__(self, strides: Sequence[int], scale: float) -> None:
        super().__init__()
        self.strides, self.scale = tuple(strides), scale

    def forward(self, images: Any, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """The anchors (N, 4) of all maps (B, C, Hᵢ, Wᵢ), for each image of an `ImageList`."""
        dtype, roots = maps[0].dtype, torch.tensor(RATIOS, dtype=torch.float64).sqrt()
        corners = self.scale / 2 * torch.stack([-1 / roots, -roots, 1 / roots, roots], dim=1)
        anchors = []
        for x, stride in zip(maps, self.strides, strict=True):
            rows, columns = (torch.arange(side) * stride for side in x.shape[2:])
            i, j = torch.meshgrid(rows, columns, indexing="ij")
            places = torch.stack([j, i, j, i], dim=-1).reshape(-1, 1, 4)
            anchors.append((places + stride * corners).to(dtype).reshape(-1, 4))
        return [torch.cat(anchors)] * len(images.image_sizes)


class MmdetectionProposals(RegionProposalNetwork):
    """Its proposals are torchvision's; what it is trained on and the losses are mmdetection's.

    - A true box gets the anchors that fit it best only if by an IoU of at least 0.3.
    - Anchors whose place is beside the image, padded to whole pixels of the coarsest map of the backbone, take no part.
    - The box loss is L1; both losses are divided by the number of samples, of which an image counts at least one
      positive and one negative.

    Args:
        config: of an `npswin.MaskRCNN`.
        strides: pixels of the image a pixel of each map of the pyramid.
    """

    def __init__(self, config: Mapping[str, Any], strides: Sequence[int]) -> None:
        in_training, in_inference = config["proposals_a_level"]
        after_training, after_inference = np.broadcast_to(config["proposals"], 2).tolist()
        super().__init__(
            GridAnchors(strides, config["anchor_scale"]),
            RPNHead(config["channels"], len(RATIOS)),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=config["rpn_samples"],
            positive_fraction=0.5,
            pre_nms_top_n={"training": in_training, "testing": in_inference},
            post_nms_top_n={"training": after_training, "testing": after_inference},
            nms_thresh=0.7,
        )
        self.proposal_matcher = MaxIoUMatcher(0.7, 0.3, least=0.3)
        self.min_size = 1e-9  # pixels: boxes of any size but 0
        self.coarsest = strides[-2]

    def assign_targets_to_anchors(self, anchors: Any, targets: Any) -> Any:
        """For each image 1, 0 or -1 for positive, negative and ignored anchors, and the box of each."""
        labels, boxes = [], []
        for of_image, target in zip(anchors, targets, strict=True):
            assigned = torch.full((len(of_image),), self.proposal_matcher.BETWEEN_THRESHOLDS)
            height, width = (-(-side // self.coarsest) * self.coarsest for side in target["size"])
            x, y = ((of_image[:, :2] + of_image[:, 2:]) / 2).round().unbind(1)
            valid = torch.where((x < width) & (y < height))[0]
            true_boxes = target["boxes"]
            assigned[valid] = self.proposal_matcher.assign(box_iou(true_boxes, of_image[valid]))
            label = torch.where(assigned >= 0, 1.0, 0.0).to(of_image.dtype)
            label[assigned == self.proposal_matcher.BETWEEN_THRESHOLDS] = -1
            labels.append(label)
            boxes.append(true_boxes[assigned.clamp(min=0)] if len(true_boxes) else torch.zeros_like(of_image))
        return labels, boxes

    def compute_loss(self, objectness: Any, pred_bbox_deltas: Any, labels: Any, regression_targets: Any) -> Any:
        """The losses of objectness and of deltas."""
        per_image = self.fg_bg_sampler(labels)
        divisor = sum(max(int(mask.sum()), 1) for masks in per_image for mask in masks)
        positive, negative = (torch.where(torch.cat(masks))[0] for masks in per_image)
        sampled = torch.cat([positive, negative])
        cls_loss = functional.binary_cross_entropy_with_logits(
            objectness.flatten()[sampled], torch.cat(labels)[sampled], reduction="sum"
        )
        targets = torch.cat(regression_targets)[positive]
        box_loss = functional.l1_loss(pred_bbox_deltas[positive], targets, reduction="sum")
        return cls_loss / divisor, box_loss / divisor
