"""transformers' UPerNet on Swin."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import UperNetConfig, UperNetForSemanticSegmentation

from benchmarks.peers.swin import dense_swin_config

IGNORED = 255


def build_upernet(config: Mapping[str, Any], attention: str = "sdpa") -> UperNetForSemanticSegmentation:
    """The model of a configuration of `npswin.UPerNet`, with fresh weights.

    transformers has no dropout before the classifiers; npswin and mmsegmentation have, so it is added.

    Args:
        config: as `UPerNet.config` has it.
        attention: transformers' name of an implementation.
    """
    peer = UperNetForSemanticSegmentation(
        UperNetConfig(
            backbone_config=dense_swin_config(config["backbone"], attention),
            hidden_size=config["channels"],
            pool_scales=list(config["pool_scales"]),
            use_auxiliary_head=config["auxiliary_channels"] > 0,
            auxiliary_channels=config["auxiliary_channels"],
            auxiliary_in_channels=None,  # those of the last stage but one
            auxiliary_loss_weight=config["auxiliary_weight"],
            loss_ignore_index=IGNORED,
            num_labels=config["num_classes"],
        )
    )
    if rate := config["dropout"]:
        for head in filter(None, (peer.decode_head, peer.auxiliary_head)):
            head.classifier.register_forward_pre_hook(
                lambda layer, inputs: torch.nn.functional.dropout2d(inputs[0], rate, layer.training)
            )
    return peer.to(getattr(torch, config["dtype"]))


def segment(peer: UperNetForSemanticSegmentation, images: torch.Tensor) -> torch.Tensor:
    """Logits (B, K, H, W) in inference, where the auxiliary head is of no use."""
    with torch.inference_mode():
        logits = peer.decode_head(peer.backbone(images).feature_maps)
        return torch.nn.functional.interpolate(logits, size=images.shape[2:], mode="bilinear", align_corners=False)
