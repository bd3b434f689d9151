"""Right calls of the tasks of training, and which values are right for them.

By name of the function: what `Example` takes (`example.py`).
"""

from typing import Any

from npswin.data import (
    SCENE_THINGS,
    DetectionDataset,
    SegmentationDataset,
    load_detection_scenes,
    load_segmentation_scenes,
)
from npswin.models import MaskRCNN, UPerNet
from tests.tools.misuse_examples.dense_models import BACKBONE
from tests.tools.misuse_examples.samples import IMAGE_SIZE, SIDE, scene
from tests.tools.misuse_values import FLAG, FUNCTION, array, instance, integer, listed, number, numbers, optional


def small_segmenter() -> UPerNet:
    """Of the classes of `scenes`."""
    return UPerNet(12, BACKBONE, channels=4, auxiliary_channels=0, pool_scales=(1,))


def small_detector() -> MaskRCNN:
    """Of the objects of `scenes`."""
    return MaskRCNN(len(SCENE_THINGS), BACKBONE, channels=4, width=4, proposals_a_level=(5, 5), detections=3)


def _fit(given: dict[str, Any]) -> bool:
    return given["shorter"] <= given["longer"]


def _sides_fit(given: dict[str, Any]) -> bool:
    return max(*given["shorter_sides"], given["test_shorter"]) <= given["longer"]


_COUNT = integer(1, 2**31 - 1)
_IMAGE = array("u", lambda a: a.dtype == "uint8" and a.ndim == 3 and len(a) == 3 and a.size > 0)
_LENGTHS = {
    "shorter": integer(1, 64),  # of which `longer` is more
    "longer": integer(16, 16384),
}
_PREDICTION = {"mean": (0.5,) * 3, "std": (0.2,) * 3, "shorter": 16, "longer": 64}

TASK_EXAMPLES: dict[str, tuple[Any, ...]] = {
    "SegmentationTask.__init__": (
        lambda: {"crop_size": (64, 48), "shorter": 64, "longer": 256, "ratios": (0.5, 2.0), "largest_share": 0.75},
        {
            "crop_size": IMAGE_SIZE,
            "shorter": SIDE,
            "longer": SIDE,
            "ratios": numbers(2, lambda value: 0 < value <= 100, increasing=True),
            "largest_share": number(lambda value: 0 < value <= 1),
            "flip": FLAG,
            "colours": FLAG,
        },
        {},
        _fit,
    ),
    "evaluate_segmentation": (
        lambda: {
            "model": small_segmenter(),
            "dataset": load_segmentation_scenes(train=False, size=32, count=1),
            **_PREDICTION,
        },
        {
            "model": instance(UPerNet),
            "dataset": instance(SegmentationDataset),
            "each_image": optional(FUNCTION),
            **_LENGTHS,
        },
    ),
    "predict_segmentation": (
        lambda: {"model": small_segmenter(), "image": scene().image, **_PREDICTION},
        {"model": instance(UPerNet), "image": _IMAGE, **_LENGTHS},
    ),
    "DetectionTask.__init__": (
        lambda: {
            "shorter_sides": (32, 48),
            "longer": 128,
            "test_shorter": 64,
            "crop_size": (32, 32),
            "max_detections": 100,
        },
        {
            "shorter_sides": listed(SIDE, at_least=1),
            "longer": SIDE,
            "test_shorter": SIDE,
            "crop_size": optional(IMAGE_SIZE),
            "flip": FLAG,
            "masks": FLAG,
            "max_detections": _COUNT,
        },
        {},
        _sides_fit,
    ),
    "evaluate_detection": (
        lambda: {
            "model": small_detector(),
            "dataset": load_detection_scenes(train=False, size=32, count=1),
            **_PREDICTION,
            "masks": False,
            "max_detections": 100,
        },
        {
            "model": instance(MaskRCNN),
            "dataset": instance(DetectionDataset),
            "masks": FLAG,
            "each_image": optional(FUNCTION),
            "max_detections": _COUNT,
            **_LENGTHS,
        },
    ),
    "predict_detections": (
        lambda: {"model": small_detector(), "image": scene().image, **_PREDICTION, "masks": True},
        {"model": instance(MaskRCNN), "image": _IMAGE, "masks": FLAG, **_LENGTHS},
    ),
}
