"""The benchmark that trains a dense model in npswin or in PyTorch, for a step of a tiny one."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import npswin
from benchmarks import dense_training
from npswin.training import Trainer

for module in ("matplotlib", "filelock", "PIL", "threadpoolctl"):
    pytest.importorskip(module)

from tests.data.formats.drawn import write  # noqa: E402
from tests.examples.dense_files import LAYOUTS  # noqa: E402

BACKBONE = {
    "patch_size": 2,
    "embed_dim": 8,
    "depths": (1, 1, 1, 1),
    "num_heads": (1, 2, 2, 2),
    "window_size": 4,
    "drop_path_rate": 0.0,
}
RECIPE = {
    "preset": "upernet_swin_nano",
    "model": {"backbone": BACKBONE, "channels": 8, "auxiliary_channels": 4, "dropout": 0.0},
    "task": {"crop_size": (24, 24), "shorter": 32, "longer": 64},
    "training": {"epochs": 2, "batch_size": 2, "lr": 1e-3, "warmup_epochs": 0.5, "schedule": "poly"},
}


@pytest.fixture(autouse=True)
def plain_numpy():
    """The backend that compiles nothing."""
    before = npswin.get_backend()
    npswin.set_backend("numpy")
    yield
    npswin.set_backend(before)


@pytest.fixture
def train(monkeypatch, capsys, tmp_path):
    """Runs the benchmark; returns its status, output, errors, and what is in result.json."""
    data = write(tmp_path / "data", LAYOUTS["a folder of label images"][1]())
    monkeypatch.setitem(dense_training.RECIPES, "camvid", RECIPE)

    def run(framework, *options):
        out = tmp_path / framework
        monkeypatch.setattr(
            sys,
            "argv",
            ["dense_training.py", "camvid", str(data), "--framework", framework, "--out", str(out), *options],
        )
        status = dense_training.main()
        file = out / "result.json"
        return status, *capsys.readouterr(), json.loads(file.read_text()) if file.exists() else None

    return run


@pytest.mark.parametrize("framework", ["npswin", "pytorch"])
def test_what_is_written(train, tmp_path, framework):
    if framework == "pytorch":
        for module in ("torch", "transformers", "tqdm"):
            pytest.importorskip(module)
    status, stdout, stderr, result = train(framework, "--threads", "1")
    assert status == 0, stderr
    assert f"upernet_swin_nano in {framework} on camvid: Pixel accuracy " in stdout
    assert (result["steps"], result["threads"]) == (4, 1)
    assert min(result["training_seconds"], result["seconds_per_evaluation"]) > 0
    assert 0 <= result["mean_iou"] <= 1
    assert {"npswin", "Python", "numpy"} <= set(result["versions"])
    assert {"processor", "cores"} <= set(result["machine"])
    lines = [json.loads(line) for line in (tmp_path / framework / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert np.isfinite([line["loss"] for line in lines]).all()
    assert (tmp_path / framework / "found.png").stat().st_size > 1000


def test_training_time_is_that_of_the_steps(train, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(dense_training, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def takes(seconds, name):
        method = getattr(Trainer, name)

        def slow(*arguments):
            clock[0] += seconds
            return method(*arguments)

        monkeypatch.setattr(Trainer, name, slow)

    for seconds, name in ((1, "_train_step"), (10, "_evaluate"), (100, "_save")):
        takes(seconds, name)
    _, _, _, result = train("npswin", "--threads", "1")
    assert (result["training_seconds"], result["seconds_per_evaluation"]) == (4, 10)


def test_a_folder_that_is_not_empty(train, tmp_path):
    write(tmp_path / "npswin", {"a.txt": b""})
    status, _, stderr, _ = train("npswin")
    assert (status, stderr) == (2, f"dense_training.py: error: --out: {tmp_path / 'npswin'} is not empty\n")
