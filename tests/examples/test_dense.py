"""The examples of dense tasks, on a few small scenes, with the plain NumPy backend."""

import json
import re

import numpy as np
import pytest

import npswin
from tests.examples.dense import LAST_LINES, LOADERS, run


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
    code, _, err = run(monkeypatch, capsys, example, "--data-dir", tmp_path / "none")
    assert (code, err) == (2, f"{example}.py: error: {tmp_path / 'none'}: is no folder\n")


BACKBONE = {"embed_dim": 32, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 4, 8), "img_size": 32, "num_classes": 5}
WINDOWS = {"segment": 7, "detect": 4}  # of the smallest models


def classifier(example, path, metadata=None):
    """The weights of a classifier with the backbone of an example's model, in a file."""
    model = npswin.SwinTransformer(**BACKBONE, window_size=WINDOWS[example], seed=3)
    npswin.weights.save_tensors(path, model.params, metadata or {})
    return model


@pytest.mark.parametrize("example", LOADERS)
def test_a_backbone_begins_with_a_classifiers_weights(monkeypatch, capsys, tmp_path, example):
    file, folder = tmp_path / "classifier.safetensors", tmp_path / "run"
    model = classifier(example, file, {"mean": "[0.1, 0.2, 0.3]", "std": "[0.4, 0.5, 0.6]"})
    monkeypatch.setattr(npswin.training.trainer, "draw_curves", lambda *_: None)
    arguments = ("--epochs", "1", "--lr", "1e-12", "--backbone", file, "--out", folder)
    code, out, err = run(monkeypatch, capsys, example, *arguments)
    assert code == 0, err
    assert "layout: official\n" in out
    assert npswin.training.read_normalization(folder / "last.safetensors") == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    tensors, _ = npswin.weights.load_tensors(folder / "last.safetensors")
    name = "layers.0.blocks.0.mlp.fc1.weight"
    np.testing.assert_allclose(tensors[f"backbone.{name}"], model.params[name], atol=1e-8)


def test_images_have_their_own_normalization_where_the_backbones_is_unknown(monkeypatch, capsys, tmp_path):
    classifier("segment", tmp_path / "file")
    for name, more in (("with", ("--backbone", tmp_path / "file")), ("without", ())):
        code, _, err = run(monkeypatch, capsys, "segment", "--epochs", "1", "--out", tmp_path / name, *more)
        assert code == 0, err
    one, other = (
        npswin.training.read_normalization(tmp_path / name / "last.safetensors") for name in ("with", "without")
    )
    assert one == other


@pytest.mark.parametrize("example", LOADERS)
def test_a_backbone_that_does_not_fit_is_an_error_of_one_line(monkeypatch, capsys, tmp_path, example):
    model, file = npswin.create_model("swin_nano_patch2_window4_32"), tmp_path / "file"
    npswin.weights.save_tensors(file, model.params)
    for weights, message in (
        (file, f"--backbone: no weights for the backbone of .*_nano: {file}: .* and nothing was loaded$"),
        (tmp_path / "none", f"{tmp_path}/none: No such file"),
    ):
        code, _, err = run(monkeypatch, capsys, example, "--backbone", weights, "--out", tmp_path / "run")
        assert (code, err.count("\n")) == (2, 1), err
        assert re.match(f"{example}.py: error: {message}", err), err
    code, _, err = run(monkeypatch, capsys, example, "--backbone", file, "--weights", file)
    assert (code, err) == (2, f"{example}.py: error: --weights, --backbone: got both, expected one of them\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("example", LOADERS)
def test_help_tells_the_default_of_each_option(monkeypatch, capsys, example):
    code, out, _ = run(monkeypatch, capsys, example, "--help")
    assert code == 0
    options = re.split(r"\n  (?=--)", re.sub(r"\n {3,}", " ", out))
    untold = [option.split()[0] for option in options[1:] if "(default: " not in option]
    assert untold == ["--repair-data", "--new-head", "--resume", "--repair"]  # which are off
    assert "--epochs EPOCHS passes over the training images (default: " in re.sub(" +", " ", " ".join(options))
