"""The task that follows from the type of the data, or from the description of a run."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from npswin.checks import check_instance, shown
from npswin.data import DetectionDataset, ImageDataset, SegmentationDataset
from npswin.files import listed
from npswin.training.config import TrainConfig
from npswin.training.tasks.classification import ClassificationTask
from npswin.training.tasks.detection import DetectionTask
from npswin.training.tasks.segmentation import SegmentationTask
from npswin.training.tasks.task import PredictingTask, Task


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


def task_of_run(description: Mapping[str, Any]) -> PredictingTask:
    """The task that a run has learned, with its settings; of classification, without its recipe.

    Args:
        description: of the run, as in its config.json. Where it has no "task", as in classification, its model is a
            classifier.

    Raises:
        ValueError: there is no such task, or a setting that it does not have, or that does not fit.
    """
    if "task" not in description:
        if "architecture" in description["model"]:
            raise ValueError("task: is missing, expected the one of a model that is no classifier")
        return ClassificationTask(TrainConfig())
    settings = dict(check_instance("task", description["task"], dict, "an object with the task's name"))
    kinds: dict[str, Any] = {"segmentation": SegmentationTask, "detection": DetectionTask}
    name = settings.pop("name", None)
    if not isinstance(name, str) or name not in kinds:
        raise ValueError(f"task: got {shown(name)}, expected one of {', '.join(kinds)}")
    if unknown := settings.keys() - {field.name for field in fields(kinds[name])}:
        raise ValueError(f"task: got {listed(map(shown, sorted(unknown)))}, expected settings of {name}")
    return kinds[name](**settings)
