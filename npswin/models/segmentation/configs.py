"""The named configurations of UPerNet: the official ones of the dense-prediction code, and a small one."""

from typing import Any


def _upernet(embed_dim: int, depths: tuple[int, ...], num_heads: tuple[int, ...], **more: Any) -> dict[str, Any]:
    backbone = {"embed_dim": embed_dim, "depths": depths, "num_heads": num_heads, "drop_path_rate": 0.3}
    return {"num_classes": 150, "backbone": backbone, **more}


UPERNET_CONFIGS: dict[str, dict[str, Any]] = {
    "upernet_swin_tiny": _upernet(96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "upernet_swin_small": _upernet(96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "upernet_swin_base": _upernet(128, (2, 2, 18, 2), (4, 8, 16, 32)),
    "upernet_swin_nano": {
        "num_classes": 10,
        "backbone": {
            "embed_dim": 32,
            "depths": (2, 2, 2, 2),
            "num_heads": (1, 2, 4, 8),
            "drop_path_rate": 0.0,
        },
        "channels": 96,
        "auxiliary_channels": 32,
    },
}
