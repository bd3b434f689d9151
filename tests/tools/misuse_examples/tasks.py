"""Right calls of the tasks of training and of prediction, and which values are right for them.

By name of the function: what `Example` takes (`example.py`).
"""

import contextlib
import io
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from npswin.data import (
    SCENE_THINGS,
    DetectionDataset,
    SegmentationDataset,
    load_detection_scenes,
    load_segmentation_scenes,
)
from npswin.models import MaskRCNN, SwinTransformer, UPerNet
from npswin.training import Run, load_run
from tests.tools.misuse_examples.dense_models import BACKBONE
from tests.tools.misuse_examples.samples import IMAGE_SIZE, SIDE, scene
from tests.tools.misuse_values import (
    FLAG,
    FUNCTION,
    PATH,
    Kind,
    array,
    choice,
    instance,
    integer,
    listed,
    number,
    numbers,
    optional,
)
from tests.training.tiny import tiny_model, tiny_trainer


def small_segmenter() -> UPerNet:
    """Of the classes of `scenes`."""
    return UPerNet(12, BACKBONE, channels=4, auxiliary_channels=0, pool_scales=(1,))


def small_detector() -> MaskRCNN:
    """Of the objects of `scenes`."""
    return MaskRCNN(len(SCENE_THINGS), BACKBONE, channels=4, width=4, proposals_a_level=(5, 5), detections=3)


@cache
def _files_of_a_run() -> dict[str, bytes]:
    """Of a classifier."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        with mock.patch("npswin.training.trainer.draw_curves"):
            tiny_trainer(folder, epochs=1, ema_decay=None).fit()
        return {name: (Path(folder) / name).read_bytes() for name in ("config.json", "best.safetensors")}


def run_folder() -> str:
    """That run, in a new current folder, so that what a call writes is not there yet."""
    here = Path.cwd()
    os.chdir(tempfile.mkdtemp(prefix="predict-", dir=here.parent if here.name.startswith("predict-") else here))
    Path("run").mkdir()
    for name, content in _files_of_a_run().items():
        (Path("run") / name).write_bytes(content)
    return "run"


def _image_file() -> str:
    from PIL import Image

    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("a.png")
    return "a.png"


def _are_paths(value: Any) -> bool:
    return PATH.accepts(value) or (isinstance(value, list | tuple) and bool(value) and all(map(PATH.accepts, value)))


def _fit(given: dict[str, Any]) -> bool:
    return given["shorter"] <= given["longer"]


def _sides_fit(given: dict[str, Any]) -> bool:
    return max(*given["shorter_sides"], given["test_shorter"]) <= given["longer"]


_COUNT = integer(1, 2**31 - 1)
_IMAGE = array("u", lambda a: a.dtype == "uint8" and a.ndim == 3 and len(a) == 3 and a.size > 0)
_PIXELS = array("u", lambda a: a.dtype in ("uint8", "uint16") and a.ndim == 3 and len(a) == 3 and a.size > 0)
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
    "predict_classes": (
        lambda: {"model": tiny_model(), "image": scene().image, "mean": (0.5,) * 3, "std": (0.2,) * 3},
        {"model": instance(SwinTransformer), "image": _PIXELS},
    ),
    "load_run": (
        lambda: {"folder": run_folder(), "weights": "best"},
        {"folder": PATH, "weights": optional(choice("best", "last"))},
    ),
    "Run.predict": (lambda: {"self": load_run(run_folder()), "image": scene().image}, {"image": _PIXELS}),
    "predict": (
        lambda: {"run": load_run(run_folder()), "images": _image_file(), "out": "out", "top": 2, "threshold": None},
        {
            "run": Kind(lambda value: isinstance(value, Run) or PATH.accepts(value), is_called=True),
            "images": Kind(_are_paths, is_called=True),  # files that may be missing
            "out": PATH,
            "top": optional(integer(1)),
            "threshold": Kind(lambda value: value is None),  # a detector's
        },
    ),
    "predict_detections": (
        lambda: {"model": small_detector(), "image": scene().image, **_PREDICTION, "masks": True},
        {"model": instance(MaskRCNN), "image": _IMAGE, "masks": FLAG, **_LENGTHS},
    ),
}
