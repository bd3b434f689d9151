"""The training example as a command, on a few of the built-in images."""

import io
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import npswin
from tests.thorough import some

for _library in ("matplotlib", "threadpoolctl", "tqdm"):
    pytest.importorskip(_library)

REPOSITORY = Path(__file__).parents[2]
# Runs the example with fewer of the built-in images and without network.
DRIVER = """
import runpy, sys
import npswin.data as data
def unavailable(*_, **__):
    raise data.DataUnavailableError("no connection")
if "--data-dir" not in sys.argv:
    data.load_cifar10 = unavailable
def few(train):
    return data.make_shapes(64 if train else 40, seed=int(train), split="train" if train else "test")
data.load_shapes = few
sys.argv[0] = "examples/train_cifar.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# Before DRIVER: the pictures take longer than the training.
WITHOUT_PICTURES = """
import npswin.training
from npswin.training import trainer
trainer.draw_curves = npswin.training.draw_predictions = npswin.training.draw_attention = lambda *_: None
"""
SMALL = ("--preset", "swin_nano_patch2_window4_32", "--epochs", "1", "--threads", "1")


def _start(*arguments, driver=DRIVER):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", driver, *map(str, arguments)],
        cwd=REPOSITORY,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _run(*arguments, driver=DRIVER):
    process = _start(*arguments, driver=driver)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def _run_here(monkeypatch, capsys, *arguments):
    """As `_run`, without the seconds that a new process takes to import its modules."""

    def unavailable(*_, **__):
        raise npswin.data.DataUnavailableError("no connection")

    if "--data-dir" not in arguments:
        monkeypatch.setattr(npswin.data, "load_cifar10", unavailable)
    few = npswin.data.make_shapes(40, seed=0, split="test")
    monkeypatch.setattr(npswin.data, "load_shapes", lambda train: few)
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(sys, "argv", ["examples/train_cifar.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(sys.argv[0], run_name="__main__")
    return end.value.code, *capsys.readouterr()


def test_train_cifar_from_start_to_end(monkeypatch, capsys, tmp_path):
    out = tmp_path / "run"
    status, stdout, stderr = _run(*SMALL, "--out", out)
    assert status == 0, stderr
    lines = stdout.splitlines()
    assert lines[0] == "CIFAR-10 is not available (no connection); training on the built-in data set shapes instead."
    assert lines[1] == "drawing the images of shapes"
    assert re.fullmatch(r"test accuracy: \d+\.\d\d % \(shapes, 40 images\)", lines[-1])
    assert {path.name for path in out.iterdir()} - {".lock"} == {
        "config.json",
        "metrics.jsonl",
        "last.safetensors",
        "previous.safetensors",
        "best.safetensors",
        "curves.png",
        "predictions.png",
        "attention.png",
    }

    status, stdout, stderr = _run(*SMALL, "--out", out)
    assert (status, stderr.count("\n")) == (2, 1), stderr
    assert "not empty" in stderr

    status, stdout, stderr = _run_here(monkeypatch, capsys, *SMALL, "--lr", "0.5", "--out", out, "--resume")
    assert (status, stderr.count("\n")) == (2, 1), stderr
    assert "training.lr" in stderr


def test_train_cifar_goes_on_with_the_weights_of_another_run(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(npswin.training.trainer, "draw_curves", lambda *_: None)
    monkeypatch.setattr(npswin.training, "draw_predictions", lambda *_: None)
    monkeypatch.setattr(npswin.training, "draw_attention", lambda *_: None)
    first, second, pairs = tmp_path / "first", tmp_path / "second", ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    model = npswin.create_model(SMALL[1], num_classes=10, seed=7)
    names = dict(zip(("mean", "std"), map(json.dumps, pairs), strict=True))
    npswin.weights.save_tensors(first, model.params, names)
    arguments = (*SMALL, "--data", "shapes", "--lr", "1e-12", "--weights", first, "--out", second)
    status, _, stderr = _run_here(monkeypatch, capsys, *arguments)
    assert status == 0, stderr
    assert npswin.training.read_normalization(second / "last.safetensors") == pairs
    tensors, _ = npswin.weights.load_tensors(second / "best.safetensors")
    for name, param in model.params.items():
        np.testing.assert_allclose(tensors[name], param, atol=1e-8)
    assert _run_here(monkeypatch, capsys, *arguments, "--resume")[0] == 0
    status, _, stderr = _run_here(monkeypatch, capsys, *arguments[:-4], "--out", second, "--resume")
    assert status == 0, stderr
    assert npswin.training.read_normalization(second / "last.safetensors") == pairs


@pytest.mark.parametrize("number", some([signal.SIGINT, signal.SIGTERM], {signal.SIGINT}))
def test_train_cifar_stopped_and_resumed_in_new_processes(tmp_path, number):
    arguments = (*SMALL, "--epochs", "2", "--batch-size", "4", "--data", "shapes")
    driver = WITHOUT_PICTURES + DRIVER
    process = _start(*arguments, "--out", tmp_path / "run", driver=driver)
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.is_file() and metrics.read_bytes().count(b"\n") >= 3) and time.monotonic() < deadline:
        time.sleep(0.005)  # the other process tells of its progress by this file alone
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number, stderr
    assert "Traceback" not in stderr
    assert re.search(r"resume with: .*python\S* examples/train_cifar\.py .* --resume", stderr)

    status, resumed, stderr = _run(*arguments, "--out", tmp_path / "run", "--resume", driver=driver)
    assert status == 0, stderr
    status, whole, stderr = _run(*arguments, "--out", tmp_path / "whole", driver=driver)
    assert status == 0, stderr
    assert resumed.splitlines()[-1] == whole.splitlines()[-1]
    for name in ("metrics.jsonl", "last.safetensors", "best.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--epochs", "0"), "--epochs: got 0"),
        (("--batch-size", "-3"), "--batch-size: got -3"),
        (("--lr", "0"), "--lr: got 0.0"),
        (("--seed", "-1"), "seed"),
        (("--threads", "0"), "--threads: got 0"),
        (("--backend", "abacus"), "--backend: got 'abacus'"),
        (("--data-dir", "nowhere"), "no CIFAR-10 in nowhere"),
        (("--data", "cifar10"), "no connection"),
        (
            ("--out", "examples/train_cifar.py/run"),
            "error: examples/train_cifar.py/run: cannot be a run's folder, since examples/train_cifar.py is no folder",
        ),
        (("--resume", "--out", "nowhere"), "nowhere: no run to resume here"),
    ],
)
def test_train_cifar_reports_an_error_in_one_line_with_status_2(monkeypatch, capsys, arguments, message):
    status, stdout, stderr = _run_here(monkeypatch, capsys, *SMALL, *arguments)
    assert status == 2
    assert stderr.count("\n") == 1, stderr
    assert stderr.startswith("train_cifar.py: error: ")
    assert message in stderr
    assert "accuracy" not in stdout


def test_train_cifar_refuses_an_unknown_preset(monkeypatch, capsys):
    status, _, stderr = _run_here(monkeypatch, capsys, "--preset", "swin_enormous")
    assert status == 2
    assert "invalid choice: 'swin_enormous'" in stderr


def test_train_cifar_with_weights_for_other_classes_needs_a_new_head(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(npswin.training.trainer, "draw_curves", lambda *_: None)
    monkeypatch.setattr(npswin.training, "draw_predictions", lambda *_: None)
    monkeypatch.setattr(npswin.training, "draw_attention", lambda *_: None)
    model, weights = npswin.create_model(SMALL[1], num_classes=3, seed=7), tmp_path / "weights"
    npswin.weights.save_tensors(weights, model.params, {"mean": "[0.1, 0.2, 0.3]", "std": "[0.4, 0.5, 0.6]"})
    arguments = (*SMALL, "--data", "shapes", "--weights", weights, "--out", tmp_path / "run")
    status, _, stderr = _run_here(monkeypatch, capsys, *arguments)
    assert (status, "--new-head" in stderr) == (2, True), stderr
    status, stdout, stderr = _run_here(monkeypatch, capsys, *arguments, "--new-head")
    assert (status, "head: drawn anew" in stdout) == (0, True), (stdout, stderr)


def test_train_cifar_help_lists_every_option(monkeypatch, capsys):
    status, stdout, _ = _run_here(monkeypatch, capsys, "--help")
    assert status == 0
    for option in (
        *("--preset", "--epochs", "--batch-size", "--lr", "--seed", "--threads", "--out", "--resume", "--weights"),
        *("--new-head", "--backend", "--dtype", "--data", "--data-dir"),
    ):
        assert f"  {option}" in stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "cuda"), "error: no CuPy, which the GPU needs"),
        (("--precision", "float16"), "error: --precision: float16 needs a GPU: --device cuda"),
    ],
)
def test_train_cifar_without_a_gpu(monkeypatch, capsys, tmp_path, arguments, message):
    if find_spec("cupy") is not None:
        pytest.skip("CuPy is installed")
    status, _, err = _run_here(monkeypatch, capsys, *SMALL, *arguments, "--out", tmp_path / "run")
    assert status == 2
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


INTERRUPTED_IMPORT = """
import sys
class Interrupt:
    def find_spec(self, name, *_):
        if name == "numpy":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
"""


def test_ctrl_c_during_the_imports():
    driver = f"{INTERRUPTED_IMPORT}import runpy; runpy.run_path('examples/train_cifar.py', run_name='__main__')"
    assert _run(driver=driver) == (130, "", "aborted\n")


def test_a_terminal_without_the_multiplication_sign(monkeypatch, capsys, tmp_path):
    def fit(*_):
        raise ValueError("far enough")

    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(npswin.training.Trainer, "fit", fit)
    monkeypatch.setattr(sys, "stdout", terminal)
    status, _, stderr = _run_here(monkeypatch, capsys, *SMALL, "--out", tmp_path / "run")
    assert (status, stderr) == (2, "train_cifar.py: error: far enough\n")
    assert b"40 images \\xd7 1 epoch, run" in terminal.buffer.getvalue()
