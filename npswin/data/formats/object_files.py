"""Images with objects, read when they are asked for: what the readers of COCO and Pascal VOC have in common."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from npswin.data.errors import DataFileError
from npswin.data.formats.boxes import Box
from npswin.data.formats.check_files import unreadable_samples
from npswin.data.formats.findings import Findings, InconsistentFileError
from npswin.data.formats.image_files import note_of_orientation, read_image
from npswin.data.formats.run_lengths import RunLengths, decode_masks
from npswin.data.sample_datasets import DetectionDataset
from npswin.data.samples import DetectionSample
from npswin.files import shown_path
from npswin.types import Array


class Annotation(NamedTuple):
    """One object.

    Attributes:
        box: its corners x1, y1, x2, y2.
        label: its class.
        crowd: see `DetectionSample`.
        mask: run lengths, or None.
    """

    box: Box
    label: int
    crowd: bool
    mask: RunLengths | None = None


@dataclass
class AnnotatedImage:
    """An image, and what its annotations say about it.

    Attributes:
        image_id: its number in the annotations.
        path: of the image.
        height, width: which it should have, in pixels.
        objects: in it.
    """

    image_id: int
    path: Path
    height: int
    width: int
    objects: list[Annotation] = field(default_factory=list)


class ObjectFiles(Sequence[DetectionSample]):
    """Samples that are read when they are asked for.

    Args:
        images: one for each sample.
        has_masks: whether all objects have masks.
    """

    def __init__(self, images: list[AnnotatedImage], has_masks: bool) -> None:
        self.images, self.has_masks = images, has_masks

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> Any:
        about = self.images[index]
        image, objects = read_image(about.path), about.objects
        if image.shape[1:] != (about.height, about.width):
            text = f"has {image.shape[2]}×{image.shape[1]} pixels, its annotations are for {about.width}×{about.height}"
            note = note_of_orientation(about.path)
            raise InconsistentFileError("other size", f"{shown_path(about.path)}: {text}{note}")
        boxes = np.array([one.box for one in objects], np.float64).reshape(-1, 4)
        labels = np.array([one.label for one in objects], np.int64)
        codes = [one.mask for one in objects if one.mask is not None]
        masks = decode_masks(codes, about.height, about.width) if self.has_masks else None
        return DetectionSample(image, boxes, labels, masks, np.array([one.crowd for one in objects], bool))


def labels_in_memory(dataset: DetectionDataset) -> list[Array]:
    """The labels of each image's objects, without crowds; none where images would have to be read or drawn for them."""
    if isinstance(dataset.samples, ObjectFiles):
        images = dataset.samples.images
        return [np.array([one.label for one in image.objects if not one.crowd], int) for image in images]
    if isinstance(dataset.samples, list | tuple):
        return [sample.labels[~sample.crowd] for sample in dataset.samples]
    return []


def has_objects(dataset: DetectionDataset) -> bool:
    """Whether there is an object that is no crowd; where that is not in memory, images are read up to the first one."""
    labels = labels_in_memory(dataset) or (sample.labels[~sample.crowd] for sample in dataset)
    return any(len(one) > 0 for one in labels)


def check_and_report(samples: ObjectFiles, findings: Findings, check_files: bool, repair: bool) -> None:
    """Report what is wrong, and leave it out, or raise an error.

    Args:
        samples: whose images that cannot be read are left out.
        findings: what was found in the annotations.
        check_files: whether to read each image.
        repair: whether to leave out what is damaged.

    Raises:
        AnnotationError: something is wrong and not left out.
        DataFileError: nothing is left.
    """
    if check_files:
        unreadable = unreadable_samples(samples, findings)
        samples.images = [image for index, image in enumerate(samples.images) if index not in unreadable]
    findings.raise_or_warn(repair)
    if not samples.images:
        raise DataFileError(f"{shown_path(findings.path)}: no image is left")
