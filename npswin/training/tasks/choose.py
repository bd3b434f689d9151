"""The task that follows from the type of the data."""

from typing import Any

from npswin.checks import shown
from npswin.data import DetectionDataset, ImageDataset, SegmentationDataset
from npswin.training.config import TrainConfig
from npswin.training.tasks.classification import ClassificationTask
from npswin.training.tasks.detection import DetectionTask
from npswin.training.tasks.segmentation import SegmentationTask
from npswin.training.tasks.task import Task


def choose_task(train_data: Any, config: TrainConfig) -> Task:
    """The task of a data set: classification, segmentation or detection, by its type.

    Raises:
        ValueError: the data set is of another type.
    """
    if isinstance(train_data, ImageDataset):
        return ClassificationTask(config)
    if isinstance(train_data, SegmentationDataset):
        return SegmentationTask()
    if isinstance(train_data, DetectionDataset):
        return DetectionTask(masks=train_data.has_masks)
    expected = "expected an ImageDataset, a SegmentationDataset or a DetectionDataset; other data need a task (task=)"
    raise ValueError(f"train_data: got {shown(train_data)}, {expected}")
