"""The named configurations of detectors: the official ones (section 4.2 of Liu et al. 2021) and a small one.

Of Mask R-CNN those on Swin-T and Swin-S are official, of Cascade Mask R-CNN those on Swin-T, Swin-S and Swin-B.
`mask_rcnn_swin_base` is Mask R-CNN on the backbone of the latter; the paper and the official code do not have it.
The rates of drop path are those of the schedule of 36 epochs (3x).
"""

from typing import Any

COCO_CLASSES = 80


def _official(embed_dim: int, blocks: int, first_heads: int, drop_path_rate: float) -> dict[str, Any]:
    """A detector on the backbone with so many blocks in the third stage."""
    return {
        "num_classes": COCO_CLASSES,
        "backbone": {
            "embed_dim": embed_dim,
            "depths": (2, 2, blocks, 2),
            "num_heads": tuple(first_heads * 2**stage for stage in range(4)),
            "drop_path_rate": drop_path_rate,
        },
    }


_BACKBONES = {
    "tiny": _official(96, 6, 3, 0.2),
    "small": _official(96, 18, 3, 0.2),
    "base": _official(128, 18, 4, 0.3),
}
# For images of some hundred pixels a side, and a CPU.
_NANO: dict[str, Any] = {
    "num_classes": 10,
    "backbone": {
        "embed_dim": 32,
        "depths": (2, 2, 2, 2),
        "num_heads": (1, 2, 4, 8),
        "window_size": 4,
        "drop_path_rate": 0.0,
    },
    "channels": 64,
    "width": 128,
    "anchor_scale": 4.0,
    "rpn_samples": 64,
    "roi_samples": 64,
    "proposals_a_level": (200, 100),
    "proposals": 100,
    "detections": 20,
}

MASK_RCNN_CONFIGS: dict[str, dict[str, Any]] = {
    **{f"mask_rcnn_swin_{size}": config for size, config in _BACKBONES.items()},
    "mask_rcnn_swin_nano": _NANO,
}
CASCADE_MASK_RCNN_CONFIGS: dict[str, dict[str, Any]] = {
    f"cascade_mask_rcnn_swin_{size}": config for size, config in _BACKBONES.items()
}
