"""The task that follows from the type of the data."""

from typing import Any

from npswin.checks import shown
from npswin.data import ImageDataset
from npswin.training.config import TrainConfig
from npswin.training.tasks.classification import ClassificationTask
from npswin.training.tasks.task import Task


def choose_task(train_data: Any, config: TrainConfig) -> Task:
    """The task of a data set: classification of an `ImageDataset`.

    Raises:
        ValueError: the data set is of another type.
    """
    if isinstance(train_data, ImageDataset):
        return ClassificationTask(config)
    raise ValueError(f"train_data: got {shown(train_data)}, expected an ImageDataset, or a task (task=) for other data")
