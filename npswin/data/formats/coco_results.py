"""Results of detectors in COCO's format: what the evaluation server takes, and other programs read."""

import json
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from npswin.checks import check_instance, check_path, shown
from npswin.data.detections import Detections
from npswin.data.errors import DataFileError
from npswin.data.formats.boxes import Box
from npswin.data.formats.entries import check_object, coordinates_of, integer_of, number_of
from npswin.data.formats.findings import EntryError, Findings
from npswin.data.formats.image_files import too_large
from npswin.data.formats.run_lengths import RunLengths, decode_masks, encode_masks, encode_run_lengths
from npswin.data.sample_datasets import DetectionDataset
from npswin.files import read_json, shown_path, write_atomically

LARGEST_FILE = 2**31  # bytes


def write_coco_results(path: str | PathLike[str], dataset: DetectionDataset, detections: Iterable[Detections]) -> None:
    """Write what was found in the images of a data set.

    The file is a list of objects with image_id, category_id, bbox (x, y, width, height), score, and with segmentation
    (run lengths) where there are masks.

    Args:
        path: the file to create or replace.
        dataset: it has the ids of images and categories.
        detections: for each image, in the order of the data set.

    Raises:
        ValueError: there are not as many detections as images, or a label is no class of the data set.
        OSError: the file cannot be written.
        ImportError: there are masks, and pycocotools is not installed.
    """
    path = check_path("path", path)
    check_instance("dataset", dataset, DetectionDataset, "a DetectionDataset")
    if not isinstance(detections, Iterable) or isinstance(detections, np.ndarray):
        raise ValueError(f"detections: got {shown(detections)}, expected Detections for each image")
    entries: list[dict[str, Any]] = []
    count = 0
    for index, found in enumerate(detections):
        check_instance(f"detections[{index}]", found, Detections, "Detections")
        if index < len(dataset):
            entries += result_entries(f"detections[{index}]", found, dataset.image_ids[index], dataset.category_ids)
        count += 1
    if count != len(dataset):
        raise ValueError(f"detections: got those of {count} images, expected {len(dataset)} as in the data set")
    write_atomically(path, lambda file: file.write(json.dumps(entries).encode()))


def result_entries(
    name: str, found: Detections, image_id: int, category_ids: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """The JSON objects of what was found in one image.

    Args:
        name: of the detections, for the message.
        found: the detections.
        image_id: of the image.
        category_ids: of each class.

    Raises:
        ValueError: a label is no class.
        ImportError: there are masks, and pycocotools is not installed.
    """
    labels = found.labels
    if labels.size and not 0 <= labels.min() <= labels.max() < len(category_ids):
        got = f"{name}: got labels from {labels.min()} to {labels.max()}"
        raise ValueError(f"{got}, expected 0 to {len(category_ids) - 1}")
    boxes = np.concatenate([found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]], axis=1)
    codes = [None] * len(labels) if found.masks is None else encode_masks(found.masks)
    for label, box, score, code in zip(labels, boxes.tolist(), found.scores.tolist(), codes, strict=True):
        entry = {"image_id": image_id, "category_id": category_ids[label], "bbox": box, "score": score}
        yield entry if code is None else {**entry, "segmentation": _as_json(code)}


def _as_json(code: RunLengths) -> dict[str, Any]:
    return {"size": list(code["size"]), "counts": code["counts"].decode("ascii")}


def read_coco_results(path: str | PathLike[str], dataset: DetectionDataset) -> Sequence[Detections]:
    """Read what was found in the images of a data set, by npswin or by another program.

    Args:
        path: a file as `write_coco_results` writes it; masks may also be run lengths as lists.
        dataset: the images and categories that the file names by their ids.

    Returns:
        The detections of each image of the data set, in the order of the file; none where it has none. Numbers are
        float64. Masks are decoded when the detections of their image are asked for.

    Raises:
        AnnotationError: a value is missing or of a wrong type, an image or a category is unknown, or masks are wrong.
        DataFileError: the file cannot be read, or is not JSON.
        ValueError: an argument is of another type.
        ImportError: there are masks, and pycocotools is not installed.
    """
    path = check_path("path", path, DataFileError)
    check_instance("dataset", dataset, DetectionDataset, "a DetectionDataset")
    content = read_json(path, DataFileError, LARGEST_FILE, finite=False)  # NaN is looked for in each entry
    if not isinstance(content, list):
        raise DataFileError(f"{shown_path(path)}: is {shown(content)}, expected a list of results")
    findings = Findings(path)
    has_masks = any(isinstance(entry, dict) and "segmentation" in entry for entry in content)
    labels = {category: label for label, category in enumerate(dataset.category_ids)}
    found: dict[int, list[_Result]] = {image_id: [] for image_id in dataset.image_ids}
    for index, entry in enumerate(content):
        try:
            image_id = integer_of(check_object(entry), "image_id")
            if image_id not in found:
                raise EntryError("unknown image", f"is of image {image_id}, which is not in the data set")
            result = _read_result(entry, labels, has_masks)
            if result.mask and result.mask["size"] != (found[image_id] or [result])[0].mask["size"]:
                raise EntryError("other size", f"has a mask of another size than others in image {image_id}")
            found[image_id].append(result)
        except EntryError as error:
            findings.add(error.kind, f"result {index}", error.text, fatal=True)
    findings.raise_or_warn(repair=False)
    return _Results(list(found.values()), has_masks)


class _Result(NamedTuple):
    box: Box
    label: int
    score: float
    mask: Any = None  # run lengths


class _Results(Sequence[Detections]):
    """The detections of each image, whose masks are decoded when they are asked for."""

    def __init__(self, found: list[list[_Result]], has_masks: bool) -> None:
        self.found, self.has_masks = found, has_masks

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, index: Any) -> Any:
        results = self.found[index]
        size = results[0].mask["size"] if self.has_masks and results else (0, 0)
        return Detections(
            np.array([one.box for one in results], np.float64).reshape(-1, 4),
            np.array([one.label for one in results], np.int64),
            np.array([one.score for one in results], np.float64),
            decode_masks([one.mask for one in results], *size) if self.has_masks else None,
        )


def _read_result(entry: dict[str, Any], labels: dict[int, int], has_masks: bool) -> _Result:
    category = integer_of(entry, "category_id")
    if category not in labels:
        raise EntryError("unknown category", f"has category {category}, which the data set has not")
    x, y, width, height = coordinates_of(entry, "bbox", 4)
    if width < 0 or height < 0:
        raise EntryError("empty box", f"has the bbox {entry['bbox']}")
    score = number_of(entry, "score")
    box = (x, y, x + width, y + height)
    if not has_masks:
        return _Result(box, labels[category], score)
    if not isinstance(code := entry.get("segmentation"), dict):
        raise EntryError("no mask", "has no run lengths, as others have")
    size = coordinates_of(code, "size", 2)
    height, width = map(int, size)
    if size != (height, width) or min(height, width) < 1 or too_large(height, width):
        raise EntryError("wrong run lengths", f"has run lengths for the size {code['size']}")
    return _Result(box, labels[category], score, encode_run_lengths(code, height, width))
