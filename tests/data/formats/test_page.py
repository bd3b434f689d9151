"""docs/data_formats.md: its code runs, on files where it expects them."""

import re
from pathlib import Path

import pytest

import npswin.data.formats
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


def test_every_kind_of_finding_is_in_the_table():
    sources = Path(npswin.data.formats.__file__).parent.glob("*.py")
    pattern = r'(?:Problem|InconsistentFileError|findings\.add)\(\s*"([a-z ]+)"'
    kinds = {kind for path in sources for kind in re.findall(pattern, path.read_text(encoding="utf-8"))}
    assert len(kinds) > 20
    assert not [kind for kind in sorted(kinds) if f"`{kind}`" not in PAGE]
