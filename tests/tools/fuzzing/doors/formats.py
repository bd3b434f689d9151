"""Data sets of dense tasks: COCO's JSON and results, Pascal VOC's XML, label images, and the names of classes."""

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from npswin import data
from npswin.data import DataFileError, DetectionDataset
from npswin.data.formats import image_files
from tests.data.formats import drawn
from tests.tools.fuzzing.doors.door import Door, Sample, equal, require
from tests.tools.fuzzing.workspace import Files

MOST_PIXELS = 2**20


def _with_small_images() -> None:
    image_files.MOST_PIXELS = MOST_PIXELS


def _check_objects(dataset: DetectionDataset) -> int:
    """Require that samples are what their types promise beyond shapes; returns the number of objects."""
    count = 0
    for sample in dataset:
        height, width = sample.image.shape[1:]
        require(
            bool((sample.boxes >= 0).all() and (sample.boxes <= [width, height, width, height]).all()), "box outside"
        )
        require(bool((sample.boxes[:, :2] < sample.boxes[:, 2:]).all()), "a box without area")
        require(sample.masks is None or bool(sample.masks.any(axis=(1, 2)).all()), "a mask without pixels")
        count += len(sample.labels)
    return count


def _image(content: bytes | str) -> Any:
    assert isinstance(content, bytes)
    return Image.open(io.BytesIO(content))


def coco_door(folder: Path) -> Door:
    """`load_coco`, every other time with `repair`."""
    _with_small_images()
    names = "objects.json", "images/b.png"
    seeds: list[Files] = [
        dict(drawn.coco_files(content)) for content in (drawn.coco_content(), drawn.without_masks(drawn.coco_content()))
    ]

    def read(sample: Sample) -> str:
        repair = sample.number % 2 == 0
        dataset = data.load_coco(sample.folder / names[0], sample.folder / "images", "train", repair=repair)
        count = _check_objects(dataset)
        content = json.loads(sample.files[names[0]])
        whole = len(content["annotations"])
        require(count == whole or (repair and count < whole), f"{count} of {whole} objects")
        require(len(dataset) == len(content["images"]) or repair, "other images")
        if not repair:
            by_image = dict(zip(dataset.image_ids, dataset, strict=True))
            for image_id, one in by_image.items():
                wanted = [entry["bbox"] for entry in content["annotations"] if entry["image_id"] == image_id]
                x, y, width, height = np.reshape(np.array(wanted, float), (-1, 4)).T
                shift = abs(one.boxes - np.stack([x, y, x + width, y + height], axis=1))
                require(not shift.size or shift.max() <= 1, "other boxes")
        return f"read {len(dataset)} {min(count, 5)} {dataset.has_masks} {repair}"

    return Door("coco", (DataFileError,), seeds, read, names)


def coco_results_door(folder: Path) -> Door:
    """`read_coco_results`."""
    _with_small_images()
    right = folder / "right"
    drawn.write(right, drawn.coco_files(drawn.without_masks(drawn.coco_content())))
    dataset = data.load_coco(right / "objects.json", right / "images", "train")
    boxes, masks = np.array([[1, 0, 4.5, 2], [0, 0, 3, 3]]), drawn.rectangle(8, 9, 1, 0, 4, 2)[None].repeat(2, axis=0)
    none = data.Detections(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 8, 9), bool))
    found = data.Detections(boxes, np.array([1, 0]), np.array([0.75, 0.5]), masks)
    seeds: list[Files] = []
    for with_masks in (True, False):
        one = found if with_masks else data.Detections(found.boxes, found.labels, found.scores)
        data.write_coco_results(right / "r.json", dataset, [one, none, none])
        seeds.append({"r.json": (right / "r.json").read_bytes()})
    counts = drawn.run_lengths(masks[0])
    seeds.append({"r.json": seeds[0]["r.json"].replace(b'"' + _text(counts) + b'"', json.dumps(counts).encode())})  # type: ignore[union-attr,arg-type]

    def read(sample: Sample) -> str:
        results = data.read_coco_results(sample.folder / "r.json", dataset)
        content = json.loads(sample.files["r.json"])
        images = list(results)
        require(sum(len(one.labels) for one in images) == len(content), "another number of results")
        for image_id, one in zip(dataset.image_ids, images, strict=True):
            wanted = [entry["score"] for entry in content if entry["image_id"] == image_id]
            require(equal(one.scores, np.array(wanted, float)), "other scores")
        return f"read {min(len(content), 5)} {images[0].masks is None}"

    return Door("coco-results", (DataFileError,), seeds, read)


def _text(counts: list[int]) -> bytes:
    return drawn.coco_text(counts).replace("\\", "\\\\").encode()


def voc_door(folder: Path) -> Door:
    """`load_voc`, every other time with `repair`."""
    _with_small_images()
    name = "Annotations/000007.xml"

    def read(sample: Sample) -> str:
        repair = sample.number % 2 == 0
        dataset = data.load_voc(sample.folder, "train", repair=repair)
        count = _check_objects(dataset)
        content, names = sample.files.get(name, b""), sample.files["ImageSets/Main/train.txt"]
        assert isinstance(names, bytes)
        if not repair and b"000007" in names.split():
            assert isinstance(content, bytes)
            wanted = ElementTree.fromstring(content).findall("object")
            require(count == len(wanted) and b"<!DOCTYPE" not in content, "other objects")
        return f"read {len(dataset)} {min(count, 5)} {repair}"

    files = (name, "ImageSets/Main/train.txt")
    return Door("voc", (DataFileError,), [dict(drawn.voc_files())], read, files)


def label_maps_door(folder: Path) -> Door:
    """`load_label_maps`."""
    _with_small_images()
    first = drawn.label_map_files()
    numbers = drawn.labels(12, 10, 2)
    indexed = Image.fromarray(numbers)
    indexed.putpalette(list(range(30)))
    indexed.save(stream := io.BytesIO(), "PNG")
    contents = (first["labels/a.png"], stream.getvalue(), drawn.encoded(numbers.astype(np.uint16)))
    seeds: list[Files] = [{**first, "labels/a.png": content} for content in contents]
    seeds.append({name.replace("a.png", "a.bmp"): content for name, content in first.items()})
    seeds[-1]["labels/a.bmp"] = drawn.encoded(numbers, "bmp")

    def read(sample: Sample) -> str:
        repair = sample.number % 2 == 0
        dataset = data.load_label_maps(
            sample.folder / "images", sample.folder / "labels", ("a", "b", "c"), "train", repair=repair
        )
        for one in dataset:
            require(bool(((one.labels < 3) | (one.labels == 255)).all()), "a label without a class")
        if sample.only_bytes and "labels/a.png" in sample.seed and len(dataset) == 2:
            require(equal(dataset[0].labels, numbers), "other labels")
        return f"read {len(dataset)} {repair} {len({one.image.shape for one in dataset})}"

    return Door("label-maps", (DataFileError,), seeds, read, ("labels/a.png", "labels/a.bmp", "images/more/b.png"))


def class_names_door(folder: Path) -> Door:
    """`read_class_names`."""

    def read(sample: Sample) -> str:
        names = data.read_class_names(sample.folder / "classes.txt")
        content = sample.files["classes.txt"]
        assert isinstance(content, bytes)
        lines = {line.strip() for line in content.decode("utf-8-sig").splitlines()}
        require(len(names) > 0 and len(set(names)) == len(names) and set(names) <= lines, "other names")
        return f"read {min(len(names), 5)}"

    return Door("class-names", (DataFileError,), [{"classes.txt": "sky\ntraffic light\nbäume\n".encode()}], read)
