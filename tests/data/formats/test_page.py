"""docs/data_formats.md: its code runs, on files where it expects them."""

import re
from pathlib import Path

import pytest

from tests.data.formats.drawn import coco_content, coco_files, encoded, label_map_files, labels, pixels, write

pytest.importorskip("pycocotools")
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "data_formats.md").read_text(encoding="utf-8")


def test_the_example(tmp_path, monkeypatch):
    coco = coco_files(coco_content())
    write(tmp_path / "coco" / "annotations", {"instances_val2017.json": coco.pop("objects.json")})
    write(tmp_path / "coco" / "val2017", {name.removeprefix("images/"): content for name, content in coco.items()})
    write(tmp_path / "own", {**label_map_files(), "classes.txt": b"a\nb\nc\n"})
    ade20k = {"images/validation/a.jpg": encoded(pixels(12, 10), "jpg")}
    write(tmp_path / "ADEChallengeData2016", {**ade20k, "annotations/validation/a.png": encoded(labels(12, 10, 150))})
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], found)
    assert [len(found[name]) for name in ("objects", "scenes", "own")] == [3, 1, 2]
    assert found["sample"].masks.shape == (1, 8, 9)
