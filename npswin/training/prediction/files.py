"""The files of predictions of each task."""

import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from npswin.data import Detections
from npswin.data.formats.coco_results import result_entries
from npswin.data.sample_datasets import check_category_ids
from npswin.files import write_atomically
from npswin.training.pictures import draw_class_scores, draw_detections, draw_segmentation
from npswin.training.pictures.palette import colours
from npswin.training.pictures.style import exact_percent
from npswin.training.prediction.folder import PICTURES, PredictionFolder
from npswin.training.prediction.run import Run
from npswin.training.tasks.detection import DetectionTask
from npswin.training.tasks.segmentation import SegmentationTask
from npswin.types import Array

_IN_LINE = 4  # classes in the line of an image
_LONGEST_TITLE = 34  # letters, above the picture of a small image
_LABELS = "annotations"  # ADE20K's name for the folder of label images


class ClassificationFiles(PredictionFolder):
    """predictions.json has for each image its most likely classes with their probabilities."""

    settings = ("top",)

    def _add(self, path: Path, image: Array, result: Array) -> str:
        """Write the probability of each class, (K,)."""
        best = np.argsort(-result, kind="stable")[: self.top].tolist()
        picture = self._file(PICTURES, path)
        draw_class_scores(image, result, self.class_names, picture, self.top, _title(path))
        classes = [{"name": self.class_names[label], "score": float(result[label])} for label in best]
        self.entries.append({"file": str(path), "picture": f"{PICTURES}/{picture.name}", "classes": classes})
        return _shares([(one["name"], one["score"]) for one in classes])


class SegmentationFiles(PredictionFolder):
    """annotations/NAME.png is the label image: the number of the class of each pixel, in its colour in the picture.

    predictions.json has the share of the pixels of each class. With classes.txt, the names in the order of their
    numbers, the label images are a data set for `npswin.data.load_label_maps`.
    """

    def _add(self, path: Path, image: Array, result: Array) -> str:
        """Write the class of each pixel, (H, W)."""
        picture, labels = self._file(PICTURES, path), self._file(_LABELS, path)
        draw_segmentation([image], [result], self.class_names, picture, title=_title(path))
        _write_label_image(labels, result, len(self.class_names))
        shares = np.bincount(result.reshape(-1), minlength=len(self.class_names)) / result.size
        present = [label for label in np.argsort(-shares, kind="stable").tolist() if shares[label]]
        classes = [{"name": self.class_names[label], "share": float(shares[label])} for label in present]
        files = {"picture": f"{PICTURES}/{picture.name}", "labels": f"{_LABELS}/{labels.name}"}
        self.entries.append({"file": str(path), **files, "classes": classes})
        return _shares([(one["name"], one["share"]) for one in classes])

    def write_json(self) -> None:
        """Also the names of the classes."""
        super().write_json()
        text = "".join(" ".join(name.split()) + "\n" for name in self.class_names)
        write_atomically(self.path / "classes.txt", lambda file: file.write(text.encode()))


class DetectionFiles(PredictionFolder):
    """predictions.json has COCO's results; images.json, a file of annotations of COCO's without objects, has the images
    and categories that their ids belong to. The ids of categories are those of the data that the model was trained on.

    Names of images are their paths in the folder that all of them have in common, "image_folder" in its "info", so that
    `npswin.data.load_coco` reads it with that folder; "picture" is what was drawn.
    """

    settings = ("threshold",)

    def __init__(
        self,
        path: str | os.PathLike[str],
        run: Run,
        paths: Sequence[Path],
        top: int | None = None,
        threshold: float | None = None,
    ) -> None:
        super().__init__(path, run, paths, top, threshold)
        self._folders = {one: os.path.realpath(one.parent) for one in paths}
        self._image_folder = os.path.commonpath(self._folders.values())
        self._score_threshold = run.model.detection_limits.score_threshold
        self._category_ids = check_category_ids(run.category_ids, len(self.class_names))
        self._images: list[dict[str, Any]] = []
        self._highest_score = 0.0

    def _add(self, path: Path, image: Array, result: Detections) -> str:
        """Write what was found."""
        picture = self._file(PICTURES, path)
        draw_detections([image], [result], self.class_names, picture, min_score=self.threshold, title=_title(path))
        number, (height, width) = self._id(path), image.shape[1:]
        self.entries += result_entries("found", result, number, self._category_ids)
        name = (Path(self._folders[path]).relative_to(self._image_folder) / path.name).as_posix()
        size = {"height": height, "width": width}
        self._images.append({"id": number, "file_name": name, **size, "picture": f"{PICTURES}/{picture.name}"})
        self._highest_score = max(self._highest_score, float(result.scores.max(initial=0)))
        shown = Counter(self.class_names[label] for label in result.labels[result.scores >= self.threshold])
        counts = ", ".join(f"{count} {name}" for name, count in shown.most_common())
        return counts or f"nothing with a score of at least {exact_percent(self.threshold)}"

    def closing_line(self) -> str:
        """Where nothing was drawn in any image, from which score on something would be."""
        if not self._images:
            return ""
        if not self.entries:
            kept = f"the model keeps no score of {exact_percent(self._score_threshold)} or less (its score_threshold)"
            return f"nothing was found in any image, and no --threshold draws more: {kept}"
        if self._highest_score >= self.threshold:
            return ""
        highest = _rounded_down(self._highest_score)
        return f"the highest score of all is {exact_percent(highest)}: --threshold {highest:g} draws more"

    def write_json(self) -> None:
        """Also the images and categories."""
        super().write_json()
        numbered = zip(self._category_ids, self.class_names, strict=True)
        categories = [{"id": number, "name": name} for number, name in numbered]
        info = {"image_folder": self._image_folder}
        content = {"info": info, "images": self._images, "categories": categories, "annotations": []}
        self._write_json("images.json", content)


def files_of_task(run: Run) -> type[PredictionFolder]:
    """The class that writes the predictions of a run."""
    if isinstance(run.task, SegmentationTask):
        return SegmentationFiles
    return DetectionFiles if isinstance(run.task, DetectionTask) else ClassificationFiles


def _rounded_down(share: float) -> float:
    """A share with two digits behind the point, or as many as its first digit needs."""
    digits = max(2, math.ceil(-math.log10(share)))
    return math.floor(share * 10**digits) / 10**digits


def _title(path: Path) -> str:
    """The name of a file, of a long one its ends; what is no text in it is replaced."""
    name = os.fsencode(path.name).decode("utf-8", "replace")
    return name if len(name) <= _LONGEST_TITLE else f"{name[: _LONGEST_TITLE - 16]}…{name[-15:]}"


def _shares(classes: list[tuple[str, float]]) -> str:
    shown = [f"{name} {f'{100 * share:.0f}' if share >= 0.005 else '<1'} %" for name, share in classes[:_IN_LINE]]
    return ", ".join(shown + ["..."] * (len(classes) > _IN_LINE))


def _write_label_image(path: Path, labels: Array, num_classes: int) -> None:
    """Write the class of each pixel (H, W) as a PNG of 8 bits, whose palette has the colours of the classes."""
    from PIL import Image

    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(colours(num_classes).tobytes())
    write_atomically(path, lambda file: image.save(file, "PNG"))
