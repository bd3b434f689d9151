"""Data sets for semantic segmentation: a folder of images, and one of label images of the same names."""

import os
import zlib
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from npswin.checks import check_flag, check_integer, check_path, check_text, shown
from npswin.data.errors import DataFileError
from npswin.data.formats.check_files import unreadable_samples
from npswin.data.formats.findings import Findings, InconsistentFileError
from npswin.data.formats.image_files import note_of_orientation, read_image, read_label_image
from npswin.data.sample_datasets import SegmentationDataset, check_class_names
from npswin.data.samples import IGNORED, SegmentationSample
from npswin.files import shown_path
from npswin.types import Array

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
LARGEST_LABEL = 65535  # of 16 bits
_UNKNOWN = -1


class _Pair(NamedTuple):
    image: Path
    labels: Path


class LabelMapFiles(Sequence[SegmentationSample]):
    """Samples that are read when they are asked for.

    Args:
        pairs: an image and its label image for each sample.
        classes: for each number in a label image the label, from 0 to K - 1, or 255; -1 where it is an error.
    """

    def __init__(self, pairs: list[_Pair], classes: Array) -> None:
        self.pairs, self.classes = pairs, classes

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: Any) -> Any:
        image_path, label_path = self.pairs[index]
        image, numbers = read_image(image_path), read_label_image(label_path)
        if numbers.shape != image.shape[1:]:
            sizes = " and ".join(f"{width}×{height}" for height, width in (numbers.shape, image.shape[1:]))
            text = f"the label image and its image have {sizes} pixels{note_of_orientation(image_path)}"
            raise InconsistentFileError("other size", f"{shown_path(label_path)}: {text}")
        labels = self.classes[numbers]
        if labels.min() == _UNKNOWN:
            row, column = np.argwhere(labels == _UNKNOWN)[0].tolist()
            text = f"label {numbers[row, column]} in row {row}, column {column} belongs to no class"
            raise InconsistentFileError("unknown label", f"{shown_path(label_path)}: {text}")
        return SegmentationSample(image, labels.astype(np.uint8))


def load_label_maps(
    image_folder: str | PathLike[str],
    label_folder: str | PathLike[str],
    class_names: Sequence[str],
    split: str,
    name: str = "label maps",
    label_ids: Mapping[int, int] | None = None,
    reduce_zero_label: bool = False,
    image_ending: str = "",
    label_ending: str = "",
    repair: bool = False,
    check_files: bool = True,
) -> SegmentationDataset:
    """Load a data set from a folder of images and a folder of label images.

    An image and its label image have the same name, apart from what comes after the last dot. They may be in
    subfolders, which have the same names, too. A label image has a number for each pixel: grey or indices of a palette,
    in PNG, BMP or TIFF of 1 to 16 bits. Images are turned into red, green and blue of 8 bits.

    Samples are read when they are asked for.

    Args:
        image_folder: with the images.
        label_folder: with the label images.
        class_names: K names.
        split: the part of the data, such as "train".
        name: of the data.
        label_ids: for each number in a label image the label, from 0 to K - 1, or 255 for what is ignored. None where
            the numbers are the labels, with 255 for what is ignored.
        reduce_zero_label: instead of `label_ids`: 0 is ignored, as is 255, and the classes begin with 1.
        image_ending, label_ending: how names end, before the dot, of the images and of the label images, where these
            differ; other files in the folders are not used.
        repair: whether to leave out what is damaged, with a warning, instead of raising an error.
        check_files: whether to read each file once, which for large data sets takes minutes; else what is wrong with a
            file is an error when the sample is read.

    Raises:
        AnnotationError: an image or a label image is missing, damaged, of another size than the other, or has a label
            without a class.
        DataFileError: there is no such folder, or no image in it; from the data set's samples, a file was damaged
            since.
        ValueError: an argument is of another type.
        ImportError: Pillow is not installed.
    """
    image_root = check_path("image_folder", image_folder, DataFileError)
    label_root = check_path("label_folder", label_folder, DataFileError)
    class_names = check_class_names(class_names)
    classes = _class_of_number(len(class_names), label_ids, check_flag("reduce_zero_label", reduce_zero_label))
    check_flag("repair", repair)
    check_flag("check_files", check_files)
    findings = Findings(label_root)
    images = _files_by_stem(image_root, "image_ending", image_ending, findings)
    labels = _files_by_stem(label_root, "label_ending", label_ending, findings)
    for stem in sorted(images.keys() - labels.keys()):
        findings.add("missing file", str(images[stem]), f"has no label image in {shown_path(label_root)}")
    for stem in sorted(labels.keys() - images.keys()):
        findings.add("missing file", str(labels[stem]), f"has no image in {shown_path(image_root)}")
    samples = LabelMapFiles([_Pair(images[s], labels[s]) for s in sorted(images.keys() & labels.keys())], classes)
    if check_files:
        unreadable = unreadable_samples(samples, findings)
        samples.pairs = [pair for index, pair in enumerate(samples.pairs) if index not in unreadable]
    findings.raise_or_warn(repair)
    if not samples:
        raise DataFileError(f"{shown_path(label_root)}: nothing is left")
    return SegmentationDataset(
        samples=samples, class_names=class_names, name=name, split=split, checksum=_checksum(samples.pairs)
    )


def _class_of_number(num_classes: int, label_ids: Mapping[int, int] | None, reduce_zero_label: bool) -> Array:
    """(65536,) int16, the label of each number, or -1."""
    if label_ids is None:
        first = int(reduce_zero_label)
        label_ids = {number: number - first for number in range(first, num_classes + first)}
        label_ids |= {0: IGNORED, IGNORED: IGNORED} if reduce_zero_label else {IGNORED: IGNORED}
    elif not isinstance(label_ids, Mapping) or not label_ids:
        raise ValueError(f"label_ids: got {shown(label_ids)}, expected a dictionary from numbers to labels")
    elif reduce_zero_label:
        raise ValueError("label_ids: got them and reduce_zero_label, expected one of the two")
    classes = np.full(LARGEST_LABEL + 1, _UNKNOWN, np.int16)
    for number, label in label_ids.items():
        if label != IGNORED:
            check_integer("label_ids", label, 0, num_classes - 1)
        classes[check_integer("label_ids", number, 0, LARGEST_LABEL)] = label
    return classes


def _files_by_stem(root: Path, argument: str, ending: str, findings: Findings) -> dict[str, Path]:
    """Paths of the images below a folder by their names there, without the ending and the suffix."""
    check_text(argument, ending)
    if not root.is_dir():
        raise DataFileError(f"{shown_path(root)}: is no folder")
    found: dict[str, Path] = {}
    for folder, folders, files in os.walk(root):
        folders.sort()
        for file in sorted(files):
            path = Path(folder, file)
            if path.suffix.lower() not in IMAGE_SUFFIXES or not path.stem.endswith(ending) or file.startswith("."):
                continue
            stem = (path.parent / path.stem[: len(path.stem) - len(ending)]).relative_to(root).as_posix()
            if stem in found:
                findings.add("name twice", str(path), f"has the name of {found[stem].name}")
            found.setdefault(stem, path)
    if not found:
        whose = f" whose name ends so: {argument}={shown(ending)}" if ending else ""
        raise DataFileError(f"{shown_path(root)}: has no image{whose}")
    return found


def _checksum(pairs: list[_Pair]) -> int:
    """Of the names and sizes of all files: cheaper than of their contents."""
    described = ((path.name, path.stat().st_size if path.exists() else 0) for pair in pairs for path in pair)
    return zlib.crc32(repr(list(described)).encode("utf-8", "surrogateescape"))
