"""docs/data_formats.md: its code runs, on files where it expects them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import npswin.data.formats
from npswin.data import load_detection_folder, load_segmentation_folder
from tests.data.formats.drawn import (
    annotation,
    coco_content,
    coco_files,
    encoded,
    label_map_files,
    labels,
    pixels,
    voc_object,
    voc_xml,
    write,
)

pytest.importorskip("pycocotools")
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "data_formats.md").read_text(encoding="utf-8")


def test_the_example(tmp_path, monkeypatch):
    coco = coco_files(coco_content())
    write(tmp_path / "coco" / "annotations", {"instances_val2017.json": coco.pop("objects.json")})
    write(tmp_path / "coco" / "val2017", {name.removeprefix("images/"): content for name, content in coco.items()})
    for split in ("train", "val"):
        own = {re.sub("^labels/", "annotations/", name): content for name, content in label_map_files().items()}
        write(tmp_path / "own", {name.replace("/", f"/{split}/", 1): content for name, content in own.items()})
    write(tmp_path / "own", {"classes.txt": b"a\nb\nc\n"})
    ade20k = {"images/validation/a.jpg": encoded(pixels(12, 10), "jpg")}
    write(tmp_path / "ADEChallengeData2016", {**ade20k, "annotations/validation/a.png": encoded(labels(12, 10, 150))})
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], found)
    assert [len(found[name]) for name in ("objects", "scenes", "own")] == [3, 1, 2]
    assert found["sample"].masks.shape == (1, 8, 9)


IMAGES = (".jpg", ".png")


def content_of(path, image):
    """A file of a data set by its path; the image is the one of its split."""
    if path.suffix == ".json":
        objects = [annotation(0, 1, 3, [2, 3, 4, 5], [[2, 3, 6, 3, 6, 8, 2, 8]])]
        images = [{"id": 1, "file_name": image.name, "height": 12, "width": 10}]
        return json.dumps({"images": images, "categories": [{"id": 3, "name": "a"}], "annotations": objects}).encode()
    if path.suffix == ".xml":
        return voc_xml(voc_object("a", (2, 3, 6, 8)))
    if path.name == "classes.txt":
        return b"a\nb\n"
    if path.suffix == ".txt":
        return image.stem.encode()
    if {"annotations", "gtFine"} & set(path.parts):
        return encoded(np.full((12, 10), 7 if "gtFine" in path.parts else 1, np.uint8))
    return encoded(pixels(12, 10), path.suffix[1:])


@pytest.mark.parametrize(
    ("folder", "load", "name", "label", "images_in"),
    [
        ("own", load_segmentation_folder, "own", 1, ""),
        ("ADEChallengeData2016", load_segmentation_folder, "ADE20K", 0, ""),
        ("cityscapes", load_segmentation_folder, "Cityscapes", 0, ""),
        ("coco", load_detection_folder, "coco", 0, ""),
        ("coco", load_detection_folder, "coco", 0, "images/"),
        ("VOC2012", load_detection_folder, "Pascal VOC", 0, ""),
    ],
)
def test_the_folders_for_the_examples(tmp_path, folder, load, name, label, images_in):
    paths = [Path(line) for line in re.findall(rf"^    ({folder}/\S+)$", PAGE, re.MULTILINE)]
    images = [path for path in paths if not {"annotations", "gtFine"} & set(path.parts) and path.suffix in IMAGES]
    files = {str(path): content_of(path, images["train" not in str(path)]) for path in paths}
    files = {re.sub(r"^coco/(?=train|val)", f"coco/{images_in}", path): content for path, content in files.items()}
    for data in load(write(tmp_path, files) / folder):
        assert (data.name, len(data)) == (name, 1)
        assert data[0].image.shape == (3, 12, 10)
        assert int(data[0].labels.flat[0]) == label


def test_every_kind_of_finding_is_in_the_table():
    sources = Path(npswin.data.formats.__file__).parent.glob("*.py")
    pattern = r'(?:EntryError|InconsistentFileError|findings\.add)\(\s*"([a-z ]+)"'
    kinds = {kind for path in sources for kind in re.findall(pattern, path.read_text(encoding="utf-8"))}
    assert len(kinds) > 20
    assert not [kind for kind in sorted(kinds) if f"`{kind}`" not in PAGE]
