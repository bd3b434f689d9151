"""Detection as a task of the trainer."""

import numpy as np

from npswin.data import DetectionDataset, DetectionSample
from npswin.models.detection import Detections
from npswin.training import DetectionTask

NORMALIZATION = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


class Finder:
    """Finds the objects of an image of 16×128 pixels that has one in every row and every eighth column."""

    dtype, in_chans, num_classes = np.dtype("float32"), 3, 1
    corners = np.stack(np.meshgrid(np.arange(0, 128, 8), np.arange(16), indexing="xy"), axis=-1).reshape(-1, 2)
    boxes = np.concatenate([corners, corners + np.array([8, 1])], axis=1).astype(np.float32)
    params = {"weight": np.zeros(1, np.float32)}  # noqa: RUF012

    def detect(self, images, sizes):
        count = len(self.boxes)
        scores = np.linspace(1, 0.5, count, dtype=np.float32)
        return [Detections(self.boxes, scores, np.zeros(count, np.int64), None, (16, 128))]


def test_images_with_many_objects_need_as_many_detections():
    count = len(Finder.boxes)
    sample = DetectionSample(
        np.zeros((3, 16, 128), np.uint8), Finder.boxes, np.zeros(count, np.int64), None, np.zeros(count, bool)
    )
    data = DetectionDataset(
        samples=[sample], class_names=("object",), name="rows", split="test", checksum=0, has_masks=False
    )
    recalls = []
    for options in ({}, {"max_detections": count}):
        task = DetectionTask((16,), longer=128, test_shorter=16, masks=False, **options)
        recalls.append(task.evaluate(Finder(), data, NORMALIZATION, "full", lambda images: None).boxes.recall)
    np.testing.assert_allclose(recalls, [100 / count, 1])
