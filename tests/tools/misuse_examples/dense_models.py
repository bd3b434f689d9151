"""Right calls of the dense models, and which values are right for their arguments.

By name of the function: what `Example` takes (`example.py`).
"""

from typing import Any

import numpy as np

from npswin.data import DetectionSample
from npswin.models import CascadeMaskRCNN, MaskRCNN, UPerNet
from tests.tools.misuse_values import (
    FLAG,
    GENERATOR,
    RATE,
    Kind,
    array,
    choice,
    either,
    instance,
    integer,
    like,
    listed,
    number,
    optional,
)

BACKBONE = {"embed_dim": 4, "depths": (1, 1), "num_heads": (1, 1), "window_size": 2, "patch_size": 2}
_SIZE = integer(1, 2**31 - 1)
_SEGMENTER = {
    "num_classes": 3,
    "backbone": BACKBONE,
    "channels": 4,
    "auxiliary_channels": 3,
    "pool_scales": (1, 2),
    "seed": 1,
}
_DETECTOR = {
    "num_classes": 3,
    "backbone": BACKBONE,
    "channels": 4,
    "width": 5,
    "rpn_samples": 6,
    "roi_samples": 4,
    "proposals_a_level": (5, 4),
    "proposals": 5,
    "anchor_scale": 4.0,
    "score_threshold": 0.05,
    "detections": 3,
    "seed": 1,
}


def _are_images(a: np.ndarray) -> bool:
    return a.dtype == np.float32 and a.ndim == 4 and a.shape[1] == 3 and a.size > 0 and bool(np.isfinite(a).all())


def _of_length(length: int, kind: Kind) -> Kind:
    several = listed(kind)
    return several._replace(accepts=lambda value: several.accepts(value) and len(value) == length)


def images() -> np.ndarray:
    """Two images."""
    return np.random.default_rng(3).standard_normal((2, 3, 8, 8)).astype(np.float32)


def labels() -> np.ndarray:
    """A class for each of their pixels, some of which are ignored."""
    drawn = np.random.default_rng(4).integers(0, 3, (2, 8, 8))
    drawn[0, 0] = 255
    return drawn


def objects() -> list[DetectionSample]:
    """An object in each of them."""
    masks = np.zeros((1, 8, 8), bool)
    masks[:, 1:7, 2:7] = True
    box = np.array([[2.0, 1, 7, 7]])
    return [DetectionSample(np.zeros((3, 8, 8), np.uint8), box, np.array([1]), masks, np.array([False]))] * 2


def rng() -> np.random.Generator:
    """A new generator."""
    return np.random.default_rng(5)


_IMAGES = array("f", _are_images)
_LABELS = array("iu", lambda a: a.ndim == 3 and a.dtype.isnative and bool(np.isin(a, (0, 1, 2, 255)).all()))
_SIZES = array("iu", lambda a: a.ndim == 2 and a.shape[1] == 2 and bool((a >= 1).all()), lists=True)
_RNG = optional(GENERATOR)
_SCALE = number(lambda value: value == 0 or 1e-45 < abs(value) < 3.4e38)  # in float32


def _can_be_trained_on(given: Any) -> bool:
    """Batch norm needs two pixels of the pyramid's map with one for each image."""
    return len(given["images"]) > 1


def _labels_fit(given: Any) -> bool:
    images, labels = given["images"], given["labels"]
    return _can_be_trained_on(given) and bool(labels.shape == (len(images), *images.shape[2:]))


def _sizes_fit(given: Any) -> bool:
    images, sizes = given["images"], given["sizes"]
    return sizes is None or (len(sizes) == len(images) and bool((sizes <= images.shape[2:]).all()))


def _objects_fit(given: Any) -> bool:
    """Masks are 8 by 8."""
    images, sizes = given["images"], given["sizes"]
    own = np.array([images.shape[2:]] * len(images)) if sizes is None else sizes
    return _sizes_fit(given) and len(given["objects"]) == len(images) and bool((own == 8).all())


def _segmenter() -> dict[str, Any]:
    return {"self": UPerNet(**_SEGMENTER), "images": images()}


def _segmenter_backward() -> dict[str, Any]:
    model = UPerNet(**_SEGMENTER)
    logits, cache = model.forward(images(), rng())
    return {"self": model, "dlogits": [np.cos(one) for one in logits], "cache": cache}


def _segmenter_loss_backward() -> dict[str, Any]:
    model = UPerNet(**_SEGMENTER)
    return {"self": model, "cache": model.loss_forward(images(), labels(), rng())[1], "scale": 2.0}


def _detector(kind: type, **more: Any) -> dict[str, Any]:
    return {"self": kind(**_DETECTOR), "images": images(), "sizes": np.array([[8, 8], [8, 8]]), **more}


def _detector_loss_backward(kind: type) -> dict[str, Any]:
    model = kind(**_DETECTOR)
    return {"self": model, "cache": model.loss_forward(images(), None, objects(), rng())[1], "scale": 2.0}


def _detector_methods(kind: type) -> dict[str, tuple[Any, ...]]:
    kinds = {"images": _IMAGES, "sizes": optional(_SIZES)}
    detect: tuple[Any, ...] = (lambda: _detector(kind), kinds, {}, _sizes_fit)
    return {
        f"{kind.__name__}.__call__": detect,
        f"{kind.__name__}.detect": detect,
        f"{kind.__name__}.loss_forward": (
            lambda: _detector(kind, objects=objects(), rng=rng()),
            {**kinds, "objects": listed(instance(DetectionSample)), "rng": _RNG},
            {},
            _objects_fit,
        ),
        f"{kind.__name__}.loss_backward": (lambda: _detector_loss_backward(kind), {"scale": _SCALE}),
        f"{kind.__name__}.save": (lambda: {"self": kind(**_DETECTOR), "path": "detector.safetensors"},),
    }


_BACKBONE = Kind(lambda value: value is None or (isinstance(value, dict) and not value))
_DETECTOR_KINDS = {
    **dict.fromkeys(("channels", "width", "rpn_samples", "roi_samples", "detections"), _SIZE),
    "backbone": _BACKBONE,
    "proposals_a_level": _of_length(2, _SIZE),
    "proposals": either(_SIZE, _of_length(2, _SIZE)),
    "anchor_scale": number(lambda value: 0 < value <= 1000),
    "score_threshold": RATE,
    "masks": FLAG,
}
MODEL_EXAMPLES: dict[str, tuple[Any, ...]] = {
    "UPerNet.__init__": (
        lambda: dict(_SEGMENTER),
        {
            "backbone": _BACKBONE,
            "channels": _SIZE,
            "auxiliary_channels": integer(0, 2**31 - 1),
            "auxiliary_weight": number(lambda value: value == 0 or 1e-45 < value < 3.4e38),
            "pool_scales": listed(_SIZE, at_least=1),
            "dropout": RATE,
        },
    ),
    "UPerNet.__call__": (_segmenter, {"images": _IMAGES}),
    "UPerNet.forward": (
        lambda: {**_segmenter(), "rng": rng()},
        {"images": _IMAGES, "rng": _RNG},
        {},
        _can_be_trained_on,
    ),
    "UPerNet.backward": (
        _segmenter_backward,
        {"dlogits": _of_length(2, like(np.ones((2, 4, 4, 3), np.float32)))},
    ),
    "UPerNet.loss_forward": (
        lambda: {**_segmenter(), "labels": labels(), "rng": rng()},
        {"images": _IMAGES, "labels": _LABELS, "rng": _RNG},
        {},
        _labels_fit,
    ),
    "UPerNet.loss_backward": (_segmenter_loss_backward, {"scale": _SCALE}),
    "UPerNet.save": (lambda: {"self": UPerNet(**_SEGMENTER), "path": "segmenter.safetensors"},),
    "MaskRCNN.__init__": (lambda: {**_DETECTOR, "masks": False}, _DETECTOR_KINDS),
    "CascadeMaskRCNN.__init__": (
        lambda: {
            **_DETECTOR,
            "box_head": "linear",
            "masks": False,
            "proposals": (5, 4),
            "rpn_box_loss": "l1",
            "anchors_inside": True,
        },
        {
            **_DETECTOR_KINDS,
            "box_head": choice("convolutional", "linear"),
            "rpn_box_loss": choice("l1", "smooth_l1"),
            "anchors_inside": FLAG,
        },
    ),
    **_detector_methods(MaskRCNN),
    **_detector_methods(CascadeMaskRCNN),
}
