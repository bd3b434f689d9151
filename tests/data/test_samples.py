"""Samples of dense tasks, what is found in them, and data sets of samples."""

from collections.abc import Sequence

import numpy as np
import pytest

from npswin.data import DetectionDataset, Detections, DetectionSample, SegmentationDataset, SegmentationSample

IMAGE = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)


def segmentation_sample(**changes):
    return SegmentationSample(**{"image": IMAGE, "labels": np.zeros((4, 5), np.uint8), **changes})


def detection_sample(**changes):
    right = {
        "image": IMAGE,
        "boxes": np.array([[0.5, 1, 3, 2], [1, 1, 1, 1]]),
        "labels": np.array([1, 0]),
        "masks": np.zeros((2, 4, 5), bool),
        "crowd": np.array([False, True]),
    }
    return DetectionSample(**{**right, **changes})


def detections(**changes):
    right = {
        "boxes": np.ones((2, 4), np.float32),
        "labels": np.array([1, 0]),
        "scores": np.array([0.5, 1.5]),
        "masks": np.zeros((2, 4, 5), bool),
    }
    return Detections(**{**right, **changes})


def segmentation_dataset(samples=None, **changes):
    right = {
        "samples": [segmentation_sample()] if samples is None else samples,
        "class_names": ["a", "b"],
        "name": "n",
        "split": "train",
    }
    return SegmentationDataset(**{**right, **changes})


def detection_dataset(samples=None, **changes):
    right = {
        "samples": [detection_sample()] if samples is None else samples,
        "class_names": ("a", "b"),
        "name": "n",
        "split": "train",
    }
    return DetectionDataset(**{"has_masks": True, **right, **changes})


def test_right_samples():
    segmentation_sample(labels=np.full((4, 5), 255))
    detection_sample(masks=None, boxes=np.zeros((2, 4), np.float32))
    none = {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, np.int64), "masks": np.zeros((0, 4, 5), bool)}
    detection_sample(**none, crowd=np.zeros(0, bool))
    detections(**none, scores=np.zeros(0))


@pytest.mark.parametrize(
    ("make", "changes", "match"),
    [
        (segmentation_sample, {"image": IMAGE[0]}, r"image: got .*, expected uint8 of shape \(c, H, W\)"),
        (segmentation_sample, {"image": IMAGE.astype(float)}, "image: got float64"),
        (segmentation_sample, {"image": IMAGE[:0]}, "image: .*expected nothing empty"),
        (segmentation_sample, {"labels": np.zeros((5, 4), np.uint8)}, r"labels: .*uint8 or int64 of shape \(4, 5\)"),
        (segmentation_sample, {"labels": np.zeros((4, 5))}, "labels: got float64"),
        (segmentation_sample, {"labels": None}, "labels: got None"),
        (detection_sample, {"labels": np.array(1)}, r"labels: got .*, expected int64 of shape \(n,\)"),
        (detection_sample, {"labels": np.array([1, 0], np.int32)}, "labels: got int32"),
        (detection_sample, {"boxes": np.ones((3, 4))}, r"boxes: .*float32 or float64 of shape \(2, 4\)"),
        (detection_sample, {"boxes": np.ones((2, 4), int)}, "boxes: got int64"),
        (
            detection_sample,
            {"boxes": np.array([[3.0, 0, 2, 1], [0, 0, 1, 1]])},
            "boxes: got corners that are not finite",
        ),
        (detection_sample, {"boxes": np.full((2, 4), np.nan)}, "boxes: got corners that are not finite"),
        (detection_sample, {"masks": np.zeros((2, 5, 4), bool)}, r"masks: .*bool of shape \(2, 4, 5\)"),
        (detection_sample, {"masks": np.zeros((2, 4, 5), np.uint8)}, "masks: got uint8"),
        (detection_sample, {"crowd": np.array([0, 1])}, r"crowd: .*bool of shape \(2,\)"),
        (detections, {"scores": np.ones(3)}, r"scores: .*float32 or float64 of shape \(2,\)"),
        (detections, {"scores": np.array([1, np.inf])}, "scores: got NaN or infinity"),
        (detections, {"masks": np.zeros((2, 4), bool)}, r"masks: .*bool of shape \(2, H, W\)"),
        (detections, {"boxes": np.ones((2, 5))}, "boxes"),
        (segmentation_dataset, {"samples": 3}, "samples: got 3, expected a list"),
        (segmentation_dataset, {"samples": "ab"}, "samples: got 'ab'"),
        (segmentation_dataset, {"samples": []}, "samples: got none"),
        (segmentation_dataset, {"class_names": "ab"}, "class_names: got 'ab'"),
        (segmentation_dataset, {"class_names": [f"{i}" for i in range(256)]}, "class_names: got 256 names"),
        (segmentation_dataset, {"name": 3}, "name: got 3"),
        (segmentation_dataset, {"split": None}, "split: got None"),
        (segmentation_dataset, {"checksum": -1}, "checksum: got -1"),
        (detection_dataset, {"has_masks": 1}, "has_masks: got 1"),
        (detection_dataset, {"has_masks": False}, r"samples\[0\]: has masks"),
        (detection_dataset, {"image_ids": (1, 2)}, r"image_ids: got \(1, 2\), expected a tuple of 1 integers"),
        (detection_dataset, {"category_ids": (1, 1)}, "category_ids: got a number twice"),
        (detection_dataset, {"category_ids": (1, 0.5)}, "category_ids: got 0.5"),
    ],
)
def test_wrong_arguments(make, changes, match):
    with pytest.raises(ValueError, match=match):
        make(**changes)


@pytest.mark.parametrize(
    ("dataset", "samples", "match"),
    [
        (segmentation_dataset, [detection_sample()], r"samples\[0\]: got .*, expected a SegmentationSample"),
        (
            segmentation_dataset,
            [segmentation_sample(labels=np.full((4, 5), 2))],
            r"samples\[0\]: got labels from 2 to 2",
        ),
        (segmentation_dataset, [segmentation_sample(labels=np.full((4, 5), -1))], "expected 0 to 1 for 2 class names"),
        (detection_dataset, [segmentation_sample()], r"samples\[0\]: got .*, expected a DetectionSample"),
        (detection_dataset, [detection_sample(labels=np.array([0, 2]))], r"samples\[0\]: got labels from 0 to 2"),
        (detection_dataset, [detection_sample(masks=None)], r"samples\[0\]: has no masks, expected as has_masks says"),
    ],
)
def test_samples_are_checked_at_once_or_when_they_are_asked_for(dataset, samples, match):
    with pytest.raises(ValueError, match=match):
        dataset(samples)
    later = dataset(Later(samples))
    with pytest.raises(ValueError, match=match):
        later[0]


class Later(Sequence):
    """Samples that are not in a list."""

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


class Drawn(Sequence):
    """Samples that are made when they are asked for."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 3

    def __getitem__(self, index):
        self.asked.append(index)
        return segmentation_sample(labels=np.full((4, 5), index % 2))


def test_samples_are_made_when_they_are_asked_for():
    samples = Drawn()
    dataset = segmentation_dataset(samples)
    assert (len(dataset), samples.asked) == (3, [])
    assert dataset[np.int64(1)].labels[0, 0] == 1
    assert samples.asked == [1]
    assert [sample.labels[0, 0] for sample in dataset] == [0, 1, 0]
    for index in (3, -1):
        with pytest.raises(IndexError, match=f"index: got {index}, expected 0 to 2"):
            dataset[index]
    with pytest.raises(ValueError, match="index"):
        dataset[0.5]


def test_ids_are_counted_where_none_are_given():
    dataset = detection_dataset([detection_sample()] * 3)
    assert (dataset.image_ids, dataset.category_ids) == ((0, 1, 2), (1, 2))
    dataset = detection_dataset(image_ids=[7], category_ids=[3, 9])
    assert (dataset.image_ids, dataset.category_ids) == ((7,), (3, 9))


@pytest.mark.parametrize(
    ("dataset", "others"),
    [
        (
            segmentation_dataset,
            [segmentation_sample(image=IMAGE + 1), segmentation_sample(labels=np.ones((4, 5), np.uint8))],
        ),
        (
            detection_dataset,
            [
                detection_sample(image=IMAGE + 1),
                detection_sample(boxes=np.ones((2, 4))),
                detection_sample(labels=np.array([0, 0])),
                detection_sample(masks=np.ones((2, 4, 5), bool)),
                detection_sample(crowd=np.array([False, False])),
            ],
        ),
    ],
)
def test_the_description_is_another_one_for_other_data(dataset, others):
    one = dataset().describe()
    assert one == {"name": "n", "split": "train", "samples": 1, "crc32": one["crc32"]}
    assert dataset().describe() == one
    checksums = {dataset([other]).describe()["crc32"] for other in others} | {one["crc32"]}
    assert len(checksums) == len(others) + 1
    assert dataset(checksum=5).describe()["crc32"] == 5
