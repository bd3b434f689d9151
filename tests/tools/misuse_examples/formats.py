"""Right calls of what reads and holds data of dense tasks, and which values are right for their arguments.

By name of the function: what `Example` takes (`example.py`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from npswin.data import (
    DetectionDataset,
    Detections,
    DetectionSample,
    SegmentationSample,
    load_coco,
    write_coco_results,
)
from tests.data.formats.drawn import (
    Files,
    coco_content,
    coco_files,
    encoded,
    pixels,
    voc_files,
    voc_xml,
    without_masks,
    write,
)
from tests.tools.misuse_values import FLAG, PATH, TEXT, Kind, array, instance, integer, listed, optional

IMAGE = array("u", lambda a: a.dtype == np.uint8 and a.ndim == 3 and a.size > 0)
BOXES = array("f", lambda a: a.ndim == 2 and a.shape[1] == 4 and _is_native_float(a) and _is_ordered(a))
CLASSES = array("i", lambda a: a.dtype == np.int64 and a.ndim == 1)
SCORES = array("f", lambda a: a.ndim == 1 and _is_native_float(a) and bool(np.isfinite(a).all()))
MASKS = array("b", lambda a: a.ndim == 3)
NAMES = listed(TEXT, at_least=1)
SPLIT = Kind(lambda value: TEXT.accepts(value) and PATH.accepts(value))


def _is_native_float(a: np.ndarray) -> bool:
    return a.dtype in (np.float32, np.float64)


def _is_ordered(a: np.ndarray) -> bool:
    return bool(np.isfinite(a).all() and (a[:, :2] <= a[:, 2:]).all())


def _are_samples(kind: type) -> Kind:
    """A list of samples, or another sequence, whose samples are looked at later."""

    def accepts(value: Any) -> bool:
        is_list = isinstance(value, list | tuple)
        right = isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) > 0
        return right and (not is_list or all(isinstance(one, kind) for one in value))

    return Kind(accepts)


def _are_labels(value: Any) -> bool:
    def is_pair(number: Any, label: Any) -> bool:
        return integer(0, 65535).accepts(number) and (label == 255 or integer(0, 0).accepts(label))

    return isinstance(value, dict) and len(value) > 0 and all(is_pair(*pair) for pair in value.items())


def segmentation_sample() -> dict[str, Any]:
    """Arguments of a sample."""
    return {"image": np.zeros((3, 4, 5), np.uint8), "labels": np.zeros((4, 5), np.uint8)}


def detection_sample() -> dict[str, Any]:
    """Arguments of a sample."""
    return {
        "image": np.zeros((3, 4, 5), np.uint8),
        "boxes": np.array([[0.5, 1, 3, 2]]),
        "labels": np.array([0]),
        "masks": np.zeros((1, 4, 5), bool),
        "crowd": np.array([False]),
    }


def detections() -> dict[str, Any]:
    """Arguments of detections."""
    shared = {name: value for name, value in detection_sample().items() if name not in ("image", "crowd")}
    return {**shared, "scores": np.array([0.5])}


def _label_maps() -> Files:
    """An image with label 0 and ignored pixels, in each of the layouts."""
    numbers = np.zeros((4, 5), np.uint8)
    numbers[0] = 255
    image, labels = encoded(pixels(4, 5)), encoded(numbers)
    return {
        "images/a.png": image,
        "labels/a.png": labels,
        "images/training/a.jpg": image,
        "annotations/training/a.png": labels,
        "leftImg8bit/train/x/a_leftImg8bit.png": image,
        **{f"gtFine/train/x/a_gtFine_{kind}.png": labels for kind in ("labelTrainIds", "labelIds")},
    }


def _in_files(files: Callable[[], Files], folder: str, /, **arguments: Any) -> Callable[[], dict[str, Any]]:
    """A function that writes files into a folder, and returns arguments; those that begin with @ are paths there."""

    def make() -> dict[str, Any]:
        if not Path(folder).exists():
            write(Path(folder), files())
        paths = {name: str(Path(folder, value[1:])) for name, value in arguments.items() if str(value).startswith("@")}
        return {**arguments, **paths}

    return make


def _segmentation_folder() -> Files:
    """A split to train on and one to test on."""
    image, numbers = encoded(pixels(4, 5)), encoded(np.zeros((4, 5), np.uint8))
    maps = {f"annotations/{split}/a.png": numbers for split in ("train", "val")}
    return {**maps, **{f"images/{split}/a.png": image for split in ("train", "val")}, "classes.txt": b"a\n"}


def _detection_folder() -> Files:
    """A split to train on and one to test on."""
    return {
        name.replace("images", split).replace("objects", f"annotations/instances_{split}"): content
        for split in ("train", "val")
        for name, content in _boxes_alone().items()
    }


def _boxes_alone() -> Files:
    return coco_files(without_masks(coco_content()))


def _dataset() -> DetectionDataset:
    _in_files(_boxes_alone, "coco")()
    return load_coco("coco/objects.json", "coco/images", "train")


def _found() -> list[Detections]:
    return [Detections(**{**detections(), "masks": None})] * 3


def _results() -> dict[str, Any]:
    write_coco_results("results.json", _dataset(), _found())
    return {"path": "results.json", "dataset": _dataset()}


_READING = {"split": SPLIT, "repair": FLAG, "check_files": FLAG}
_FLAGS = {"repair": False, "check_files": True}
_IDS = listed(integer(), at_least=0)
_DATASET = {"class_names": ("a", "b"), "name": "n", "split": "s", "checksum": 5}
_DATASET_KINDS = {"class_names": NAMES, "checksum": optional(integer(0))}

DATA_EXAMPLES: dict[str, tuple[Any, ...]] = {
    "SegmentationSample.__init__": (
        segmentation_sample,
        {"image": IMAGE, "labels": array("iu", lambda a: a.ndim == 2 and a.dtype in (np.uint8, np.int64))},
    ),
    "DetectionSample.__init__": (
        detection_sample,
        {"image": IMAGE, "boxes": BOXES, "labels": CLASSES, "masks": optional(MASKS), "crowd": array("b")},
    ),
    "Detections.__init__": (
        detections,
        {"boxes": BOXES, "labels": CLASSES, "scores": SCORES, "masks": optional(MASKS)},
    ),
    "SegmentationDataset.__init__": (
        lambda: {"samples": [SegmentationSample(**segmentation_sample())], **_DATASET},
        {"samples": _are_samples(SegmentationSample), **_DATASET_KINDS},
    ),
    "DetectionDataset.__init__": (
        lambda: {
            "samples": [DetectionSample(**detection_sample())],
            **_DATASET,
            "has_masks": True,
            "image_ids": (3,),
            "category_ids": (2, 1),
        },
        {
            "samples": _are_samples(DetectionSample),
            **_DATASET_KINDS,
            "has_masks": FLAG,
            "image_ids": _IDS,
            "category_ids": _IDS,
        },
    ),
    "load_coco": (
        _in_files(_boxes_alone, "coco", annotation_file="@objects.json", image_folder="@images", split="a", **_FLAGS),
        {**_READING, "annotation_file": PATH, "image_folder": PATH, "split": TEXT},
    ),
    "load_detection_folder": (
        _in_files(_detection_folder, "detection", folder="@", repair=False),
        {"folder": PATH, "repair": FLAG},
    ),
    "load_segmentation_folder": (
        _in_files(_segmentation_folder, "segmentation", folder="@", repair=False),
        {"folder": PATH, "repair": FLAG},
    ),
    "load_voc": (
        _in_files(
            lambda: {**voc_files(), "Annotations/000007.xml": voc_xml()},
            "voc",
            **{"folder": "@", "split": "train", "class_names": ("a", "b"), **_FLAGS},
        ),
        {**_READING, "folder": PATH, "class_names": NAMES},
    ),
    "load_label_maps": (
        _in_files(
            _label_maps,
            "maps",
            image_folder="@leftImg8bit",
            label_folder="@gtFine",
            class_names=("a", "b"),
            split="s",
            **{"image_ending": "_leftImg8bit", "label_ending": "_gtFine_labelIds", "reduce_zero_label": True, **_FLAGS},
        ),
        {
            **_READING,
            "image_folder": PATH,
            "label_folder": PATH,
            "class_names": NAMES,
            "split": TEXT,
            "label_ids": optional(Kind(_are_labels)),
            "reduce_zero_label": FLAG,
            "image_ending": TEXT,
            "label_ending": TEXT,
        },
    ),
    "load_ade20k": (
        _in_files(_label_maps, "maps", folder="@", split="training", **_FLAGS),
        {**_READING, "folder": PATH},
    ),
    "load_cityscapes": (
        _in_files(_label_maps, "maps", folder="@", split="train", from_label_ids=False, **_FLAGS),
        {**_READING, "folder": PATH, "from_label_ids": FLAG},
    ),
    "read_class_names": (_in_files(lambda: {"classes.txt": b"a\nb\n"}, "names", path="@classes.txt"),),
    "read_coco_results": (_results, {"dataset": instance(DetectionDataset)}),
    "write_coco_results": (
        lambda: {"path": "written.json", "dataset": _dataset(), "detections": _found()},
        {"dataset": instance(DetectionDataset), "detections": listed(instance(Detections))},
    ),
}
