"""The examples of dense tasks, on a few small scenes, with the plain NumPy backend."""

import json
import re

import numpy as np
import pytest

import npswin
import npswin.cli.training_program
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
    off = ["--repair-data", *["--boxes"] * (example == "detect"), "--new-head", "--resume", "--repair"]
    assert untold == off
    text = re.sub(r"\s+", " ", " ".join(options))
    epochs = {"segment": "18 for *_nano, 127", "detect": "10 for *_nano, 12"}[example]
    assert f"--epochs EPOCHS passes over the training images (default: {epochs} for the official presets)" in text
    ratios = {"segment": "0.75 to 1.5 times", "detect": "0.8 to 1.2 times"}[example]
    assert f"in training to {ratios} that" in text


def trainer_of(started, monkeypatch, capsys, example, *arguments, **options):
    """The trainer that an example makes of its arguments."""
    code, _, err = run(monkeypatch, capsys, example, *arguments, **options)
    assert (code, err) == (2, f"{example}.py: error: far enough\n")
    return started[-1]


OFFICIAL = {"segment": "upernet_swin_tiny", "detect": "mask_rcnn_swin_tiny"}
QUICK = ("--backend", "numpy", "--threads", "1")


@pytest.mark.parametrize("example", LOADERS)
def test_the_official_presets_have_the_official_recipe(monkeypatch, capsys, tmp_path, started, example):
    def create_model(name, **options):
        names.append(name)
        return make(name.replace("tiny", "nano"), **options)

    names, make = [], npswin.create_model
    arguments = ("--preset", OFFICIAL[example], "--out", tmp_path / "run")
    for more in ((), ("--epochs", "1")):
        with monkeypatch.context() as patched:
            patched.setattr(npswin.cli.training_program, "create_model", create_model)
            patched.setattr(npswin.training.Trainer, "fit", npswin.training.Trainer.fit)
            trainer = trainer_of(started, patched, capsys, example, *arguments, *more, options=QUICK)
        config, task = trainer.config, trainer.task
        assert names[-1] == OFFICIAL[example]
        assert (config.batch_size, config.ema_decay, config.clip_norm) == (16, None, None)
        if example == "segment":
            assert (config.lr, config.weight_decay, config.schedule) == (6e-5, 0.01, "poly")
            assert config.epochs == (1 if more else 127)
            assert config.warmup_steps == (0 if more else 127 // 5)  # of 127 steps, on four images
            assert task == npswin.training.SegmentationTask()
        else:
            assert (config.lr, config.weight_decay) == (1e-4, 0.05)
            assert config.schedule == ("poly" if more else "steps")
            assert config.decay_epochs == (() if more else (8, 11))
            assert task == npswin.training.DetectionTask()


@pytest.mark.parametrize(("epochs", "decay_epochs"), [("36", (24, 33)), ("3", (2,)), ("2", (1,))])
def test_another_number_of_epochs_moves_the_steps_of_the_learning_rate(
    monkeypatch, capsys, tmp_path, started, epochs, decay_epochs
):
    def create_model(name, **options):
        return make(name.replace("tiny", "nano"), **options)

    make = npswin.create_model
    monkeypatch.setattr(npswin.cli.training_program, "create_model", create_model)
    arguments = ("--preset", OFFICIAL["detect"], "--epochs", epochs, "--out", tmp_path / "run")
    trainer = trainer_of(started, monkeypatch, capsys, "detect", *arguments)
    assert trainer.config.decay_epochs == decay_epochs


@pytest.mark.parametrize(("detections", "counted"), [(None, 100), (150, 150), (30, 100)])
def test_a_detector_may_find_more_objects(monkeypatch, capsys, tmp_path, started, detections, counted):
    arguments = () if detections is None else ("--detections", detections)
    trainer = trainer_of(started, monkeypatch, capsys, "detect", *arguments, "--out", tmp_path / "run")
    assert trainer.model.config["detections"] == (detections or 20)
    assert trainer.task.max_detections == counted


GIVEN = ("--mean", "0.1", "0.2", "0.3", "--std", "0.4", "0.5", "0.6")
BAD_OPTIONS = [
    ("segment", ("--size", "0"), "--size: got 0"),
    ("segment", ("--crop", "-1"), "--crop: got -1"),
    ("detect", ("--size", "-3"), "--size: got -3"),
    ("detect", ("--detections", "0"), "--detections: got 0"),
    ("detect", ("--batch-size", "0"), "--batch-size: got 0"),
    ("segment", ("--new-head",), "--new-head: got no --weights"),
    ("segment", ("--mean", "0.5", "0.5", "0.5"), "--std: not given, expected it with --mean"),
    ("detect", ("--std", "0.5", "0.5", "0.5"), "--mean: not given, expected it with --std"),
    ("detect", (*("--mean", "123.675", "116.28", "103.53"), *GIVEN[4:]), "--mean: got 123.675, expected numbers for"),
    ("segment", (*GIVEN[:4], "--std", "0.1", "0", "0.1"), "--std: got"),
    ("segment", ("--mean", "0.1", "-0.2", "0.3", *GIVEN[4:]), "--mean: got"),
    ("detect", ("--weights", "examples/detect.py"), "examples/detect.py: "),
    ("segment", ("--backbone", "none.safetensors"), "none.safetensors: No such file"),
]


@pytest.mark.parametrize(("example", "arguments", "message"), BAD_OPTIONS)
def test_options_are_checked_by_their_names_before_the_data_are_loaded(
    monkeypatch, capsys, tmp_path, example, arguments, message
):
    code, _, err = run(monkeypatch, capsys, example, "--data-dir", tmp_path / "none", *arguments)
    assert code == 2
    assert err.startswith(f"{example}.py: error: {message}")
    assert len(err.splitlines()) == 1


def test_a_batch_that_the_model_cannot_learn_from_is_named_by_its_option(monkeypatch, capsys, tmp_path):
    code, _, err = run(monkeypatch, capsys, "segment", "--batch-size", "1", "--out", tmp_path / "run")
    assert code == 2
    assert err.startswith("segment.py: error: --batch-size: got 1, expected 2 or more")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("example", LOADERS)
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "not empty; choose another folder (--out, or out=)\n"),
        (("--resume",), "no run to resume"),
        (("--repair",), "no run"),
    ],
)
def test_the_runs_folder_is_checked_before_the_data_are_loaded(monkeypatch, capsys, tmp_path, example, more, message):
    (tmp_path / "notes.txt").write_text("mine")
    arguments = ("--data-dir", tmp_path / "none", "--out", tmp_path, *more)
    code, _, err = run(monkeypatch, capsys, example, *arguments)
    assert code == 2
    assert err.startswith(f"{example}.py: error: {tmp_path}: {message}")


@pytest.mark.parametrize("out", ["photo.png", "photo.png/run"])
def test_an_error_of_the_system_has_no_number(monkeypatch, capsys, tmp_path, out):
    (tmp_path / "photo.png").write_text("")
    code, _, err = run(monkeypatch, capsys, "segment", "--out", tmp_path / out)
    problem = f"cannot be a run's folder, since {tmp_path / 'photo.png'} is no folder"
    assert (code, err) == (2, f"segment.py: error: {tmp_path / out}: {problem}\n")


@pytest.mark.parametrize("example", LOADERS)
def test_weights_of_other_models_have_a_hint_that_helps(monkeypatch, capsys, tmp_path, example):
    def hint(model):
        npswin.weights.save_tensors(file, {**model.params, **getattr(model, "buffers", {})}, pair)
        code, _, err = run(monkeypatch, capsys, example, "--weights", file, "--out", tmp_path / "run")
        assert code == 2
        assert err.startswith(f"{example}.py: error: --weights: {file}: ")
        assert not re.search("part=|strict=|head=", err)
        return [option for option in ("--new-head", "--backbone") if option in err]

    file, pair = tmp_path / "weights", {"mean": "[0.1, 0.2, 0.3]", "std": "[0.4, 0.5, 0.6]"}
    own, other = {"segment": ("upernet", "mask_rcnn"), "detect": ("mask_rcnn", "upernet")}[example]
    assert hint(npswin.create_model(f"{own}_swin_nano", num_classes=77)) == ["--new-head"]
    assert hint(npswin.create_model(f"{other}_swin_nano")) == ["--backbone"]
    assert hint(classifier(example, file)) == ["--backbone"]


@pytest.mark.parametrize("example", LOADERS)
def test_numbers_of_one_and_labels_of_metrics(monkeypatch, capsys, tmp_path, example):
    load = getattr(npswin.data, LOADERS[example])
    monkeypatch.setattr(npswin.data, LOADERS[example], lambda train, **_: load(train, size=32, count=1 + train))
    code, out, err = run(monkeypatch, capsys, example, "--epochs", "1", "--out", tmp_path / "run")
    assert code == 0, err
    assert "on scenes: 2 images × 1 epoch, run folder" in out
    assert out.endswith(" (scenes, 1 image)\n")
    label = {"segment": "test mean IoU ", "detect": "test box AP at IoU 0.5 "}[example]
    assert re.search(rf"mean loss \S+, .*{label}[\d.]+ %.* \(scenes, 1 image\)", err)
