"""With which mean and deviation the programs that train normalize images, by their options and files of weights."""

import re

import pytest

import npswin
from npswin.data import IMAGENET_MEAN, IMAGENET_STD
from npswin.training import read_normalization
from tests.examples.dense import LOADERS, run

OPTIONS = ("--mean", "0.1", "0.2", "0.3", "--std", "0.4", "0.5", "0.6")
GIVEN = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
OF_FILE = ((0.2, 0.3, 0.4), (0.5, 0.6, 0.7))
IMAGENET = (IMAGENET_MEAN, IMAGENET_STD)
NAMES = {"segment": "upernet_swin_nano", "detect": "mask_rcnn_swin_nano"}
# Metadata of a file -> mean and deviation of the run that begins with it, and what is printed.
METADATA = {
    "of a run": (
        {"mean": "[0.2, 0.3, 0.4]", "std": "[0.5, 0.6, 0.7]"},
        OF_FILE,
        "was trained on: mean 0.2",
    ),
    "of another project": ({"format": "pt"}, IMAGENET, "by ImageNet's, mean 0.485 0.456 0.406, deviation 0.229"),
    "of a model that was saved": ({"config": "{}"}, None, "images are normalized by their own;"),
}


def weights(example, option, path, metadata):
    """A file with weights for an option of an example; returns its arguments."""
    classes = len(getattr(npswin.data, LOADERS[example])(train=False, size=32, count=1).class_names)
    model = npswin.create_model(NAMES[example], num_classes=classes)
    tensors = npswin.weights.model_tensors(model if option == "--weights" else model.backbone)
    npswin.weights.save_tensors(path, tensors, metadata)
    return option, path


def own(example):
    """Mean and deviation of the images that an example learns from."""
    data = getattr(npswin.data, LOADERS[example])(train=True, size=32, count=4)
    return npswin.data.sample_statistics([data[index] for index in range(4)])


@pytest.mark.parametrize("kind", METADATA)
@pytest.mark.parametrize("option", ["--weights", "--backbone"])
@pytest.mark.parametrize("example", LOADERS)
def test_it_follows_from_the_file(monkeypatch, capsys, tmp_path, started, example, option, kind):
    metadata, wanted, line = METADATA[kind]
    arguments = weights(example, option, tmp_path / "file", metadata)
    code, out, err = run(monkeypatch, capsys, example, *arguments, "--out", tmp_path / "run")
    assert (code, err) == (2, f"{example}.py: error: far enough\n")
    assert (started[-1].mean, started[-1].std) == (wanted or own(example))
    assert line in out.splitlines()[0]
    assert "file" in out.splitlines()[0]


@pytest.mark.parametrize("kind", METADATA)
def test_options_come_before_the_file(monkeypatch, capsys, tmp_path, started, kind):
    arguments = weights("segment", "--weights", tmp_path / "file", METADATA[kind][0])
    run(monkeypatch, capsys, "segment", *arguments, *OPTIONS, "--out", tmp_path / "run")
    assert (started[-1].mean, started[-1].std) == GIVEN


@pytest.mark.parametrize("options", [(), OPTIONS])
def test_without_a_file(monkeypatch, capsys, tmp_path, started, options):
    run(monkeypatch, capsys, "detect", *options, "--out", tmp_path / "run")
    assert (started[-1].mean, started[-1].std) == (GIVEN if options else own("detect"))


def test_a_damaged_mean_is_an_error_before_data_are_read(monkeypatch, capsys, tmp_path):
    arguments = weights("segment", "--weights", tmp_path / "file", {"mean": "[0.5, 0.5, 0.5]"})
    code, out, err = run(monkeypatch, capsys, "segment", *arguments, "--data-dir", tmp_path / "none")
    assert (code, out) == (2, "")
    assert err.startswith(f"segment.py: error: {tmp_path}/file: its metadata lack std")


def test_a_resumed_run_goes_on_with_its_own(monkeypatch, capsys, tmp_path):
    folder = tmp_path / "run"
    begin = weights("segment", "--weights", tmp_path / "file", {})
    arguments = ("--epochs", "1", "--out", folder)
    assert run(monkeypatch, capsys, "segment", *arguments, *begin)[0] == 0
    assert read_normalization(folder / "last.safetensors") == IMAGENET
    for more in (begin, ()):
        code, _, err = run(monkeypatch, capsys, "segment", *arguments, *more, "--resume")
        assert code == 0, err
        assert read_normalization(folder / "last.safetensors") == IMAGENET
    code, _, err = run(monkeypatch, capsys, "segment", *arguments, *begin, *OPTIONS, "--resume")
    assert code == 2
    assert re.search(r"differs in mean\[0\] .*without --mean, --std, --weights and --backbone, .* with its own$", err)
