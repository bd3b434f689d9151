"""The examples of dense tasks learn from data sets in files, of every layout, and go on after Ctrl-C."""

import json
import os
import signal

import numpy as np
import pytest

import npswin.training
from tests.data.formats.drawn import write
from tests.examples.dense import LAST_LINES, run
from tests.examples.dense_files import LAYOUTS

TASKS = {"segment": npswin.training.SegmentationTask, "detect": npswin.training.DetectionTask}
SCORES = {"segment": {"mean_iou", "mean_accuracy", "pixel_accuracy"}, "detect": {"box_ap", "box_ap50"}}
WITH_MASKS = ("COCO with polygons", "COCO with run lengths and crowds")


def interrupt_during_the_first_step(monkeypatch, example):
    """Ctrl-C while the inputs of a step are prepared."""
    prepare = TASKS[example].prepare

    def prepare_and_interrupt(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return prepare(*arguments)

    monkeypatch.setattr(TASKS[example], "prepare", prepare_and_interrupt)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_run_is_stopped_and_resumed(monkeypatch, capsys, tmp_path, layout):
    example, files = LAYOUTS[layout]
    data, folder = write(tmp_path / "mine", files()), tmp_path / "run"
    arguments = ("--data-dir", data, "--epochs", "1", "--out", folder)
    with monkeypatch.context() as context:
        interrupt_during_the_first_step(context, example)
        code, _, err = run(context, capsys, example, *arguments)
    assert code == 130, err
    assert f"stopped after step 1 of 2, saved {folder / 'last.safetensors'}\n" in err
    code, out, err = run(monkeypatch, capsys, example, *arguments, "--resume")
    assert code == 0, err
    assert "resuming after step 1 of 2\n" in err

    first, last = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    losses = {name for name in first if name.startswith("loss")}
    assert np.isfinite([record[name] for record in (first, last) for name in losses]).all()
    masks = {"mask_ap", "mask_ap50"} if layout in WITH_MASKS else set()
    scores = {name.removeprefix("test_"): value for name, value in last.items() if name not in first}
    assert scores.keys() == SCORES[example] | masks
    assert all(0 <= score <= 1 for score in scores.values())
    assert ("loss_mask" in losses) == bool(masks)
    assert out.splitlines()[-1].startswith(LAST_LINES[example])
    assert out.splitlines()[-1].endswith("2 images)")
    config = json.loads((folder / "config.json").read_text())
    assert (config["train_data"]["samples"], config["test_data"]["samples"]) == (4, 2)
    picture = {"segment": "segmentation.png", "detect": "detections.png"}[example]
    assert (folder / picture).stat().st_size > 1000
    best, _ = npswin.weights.load_tensors(folder / "best.safetensors")
    assert all(np.isfinite(tensor).all() for tensor in best.values())
