"""Right calls of the tasks of training, and which values are right for them.

By name of the function: what `Example` takes in `misuse_examples.py`.
"""

from typing import Any

from npswin.data import SegmentationDataset, load_segmentation_scenes
from npswin.models.segmentation import UPerNet
from tests.tools.misuse_samples import IMAGE_SIZE, SIDE
from tests.tools.misuse_values import FLAG, FUNCTION, instance, integer, number, numbers, optional


def small_segmenter() -> UPerNet:
    """Of the classes of `scenes`."""
    backbone = {"embed_dim": 4, "depths": (1, 1), "num_heads": (1, 1), "window_size": 4, "patch_size": 4}
    return UPerNet(12, backbone, channels=4, auxiliary_channels=0, pool_scales=(1,))


def _fit(given: dict[str, Any]) -> bool:
    return given["shorter"] <= given["longer"]


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
            "mean": (0.5,) * 3,
            "std": (0.2,) * 3,
            "shorter": 16,
            "longer": 64,
        },
        {
            "model": instance(UPerNet),
            "dataset": instance(SegmentationDataset),
            "shorter": integer(1, 64),  # of which `longer` is more
            "longer": integer(16, 16384),
            "each_image": optional(FUNCTION),
        },
    ),
}
