"""A finished run of each task, of less than a second, and its test images as files."""

import contextlib
import io
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from PIL import Image

from npswin.data import DetectionDataset, DetectionSample, load_segmentation_scenes
from npswin.models import MaskRCNN, UPerNet
from npswin.training import DetectionTask, SegmentationTask, TrainConfig, Trainer
from tests.models.detection.tiny import BACKBONE
from tests.training.tiny import tiny_config, tiny_data, tiny_model

KINDS = ("classification", "segmentation", "masks", "boxes")
THINGS = ("thing", "other thing")
CATEGORY_IDS = (20, 10)


class FinishedRun(NamedTuple):
    """A run.

    Attributes:
        folder: of the run.
        trainer: with the model at the end, which are the best weights as there is one epoch.
        result: of the evaluation at the end.
        images: the folder with the test images, 0.png, 1.png, ...
    """

    folder: Path
    trainer: Trainer
    result: Any
    images: Path


def objects(count: int, has_masks: bool, seed: int) -> DetectionDataset:
    """Images of different sizes, nearly filled by one object, an ellipse, so that a detector finds it at once."""
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(count):
        height, width = rng.integers(24, 40, 2)
        y, x = np.mgrid[:height, :width] + 0.5
        mask = (2 * x / width - 1) ** 2 + (2 * y / height - 1) ** 2 < 1
        image = np.where(mask, 200 - 150 * (number % 2), 90) + rng.integers(0, 40, (3, height, width))
        boxes = np.array([[0, 0, width, height]], np.float64)
        masks = mask[None] if has_masks else None
        samples.append(DetectionSample(image.astype(np.uint8), boxes, np.array([number % 2]), masks, np.zeros(1, bool)))
    return DetectionDataset(
        samples=samples,
        class_names=THINGS,
        name="objects",
        split=f"seed {seed}",
        has_masks=has_masks,
        category_ids=CATEGORY_IDS,
    )


def trainer_of(kind: str, out: Path) -> Trainer:
    """The trainer of a run of this kind in a folder."""
    if kind == "classification":
        recipe = tiny_config(epochs=1, ema_decay=None)
        return Trainer(tiny_model(), tiny_data(), tiny_data(10, "test"), recipe, out)
    recipe = TrainConfig(epochs=1, batch_size=2, lr=3e-3, warmup_epochs=0.0, clip_norm=1.0)
    if kind == "segmentation":
        train, test = (load_segmentation_scenes(train=train, size=32, count=4) for train in (True, False))
        model: Any = UPerNet(len(train.class_names), BACKBONE, channels=4, auxiliary_channels=0, pool_scales=(1, 2))
        return Trainer(model, train, test, recipe, out, task=SegmentationTask((24, 24), shorter=24, longer=48))
    masks = kind == "masks"
    backbone = {**BACKBONE, "drop_path_rate": 0.0}
    limits = {"rpn_samples": 32, "roi_samples": 32, "proposals_a_level": (40, 40), "proposals": 40, "detections": 20}
    model = MaskRCNN(len(THINGS), backbone, channels=8, width=16, **limits, masks=masks)
    task = DetectionTask((32,), longer=48, test_shorter=32, masks=masks)
    return Trainer(model, objects(48, masks, 0), objects(5, masks, 1), recipe, out, task=task)


def finished_run(kind: str, folder: Path) -> FinishedRun:
    """Train, and write the test images, below a folder."""
    trainer = trainer_of(kind, folder / "run")
    with contextlib.redirect_stderr(io.StringIO()), mock.patch("npswin.training.trainer.draw_curves"):
        result = trainer.fit()
    (folder / "images").mkdir()
    data = trainer.test_data
    images = data.images if kind == "classification" else [sample.image for sample in data]
    for number, image in enumerate(images):
        write_image(folder / "images" / f"{number}.png", image)
    return FinishedRun(folder / "run", trainer, result, folder / "images")


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an image (c, H, W) of one or three channels."""
    Image.fromarray(np.moveaxis(image, 0, -1).squeeze()).save(path)
