import json

import numpy as np
import pytest

from npswin.data import (
    AnnotationError,
    DataFileError,
    Detections,
    load_coco,
    read_coco_results,
    write_coco_results,
)
from tests.data.formats.drawn import coco_content, coco_files, coco_text, rectangle, run_lengths, without_masks, write

pytest.importorskip("pycocotools")


@pytest.fixture
def dataset(tmp_path):
    """Images 20, 7 and 9; classes with the ids 2 and 5."""
    write(tmp_path, coco_files(without_masks(coco_content())))
    return load_coco(tmp_path / "objects.json", tmp_path / "images", "train")


def found(with_masks=False):
    """What was found in three images."""
    sizes = (8, 9), (12, 10), (4, 5)
    boxes = [[[1, 0, 4.5, 2], [0, 0, 3, 3]], [[2.25, 3, 6, 8]], []]
    masks = [[rectangle(8, 9, 1, 0, 4, 2), rectangle(8, 9, 0, 0, 0, 0)], [rectangle(12, 10, 2, 3, 6, 8)], []]
    return [
        Detections(
            np.reshape(np.float32(box), (-1, 4)),
            np.int64([1, 0][: len(box)]),
            np.float32([0.75, 0.5][: len(box)]),
            np.reshape(np.array(mask, bool), (-1, *size)) if with_masks else None,
        )
        for box, mask, size in zip(boxes, masks, sizes, strict=True)
    ]


def test_the_file_is_cocos(dataset, tmp_path):
    write_coco_results(tmp_path / "r.json", dataset, found(with_masks=True))
    mask = {"size": [12, 10], "counts": coco_text(run_lengths(rectangle(12, 10, 2, 3, 6, 8)))}
    entry = {"image_id": 7, "category_id": 5, "bbox": [2.25, 3, 3.75, 5], "score": 0.75, "segmentation": mask}
    assert json.loads((tmp_path / "r.json").read_text())[2] == entry
    write_coco_results(tmp_path / "r.json", dataset, found())
    del entry["segmentation"]
    assert json.loads((tmp_path / "r.json").read_text())[2] == entry


@pytest.mark.parametrize("with_masks", [False, True])
def test_results_come_back(dataset, tmp_path, with_masks):
    write_coco_results(tmp_path / "r.json", dataset, iter(found(with_masks)))
    results = read_coco_results(tmp_path / "r.json", dataset)
    assert len(results) == 3
    for one, other in zip(results, found(with_masks), strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert (one.masks is None) == (not with_masks)
        if with_masks and len(one.labels):
            np.testing.assert_array_equal(one.masks, other.masks)


def test_pycocotools_reads_the_file(dataset, tmp_path):
    from pycocotools import mask
    from pycocotools.coco import COCO

    write_coco_results(tmp_path / "r.json", dataset, found(with_masks=True))
    results = COCO(tmp_path / "objects.json").loadRes(str(tmp_path / "r.json"))
    assert results.getImgIds() == [20, 7, 9]
    code = results.annToRLE(results.loadAnns(3)[0])
    assert mask.area(code) == 20
    assert mask.toBbox(code).tolist() == [2, 3, 4, 5]


def test_other_results_are_not_written(dataset, tmp_path):
    path = tmp_path / "r.json"
    with pytest.raises(ValueError, match="detections: got those of 2 images, expected 3"):
        write_coco_results(path, dataset, found()[:2])
    with pytest.raises(ValueError, match="detections: got those of 4 images, expected 3"):
        write_coco_results(path, dataset, [*found(), found()[0]])
    unknown = Detections(np.zeros((1, 4)), np.array([2]), np.ones(1))
    with pytest.raises(ValueError, match=r"detections\[1\]: got labels from 2 to 2, expected 0 to 1"):
        write_coco_results(path, dataset, [found()[0], unknown, found()[2]])
    assert not path.exists()


RIGHT = {"image_id": 7, "category_id": 5, "bbox": [2, 3, 4, 5], "score": 0.5}
MASK = {"size": [3, 4], "counts": [2, 3, 7]}


@pytest.mark.parametrize(
    ("entries", "kind", "match"),
    [
        ([1], "wrong type", "result 0: is 1"),
        ([{**RIGHT, "image_id": 8}], "unknown image", "result 0: is of image 8"),
        ([{**RIGHT, "category_id": 0}], "unknown category", "result 0: has category 0"),
        ([{**RIGHT, "bbox": [2, 3, 4]}], "wrong type", "bbox"),
        ([{**RIGHT, "bbox": [2, 3, -4, 2]}], "empty box", "bbox"),
        ([{**RIGHT, "score": None}], "wrong type", "score is None"),
        (
            [RIGHT, {**RIGHT, "score": float("nan")}],
            "wrong type",
            "score is nan, expected a number from -1000000000 to 1000000000",
        ),
        ([RIGHT, {**RIGHT, "bbox": [2, 3, 4, float("inf")]}], "wrong type", "result 1: bbox is"),
        ([{**RIGHT, "segmentation": MASK}, RIGHT], "no mask", "result 1: has no run lengths, as others have"),
        ([{**RIGHT, "segmentation": [[1, 2, 3, 4, 5, 6]]}], "no mask", "result 0: has no run lengths"),
        ([{**RIGHT, "segmentation": {"size": [3], "counts": "1"}}], "wrong type", "size"),
        ([{**RIGHT, "segmentation": {"size": [3, 0.5], "counts": "1"}}], "wrong run lengths", "size"),
        ([{**RIGHT, "segmentation": {"size": [30_000, 30_000], "counts": "1"}}], "wrong run lengths", "size"),
        ([{**RIGHT, "segmentation": {"size": [3, 4], "counts": "11"}}], "wrong run lengths", "sum 2, expected 12"),
        (
            [{**RIGHT, "segmentation": MASK}, {**RIGHT, "segmentation": {"size": [4, 3], "counts": [12]}}],
            "other size",
            "result 1: has a mask of another size",
        ),
    ],
)
def test_wrong_results_are_refused(dataset, tmp_path, entries, kind, match):
    (tmp_path / "r.json").write_text(json.dumps(entries))
    with pytest.raises(AnnotationError, match=match) as caught:
        read_coco_results(tmp_path / "r.json", dataset)
    assert caught.value.counts == {kind: 1}
    assert "repair" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{}", "3", '[{"a": NaN}]'])
def test_what_is_no_list_of_results_is_refused(dataset, tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DataFileError, match=r"r\.json"):
        read_coco_results(tmp_path / "r.json", dataset)
