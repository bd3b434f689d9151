"""Damaged data sets, as a user meets them: the examples tell file and entry before training, or leave it out."""

import json
import re

import pytest

import npswin.training
from tests.data.formats.drawn import encoded, labels, pixels, voc_object, voc_xml, write
from tests.examples.dense import run
from tests.examples.dense_files import HEIGHT, LAYOUTS, WIDTH, numbers_of

COCO = "annotations/instances_train.json"
LABELS = "annotations/train/1.png"


def annotations(**values):
    """COCO with polygons, in which the annotation of id 2, the dark object of image 1, has other values."""
    return coco(lambda content: content["annotations"][2].update(values))


def coco(change):
    """COCO with polygons, after a function has changed the JSON's content."""

    def changed(content):
        content = json.loads(content)
        change(content)
        return json.dumps(content).encode()

    return "COCO with polygons", {COCO: changed}


def without_masks(content):
    content = json.loads(content)
    for annotation in content["annotations"]:
        del annotation["segmentation"]
    return json.dumps(content).encode()


def with_another_class(content):
    return content.replace(b'"dark"', b'"dim"')


def crowds(content):
    return content.replace(b'"iscrowd": 0', b'"iscrowd": 1')


def difficult(content):
    return content.replace(b"</object>", b"<difficult>1</difficult></object>")


def clear(*sections):
    return lambda content: [content[section].clear() for section in sections]


def voc(*corners, name="dark"):
    """Pascal VOC in which an image has one object, with this box."""
    xml = voc_xml(voc_object(name, corners), WIDTH, HEIGHT)
    return "Pascal VOC", {"Annotations/train_1.xml": xml}


def images(name, content):
    return "COCO with polygons", {f"train/{name}": content}


def maps(name, content):
    return "a folder of label images", {name: content}


def shortened(to):
    return lambda content: content[:to]


IGNORED = numbers_of(0, 255, 255, 255)
HINT = "\nWith --repair-data, or repair=True, these are left out, or cut at the image's edge\n"
OBJECT = "annotation 2 of image 1: "
# The layout and what is changed in its files; what is said; and what is left: images to train on, and their objects, or
# None where that is an error with --repair-data, too.
CASES = {
    "a box outside of the image": (
        annotations(bbox=[50, 60, 5, 5]),
        OBJECT + "the box from (50, 60) to (55, 65)",
        (4, 7),
    ),
    "a box over the edge": (
        annotations(bbox=[3, 4, 90, 12]),
        OBJECT + "the box from (3, 4) to (93, 16) reaches",
        (4, 8),
    ),
    "an empty mask": (annotations(segmentation=[[2, 4] * 3]), OBJECT + "the segmentation has no pixel", (4, 7)),
    "no mask": (annotations(segmentation=[]), OBJECT + "has no segmentation, as others have", (4, 7)),
    "an odd polygon": (annotations(segmentation=[[2, 4, 9, 4, 9, 8, 1]]), OBJECT + "a polygon has 7 numbers", (4, 7)),
    "run lengths of another sum": (
        annotations(segmentation={"size": [HEIGHT, WIDTH], "counts": [100, 20]}),
        OBJECT + "run lengths have the sum 120, expected 1280 pixels",
        (4, 7),
    ),
    "an unknown category": (annotations(category_id=99), OBJECT + "has category 99, which is not among", (4, 7)),
    "an annotation id twice": (annotations(id=1), "annotation 1: has the id of another annotation", (4, 7)),
    "an image id twice": (
        coco(lambda content: content["images"][1].update(id=0)),
        "image 0 (1.png): has the id of 0.png, too",
        (2, 4),
    ),
    "a missing image": (images("1.png", None), "train/1.png: No such file or directory", (3, 6)),
    "an image of another size": (
        images("1.png", encoded(pixels(9, 8))),
        "train/1.png: has 8×9 pixels, its annotations are for 40×32",
        (3, 6),
    ),
    "half an image": (images("1.png", shortened(400)), "train/1.png: cannot be read by Pillow", (3, 6)),
    "half the JSON": (("COCO with polygons", {COCO: shortened(200)}), f"{COCO}: cannot be read as JSON", None),
    "no annotation": (coco(clear("annotations")), f"{COCO}: has no object", None),
    "only crowds to train on": (
        coco(lambda content: [one.update(iscrowd=1) for one in content["annotations"]]),
        f"{COCO}: has no object, or only crowds",
        None,
    ),
    "only crowds to test on": (
        ("COCO with polygons", {"annotations/instances_val.json": crowds}),
        "annotations/instances_val.json: has no object, or only crowds",
        None,
    ),
    "only difficult objects to test on": (
        ("Pascal VOC", {f"Annotations/val_{number}.xml": difficult for number in range(2)}),
        "ImageSets/Main/val.txt: has no object, or only crowds",
        None,
    ),
    "only wrong objects": (
        coco(lambda content: [one.update(category_id=99) for one in content["annotations"]]),
        "8 findings: 8 × unknown category",
        None,
    ),
    "no image in the JSON": (coco(clear("images", "annotations")), f"{COCO}: its list 'images' is empty", None),
    "no category": (coco(clear("categories")), f"{COCO}: its list 'categories' is empty", None),
    "other classes to test on": (
        (
            "COCO with polygons",
            {"annotations/instances_val.json": with_another_class},
        ),
        "mine: the classes of train and val differ: only train has dark; only val has dim",
        None,
    ),
    "no masks to test on": (
        ("COCO with polygons", {"annotations/instances_val.json": without_masks}),
        "mine: val has boxes without masks, train has masks; use --boxes",
        None,
    ),
    "no annotations to test on": (
        ("COCO with polygons", {"annotations/instances_val.json": None}),
        "expected instances_val.json or",
        None,
    ),
    "an empty folder of annotations": (
        ("COCO with boxes alone", {"annotations/instances_val.json": None, COCO: None}),
        "no layout of a data set for detection is recognized",
        None,
    ),
    "a box with exchanged corners": (
        voc(10, 10, 4, 12),
        "train_1.xml: object 0: the box from (9, 9) to (4, 12)",
        (4, 6),
    ),
    "a box of text": (voc(10, "x", 14, 12), "train_1.xml: object 0: <ymin> is 'x', expected a number", (4, 6)),
    "a class that is not named": (voc(1, 1, 9, 9, name="cat"), "train_1.xml: object 0: has the class 'cat'", (4, 6)),
    "half the XML": (
        ("Pascal VOC", {"Annotations/train_1.xml": shortened(60)}),
        "Annotations/train_1.xml: cannot be read as XML",
        (3, 6),
    ),
    "a missing XML": (
        ("Pascal VOC", {"Annotations/train_1.xml": None}),
        "Annotations/train_1.xml: No such file",
        (3, 6),
    ),
    "an empty list of images": (("Pascal VOC", {"ImageSets/Main/train.txt": b""}), "train.txt: has no name", None),
    "a label image of another size": (
        maps(LABELS, encoded(labels(9, 8, 1))),
        f"{LABELS}: the label image and its image have 8×9 and 40×32",
        (3, 0),
    ),
    "a label beyond the classes": (
        maps(LABELS, numbers_of(1, 255, 0, 7)),
        f"{LABELS}: label 7 in row 9, column 20",
        (3, 0),
    ),
    "a label image with colours": (
        maps(LABELS, encoded(pixels(HEIGHT, WIDTH))),
        f"{LABELS}: has colours (RGB); a label image has a number for each pixel",
        (3, 0),
    ),
    **{
        f"no label to {purpose} on": (
            ("a folder of label images", {f"annotations/{split}/{n}.png": IGNORED for n in range(count)}),
            f"annotations/{split}: all pixels are ignored",
            None,
        )
        for purpose, split, count in (("train", "train", 4), ("test", "val", 2))
    },
    "half a label image": (maps(LABELS, shortened(60)), f"{LABELS}: cannot be read by Pillow", (3, 0)),
    "an image without labels": (maps(LABELS, None), "images/train/1.png: has no label image in", (3, 0)),
    "labels without an image": (maps("images/train/1.png", None), f"{LABELS}: has no image in", (3, 0)),
    "no class": (maps("classes.txt", b"\n"), "classes.txt: has no name", None),
    "an empty folder": (maps("images/train/0.png", ...), "images/train: has no image", None),
}


def damaged(case):
    """The example, and its files."""
    layout, changes = CASES[case][0]
    example, make = LAYOUTS[layout]
    files = make()
    for name, change in changes.items():
        if change is None:
            del files[name]
        elif change is ...:
            files = {one: content for one, content in files.items() if not one.startswith(name.rpartition("/")[0])}
            files[f"{name}.txt"] = b"no image"
        else:
            files[name] = change(files[name]) if callable(change) else change
    return example, files


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said_before_training_or_left_out(monkeypatch, capsys, tmp_path, case):
    def init(trainer, model, train_data, *_):
        started.append((len(train_data), sum(len(getattr(sample, "boxes", ())) for sample in train_data)))
        raise ValueError("training starts")

    started = []
    example, files = damaged(case)
    _, message, left = CASES[case]
    arguments = ("--data-dir", write(tmp_path / "mine", files), "--out", tmp_path / "run")
    code, _, err = run(monkeypatch, capsys, example, *arguments)
    assert code == 2, err
    assert err.startswith(f"{example}.py: error: {tmp_path}/mine"), err
    assert message in err
    assert not re.search("Traceback|Warning|npswin/", err)
    assert HINT in err or left is None

    monkeypatch.setattr(npswin.training.Trainer, "__init__", init)
    code, _, err = run(monkeypatch, capsys, example, *arguments, "--repair-data")
    if left is None:
        assert not started
        assert code == 2, err
        assert f"{example}.py: error: {tmp_path}/mine" in err
    else:
        assert started == [left]
        assert err.startswith(f"{example}.py: warning: {tmp_path}/mine"), err
        assert message in err
    assert not re.search("Traceback|UserWarning", err)
