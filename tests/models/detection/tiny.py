"""Detectors small enough to check every derivative of, and images with objects for them."""

from types import SimpleNamespace

import numpy as np

from npswin.models.detection import CascadeMaskRCNN, MaskRCNN

BACKBONE = {
    "patch_size": 2,
    "embed_dim": 4,
    "depths": (1, 1, 1, 1),
    "num_heads": (1, 1, 1, 1),
    "window_size": 3,
    "mlp_ratio": 1.0,
    "drop_path_rate": 0.2,
}
SIZES = np.array([[26, 34], [33, 21]])
KINDS = {
    "mask_rcnn": (MaskRCNN, {}),
    "cascade": (CascadeMaskRCNN, {}),
    "cascade of linear heads": (CascadeMaskRCNN, {"box_head": "linear"}),
}


def tiny(kind, **more):
    """A detector in float64, of one of KINDS, with weights for which every term counts."""
    cls, arguments = KINDS[kind]
    limits = {"rpn_samples": 12, "roi_samples": 8, "proposals_a_level": (20, 15), "proposals": 20, "detections": 10}
    sizes = {"num_classes": 3, "backbone": BACKBONE, "channels": 3, "width": 5}
    model = cls(**{**sizes, **limits, **arguments, "dtype": "float64", **more})
    rng = np.random.default_rng(3)
    for name, value in model.params.items():
        drawn = rng.standard_normal(value.shape)
        if value.ndim == 1:
            value[...] = 0.1 * drawn + ("norm" in name or ".bn." in name) * name.endswith("weight")
        elif not name.startswith("backbone"):
            value[...] = drawn * (0.3 if "reg" in name else 1.2) / np.sqrt(value[0].size)
        else:
            value[...] = 0.5 * drawn
    return model


def images(batch=2):
    """Drawn images (batch, 3, 33, 34)."""
    return np.random.default_rng(1).standard_normal((batch, 3, *SIZES.max(axis=0)))


def objects(counts=(2, 1), classes=3, sizes=SIZES, seed=2):
    """So many objects in each image, each an ellipse in its box."""
    return [
        drawn_objects(np.random.default_rng([seed, image]), count, classes, size)
        for image, (count, size) in enumerate(zip(counts, sizes.tolist(), strict=True))
    ]


def drawn_objects(rng, count, classes, size):
    """Objects of an image of this height and width."""
    height, width = size
    sides = rng.uniform(0.3, 0.6, (count, 2)) * (width, height)
    corners = rng.uniform(0, 1, (count, 2)) * ((width, height) - sides)
    boxes = np.concatenate([corners, corners + sides], axis=1)
    y, x = np.mgrid[:height, :width] + 0.5
    centres = corners + sides / 2
    masks = [
        (2 * (x - cx) / w) ** 2 + (2 * (y - cy) / h) ** 2 < 1 for (cx, cy), (w, h) in zip(centres, sides, strict=True)
    ]
    return SimpleNamespace(
        boxes=boxes,
        labels=rng.integers(0, classes, count),
        masks=np.array(masks, bool).reshape(count, height, width),
        crowd=np.zeros(count, bool),
    )
