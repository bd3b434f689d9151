"""Small data sets for the dense examples, in each layout that they recognize: files are bytes by name.

Each has four images to train on and two to test on, of 32 × 40 pixels with two rectangles each.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.data.formats.drawn import (
    Files,
    annotation,
    coco_text,
    encoded,
    pixels,
    rectangle,
    run_lengths,
    voc_object,
    voc_xml,
)

HEIGHT, WIDTH = 32, 40
IMAGES = {"train": 4, "val": 2}
CLASSES = ("dark", "bright")
Box = tuple[int, int, int, int]


def boxes(number: int) -> list[Box]:
    """The corners of an image's objects: the first is dark, the second bright."""
    return [(2 + number, 4, 14 + number, 16), (20, 8 + number, 36, 26)]


def image(number: int) -> bytes:
    """An image with its objects."""
    drawn = pixels(HEIGHT, WIDTH, number) // 4 + 96
    for brightness, (x1, y1, x2, y2) in zip((20, 240), boxes(number), strict=True):
        drawn[y1:y2, x1:x2] = brightness
    return encoded(drawn)


def numbers_of(number: int, background: int, dark: int, bright: int) -> bytes:
    """A label image with these numbers."""
    drawn = np.full((HEIGHT, WIDTH), background, np.uint8)
    for label, (x1, y1, x2, y2) in zip((dark, bright), boxes(number), strict=True):
        drawn[y1:y2, x1:x2] = label
    return encoded(drawn)


def polygon(box: Box) -> list[list[float]]:
    """A rectangle as a list of polygons."""
    x1, y1, x2, y2 = box
    return [[x1, y1, x2, y1, x2, y2, x1, y2]]


def counts(box: Box, as_text: bool) -> dict[str, Any]:
    """A rectangle as run lengths, as a list or as text."""
    runs = run_lengths(rectangle(HEIGHT, WIDTH, *box))
    return {"size": [HEIGHT, WIDTH], "counts": coco_text(runs) if as_text else runs}


def coco(describe: Callable[[int, Box, Box], list[dict[str, Any]]]) -> Files:
    """COCO's JSON and images; the function makes an image's annotations of its number and its objects."""
    files = {}
    for split, count in IMAGES.items():
        numbers = range(count)
        content = {
            "images": [{"id": n, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for n in numbers],
            "categories": [{"id": 3, "name": CLASSES[0]}, {"id": 7, "name": CLASSES[1]}],
            "annotations": [one for number in numbers for one in describe(number, *boxes(number))],
        }
        files[f"annotations/instances_{split}.json"] = json.dumps(content).encode()
        files |= {f"{split}/{number}.png": image(number) for number in numbers}
    return files


def with_polygons(number: int, dark: Box, bright: Box) -> list[dict[str, Any]]:
    """Two objects with polygons."""
    return [_object(2 * number, number, 3, dark, polygon), _object(2 * number + 1, number, 7, bright, polygon)]


def with_run_lengths(number: int, dark: Box, bright: Box) -> list[dict[str, Any]]:
    """An object with run lengths as a list, and a crowd with run lengths as text, or the other way round."""
    return [
        _object(2 * number, number, 3, dark, lambda box: counts(box, as_text=number % 2 == 0)),
        _object(2 * number + 1, number, 7, bright, lambda box: counts(box, as_text=number % 2 == 1), iscrowd=1),
    ]


def with_boxes(number: int, dark: Box, bright: Box) -> list[dict[str, Any]]:
    """Two objects without masks."""
    return [
        {key: value for key, value in one.items() if key != "segmentation"}
        for one in with_polygons(number, dark, bright)
    ]


def _object(
    number: int, image: int, category: int, box: Box, mask: Callable[[Box], Any], **more: Any
) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    return annotation(number, image, category, [x1, y1, x2 - x1, y2 - y1], mask(box), **more)


def voc() -> Files:
    """Pascal VOC's folders, with names of classes."""
    files = {"classes.txt": "\n".join(CLASSES).encode()}
    for split, count in IMAGES.items():
        names = [f"{split}_{number}" for number in range(count)]
        files[f"ImageSets/Main/{split}.txt"] = "\n".join(names).encode()
        for number, name in enumerate(names):
            found = [
                voc_object(label, (x1 + 1, y1 + 1, x2, y2))
                for label, (x1, y1, x2, y2) in zip(CLASSES, boxes(number), strict=True)
            ]
            files[f"Annotations/{name}.xml"] = voc_xml("".join(found), WIDTH, HEIGHT)
            files[f"JPEGImages/{name}.jpg"] = image(number)
    return files


def label_maps(splits: dict[str, str], background: int, dark: int, bright: int) -> Files:
    """Images and label images, in folders of these names for train and val."""
    files = {}
    for split, folder in splits.items():
        for number in range(IMAGES[split]):
            files[f"images/{folder}/{number}.png"] = image(number)
            files[f"annotations/{folder}/{number}.png"] = numbers_of(number, background, dark, bright)
    return files


def cityscapes() -> Files:
    """Cityscapes as it is downloaded: the road is the background, a car is dark, what is not evaluated is bright."""
    files = {}
    for split, count in IMAGES.items():
        for number in range(count):
            name = f"{split}/bonn/{number}"
            files[f"leftImg8bit/{name}_leftImg8bit.png"] = image(number)
            files[f"gtFine/{name}_gtFine_labelIds.png"] = numbers_of(number, background=7, dark=26, bright=4)
    return files


# Which example learns from it, and the files.
LAYOUTS: dict[str, tuple[str, Callable[[], Files]]] = {
    "COCO with polygons": ("detect", lambda: coco(with_polygons)),
    "COCO with run lengths and crowds": ("detect", lambda: coco(with_run_lengths)),
    "COCO with boxes alone": ("detect", lambda: coco(with_boxes)),
    "Pascal VOC": ("detect", voc),
    "ADE20K": (
        "segment",
        lambda: {**label_maps({"train": "training", "val": "validation"}, 1, 10, 0), "sceneCategories.txt": b""},
    ),
    "Cityscapes": ("segment", cityscapes),
    "a folder of label images": (
        "segment",
        lambda: {**label_maps({"train": "train", "val": "val"}, 255, 0, 1), "classes.txt": "\n".join(CLASSES).encode()},
    ),
}
