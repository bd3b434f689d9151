import numpy as np
import pytest

from npswin.data import AnnotationError, DataFileError, load_voc
from tests.data.formats.drawn import encoded, pixels, voc_files, voc_object, voc_xml, write

NAMES = ("cat", "dog")


def load(folder, files=None, **options):
    """The data set of files, with changes of them."""
    write(folder, {**voc_files(), **(files or {})})
    return load_voc(folder, "train", NAMES, **options)


def test_objects(tmp_path):
    dataset = load(tmp_path)
    assert (len(dataset), dataset.name, dataset.split, dataset.has_masks) == (2, "Pascal VOC", "train", False)
    assert dataset.class_names == NAMES
    first, second = dataset
    assert first.image.shape == (3, 12, 10)
    np.testing.assert_array_equal(first.boxes, [[1, 2, 6, 8], [0, 0, 10, 12]])  # counted from 1, the last included
    np.testing.assert_array_equal(first.labels, [1, 0])
    np.testing.assert_array_equal(first.crowd, [False, True])
    assert first.masks is None
    assert second.boxes.shape == (0, 4)


def test_twenty_classes_by_default(tmp_path):
    write(tmp_path, voc_files())
    dataset = load_voc(tmp_path, "train")
    assert len(dataset.class_names) == len(set(dataset.class_names)) == 20
    assert [dataset.class_names[label] for label in dataset[0].labels] == ["dog", "cat"]


def test_the_checksum_is_that_of_the_annotations(tmp_path):
    one = load(tmp_path).describe()
    assert load(tmp_path, check_files=False).describe() == one
    changed = {"Annotations/000009.xml": voc_xml(voc_object("dog", (1, 1, 2, 2)), 5, 4)}
    assert load(tmp_path, changed).describe() != one


def with_object(text):
    """A change of the first annotation: an object besides a right one."""
    return {"Annotations/000007.xml": voc_xml(text + voc_object("cat", (1, 1, 10, 12)))}


WRONG_OBJECTS = {
    "unknown class": (voc_object("cow", (2, 3, 6, 8)), "unknown class", "has the class 'cow'"),
    "no name": ("<object><bndbox/></object>", "missing element", "<object> has no <name>, expected one"),
    "two names": (voc_object("dog</name><name>cat", (2, 3, 6, 8)), "element twice", "<object> has 2 of <name>"),
    "no box": ("<object><name>dog</name></object>", "missing element", "<object> has no <bndbox>"),
    "text": (voc_object("dog", ("a", 3, 6, 8)), "wrong type", "<xmin> is 'a', expected a number"),
    "nothing": (voc_object("dog", ("", 3, 6, 8)), "wrong type", "<xmin> is ''"),
    "nan": (voc_object("dog", ("nan", 3, 6, 8)), "wrong type", "<xmin> is 'nan'"),
    "infinity": (
        voc_object("dog", (2, 3, "inf", 8)),
        "wrong type",
        "<xmax> is 'inf', expected a number from -1000000000 to",
    ),
    "no area": (voc_object("dog", (7, 3, 6, 8)), "empty box", "has no area"),
    "outside": (voc_object("dog", (12, 3, 14, 8)), "box outside of the image", "outside of the image of 10×12 pixels"),
    "difficult": (voc_object("dog", (2, 3, 6, 8), "<difficult>x</difficult>"), "wrong type", "<difficult> is 'x'"),
}


@pytest.mark.parametrize("case", WRONG_OBJECTS)
def test_wrong_objects_are_reported_or_left_out(tmp_path, case):
    text, kind, match = WRONG_OBJECTS[case]
    with pytest.raises(AnnotationError, match=rf"000007\.xml: object 0: .*{match}") as caught:
        load(tmp_path, with_object(text))
    assert caught.value.counts == {kind: 1}
    with pytest.warns(UserWarning, match=match):
        dataset = load(tmp_path, with_object(text), repair=True)
    np.testing.assert_array_equal(dataset[0].boxes, [[0, 0, 10, 12]])


def test_boxes_over_the_edge(tmp_path):
    np.testing.assert_array_equal(
        load(tmp_path, with_object(voc_object("dog", (0, 3, 6, 8))))[0].boxes[0], [0, 2, 6, 8]
    )
    with pytest.raises(AnnotationError, match="box over the edge"):
        load(tmp_path, with_object(voc_object("dog", (2, 3, 6, 20))))
    with pytest.warns(UserWarning, match="box over the edge"):
        dataset = load(tmp_path, with_object(voc_object("dog", (2, 3, 6, 20))), repair=True)
    np.testing.assert_array_equal(dataset[0].boxes[0], [1, 2, 6, 12])


BOMB = b'<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>'
WRONG_FILES = {
    "no xml": (b"text", "damaged file", "cannot be read as XML"),
    "empty": (b"", "damaged file", "cannot be read as XML"),
    "cut off": (voc_xml()[:-3], "damaged file", "cannot be read as XML"),
    "entities": (BOMB, "damaged file", "it declares a document type"),
    "entities in UTF-16": (BOMB.decode().encode("utf-16"), "damaged file", "it declares a document type"),
    "an unknown encoding": (b'<?xml version="1.0" encoding="none"?><annotation/>', "damaged file", "unknown encoding"),
    "html": (b"<html></html>", "damaged file", "has <html>, expected <annotation>"),
    "no size": (b"<annotation></annotation>", "missing element", "<annotation> has no <size>"),
    "no width": (b"<annotation><size><height>12</height></size></annotation>", "missing element", "has no <width>"),
    "no pixels": (voc_xml(width=0), "wrong type", "<width> is 0, expected an integer of at least 1"),
    "less than none": (voc_xml(height=-60), "wrong type", "<height> is -60, expected an integer of at least 1"),
    "a fraction": (voc_xml(width=10.7), "wrong type", "<width> is 10.7, expected an integer of at least 1"),
    "too wide": (voc_xml(width=20_000), "too large", "has 20000×12 pixels, expected sides of at most 16384"),
    "another size": (voc_xml(width=11), "other size", "its annotations are for 11×12"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_files_are_reported_or_left_out(tmp_path, case):
    content, kind, match = WRONG_FILES[case]
    with pytest.raises(AnnotationError, match=rf"000007\.(xml|jpg): .*{match}") as caught:
        load(tmp_path, {"Annotations/000007.xml": content})
    assert caught.value.counts == {kind: 1}
    with pytest.warns(UserWarning, match=match):
        dataset = load(tmp_path, {"Annotations/000007.xml": content}, repair=True)
    assert [sample.image.shape for sample in dataset] == [(3, 4, 5)]


@pytest.mark.parametrize("name", ["Annotations/000007.xml", "JPEGImages/000007.jpg"])
def test_missing_files(tmp_path, name):
    write(tmp_path, voc_files())
    (tmp_path / name).unlink()
    with pytest.raises(AnnotationError, match=f"1 × missing file\n.*{name.partition('/')[2]}: No such file"):
        load_voc(tmp_path, "train", NAMES)


def test_images_are_those_in_the_list(tmp_path):
    files = {"ImageSets/Main/train.txt": b"000009\r\n", "JPEGImages/000007.jpg": encoded(pixels(2, 2), "jpg")}
    dataset = load(tmp_path, files)
    assert [sample.image.shape for sample in dataset] == [(3, 4, 5)]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "has no name, expected names of images"),
        (b"000007\n000007\n", "has a name twice"),
        (b"000007 1\n", "has the line '000007 1', expected the name of an image"),
        (b"../000007\n", "has the line '../000007'"),
    ],
)
def test_wrong_lists_are_refused(tmp_path, content, match):
    with pytest.raises(DataFileError, match=rf"train\.txt: {match}"):
        load(tmp_path, {"ImageSets/Main/train.txt": content})


def test_missing_lists_are_refused(tmp_path):
    with pytest.raises(DataFileError, match=r"train\.txt: No such file"):
        load_voc(tmp_path)
    with pytest.raises(DataFileError, match="split"):
        load_voc(tmp_path, "a\0b")
