"""The runs of `tests/tools/soak.py`: for each task a small model that learns from a few images."""

from collections.abc import Callable
from typing import Any

from npswin.data import load_detection_scenes, load_segmentation_scenes
from npswin.models.detection import MaskRCNN
from npswin.models.segmentation import UPerNet
from npswin.training import DetectionTask, SegmentationTask, TrainConfig, Trainer
from tests.models.detection.tiny import BACKBONE
from tests.tools.soak import CHECKPOINT_EVERY
from tests.training.tiny import tiny_config, tiny_data, tiny_model

SIDE = 32  # pixels of a scene


def classification(out: Any, epochs: int = 12) -> Trainer:
    """Eight steps an epoch."""
    config = tiny_config(epochs=epochs, checkpoint_every=CHECKPOINT_EVERY)
    return Trainer(tiny_model(), tiny_data(64), tiny_data(10, "test"), config, out)


def _dense_config(epochs: int) -> TrainConfig:
    """Five steps an epoch."""
    more: dict[str, Any] = {"clip_norm": 1.0, "ema_decay": 0.9, "checkpoint_every": CHECKPOINT_EVERY}
    return TrainConfig(epochs=epochs, batch_size=2, lr=1e-3, **more)


def segmentation(out: Any, epochs: int = 8) -> Trainer:
    """UPerNet on scenes, with crops, flips, other sizes and colours."""
    train_data, test_data = (load_segmentation_scenes(train=train, size=SIDE, count=10) for train in (True, False))
    sizes: dict[str, Any] = {"channels": 6, "auxiliary_channels": 4, "pool_scales": (1, 3)}
    model = UPerNet(num_classes=len(train_data.class_names), backbone=BACKBONE, **sizes)
    task = SegmentationTask((SIDE, SIDE), shorter=SIDE, longer=4 * SIDE)
    return Trainer(model, train_data, test_data, _dense_config(epochs), out, task=task)


def detection(out: Any, epochs: int = 8) -> Trainer:
    """Mask R-CNN on scenes, with other sizes and flips."""
    train_data, test_data = (load_detection_scenes(train=train, size=SIDE, count=10) for train in (True, False))
    sizes: dict[str, Any] = {"num_classes": len(train_data.class_names), "channels": 8, "width": 16}
    few: dict[str, Any] = {"rpn_samples": 12, "roi_samples": 8, "proposals_a_level": (20, 15), "proposals": 20}
    task = DetectionTask(shorter_sides=(24, SIDE, 40), longer=4 * SIDE, test_shorter=SIDE)
    model = MaskRCNN(backbone=BACKBONE, **sizes, **few)
    return Trainer(model, train_data, test_data, _dense_config(epochs), out, task=task)


RUNS: dict[str, Callable[..., Trainer]] = {
    "classification": classification,
    "segmentation": segmentation,
    "detection": detection,
}
