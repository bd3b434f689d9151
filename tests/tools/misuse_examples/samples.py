"""Right calls of what draws, augments and collects samples of dense tasks, and which values are right for them.

By name of the function: what `Example` takes (`example.py`).
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from npswin.data import Detections, DetectionSample, SegmentationDataset, SegmentationSample, load_segmentation_scenes
from tests.tools.misuse_values import (
    FUNCTION,
    TEXT,
    Kind,
    array,
    dtype,
    instance,
    integer,
    listed,
    number,
    numbers,
    optional,
)

SIDE = integer(1, 16384)
SAMPLE = instance(SegmentationSample, DetectionSample)


def scene() -> SegmentationSample:
    """A small sample, 32 by 32 pixels."""
    return load_segmentation_scenes(size=32, count=1)[0]


def objects() -> DetectionSample:
    """The same picture with an object."""
    masks = np.ones((1, 32, 32), bool)
    return DetectionSample(scene().image, np.array([[0, 0, 32.0, 32]]), np.array([0]), masks, np.array([False]))


def found() -> Detections:
    """That object, found."""
    return Detections(objects().boxes, objects().labels, np.array([0.5]), objects().masks)


def rng() -> np.random.Generator:
    """A new generator."""
    return np.random.default_rng(5)


def _size(*largest: int) -> Kind:
    def accepts(value: Any) -> bool:
        sides = isinstance(value, list | tuple) and len(value) == 2
        return sides and all(integer(1, most).accepts(one) for one, most in zip(value, largest, strict=True))

    return Kind(accepts, lambda value: tuple(map(int, value)))


def _are_index_batches(value: Any) -> bool:
    """Of three samples. Iterators are not used up."""
    kind = array("iu", lambda a: a.ndim == 1 and (a.size == 0 or (a.min() >= 0 and a.max() < 3)))
    if isinstance(value, type | Iterator) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return False
    return isinstance(value, Iterable) and all(map(kind.accepts, value))


IMAGE_SIZE = _size(16384, 16384)
_SCENES = {"size": integer(32, 2048), "count": optional(integer(1, 1_000_000))}


def _is_writable(given: Any) -> bool:
    """Whether a file can be written at the path."""
    return os.path.isdir(os.path.dirname(given["path"]) or ".")


def _right_picture(given: Any) -> bool:
    """Whether there are as many things as images, all of their size, and a name for each class, the first."""
    counts = {len(given[name]) for name in given if isinstance(given.get(name), list | tuple) and name != "class_names"}
    sizes = [image.shape[1:] for image in given["images"]]
    maps = [*given["predictions"], *(given.get("labels") or ())]
    fits = len(counts) == 1 and set(sizes) == {(32, 32)} and len(given["class_names"]) > 0 and bool(maps)
    return fits and _is_writable(given)


IMAGES = listed(array("u", lambda a: a.dtype == np.uint8 and a.ndim == 3 and a.size > 0), at_least=1)
MAPS = listed(array("iu", lambda a: a.shape == (32, 32) and bool(np.isin(a, (0, 255)).all())))
PICTURE_EXAMPLES: dict[str, tuple[Any, ...]] = {
    "draw_detections": (
        lambda: {
            "images": [scene().image],
            "predictions": [found()],
            "class_names": ("a",),
            "path": "d.png",
            "truths": [objects()],
            "min_score": 0.5,
            "title": "t",
        },
        {
            "images": IMAGES,
            "predictions": listed(instance(Detections)),
            "class_names": listed(TEXT),
            "truths": optional(listed(instance(DetectionSample))),
            "min_score": number(),
            "title": TEXT,
        },
        {},
        _right_picture,
    ),
    "draw_class_scores": (
        lambda: {
            "image": scene().image,
            "scores": np.array([0.25, 0.75]),
            "class_names": ("a", "b"),
            "path": "c.png",
            "top": 2,
            "title": "t",
        },
        {
            "image": array("u", lambda a: a.dtype in ("uint8", "uint16") and a.ndim == 3 and a.size > 0),
            "scores": array("f", lambda a: a.ndim == 1 and bool(((a >= 0) & (a <= 1)).all())),
            "class_names": listed(TEXT),
            "top": integer(1),
            "title": TEXT,
        },
        {},
        lambda given: len(given["class_names"]) == len(given["scores"]) and _is_writable(given),
    ),
    "draw_segmentation": (
        lambda: {
            "images": [scene().image],
            "predictions": [np.zeros((32, 32), np.int64)],
            "class_names": ("a",),
            "path": "s.png",
            "labels": [np.zeros((32, 32), np.uint8)],
            "title": "t",
        },
        {
            "images": IMAGES,
            "predictions": MAPS,
            "class_names": listed(TEXT),
            "labels": optional(MAPS),
            "title": TEXT,
        },
        {},
        _right_picture,
    ),
}
SAMPLE_EXAMPLES: dict[str, tuple[Any, ...]] = {
    **{
        f"load_{task}_scenes": (lambda: {"train": False, "size": 32, "count": 3, "seed": 1}, _SCENES)
        for task in ("detection", "segmentation")
    },
    **{
        name: (lambda: {"sample": scene(), "rng": rng()}, {"sample": SAMPLE})
        for name in ("distort_colours", "random_flip_sample")
    },
    "crop_sample": (
        lambda: {"sample": scene(), "top": 2, "left": 3, "size": (8, 10)},
        {"sample": SAMPLE, "top": integer(0, 24), "left": integer(0, 22), "size": _size(32, 32)},
        {},
        lambda given: given["top"] + given["size"][0] <= 32 and given["left"] + given["size"][1] <= 32,
    ),
    "flip_sample": (lambda: {"sample": scene()}, {"sample": SAMPLE}),
    "load_samples": (
        lambda: {
            "dataset": load_segmentation_scenes(size=32, count=3),
            "index_batches": [np.array([1, 0])],
            "augment": lambda sample, rng: sample,
            "seed": 1,
            "epoch": 2,
        },
        {
            "dataset": instance(SegmentationDataset),
            "index_batches": Kind(_are_index_batches),
            "augment": optional(FUNCTION),
        },
    ),
    "normalize_padded": (
        lambda: {
            "images": np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), np.uint8),
            "sizes": np.array([[8, 8], [5, 3], [1, 1], [2, 8]]),
            "mean": (0.4, 0.5, 0.6),
            "std": (0.2, 0.3, 0.4),
            "dtype": "float32",
        },
        {"sizes": array("iu", lambda a: a.shape == (4, 2)), "dtype": dtype()},
        {"images": "mean"},
    ),
    "padded_batch": (
        lambda: {"samples": [scene(), scene()], "divisor": 8},
        {"samples": listed(SAMPLE, at_least=1), "divisor": SIDE},
    ),
    "random_crop_sample": (
        lambda: {"sample": scene(), "rng": rng(), "size": (8, 10), "largest_share": 0.75},
        {"sample": SAMPLE, "size": IMAGE_SIZE, "largest_share": number(lambda value: 0 < value <= 1)},
    ),
    "random_rescale": (
        lambda: {"sample": scene(), "rng": rng(), "shorter": 16, "longer": 20, "ratios": (0.5, 2.0)},
        {
            "sample": SAMPLE,
            "shorter": SIDE,
            "longer": SIDE,
            "ratios": numbers(2, lambda value: 0 < value <= 100, increasing=True),
        },
        {},
        lambda given: given["shorter"] <= given["longer"],
    ),
    "random_resize": (
        lambda: {"sample": scene(), "rng": rng(), "shorter": (8, 16), "longer": 20},
        {"sample": SAMPLE, "shorter": listed(SIDE, at_least=1), "longer": SIDE},
        {},
        lambda given: max(given["shorter"]) <= given["longer"],
    ),
    "resize_sample": (lambda: {"sample": scene(), "size": (8, 10)}, {"sample": SAMPLE, "size": IMAGE_SIZE}),
    "sample_rng": (lambda: {"seed": 1, "epoch": 2, "index": 3}, {"index": integer(0)}),
    "sample_statistics": (lambda: {"samples": [scene()]}, {"samples": listed(SAMPLE, at_least=1)}),
    "size_within": (
        lambda: {"size": (30, 40), "shorter": 20, "longer": 50},
        {"size": IMAGE_SIZE, "shorter": SIDE, "longer": SIDE},
        {},
        lambda given: given["shorter"] <= given["longer"],
    ),
    "tight_boxes": (lambda: {"masks": np.eye(4, dtype=bool)[None]}, {"masks": array("b", lambda a: a.ndim == 3)}),
}
