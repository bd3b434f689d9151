"""The examples of dense tasks, on a few small scenes, with the plain NumPy backend."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import npswin.data

pytest.importorskip("matplotlib")
pytest.importorskip("pycocotools")

REPOSITORY = Path(__file__).parents[2]
LOADERS = {"segment": "load_segmentation_scenes", "detect": "load_detection_scenes"}
LAST_LINES = {"segment": "mean IoU: ", "detect": "box AP: "}


def run(monkeypatch, capsys, example, *arguments):
    """Exit status, stdout and stderr of an example, in this process."""
    load = getattr(npswin.data, LOADERS[example])
    monkeypatch.setattr(npswin.data, LOADERS[example], lambda train: load(train=train, size=32, count=4))
    monkeypatch.chdir(REPOSITORY)
    options = ("--backend", "numpy", "--threads", "1", "--size", "32", "--batch-size", "2")
    monkeypatch.setattr(sys, "argv", [f"examples/{example}.py", *options, *map(str, arguments)])
    before = npswin.get_backend()
    try:
        with pytest.raises(SystemExit) as end:
            runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        npswin.set_backend(before)
    monkeypatch.undo()
    return end.value.code, *capsys.readouterr()


@pytest.mark.parametrize("example", LOADERS)
def test_a_run_writes_its_folder_and_is_resumed(monkeypatch, capsys, tmp_path, example):
    folder = tmp_path / "run"
    code, out, err = run(monkeypatch, capsys, example, "--epochs", "1", "--out", folder)
    assert code == 0, err
    assert out.splitlines()[-1].startswith(LAST_LINES[example])
    assert "(scenes, 4 images)" in out.splitlines()[-1]
    picture = {"segment": "segmentation.png", "detect": "detections.png"}[example]
    written = {path.name for path in folder.iterdir()} - {".lock"}
    weights = {"last.safetensors", "previous.safetensors", "best.safetensors"}
    assert written == {"config.json", "metrics.jsonl", "curves.png", picture, *weights}
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert np.isfinite(list(json.loads(lines[-1]).values())).all()
    code, again, err = run(monkeypatch, capsys, example, "--epochs", "1", "--out", folder, "--resume")
    assert code == 0, err
    assert again.splitlines()[-1] == out.splitlines()[-1]


@pytest.mark.parametrize("example", LOADERS)
def test_a_folder_without_data_is_an_error(monkeypatch, capsys, tmp_path, example):
    code, _, err = run(monkeypatch, capsys, example, "--data-dir", tmp_path)
    assert code == 2
    assert err.startswith(f"{example}.py: error: {tmp_path}: no layout of a data set for")
    assert len(err.splitlines()) == 1


def test_boxes_without_masks_train_a_model_without_them(monkeypatch, capsys, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "annotations").mkdir()
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        for number in range(2):
            Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(tmp_path / split / f"{number}.png")
        images = [{"id": number, "file_name": f"{number}.png", "height": 40, "width": 48} for number in range(2)]
        objects = [
            {"id": number, "image_id": number, "category_id": 3, "bbox": [4, 6, 20, 18], "area": 360, "iscrowd": 0}
            for number in range(2)
        ]
        content = {"images": images, "annotations": objects, "categories": [{"id": 3, "name": "thing"}]}
        (tmp_path / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    folder = tmp_path / "run"
    code, out, err = run(monkeypatch, capsys, "detect", "--data-dir", tmp_path, "--epochs", "1", "--out", folder)
    assert code == 0, err
    assert out.splitlines()[-1].startswith("box AP: ")
    assert ", mask AP" not in out.splitlines()[-1]
    assert "loss_mask" not in json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
