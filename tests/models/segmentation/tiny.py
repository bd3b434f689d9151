"""A segmenter small enough to check every derivative of, and images with labels for it."""

import numpy as np

from npswin.models.segmentation import UPerNet

BACKBONE = {
    "patch_size": 2,
    "embed_dim": 4,
    "depths": (1, 2, 1, 1),
    "num_heads": (1, 1, 1, 1),
    "window_size": 3,
    "mlp_ratio": 1.0,
    "drop_path_rate": 0.2,
}
SIZE = (33, 26)


def tiny(**more):
    """A UPerNet in float64, with weights for which every term counts."""
    sizes = {"num_classes": 3, "backbone": BACKBONE, "channels": 3, "auxiliary_channels": 2, "pool_scales": (1, 3)}
    model = UPerNet(**{**sizes, "dtype": "float64", **more})
    rng = np.random.default_rng(3)
    for name, value in model.params.items():
        drawn = rng.standard_normal(value.shape)
        is_gain = name.endswith("weight") and value.ndim == 1
        value[...] = 1 + 0.3 * drawn if is_gain else drawn / np.sqrt(max(value[0].size, 1))
    return model


def images(batch=2):
    """Drawn images (batch, 3, H, W)."""
    return np.random.default_rng(1).standard_normal((batch, 3, *SIZE))


def labels(batch=2, classes=3):
    """Drawn labels (batch, H, W), of which some are ignored."""
    drawn = np.random.default_rng(2).integers(0, classes + 1, (batch, *SIZE))
    drawn[drawn == classes] = 255
    return drawn
