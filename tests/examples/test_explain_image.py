"""The example that draws attention and Grad-CAM, on a small model with random weights."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import npswin
from npswin.weights import save_tensors

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")
EXAMPLE = Path(__file__).parents[2] / "examples/explain_image.py"


@pytest.fixture
def explain(monkeypatch, capsys, tmp_path):
    """Runs the example in an empty folder; returns its status, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(EXAMPLE), run_name="__main__")
        return end.value.code, *capsys.readouterr()

    monkeypatch.chdir(tmp_path)
    return run


def save(path="w.safetensors", channels=3, numbers=("mean", "std"), **more):
    model = npswin.create_model("swin_nano_patch2_window4_32", in_chans=channels, num_classes=2, depths=(1, 2), **more)
    names = {"config": json.dumps(model.config), "class_names": json.dumps(["cat", "dog"])}
    save_tensors(path, model.params, {**names, **{name: json.dumps([0.5] * channels) for name in numbers}})
    return path


def save_picture(size, path="photo.png", mode="RGB"):
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path)
    return path


def test_an_image_of_shapes(explain, tmp_path):
    status, stdout, stderr = explain("--weights", save())
    assert status == 0, stderr
    assert stdout in ("cat: explanation.png\n", "dog: explanation.png\n")
    assert (tmp_path / "explanation.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(("channels", "mode"), [(3, "RGBA"), (1, "RGB")])
def test_an_image_of_any_size_and_another_class(explain, tmp_path, channels, mode):
    status, stdout, stderr = explain(
        *(save_picture((90, 50), mode=mode), "--weights", save(channels=channels)),
        *("--size", 37, "--query", 36, 60, "--class", "dog", "--out", "a.png"),
    )
    assert (status, stdout) == (0, "dog: a.png\n"), stderr
    assert explain("--weights", "w.safetensors", "--class", "1", save_picture((40, 40)))[1] == "dog: explanation.png\n"


@pytest.mark.parametrize(
    ("weights", "arguments", "message"),
    [
        ({}, ("--query", 32, 0), "query: got 32"),
        ({}, ("--class", "bird"), "class: got 'bird'"),
        ({}, ("--class", "2"), "class: got 2"),
        ({}, ("--size", -1), "size: got -1"),
        ({}, ("none.png",), "none.png"),
        ({}, ("w.safetensors",), "cannot identify image file"),
        ({}, ("--out", "a.xyz"), "--out: got a.xyz, expected the name of a picture, which ends with .png"),
        ({}, ("--out", "none/a.png"), "--out: none is no folder, expected one that exists"),
        ({"numbers": ("mean",)}, (), "w.safetensors: its metadata lack std"),
        ({"numbers": (), "channels": 1}, (), "w.safetensors: lacks the mean and deviation of its 1 channels"),
        ({"channels": 4}, ("photo.png",), "image: the model takes 4 channels, expected 1 or 3"),
    ],
)
def test_errors_are_one_line(explain, weights, arguments, message):
    save(**weights)
    save_picture((40, 40))
    status, _, stderr = explain("--weights", "w.safetensors", *arguments)
    assert (status, stderr.count("\n")) == (2, 1), stderr
    assert stderr.startswith("explain_image.py: error: ")
    assert message in stderr
    assert not Path("explanation.png").exists()


def test_16_bits_are_not_cut_in_silence(explain):
    Image.fromarray(np.full((40, 40), 3000, np.uint16)).save("deep.png")
    status, _, stderr = explain("deep.png", "--weights", save())
    assert (status, "deep.png: has more than 8 bits a channel" in stderr) == (2, True)


def test_a_file_without_a_model(explain):
    save_tensors("w.safetensors", {"a": np.zeros(2)})
    assert (
        "w.safetensors: does not say which model it is for: --preset NAME" in explain("--weights", "w.safetensors")[2]
    )
    save_tensors("w.safetensors", {"a": np.zeros(2)}, {"config": '{"colour": 1}'})
    assert "its metadata are not those of a model of npswin's" in explain("--weights", "w.safetensors")[2]
