"""A folder with a data set: its layout, and what is wrong with both parts of it."""

import json

import pytest

from npswin.data import (
    ADE20K_CLASSES,
    AnnotationError,
    DataFileError,
    load_detection_folder,
    load_segmentation_folder,
)
from tests.data.formats.drawn import encoded, pixels, write
from tests.examples.dense_files import LAYOUTS, label_maps, numbers_of

ADE20K_SPLITS = {"train": "training", "val": "validation"}
HINT = "\nWith --repair-data, or repair=True, these are left out, or cut at the image's edge"


def renamed_as_in_ade20k(files):
    """Label maps under ADE20K's names."""
    return {
        name.replace("/training/", "/training/ADE_train_").replace("/validation/", "/validation/ADE_val_"): content
        for name, content in files.items()
    }


@pytest.mark.parametrize("own", ["objectInfo150.txt", "sceneCategories.txt", "names"])
def test_ade20k_is_recognized_by_its_splits_and_something_of_its_own(tmp_path, own):
    files = label_maps(ADE20K_SPLITS, 1, 10, 0)
    files = renamed_as_in_ade20k(files) if own == "names" else {**files, own: b""}
    train, test = load_segmentation_folder(write(tmp_path, files))
    assert train.class_names == test.class_names == ADE20K_CLASSES
    assert (train.split, test.split) == ("training", "validation")


@pytest.mark.parametrize(
    ("splits", "more"),
    [
        ({"train": "train", "val": "val"}, {}),
        (ADE20K_SPLITS, {}),
        ({"train": "train", "val": "val"}, {"sceneCategories.txt": b""}),
        ({"train": "training", "val": "val"}, {"objectInfo150.txt": b""}),
    ],
)
def test_label_maps_without_names_of_classes_are_not_taken_for_ade20k(tmp_path, splits, more):
    data = write(tmp_path / "mine", {**label_maps(splits, 1, 10, 0), **more})
    with pytest.raises(DataFileError, match=r"mine: has no classes\.txt, expected the name of a class in each line$"):
        load_segmentation_folder(data)
    with pytest.raises(DataFileError, match="has no classes"):
        load_segmentation_folder(data, repair=True)


def test_other_classes_than_pascal_vocs_need_names(tmp_path):
    files = LAYOUTS["Pascal VOC"][1]()
    del files["classes.txt"]
    with pytest.raises(AnnotationError, match=r"has the class 'dark', which is not among Pascal VOC's; classes\.txt"):
        load_detection_folder(write(tmp_path, files))


def test_what_is_wrong_with_both_parts_of_detection_is_one_error(tmp_path):
    files = LAYOUTS["COCO with polygons"][1]()
    for split, box in (("train", [50, 60, 5, 5]), ("val", [2, 4, 0, 5])):
        name = f"annotations/instances_{split}.json"
        content = json.loads(files[name])
        content["annotations"][0]["bbox"] = box
        files[name] = json.dumps(content).encode()
    with pytest.raises(AnnotationError) as caught:
        load_detection_folder(write(tmp_path, files))
    message = str(caught.value)
    assert f"{tmp_path}/annotations/instances_train.json: 1 finding: 1 × box outside of the image\n" in message
    assert f"{tmp_path}/annotations/instances_val.json: 1 finding: 1 × empty box\n" in message
    assert message.endswith(HINT)
    assert message.count(HINT) == 1
    assert caught.value.counts == {"box outside of the image": 1, "empty box": 1}
    assert [one.kind for one in caught.value.findings] == ["box outside of the image", "empty box"]


def test_what_is_wrong_with_both_parts_of_segmentation_is_one_error(tmp_path):
    files = LAYOUTS["a folder of label images"][1]()
    files |= {f"annotations/{split}/1.png": numbers_of(1, 255, 0, 7) for split in ("train", "val")}
    files["annotations/val/0.png"] = encoded(pixels(9, 8)[..., 0] % 2)
    with pytest.raises(
        AnnotationError, match=r"annotations/train: 1 finding(.|\n)*annotations/val: 2 findings"
    ) as caught:
        load_segmentation_folder(write(tmp_path, files))
    assert caught.value.counts == {"unknown label": 2, "other size": 1}
    assert str(caught.value).count(HINT) == 1


def test_wrong_names_of_classes_are_said_once(tmp_path):
    files = {**LAYOUTS["a folder of label images"][1](), "classes.txt": b"a\nb\na"}
    with pytest.raises(DataFileError, match=r"^[^\n]*classes\.txt: has names twice: a$"):
        load_segmentation_folder(write(tmp_path, files))


def test_one_part_that_cannot_be_repaired(tmp_path):
    files = LAYOUTS["COCO with polygons"][1]()
    files["annotations/instances_val.json"] = b"["
    with pytest.raises(DataFileError, match=r"^[^\n]*instances_val\.json: cannot be read as JSON[^\n]*$"):
        load_detection_folder(write(tmp_path, files))
    del files["train/0.png"]
    (tmp_path / "train" / "0.png").unlink()
    with pytest.raises(AnnotationError, match=r"1 × missing file(.|\n)*cannot be read as JSON") as caught:
        load_detection_folder(write(tmp_path, files))
    assert HINT not in str(caught.value)
    assert caught.value.counts == {"missing file": 1}
