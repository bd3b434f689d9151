"""Average precision, COCO's measure of object detection (https://cocodataset.org/#detection-eval), by pycocotools."""

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from npswin.checks import check_instance, check_size
from npswin.data.detections import Detections
from npswin.data.formats.run_lengths import encode_masks
from npswin.data.samples import DetectionSample
from npswin.types import Array


@dataclass(frozen=True)
class DetectionScores:
    """How well objects are found; all from 0 to 1, NaN where there is no object to find.

    Precision is averaged over 101 recalls from 0 to 1, then over classes and over the thresholds of the intersection
    over union from which an object counts as found.

    Attributes:
        ap: average precision, over the thresholds 0.5, 0.55, ..., 0.95.
        ap50, ap75: of one threshold.
        ap_small, ap_medium, ap_large: of objects with an area up to 32², to 96², and above, in pixels.
        recall: the share of objects that is found, over the same thresholds as `ap`.
        class_ap: `ap` of each class.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    recall: float
    class_ap: tuple[float, ...]


class AveragePrecision:
    """Collects what is in images and what was found there, and then computes the measure of all of them.

    Crowds are not objects to find, and what is found in them is no mistake.

    Args:
        num_classes: K.
        max_detections: the detections of an image and a class that count, those with the highest scores; 100 by COCO's
            rules. With fewer than the objects of an image not all can be found.

    Raises:
        ValueError: a number is no integer of at least 1.
    """

    def __init__(self, num_classes: int, max_detections: int = 100) -> None:
        self.num_classes = check_size("num_classes", num_classes)
        self.max_detections = check_size("max_detections", max_detections)
        self._sizes: list[tuple[int, int]] = []  # of the images
        self._objects: list[dict[str, Any]] = []  # as pycocotools takes them
        self._found: list[dict[str, Any]] = []
        self._have_masks = True

    def add(self, sample: DetectionSample, found: Detections) -> None:
        """Add an image. Of masks, the run lengths are kept.

        Args:
            sample: with the objects that are there.
            found: the objects that were found.

        Raises:
            ValueError: an argument is of another type, a label is no class, or masks are not of the image's size.
            ImportError: there are masks, and pycocotools is not installed.
        """
        check_instance("sample", sample, DetectionSample, "a DetectionSample")
        check_instance("found", found, Detections, "Detections")
        for name, labels in (("sample", sample.labels), ("found", found.labels)):
            if labels.size and not 0 <= labels.min() <= labels.max() < self.num_classes:
                got = f"{name}: got labels from {labels.min()} to {labels.max()}"
                raise ValueError(f"{got}, expected 0 to {self.num_classes - 1}")
        size = sample.image.shape[1:]
        if found.masks is not None and len(found.masks) and found.masks.shape[1:] != size:
            raise ValueError(f"found: got masks of the size {found.masks.shape[1:]}, expected {size} as the image")
        self._have_masks &= sample.masks is not None and found.masks is not None
        objects = _entries(len(self._sizes), sample.boxes, sample.labels, sample.masks)
        results = _entries(len(self._sizes), found.boxes, found.labels, found.masks)
        crowd, scores = sample.crowd.astype(int).tolist(), found.scores.tolist()
        self._sizes.append(size)
        self._objects += [{**entry, "iscrowd": value} for entry, value in zip(objects, crowd, strict=True)]
        self._found += [{**entry, "score": value} for entry, value in zip(results, scores, strict=True)]

    def box_scores(self) -> DetectionScores:
        """The measure, by the intersection over union of boxes.

        Raises:
            ValueError: no image was added.
            ImportError: pycocotools is not installed.
        """
        return self._scores("bbox")

    def mask_scores(self) -> DetectionScores:
        """The measure, by the intersection over union of masks.

        Raises:
            ValueError: no image was added, or one without masks.
            ImportError: pycocotools is not installed.
        """
        if not self._have_masks:
            raise ValueError("mask_scores: got samples or detections without masks, expected masks in all of them")
        return self._scores("segm")

    def _scores(self, kind: str) -> DetectionScores:
        try:
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval
        except ImportError as error:
            raise ImportError("average precision needs pycocotools: pip install 'npswin[detect]'") from error
        if not self._sizes:
            raise ValueError("scores: got no image, expected at least one: add(sample, found)")
        images = [{"id": index, "height": size[0], "width": size[1]} for index, size in enumerate(self._sizes)]
        categories = [{"id": label} for label in range(self.num_classes)]
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
            sides = COCO(), COCO()
            for side, entries in zip(sides, (self._objects, self._found), strict=True):
                # ids from 1, since 0 stands for no match; of objects, areas are those of masks where there are any
                numbered = [{**entry, "id": number} for number, entry in enumerate(entries, 1)]
                if kind == "bbox" and entries is self._found:
                    numbered = [{**entry, "area": entry["bbox"][2] * entry["bbox"][3]} for entry in numbered]
                side.dataset = {"images": images, "categories": categories, "annotations": numbered}
                side.createIndex()
            evaluation = COCOeval(*sides, iouType=kind)
            evaluation.params.maxDets = [self.max_detections]
            evaluation.evaluate()
            evaluation.accumulate()
        return _mean_scores(evaluation.eval["precision"][..., 0], evaluation.eval["recall"][..., 0])


def _entries(image_id: int, boxes: Array, labels: Array, masks: Array | None) -> list[dict[str, Any]]:
    """Annotations of one image."""
    corners = boxes.astype(np.float64)
    sizes = corners[:, 2:] - corners[:, :2]
    codes = [None] * len(labels) if masks is None or not len(masks) else encode_masks(masks)
    areas = sizes.prod(axis=1) if masks is None else masks.sum(axis=(1, 2))
    rows = zip(labels.tolist(), np.hstack([corners[:, :2], sizes]).tolist(), codes, areas.tolist(), strict=True)
    return [
        {"image_id": image_id, "category_id": label, "bbox": box, "segmentation": code, "area": area}
        for label, box, code, area in rows
    ]


def _mean_scores(precision: Array, recall: Array) -> DetectionScores:
    """The means of precision (threshold, recall, class, area) and recall (threshold, class, area).

    Both are -1 where there is no object.
    """
    every, small, medium, large = np.moveaxis(precision, -1, 0)
    return DetectionScores(
        ap=_mean(every),
        ap50=_mean(every[0]),
        ap75=_mean(every[5]),
        ap_small=_mean(small),
        ap_medium=_mean(medium),
        ap_large=_mean(large),
        recall=_mean(recall[..., 0]),
        class_ap=tuple(_mean(every[..., label]) for label in range(every.shape[-1])),
    )


def _mean(values: Array) -> float:
    values = values[values >= 0]
    return float(values.mean()) if values.size else float("nan")
