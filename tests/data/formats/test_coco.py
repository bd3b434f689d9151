import json

import numpy as np
import pytest

from npswin.data import AnnotationError, DataFileError, load_coco
from tests.data.formats.drawn import (
    Image,
    annotation,
    coco_content,
    coco_files,
    encoded,
    pixels,
    rectangle,
    without_masks,
    write,
)

pytest.importorskip("pycocotools")


def load(folder, content=None, files=None, **options):
    """The data set of a content, or of files, and changes of them."""
    write(folder, {**coco_files(content), **(files or {})})
    return load_coco(folder / "objects.json", folder / "images", "train", **options)


def test_objects_of_every_coding(tmp_path):
    dataset = load(tmp_path)
    assert (len(dataset), dataset.name, dataset.split, dataset.has_masks) == (3, "COCO", "train", True)
    assert dataset.class_names == ("disc", "ring")  # in the order of their ids
    assert dataset.category_ids == (2, 5)
    assert dataset.image_ids == (20, 7, 9)
    first, second, third = dataset
    np.testing.assert_array_equal(first.image, pixels(8, 9, 1).transpose(2, 0, 1))
    np.testing.assert_array_equal(first.boxes, [[1, 0, 4.5, 2]])
    assert first.boxes.dtype == np.float64
    np.testing.assert_array_equal(first.labels, [0])
    np.testing.assert_array_equal(first.masks, rectangle(8, 9, 1, 0, 4, 2)[None])
    np.testing.assert_array_equal(second.boxes, [[2, 3, 6, 8], [0, 1, 10, 3]])
    np.testing.assert_array_equal(second.labels, [1, 0])
    np.testing.assert_array_equal(second.crowd, [False, True])
    expected = np.stack([rectangle(12, 10, 2, 3, 6, 8), rectangle(12, 10, 0, 1, 10, 3)])
    np.testing.assert_array_equal(second.masks, expected)
    assert third.image.shape == (3, 4, 5)
    assert (third.boxes.shape, third.labels.shape, third.masks.shape) == ((0, 4), (0,), (0, 4, 5))


def test_objects_without_masks(tmp_path):
    dataset = load(tmp_path, without_masks(coco_content()))
    assert not dataset.has_masks
    assert [sample.masks for sample in dataset] == [None] * 3
    np.testing.assert_array_equal(dataset[1].boxes, [[2, 3, 6, 8], [0, 1, 10, 3]])
    np.testing.assert_array_equal(dataset[1].labels, [1, 0])


def test_boxes_are_cut_at_the_edge_where_they_are_rounded(tmp_path):
    content = without_masks(coco_content())
    content["annotations"][0]["bbox"] = [-0.5, 11, 11, 2]
    np.testing.assert_array_equal(load(tmp_path, content)[1].boxes[0], [0, 11, 10, 12])


def test_the_checksum_is_that_of_the_annotations(tmp_path):
    one = load(tmp_path / "a").describe()
    assert load(tmp_path / "b", check_files=False).describe() == one
    other = coco_content()
    other["annotations"][0]["bbox"][0] += 0.5
    assert load(tmp_path / "c", other).describe() != one


def changed(section, index, **values):
    """A content in which an entry has other values; ... removes a key."""

    def change():
        content = coco_content()
        entry = content[section][index]
        entry.update(values)
        for key in [key for key, value in entry.items() if value is ...]:
            del entry[key]
        return content

    return change


def more(section, entry):
    """A content with another entry."""

    def change():
        content = coco_content()
        content[section].append(entry)
        return content

    return change


def object_with(**values):
    return changed("annotations", 0, **values)


POLYGON = [[2, 3, 6, 3, 6, 8, 2, 8]]
MASK = r"has a mask of 4×5 pixels at \(2, 3\), most of it outside of bbox"
WRONG_OBJECTS = {
    "no object": (more("annotations", [1]), "wrong type", r"annotations\[3\]: is \[1\], expected a JSON object"),
    "no id": (object_with(id=...), "missing key", r"annotations\[0\]: has no 'id'"),
    "an id that is text": (object_with(id="31"), "wrong type", r"annotations\[0\]: id is '31', expected an integer"),
    "a large id": (
        object_with(id=2**63), "wrong type", "expected an integer from 0 to 9223372036854775807"
    ),
    "an id that is true": (object_with(id=True), "wrong type", r"annotations\[0\]: id is True"),
    "an id twice": (object_with(id=30), "annotation id twice", "annotation 30: has the id of another annotation"),
    "no image": (object_with(image_id=...), "missing key", "annotation 31: has no 'image_id'"),
    "unknown image": (object_with(image_id=8), "unknown image", "annotation 31: is of image 8, which is not among"),
    "unknown category": (object_with(category_id=3), "unknown category", "annotation 31 of image 7: has category 3"),
    "iscrowd": (object_with(iscrowd=2), "wrong type", "iscrowd is 2, expected an integer from 0 to 1"),
    "no box": (object_with(bbox=...), "missing key", "annotation 31 of image 7: has no 'bbox'"),
    "three numbers": (object_with(bbox=[1, 2, 3]), "wrong type", r"bbox is \[1, 2, 3\], expected a list of 4 numbers"),
    "text in a box": (object_with(bbox=[1, 2, 3, "4"]), "wrong type", "bbox is"),
    "a large number": (
        object_with(bbox=[1, 2, 3, 1e30]), "wrong type", "a list of 4 numbers from -1000000000 to 1000000000"
    ),
    "a larger number": (object_with(bbox=[1, 2, 3, 10**400]), "wrong type", "bbox is"),
    "no width": (object_with(bbox=[2, 3, 0, 5]), "empty box", r"the box from \(2, 3\) to \(2, 8\) has no area"),
    "negative height": (object_with(bbox=[2, 3, 4, -5]), "empty box", "has no area"),
    "outside": (object_with(bbox=[10, 3, 4, 5]), "box outside of the image", "outside of the image of 10×12 pixels"),
    "above": (object_with(bbox=[2, -5, 4, 5]), "box outside of the image", "outside of the image"),
    "no mask": (object_with(segmentation=...), "no mask", "has no segmentation, as others have"),
    "empty mask": (object_with(segmentation=[]), "no mask", "has no segmentation"),
    "polygon": (object_with(segmentation=[[1, 2, 3]]), "wrong polygon", "a polygon has 3 numbers"),
    "run lengths": (
        object_with(segmentation={"size": [12, 10], "counts": [119]}), "wrong run lengths", "sum 119, expected 120"
    ),
    "another size": (
        object_with(segmentation={"size": [10, 12], "counts": [20, 100]}), "wrong run lengths", r"expected \[12, 10\]"
    ),
    "mask below": (object_with(bbox=[2, 0, 4, 3]), "mask outside of the box", MASK),
    "mask on the right": (object_with(bbox=[0, 3, 2, 5]), "mask outside of the box", MASK),
    "mask above": (object_with(bbox=[2, 8, 4, 3]), "mask outside of the box", MASK),
    "mask on the left": (object_with(bbox=[6, 3, 2, 5]), "mask outside of the box", MASK),
    "mask far larger": (object_with(bbox=[3, 4, 1, 1]), "mask outside of the box", MASK),
    "mask beside a box": (
        object_with(bbox=[7, 3, 2, 2], segmentation=[[6, 3, 7, 3, 7, 4, 6, 4]]), "mask outside of the box", r"of 1×1"
    ),
    "mask elsewhere": (object_with(bbox=[7, 9, 2, 2]), "mask outside of the box", MASK),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_OBJECTS)
def test_wrong_objects_are_reported_or_left_out(tmp_path, case):
    change, kind, match = WRONG_OBJECTS[case]
    with pytest.raises(AnnotationError, match=match) as caught:
        load(tmp_path, change())
    assert str(caught.value).startswith(f"{tmp_path / 'objects.json'}: 1 finding: 1 × {kind}\n")
    assert caught.value.counts == {kind: 1}
    assert [finding.kind for finding in caught.value.findings] == [kind]
    with pytest.warns(UserWarning, match=match):
        dataset = load(tmp_path, change(), repair=True)
    whole = sum(len(sample.labels) for sample in dataset)
    assert whole == (3 if case == "no object" else 2)


@pytest.mark.parametrize("box", [[3, 3, 3, 3], [2, 3, 2, 3], [3, 4, 2, 2], [0, 0, 10, 12]])
def test_a_box_that_is_rounded_or_far_larger_than_its_mask_is_right(tmp_path, box):
    assert len(load(tmp_path, object_with(bbox=box)())[1].labels) == 2


def test_a_box_over_the_edge_is_cut_if_that_is_asked_for(tmp_path):
    content = object_with(bbox=[2, 3, 40, 5])
    match = r"annotation 31 of image 7: the box from \(2, 3\) to \(42, 8\) reaches over the edge of the image"
    with pytest.raises(AnnotationError, match=match):
        load(tmp_path, content())
    with pytest.warns(UserWarning, match=match):
        dataset = load(tmp_path, content(), repair=True)
    np.testing.assert_array_equal(dataset[1].boxes[0], [2, 3, 10, 8])


WRONG_IMAGES = {
    "no id": (changed("images", 1, id=...), {"missing key": 1, "unknown image": 2}),
    "no name": (changed("images", 1, file_name=""), {"wrong type": 1}),
    "a name outside": (changed("images", 1, file_name="../images/more/a.jpg"), {"wrong type": 1}),
    "an absolute name": (changed("images", 1, file_name="/a.jpg"), {"wrong type": 1}),
    "a name on a drive": (changed("images", 1, file_name="C:\\a.jpg"), {"wrong type": 1}),
    "a name outside on Windows": (changed("images", 1, file_name="..\\a.jpg"), {"wrong type": 1}),
    "no width": (changed("images", 1, width=0), {"wrong type": 1}),
    "a fraction, without a name": (changed("images", 1, width=10.0, file_name=...), {"missing key": 1}),
    "a fraction": (changed("images", 1, width=10.0), {"wrong type": 1}),
    "too large": (changed("images", 1, width=20_000, height=20_000), {"too large": 1}),
    "too wide": (changed("images", 1, width=20_000), {"too large": 1}),
    "far too wide": (changed("images", 1, width=2**40), {"too large": 1}),
    "a missing file": (changed("images", 1, file_name="missing.jpg"), {"missing file": 1}),
    "another size": (changed("images", 2, width=6), {"other size": 1}),
}


@pytest.mark.parametrize("case", WRONG_IMAGES)
def test_wrong_images_are_reported_or_left_out(tmp_path, case):
    change, counts = WRONG_IMAGES[case]
    with pytest.raises(AnnotationError) as caught:
        load(tmp_path, change())
    assert caught.value.counts == counts
    with pytest.warns(UserWarning, match=next(iter(counts))):
        dataset = load(tmp_path, change(), repair=True)
    left = (20, 7) if case == "another size" else (20, 9)
    assert dataset.image_ids == left
    assert [len(sample.labels) for sample in dataset] == ([1, 2] if case == "another size" else [1, 0])


def test_images_of_one_id_are_reported_or_left_out_with_their_objects(tmp_path):
    change, match = changed("images", 1, id=20), r"image 20 \(more/a\.jpg\): has the id of b\.png, too"
    with pytest.raises(AnnotationError, match=match) as caught:
        load(tmp_path, change())
    assert caught.value.counts == {"image id twice": 1, "unknown image": 2}  # those of the id 7
    with pytest.warns(UserWarning, match=match):
        dataset = load(tmp_path, change(), repair=True)
    assert dataset.image_ids == (9,)
    assert len(dataset[0].labels) == 0


def test_damaged_images_are_reported_or_left_out(tmp_path):
    damaged = {"images/b.png": b"no image"}
    with pytest.raises(AnnotationError, match=r"1 × damaged file\n.*b\.png: is not an image of the formats BMP"):
        load(tmp_path, files=damaged)
    with pytest.warns(UserWarning, match=r"b\.png"):
        assert load(tmp_path, files=damaged, repair=True).image_ids == (7, 9)
    dataset = load(tmp_path, files=damaged, check_files=False)
    assert len(dataset[1].labels) == 2
    with pytest.raises(DataFileError, match=r"b\.png"):
        dataset[0]


def test_an_image_that_is_replaced_by_one_of_another_size(tmp_path):
    dataset = load(tmp_path)
    write(tmp_path, {"images/b.png": encoded(pixels(9, 8))})
    with pytest.raises(DataFileError, match=r"b\.png: has 8×9 pixels, its annotations are for 9×8"):
        dataset[0]


def test_a_turned_image_has_the_size_in_which_it_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {"images/b.png": encoded(pixels(9, 8, 1), exif=exif)}
    assert load(tmp_path, files=files)[0].image.shape == (3, 8, 9)
    files = {"images/b.png": encoded(pixels(8, 9, 1), exif=exif)}
    with pytest.raises(AnnotationError, match="are for 9×8; the image is turned by its EXIF orientation"):
        load(tmp_path, files=files)


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (changed("categories", 0, id=2), {"category twice": 1}),
        (changed("categories", 0, name="disc"), {"category twice": 1}),
        (changed("categories", 0, id=...), {"missing key": 1}),
        (changed("categories", 0, name=3), {"wrong type": 1}),
    ],
)
def test_what_cannot_be_left_out_is_always_an_error(tmp_path, change, counts):
    for repair in (False, True):
        with pytest.raises(AnnotationError) as caught:
            load(tmp_path, change(), repair=repair)
        assert caught.value.counts == counts
        assert "repair=True" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"{", b"[1, 2]", b"null", b"\xff\xfe", b'{"images": [], "categories": []}'])
def test_what_is_not_coco_is_refused(tmp_path, text):
    with pytest.raises(DataFileError, match=r"objects\.json: (cannot be read as JSON|has no list)"):
        load(tmp_path, files={"objects.json": text})


NAN = float("nan")
NOT_FINITE = {
    "an id": (object_with(id=NAN), {"wrong type": 1}, r"annotations\[0\]: id is nan"),
    "an image's": (object_with(image_id=NAN), {"wrong type": 1}, "annotation 31: image_id is nan"),
    "a category": (object_with(category_id=NAN), {"wrong type": 1}, "annotation 31 of image 7: category_id is nan"),
    "iscrowd": (object_with(iscrowd=NAN), {"wrong type": 1}, "annotation 31 of image 7: iscrowd is nan"),
    "NaN in a box": (object_with(bbox=[2, NAN, 4, 5]), {"wrong type": 1}, r"image 7: bbox is \[2, nan, 4, 5\]"),
    "infinity": (object_with(bbox=[2, 3, float("inf"), 5]), {"wrong type": 1}, r"bbox is \[2, 3, inf, 5\]"),
    "a polygon": (object_with(segmentation=[[NAN, 3, 6, 3, 6, 8]]), {"wrong polygon": 1}, "no list of numbers"),
    "a later corner": (object_with(segmentation=[[2, 3, 6, NAN, 6, 8]]), {"wrong polygon": 1}, "no list of numbers"),
    "far away": (object_with(segmentation=[[2, 3, 6, 3, 6, -1e999]]), {"wrong polygon": 1}, "reaches from -inf to 3"),
    "run lengths": (
        object_with(segmentation={"size": [12, NAN], "counts": [20, 100]}), {"wrong run lengths": 1}, "expected"
    ),
    "runs": (
        object_with(segmentation={"size": [12, 10], "counts": [20, NAN]}), {"wrong run lengths": 1}, "counts are"
    ),
    "an image": (changed("images", 2, width=NAN), {"wrong type": 1}, r"image 9 \(c\.png\): width is nan"),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_FINITE)
def test_numbers_that_are_not_finite_are_reported_with_their_place_or_left_out(tmp_path, case):
    change, counts, match = NOT_FINITE[case]
    with pytest.raises(AnnotationError, match=match) as caught:
        load(tmp_path, change())
    assert caught.value.counts == counts
    with pytest.warns(UserWarning, match=match):
        dataset = load(tmp_path, change(), repair=True)
    assert sum(len(sample.labels) for sample in dataset) == (3 if case == "an image" else 2)


def test_numbers_that_are_not_used_may_be_anything(tmp_path):
    content = object_with(area=NAN, attributes={"score": [float("inf")]})()
    content["info"]["version"] = NAN
    assert len(load(tmp_path, content)) == 3


def test_a_number_beyond_the_range_of_floats(tmp_path):
    text = json.dumps(coco_content()).replace("3.5", "1e999").encode()
    with pytest.raises(AnnotationError, match=r"annotation 30 of image 20: bbox is \[1, 0, inf, 2\]"):
        load(tmp_path, files={"objects.json": text})


def test_json_with_a_byte_order_mark(tmp_path):
    text = b"\xef\xbb\xbf" + json.dumps(coco_content()).encode()
    assert len(load(tmp_path, files={"objects.json": text})) == 3


@pytest.mark.parametrize("section", ["images", "categories", "annotations"])
def test_sections_may_not_be_missing(tmp_path, section):
    for value in (None, {}, "text"):
        with pytest.raises(DataFileError, match=f"has no list '{section}'"):
            load(tmp_path, {**coco_content(), section: value})


@pytest.mark.parametrize("repair", [False, True])
def test_nothing_is_left(tmp_path, repair):
    for section in ("images", "categories"):
        with pytest.raises(DataFileError, match=rf"^[^\n]*objects\.json: its list '{section}' is empty$"):
            load(tmp_path, {**coco_content(), section: []}, repair=repair)


def test_no_image_is_left(tmp_path):
    content = coco_content()
    for image in content["images"]:
        image["width"] = "wide"
    with pytest.raises(DataFileError, match="no image is left"), pytest.warns(UserWarning, match="3 × wrong type"):
        load(tmp_path, content, repair=True)


def test_without_the_file(tmp_path):
    with pytest.raises(DataFileError, match="No such file"):
        load_coco(tmp_path / "missing.json", tmp_path, "train")


def test_a_report_of_many_findings_is_short(tmp_path):
    content = coco_content()
    content["annotations"] += [annotation(100 + i, 7, 2, [0, 0, 0, 1], POLYGON) for i in range(3000)]
    content["annotations"] += [annotation(5000 + i, 7, 4, [0, 0, 1, 1], POLYGON) for i in range(20)]
    with pytest.raises(AnnotationError) as caught:
        load(tmp_path, content)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'objects.json'}: 3020 findings: 3000 × empty box, 20 × unknown category\n")
    assert "\n  and 3013 more\n" in message
    assert len(message) < 2000
    assert caught.value.counts == {"empty box": 3000, "unknown category": 20}
    assert len(caught.value.findings) == 1000
