import numpy as np
import pytest

from npswin.data import (
    ADE20K_CLASSES,
    CITYSCAPES_CLASSES,
    AnnotationError,
    DataFileError,
    load_ade20k,
    load_cityscapes,
    load_label_maps,
    read_class_names,
)
from tests.data.formats.drawn import Image, encoded, label_map_files, labels, pixels, write

NAMES = ("a", "b", "c")


def load(folder, files=None, names=NAMES, **options):
    """The data set of files, with changes of them."""
    write(folder, {**label_map_files(), **(files or {})})
    return load_label_maps(folder / "images", folder / "labels", names, "train", **options)


def test_pairs_of_images_and_label_images(tmp_path):
    dataset = load(tmp_path, {"images/readme.txt": b"text", "labels/.b.png": b"hidden"})
    assert (len(dataset), dataset.class_names, dataset.name, dataset.split) == (2, NAMES, "label maps", "train")
    first, second = dataset
    assert first.image.shape == (3, 12, 10)
    np.testing.assert_array_equal(first.labels, labels(12, 10, 2))
    np.testing.assert_array_equal(second.image, pixels(4, 5, 3).transpose(2, 0, 1))
    expected = labels(4, 5, 2, 1)
    expected[1, 2] = 255
    np.testing.assert_array_equal(second.labels, expected)
    assert second.labels.dtype == np.uint8


def test_the_first_label_may_be_ignored(tmp_path):
    dataset = load(tmp_path, names=("b", "c"), reduce_zero_label=True)
    expected = labels(4, 5, 2, 1).astype(int)
    expected[1, 2] = 0
    np.testing.assert_array_equal(dataset[1].labels, np.where(expected == 0, 255, expected - 1))


def test_labels_may_be_given_by_a_table(tmp_path):
    files = {"labels/more/b.png": encoded(labels(4, 5, 2, 1).astype(np.uint16) * 1000)}
    dataset = load(tmp_path, files, label_ids={0: 255, 1: 1, 2: 0, 1000: 2, 2000: 2})
    np.testing.assert_array_equal(dataset[0].labels, np.array([255, 1, 0])[labels(12, 10, 2)])
    np.testing.assert_array_equal(dataset[1].labels, np.array([255, 2, 2])[labels(4, 5, 2, 1)])


def test_the_checksum_is_that_of_names_and_sizes(tmp_path):
    one = load(tmp_path / "one").describe()
    assert load(tmp_path / "two", check_files=False).describe() == one
    assert load(tmp_path / "one", {"labels/a.png": encoded(labels(12, 10, 1))}).describe() != one


WRONG = {
    "no label image": ({"images/c.png": encoded(pixels(2, 2))}, "missing file", r"c\.png: has no label image in", 2),
    "no image": ({"labels/c.png": encoded(labels(2, 2, 1))}, "missing file", r"c\.png: has no image in", 2),
    "a name twice": ({"images/a.png": encoded(pixels(2, 2))}, "name twice", r"a\.png: has the name of a\.jpg", 2),
    "another size": ({"labels/a.png": encoded(labels(10, 12, 1))}, "other size", "12×10 and 10×12 pixels", 1),
    "a label beyond the classes": (
        {"labels/a.png": encoded(labels(12, 10, 3))}, "unknown label", r"a\.png: label 3 in row 0, column 0 belongs", 1
    ),
    "a damaged image": ({"images/a.jpg": b"text"}, "damaged file", r"a\.jpg: is not an image", 1),
    "a damaged label image": ({"labels/a.png": b"text"}, "damaged file", r"a\.png: is not an image", 1),
    "colours": (
        {"labels/a.png": encoded(pixels(12, 10))},
        "label image with colours", r"has colours \(RGB\); a label image has a number for each pixel, grey", 1
    ),
    "a format that changes numbers": (
        {"labels/a.png": encoded(labels(12, 10, 1), "jpg")}, "other kind of image", "in the format JPEG, expected", 1
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_reported_or_left_out(tmp_path, case):
    files, kind, match, left = WRONG[case]
    with pytest.raises(AnnotationError, match=match) as caught:
        load(tmp_path, files)
    assert caught.value.counts == {kind: 1}
    assert str(caught.value).startswith(f"{tmp_path / 'labels'}: 1 finding: 1 × {kind}\n")
    with pytest.warns(UserWarning, match=match):
        dataset = load(tmp_path, files, repair=True)
    assert len(dataset) == len(list(dataset)) == left


def turned(array):
    """A PNG of these pixels whose EXIF orientation turns it by a right angle, clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(array, exif=exif)


def test_a_label_image_is_of_the_upright_image_unless_it_is_turned_itself(tmp_path):
    stored, numbers = pixels(4, 5), labels(4, 5, 2)
    files = {"images/more/b.png": turned(stored), "labels/more/b.png": turned(numbers)}
    np.testing.assert_array_equal(load(tmp_path / "both", files)[1].labels, np.rot90(numbers, 3))
    upright = {**files, "labels/more/b.png": encoded(labels(5, 4, 2))}
    np.testing.assert_array_equal(load(tmp_path / "image", upright)[1].labels, labels(5, 4, 2))
    match = "have 5×4 and 4×5 pixels; the image is turned by its EXIF orientation"
    with pytest.raises(AnnotationError, match=match) as caught:
        load(tmp_path / "other", {**files, "labels/more/b.png": encoded(numbers)})
    assert caught.value.counts == {"other size": 1}


@pytest.mark.parametrize("case", ["another size", "a label beyond the classes", "a damaged image"])
def test_what_is_wrong_with_a_file_is_an_error_of_its_sample(tmp_path, case):
    files, _, match, _ = WRONG[case]
    dataset = load(tmp_path, files, check_files=False)
    assert dataset[1].image.shape == (3, 4, 5)
    with pytest.raises(DataFileError, match=match):
        dataset[0]


def test_what_is_no_data_set(tmp_path):
    with pytest.raises(DataFileError, match="images: is no folder"):
        load_label_maps(tmp_path / "images", tmp_path / "labels", NAMES, "train")
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataFileError, match=r"images: has no image$"):
        load_label_maps(tmp_path / "images", tmp_path / "labels", NAMES, "train")
    with pytest.raises(DataFileError, match="images: has no image whose name ends so: image_ending='_rgb'"):
        load_label_maps(tmp_path / "images", tmp_path / "labels", NAMES, "train", image_ending="_rgb")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"label_ids": {0: 1}, "reduce_zero_label": True}, "label_ids: got them and reduce_zero_label"),
        ({"label_ids": [1, 2]}, "label_ids: got .*, expected a dictionary"),
        ({"label_ids": {0: 3}}, "label_ids: got 3, expected an integer of at least 0 and at most 2"),
        ({"label_ids": {-1: 0}}, "label_ids: got -1"),
        ({"label_ids": {0.5: 0}}, "label_ids: got 0.5"),
        ({"names": ()}, "class_names"),
        ({"names": tuple(map(str, range(256)))}, "class_names: got 256 names, expected at most 255"),
    ],
)
def test_wrong_arguments(tmp_path, options, match):
    with pytest.raises(ValueError, match=match):
        load(tmp_path, **options)


def test_ade20k(tmp_path):
    numbers = labels(12, 10, 150)
    files = {"images/training/a.jpg": encoded(pixels(12, 10), "jpg"), "annotations/training/a.png": encoded(numbers)}
    dataset = load_ade20k(write(tmp_path, files))
    assert (dataset.name, dataset.split) == ("ADE20K", "training")
    assert len(dataset.class_names) == len(set(ADE20K_CLASSES)) == 150
    np.testing.assert_array_equal(dataset[0].labels, np.where(numbers == 0, 255, numbers.astype(int) - 1))
    files["annotations/training/a.png"] = encoded(labels(12, 10, 151))
    with pytest.raises(AnnotationError, match="label 151 in row 0"):
        load_ade20k(write(tmp_path, files))


def cityscapes(kind, numbers):
    """One image of two cities each, with the same name; and the files that are not read."""
    files = {}
    for city in ("aachen", "bochum"):
        files[f"leftImg8bit/val/{city}/x_000_leftImg8bit.png"] = encoded(pixels(12, 10))
        files[f"gtFine/val/{city}/x_000_gtFine_{kind}.png"] = encoded(numbers)
        files[f"gtFine/val/{city}/x_000_gtFine_color.png"] = encoded(pixels(12, 10))
        files[f"gtFine/val/{city}/x_000_gtFine_polygons.json"] = b"{}"
    return files


def test_cityscapes(tmp_path):
    numbers = labels(12, 10, 18)
    numbers[3] = 255
    dataset = load_cityscapes(write(tmp_path, cityscapes("labelTrainIds", numbers)), "val")
    assert (len(dataset), dataset.name, dataset.split) == (2, "Cityscapes", "val")
    assert dataset.class_names == CITYSCAPES_CLASSES
    np.testing.assert_array_equal(dataset[1].labels, numbers)


def test_cityscapes_from_the_ids_that_are_downloaded(tmp_path):
    numbers = np.arange(48, dtype=np.uint8).reshape(6, 8).clip(0, 33)
    files = cityscapes("labelIds", numbers)
    for city in ("aachen", "bochum"):
        files[f"leftImg8bit/val/{city}/x_000_leftImg8bit.png"] = encoded(pixels(6, 8))
    found = load_cityscapes(write(tmp_path, files), "val", from_label_ids=True)[0].labels.ravel()
    by_name = {"road": 7, "sidewalk": 8, "building": 11, "traffic light": 19, "person": 24, "train": 31, "bicycle": 33}
    assert {name: found[number] for name, number in by_name.items()} == {
        name: CITYSCAPES_CLASSES.index(name) for name in by_name
    }
    assert (found[[0, 6, 9, 10, 14, 15, 16, 18, 29, 30]] == 255).all()
    assert len(set(found.tolist())) == 20


def test_class_names(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes(b"\xef\xbb\xbfsky\n traffic light \r\ntree\n\n")
    assert read_class_names(path) == ("sky", "traffic light", "tree")
    for content, match in (
        (b"", "has no name"),
        (b"a\n\nb", "has an empty line"),
        (b"a\nb\na", "has names twice: a"),
        (b"\xff\xfe", "is no text in UTF-8"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataFileError, match=rf"classes\.txt: {match}"):
            read_class_names(path)
