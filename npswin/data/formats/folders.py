"""A folder with a data set in one of the layouts that are common: which one, and its splits."""

from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from npswin.checks import check_path
from npswin.data.errors import DataFileError
from npswin.data.formats.ade20k import load_ade20k
from npswin.data.formats.cityscapes import load_cityscapes
from npswin.data.formats.class_names import read_class_names
from npswin.data.formats.coco import load_coco
from npswin.data.formats.findings import joined
from npswin.data.formats.label_maps import load_label_maps
from npswin.data.formats.object_files import has_objects
from npswin.data.formats.voc import VOC_CLASSES, load_voc
from npswin.data.sample_datasets import DetectionDataset, SegmentationDataset, has_labels
from npswin.files import shown_path

TRAINING, TEST = ("train", "training", "train2017"), ("val", "validation", "val2017", "test")
_CLASSES = "classes.txt"


def load_segmentation_folder(
    folder: str | PathLike[str], repair: bool = False
) -> tuple[SegmentationDataset, SegmentationDataset]:
    """Load training and test data for semantic segmentation.

    The folder has one of these layouts:

        images/SPLIT/NAME.jpg, annotations/SPLIT/NAME.png, classes.txt     a name in each line, labels from 0; 255 is
                                                                          ignored
        images/SPLIT/ADE_..., annotations/SPLIT/ADE_...                    ADE20K, where 0 is ignored
        leftImg8bit/SPLIT/CITY/..., gtFine/SPLIT/CITY/...                  Cityscapes

    SPLIT is train or training, and val, validation or test. ADE20K is recognized by its splits, training and
    validation, with objectInfo150.txt, sceneCategories.txt or its names of files; other data need classes.txt.

    Args:
        folder: with the data.
        repair: see `load_label_maps`.

    Returns:
        The data to train on, and to test on.

    Raises:
        DataFileError: the folder has none of these layouts, a part or classes.txt is missing, or all pixels of a part
            are ignored.
        AnnotationError, ImportError: as the readers of each layout; what is wrong with both parts is in one error.
    """
    root = _folder(folder)
    if (root / "leftImg8bit").is_dir():
        parts = root / "gtFine"
        ids = not any(parts.glob("*/*/*_labelTrainIds.png"))
        load: Callable[[str], SegmentationDataset] = partial(_load_cityscapes, root, from_label_ids=ids, repair=repair)
    elif (root / "annotations").is_dir():
        parts = root / "annotations"
        if (root / _CLASSES).is_file():
            load = partial(_load_maps, root, class_names=read_class_names(root / _CLASSES), repair=repair)
        elif _is_ade20k(root):
            load = partial(load_ade20k, root, repair=repair)
        else:
            raise DataFileError(f"{shown_path(root)}: has no {_CLASSES}, expected the name of a class in each line")
    else:
        expected = "expected images/ and annotations/, or leftImg8bit/ and gtFine/, each with a folder for each split"
        raise DataFileError(f"{shown_path(root)}: no layout of a data set for segmentation is recognized; {expected}")

    def load_with_labels(split: str) -> SegmentationDataset:
        dataset = load(split)
        if not has_labels(dataset):
            folder = shown_path(parts / split)
            raise DataFileError(f"{folder}: all pixels are ignored, expected some with a class to train and to test on")
        return dataset

    return _load_both(load_with_labels, _split(parts, TRAINING), _split(parts, TEST))


def load_detection_folder(
    folder: str | PathLike[str], repair: bool = False
) -> tuple[DetectionDataset, DetectionDataset]:
    """Load training and test data for object detection.

    The folder has one of these layouts:

        annotations/instances_SPLIT.json, SPLIT/NAME.jpg or images/SPLIT/NAME.jpg     COCO
        Annotations/NAME.xml, JPEGImages/NAME.jpg, ImageSets/Main/SPLIT.txt           Pascal VOC; with classes.txt for
                                                                                      other classes than VOC's

    SPLIT is train, training or train2017, and val, validation, val2017 or test.

    Args:
        folder: with the data.
        repair: see `load_coco`.

    Returns:
        The data to train on, and to test on.

    Raises:
        DataFileError: the folder has none of these layouts, or a part is missing, or one has no object but crowds.
        AnnotationError, ImportError: as the readers of each layout; what is wrong with both parts is in one error.
    """
    root = _folder(folder)
    if (root / "annotations").is_dir():
        names, load = root / "annotations", partial(_load_coco, root, repair=repair)
        pattern = "instances_{}.json"
    elif (root / "ImageSets" / "Main").is_dir():
        classes = read_class_names(root / _CLASSES) if (root / _CLASSES).is_file() else VOC_CLASSES
        names, load = root / "ImageSets" / "Main", partial(load_voc, root, class_names=classes, repair=repair)
        pattern = "{}.txt"
    else:
        expected = "expected annotations/instances_SPLIT.json (COCO), or ImageSets/Main/SPLIT.txt (Pascal VOC)"
        raise DataFileError(f"{shown_path(root)}: no layout of a data set for detection is recognized; {expected}")

    def load_with_objects(split: str) -> DetectionDataset:
        dataset = load(split)
        if not has_objects(dataset):
            file = shown_path(names / pattern.format(split))
            expected = "expected objects to train on and to test on, which crowds (and difficult objects) are not"
            raise DataFileError(f"{file}: has no object, or only crowds; {expected}")
        return dataset

    return _load_both(load_with_objects, *(_split(names, one, pattern) for one in (TRAINING, TEST)))


def _folder(folder: str | PathLike[str]) -> Path:
    root = check_path("folder", folder, DataFileError)
    if not root.is_dir():
        raise DataFileError(f"{shown_path(root)}: is no folder")
    return root


def _split(folder: Path, names: tuple[str, ...], pattern: str = "{}") -> str:
    """The first of some splits that a folder has."""
    found = next((name for name in names if (folder / pattern.format(name)).exists()), None)
    if found is None:
        expected = " or ".join(pattern.format(name) for name in names)
        raise DataFileError(f"{shown_path(folder)}: a part of the data is missing; expected {expected}")
    return found


def _load_both(load: Callable[[str], Any], training: str, test: str) -> tuple[Any, Any]:
    """Both parts of the data, or one error of all that is wrong with them."""
    loaded, errors = [], []
    for split in (training, test):
        try:
            loaded.append(load(split))
        except DataFileError as error:
            errors.append(error)
    if errors:
        raise joined(errors)
    return loaded[0], loaded[1]


def _is_ade20k(root: Path) -> bool:
    """Whether a folder of label images has the splits of ADE20K, and besides something that only ADE20K has."""
    if not all((root / "annotations" / split).is_dir() for split in ("training", "validation")):
        return False
    own_files = any((root / name).is_file() for name in ("objectInfo150.txt", "sceneCategories.txt"))
    return own_files or all(
        any((root / "annotations" / split).glob(names))
        for split, names in (("training", "ADE_train_*.png"), ("validation", "ADE_val_*.png"))
    )


def _name_of(root: Path) -> str:
    """A name for the data: the folder's, also where it was given as "."."""
    return root.resolve().name or "data"


def _load_cityscapes(root: Path, split: str, from_label_ids: bool, repair: bool) -> SegmentationDataset:
    return load_cityscapes(root, split, from_label_ids=from_label_ids, repair=repair)


def _load_maps(root: Path, split: str, class_names: Sequence[str], repair: bool) -> SegmentationDataset:
    folders = (root / "images" / split, root / "annotations" / split)
    return load_label_maps(*folders, class_names, split, name=_name_of(root), repair=repair)


def _load_coco(root: Path, split: str, repair: bool) -> DetectionDataset:
    images = root / "images" / split
    file = root / "annotations" / f"instances_{split}.json"
    return load_coco(file, images if images.is_dir() else root / split, split, name=_name_of(root), repair=repair)
