"""What goes into a run: checked and described before it starts."""

import zlib
from typing import Any

import numpy as np

from npswin.data import ImageDataset
from npswin.training.trainable import Trainable


def check_data(model: Trainable, train_data: ImageDataset, test_data: ImageDataset) -> None:
    """Raise a ValueError unless the model can take these images and knows as many classes as they have."""
    for argument, dataset in (("train_data", train_data), ("test_data", test_data)):
        channels = dataset.images.shape[1]
        if channels != model.in_chans:
            raise ValueError(f"{argument}: has {channels} channels, the model takes {model.in_chans} (its in_chans)")
        classes = len(dataset.class_names)
        if classes != model.num_classes:
            raise ValueError(
                f"{argument}: has {classes} classes, the model knows {model.num_classes} (its num_classes)"
            )
    if train_data.class_names != test_data.class_names:
        raise ValueError(f"test_data: its class names are not those of train_data, {', '.join(train_data.class_names)}")


def describe_data(dataset: ImageDataset) -> dict[str, Any]:
    """The data set's name, size and a checksum, by which a resumed run knows that it is the same one."""
    checksum = 0
    for array in (dataset.images, dataset.labels):
        checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
    return {"name": dataset.name, "split": dataset.split, "shape": list(dataset.images.shape), "crc32": checksum}
