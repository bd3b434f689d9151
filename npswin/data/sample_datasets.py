"""Data sets of dense tasks: samples by their number, in memory, read from files or drawn when they are asked for."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from npswin.checks import check_flag, check_instance, check_integer, check_text, shown
from npswin.data.samples import IGNORED, DetectionSample, SegmentationSample
from npswin.types import Array

Sample = TypeVar("Sample", SegmentationSample, DetectionSample)


@dataclass(frozen=True, eq=False, kw_only=True)
class _SampleDataset(Generic[Sample]):
    """What both kinds of data set have in common."""

    samples: Sequence[Sample]
    class_names: tuple[str, ...]
    name: str
    split: str
    checksum: int | None = None

    def __post_init__(self) -> None:
        samples = self.samples
        if not isinstance(samples, Sequence) or isinstance(samples, str | bytes):
            raise ValueError(f"samples: got {shown(samples)}, expected a list, or another sequence of samples")
        if len(samples) == 0:
            raise ValueError("samples: got none, expected at least one")
        object.__setattr__(self, "class_names", check_class_names(self.class_names))
        check_text("name", self.name)
        check_text("split", self.split)
        if self.checksum is not None:
            check_integer("checksum", self.checksum, 0)
        if isinstance(samples, list | tuple):  # unlike those that are read or drawn later
            for index, sample in enumerate(samples):
                self._check(f"samples[{index}]", sample)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        """The sample of a number from 0; the same one whenever it is asked for."""
        number = check_integer("index", index)
        if not 0 <= number < len(self):
            raise IndexError(f"index: got {number}, expected 0 to {len(self) - 1}")
        sample = self.samples[number]
        self._check(f"samples[{number}]", sample)
        return sample

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def describe(self) -> dict[str, Any]:
        """Name, split, number of samples and checksum, by which a resumed run recognizes its data."""
        checksum = self.checksum
        if checksum is None:
            checksum = 0
            for sample in self:
                for array in vars(sample).values():
                    checksum = zlib.crc32(b"" if array is None else np.ascontiguousarray(array).data, checksum)
        return {"name": self.name, "split": self.split, "samples": len(self), "crc32": checksum}

    def _check(self, name: str, sample: Sample) -> None:
        raise NotImplementedError

    def _check_labels(self, name: str, labels: Array) -> None:
        classes = len(self.class_names)
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            got = f"{name}: got labels from {labels.min()} to {labels.max()}"
            raise ValueError(f"{got}, expected 0 to {classes - 1} for {classes} class names")


@dataclass(frozen=True, eq=False, kw_only=True)
class SegmentationDataset(_SampleDataset[SegmentationSample]):
    """Images with a class for each pixel: `dataset[i]` is a `SegmentationSample`, for i from 0 to `len(dataset)` - 1.

    Attributes:
        samples: a list of samples, or another sequence, which may load or draw a sample when it is asked for; the same
            one each time.
        class_names: K names, of the labels from 0 to K - 1; at most 255, as label 255 is ignored.
        name: of the data in printed results, e.g. "ADE20K".
        split: the part of the data, e.g. "train".
        checksum: a number of the data that is other where the data are; None to compute it from all samples when it is
            needed.

    Raises:
        ValueError: there is no sample, or an argument has another type; from `dataset[i]`, and at once where the
            samples are a list, a sample is of another type, or has labels without a class name.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.class_names) > IGNORED:
            raise ValueError(f"class_names: got {len(self.class_names)} names, expected at most {IGNORED}")

    def _check(self, name: str, sample: SegmentationSample) -> None:
        check_instance(name, sample, SegmentationSample, "a SegmentationSample")
        self._check_labels(name, sample.labels[sample.labels != IGNORED])


def has_labels(dataset: SegmentationDataset) -> bool:
    """Whether there is a pixel that is not ignored; samples are read up to the first that has one."""
    return any((sample.labels != IGNORED).any() for sample in dataset)


@dataclass(frozen=True, eq=False, kw_only=True)
class DetectionDataset(_SampleDataset[DetectionSample]):
    """Images with boxes, and perhaps masks, of objects: `dataset[i]` is a `DetectionSample`.

    Attributes:
        samples, class_names, name, split, checksum: as those of `SegmentationDataset`.
        has_masks: whether the samples have masks; all of them or none.
        image_ids: a number for each sample, by which files of results name the images, such as COCO's; empty for 0
            to `len(dataset)` - 1.
        category_ids: a number for each class, by which files of results name the classes; empty for 1 to K.

    Raises:
        ValueError: as `SegmentationDataset`; or ids are not one for each sample or class, or one is there twice; or a
            sample has masks although `has_masks` is False, or has none although it is True.
    """

    has_masks: bool
    image_ids: tuple[int, ...] = ()
    category_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_flag("has_masks", self.has_masks)
        super().__post_init__()
        object.__setattr__(self, "image_ids", _check_ids("image_ids", self.image_ids, len(self), 0))
        object.__setattr__(self, "category_ids", check_category_ids(self.category_ids, len(self.class_names)))

    def _check(self, name: str, sample: DetectionSample) -> None:
        check_instance(name, sample, DetectionSample, "a DetectionSample")
        self._check_labels(name, sample.labels)
        if (sample.masks is not None) != self.has_masks:
            raise ValueError(f"{name}: has {'no ' * self.has_masks}masks, expected as has_masks says")


def check_class_names(names: Any) -> tuple[str, ...]:
    """The names of at least one class, as a tuple."""
    if not isinstance(names, list | tuple) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"class_names: got {shown(names)}, expected a tuple of names")
    return tuple(names)


def check_category_ids(ids: Any, num_classes: int) -> tuple[int, ...]:
    """A number for each class, as a tuple; 1 to K where there are none."""
    return _check_ids("category_ids", ids, num_classes, 1)


def _check_ids(name: str, ids: Any, count: int, first: int) -> tuple[int, ...]:
    """So many different integers; counted from the first where there are none."""
    if not isinstance(ids, list | tuple) or len(ids) not in (0, count):
        raise ValueError(f"{name}: got {shown(ids)}, expected a tuple of {count} integers")
    numbers = tuple(check_integer(name, number) for number in ids or range(first, first + count))
    if len(set(numbers)) < count:
        raise ValueError(f"{name}: got a number twice, expected {count} different ones")
    return numbers
