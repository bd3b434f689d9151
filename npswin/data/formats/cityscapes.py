"""Cityscapes (Cordts et al. 2016, "The Cityscapes Dataset for Semantic Urban Scene Understanding")."""

from os import PathLike

from npswin.checks import check_flag, check_path, check_text
from npswin.data.errors import DataFileError
from npswin.data.formats.label_maps import load_label_maps
from npswin.data.sample_datasets import SegmentationDataset
from npswin.data.samples import IGNORED

CITYSCAPES_CLASSES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip

# The ids of these classes, of 0 to 33, in the files *_labelIds.png; the others are not evaluated. 255 is id -1.
_CLASS_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITYSCAPES_LABEL_IDS = {
    **dict.fromkeys((*range(34), IGNORED), IGNORED),
    **{class_id: label for label, class_id in enumerate(_CLASS_IDS)},
}


def load_cityscapes(
    folder: str | PathLike[str],
    split: str = "train",
    from_label_ids: bool = False,
    repair: bool = False,
    check_files: bool = True,
) -> SegmentationDataset:
    """Load Cityscapes: 19 classes, from `leftImg8bit/SPLIT/` and `gtFine/SPLIT/`, with a subfolder for each city.

    Args:
        folder: with `leftImg8bit` and `gtFine`.
        split: "train" or "val".
        from_label_ids: whether to read the files `*_gtFine_labelIds.png`, as they are downloaded, whose 34 ids become
            19 classes; else `*_gtFine_labelTrainIds.png`, which the authors' scripts write.
        repair, check_files: see `load_label_maps`.

    Raises:
        AnnotationError, DataFileError, ValueError, ImportError: as `load_label_maps`.
    """
    root = check_path("folder", folder, DataFileError)
    check_path("split", check_text("split", split), DataFileError)
    check_flag("from_label_ids", from_label_ids)
    return load_label_maps(
        root / "leftImg8bit" / split,
        root / "gtFine" / split,
        CITYSCAPES_CLASSES,
        split,
        name="Cityscapes",
        label_ids=CITYSCAPES_LABEL_IDS if from_label_ids else None,
        image_ending="_leftImg8bit",
        label_ending=f"_gtFine_{'labelIds' if from_label_ids else 'labelTrainIds'}",
        repair=repair,
        check_files=check_files,
    )
