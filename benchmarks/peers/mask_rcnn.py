"""torchvision's Mask R-CNN on transformers' Swin, with the conventions of mmdetection, which npswin follows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool
from transformers import SwinBackbone

from benchmarks.peers.region_proposals import MmdetectionProposals
from benchmarks.peers.roi_heads import MmdetectionHeads
from benchmarks.peers.swin import dense_swin_config


class SwinPyramid(torch.nn.Module):
    """Images -> Swin, with a norm on each stage's map -> the maps of the pyramid, the finest first."""

    def __init__(self, config: Mapping[str, Any], attention: str) -> None:
        super().__init__()
        self.body = SwinBackbone(dense_swin_config(config["backbone"], attention))
        self.fpn = FeaturePyramidNetwork(self.body.channels, config["channels"], LastLevelMaxPool())

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Maps (B, C, Hᵢ, Wᵢ) of images (B, c, H, W)."""
        return self.fpn({str(level): x for level, x in enumerate(self.body(images).feature_maps)})


class TorchvisionMaskRCNN(torch.nn.Module):
    """The model of a configuration of `npswin.MaskRCNN`, with fresh weights. Without masks it is Faster R-CNN.

    Images come normalized and padded, as npswin's do, so torchvision's transform has no part in it.

    Args:
        config: as `MaskRCNN.config` has it.
        attention: transformers' name of an implementation.
    """

    def __init__(self, config: Mapping[str, Any], attention: str = "sdpa") -> None:
        super().__init__()
        stages = len(config["backbone"]["depths"])
        strides = [config["backbone"]["patch_size"] * 2**level for level in range(stages + 1)]
        self.backbone = SwinPyramid(config, attention)
        self.rpn = MmdetectionProposals(config, strides)
        self.roi_heads = MmdetectionHeads(config, strides[:-1])
        self.to(getattr(torch, config["dtype"]))

    def forward(self, images: torch.Tensor, sizes: Any, targets: Sequence[Mapping[str, Any]] | None = None) -> Any:
        """In training the losses by npswin's names, else "boxes", "scores", "labels" and "masks" of each image.

        Args:
            images: (B, c, H, W).
            sizes: (B, 2), height and width of each image without its padding.
            targets: in training, from `as_targets`.
        """
        listed = ImageList(images, [(int(height), int(width)) for height, width in sizes])
        maps = self.backbone(images)
        proposals, rpn_losses = self.rpn(listed, maps, targets)
        found, losses = self.roi_heads(maps, proposals, listed.image_sizes, targets)
        if not self.training:
            return found
        return {
            "loss_rpn_cls": rpn_losses["loss_objectness"],
            "loss_rpn_bbox": rpn_losses["loss_rpn_box_reg"],
            **losses,
        }


def as_targets(objects: Sequence[Any], sizes: Any, dtype: torch.dtype) -> list[dict[str, Any]]:
    """What the model is trained on, from the objects of an `npswin.data.DetectionSample` for each image.

    Crowds are left out, and classes begin at 1, after the background.
    """
    targets = []
    for one, size in zip(objects, sizes, strict=True):
        counted = np.flatnonzero(~one.crowd)
        targets.append(
            {
                "boxes": torch.from_numpy(one.boxes[counted]).to(dtype),
                "labels": torch.from_numpy(one.labels[counted]) + 1,
                "masks": None if one.masks is None else torch.from_numpy(one.masks[counted]),
                "size": (int(size[0]), int(size[1])),
            }
        )
    return targets
