"""The model of a run, from its folder."""

import json
import os
import shutil

import numpy as np
import pytest

import npswin
from npswin.training import CheckpointError, RunFolderError
from npswin.training.prediction import run as run_module
from npswin.weights import TensorFile, load_tensors, save_tensors
from npswin.weights.load import model_tensors
from tests.training.prediction.runs import KINDS


@pytest.fixture
def folder(run_of, tmp_path):
    """A copy of the run of a classifier, which a test may change."""
    return shutil.copytree(run_of("classification").folder, tmp_path / "copy")


def same_weights(model, path):
    own, stored = model_tensors(model), TensorFile(path)
    return all(np.array_equal(own[name], stored[name]) for name in own)


def change(folder, **changes):
    """Write config.json with other values; None removes one."""
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({name: value for name, value in config.items() if value is not ...}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_has_what_the_training_had(run_of, kind):
    finished = run_of(kind)
    trainer, run = finished.trainer, npswin.load_run(finished.folder)
    assert run.model.config == trainer.model.config
    assert same_weights(run.model, finished.folder / "best.safetensors")
    assert run.weights == finished.folder / "best.safetensors"
    assert (run.mean, run.std) == (trainer.mean, trainer.std)
    assert run.class_names == trainer.train_data.class_names
    assert type(run.task) is type(trainer.task)
    if kind != "classification":
        assert run.task == trainer.task


def test_which_weights(folder):
    tensors, metadata = load_tensors(folder / "last.safetensors")
    save_tensors(folder / "last.safetensors", {**tensors, "head.bias": tensors["head.bias"] + 1}, metadata)
    best, last = (npswin.load_run(folder, name) for name in ("best", "last"))
    assert same_weights(best.model, folder / "best.safetensors")
    assert same_weights(last.model, folder / "last.safetensors")
    np.testing.assert_allclose(last.model.params["head.bias"], best.model.params["head.bias"] + 1)
    (folder / "best.safetensors").unlink()
    assert npswin.load_run(folder).weights == folder / "last.safetensors"
    with pytest.raises(CheckpointError, match=r"copy: has no best\.safetensors;"):
        npswin.load_run(folder, "best")
    (folder / "last.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no best\.safetensors or last\.safetensors; a run writes it"):
        npswin.load_run(folder)
    with pytest.raises(ValueError, match=r"^weights: got 'worst', expected one of 'best', 'last'"):
        npswin.load_run(folder, "worst")


def test_a_run_of_version_0_1_0(folder):
    """Whose checkpoints do not describe the run, and whose recipe lacks later fields."""
    training = json.loads((folder / "config.json").read_text())["training"]
    change(folder, training={name: value for name, value in training.items() if name not in ("schedule",)})
    tensors, metadata = load_tensors(folder / "best.safetensors")
    del metadata["run"]
    save_tensors(folder / "best.safetensors", tensors, metadata)
    assert same_weights(npswin.load_run(folder).model, folder / "best.safetensors")
    config = json.loads(metadata.pop("config"))
    save_tensors(folder / "best.safetensors", tensors, {**metadata, "config": json.dumps({**config, "embed_dim": 9})})
    with pytest.raises(CheckpointError, match=r"best\.safetensors: is of another model than config.json: embed_dim"):
        npswin.load_run(folder)
    save_tensors(folder / "best.safetensors", tensors, metadata)
    with pytest.raises(CheckpointError, match=r"best\.safetensors: its metadata lack the model's config"):
        npswin.load_run(folder)


def test_all_weights_are_of_one_checkpoint_while_a_training_replaces_it(folder, monkeypatch):
    tensors, metadata = load_tensors(folder / "best.safetensors")
    save_tensors(folder / "next.safetensors", {name: tensor + 1 for name, tensor in tensors.items()}, metadata)

    class Replaced(TensorFile):
        def __getitem__(self, name):
            if name == "head.weight" and (folder / "next.safetensors").exists():
                os.replace(folder / "next.safetensors", self.path)
            return super().__getitem__(name)

    monkeypatch.setattr(run_module, "TensorFile", Replaced)
    run = npswin.load_run(folder)
    for name, value in run.model.params.items():
        np.testing.assert_array_equal(value, tensors[name] + 1, err_msg=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ...}, "lacks model, expected the settings of a run"),
        ({"class_names": ..., "mean": ...}, "lacks class_names, mean, expected"),
        ({"model": 3}, "model: is 3, expected"),
    ],
)
def test_config_that_lacks_something(folder, changes, message):
    change(folder, **changes)
    with pytest.raises(RunFolderError, match=rf"copy/config\.json: {message}"):
        npswin.load_run(folder)


def test_config_that_is_no_json_or_no_object(folder):
    (folder / "config.json").write_text('{"model": ')
    with pytest.raises(RunFolderError, match=r"copy/config\.json: cannot be read as JSON"):
        npswin.load_run(folder)
    (folder / "config.json").write_text("[1, 2]")
    with pytest.raises(RunFolderError, match=r"copy/config\.json: is \[1, 2\], expected the settings of a run"):
        npswin.load_run(folder)


def test_a_changed_config_does_not_fit_its_checkpoint(folder):
    change(folder, mean=[0.5, 0.5, 0.5])
    message = r"best\.safetensors: it is of a run that differs in mean\[0\] .*config\.json are of different runs"
    with pytest.raises(CheckpointError, match=message):
        npswin.load_run(folder)


def set_everywhere(folder, **changes):
    """Change config.json, and the weights' description of the run with it, as another version would have it."""
    change(folder, **changes)
    config = json.loads((folder / "config.json").read_text())
    tensors, metadata = load_tensors(folder / "best.safetensors")
    described = {**config, "training": {**config["training"]}, "backend": None}
    described["training"].pop("precision")
    metadata |= {"run": json.dumps(described), "config": json.dumps(config["model"])}
    save_tensors(folder / "best.safetensors", tensors, metadata)


def test_settings_of_another_version(run_of, folder, tmp_path):
    model = npswin.load_run(folder).model.config
    segmentation = shutil.copytree(run_of("segmentation").folder, tmp_path / "segmentation")
    task = json.loads((segmentation / "config.json").read_text())["task"]
    cases = [
        (folder, {"model": {**model, "registers": 4}}, "'registers': expected arguments of SwinTransformer"),
        (folder, {"model": {**model, "depths": [0]}}, r"depths\[0\]: got 0"),
        (folder, {"model": {**model, "architecture": "detr"}}, "architecture: got 'detr', expected one of 'upernet'"),
        (folder, {"model": model, "task": {"name": "depth"}}, "task: got 'depth', expected one of segmentation, det"),
        (folder, {"task": 3}, "task: got 3"),
        (folder, {"task": ..., "class_names": ["a"]}, "class_names: got 1 names, the model has 3 classes"),
        (segmentation, {"task": ...}, "task: is missing"),
        (segmentation, {"task": {**task, "tta": True}}, "task: got 'tta', expected settings of segmentation"),
        (segmentation, {"task": {**task, "shorter": 0}}, "shorter: got 0"),
    ]
    for place, changes, message in cases:
        set_everywhere(place, **changes)
        expected = rf"config\.json: {message}.*; restore it from a copy, or predict with the version of npswin that"
        with pytest.raises(RunFolderError, match=expected):
            npswin.load_run(place)


def test_weights_that_do_not_fit(run_of, folder):
    tensors, metadata = load_tensors(folder / "best.safetensors")
    save_tensors(folder / "best.safetensors", {**tensors, "head.bias": np.zeros(4, np.float32)}, metadata)
    with pytest.raises(
        CheckpointError, match=r"best\.safetensors: tensors that are not those of the model: head\.bias$"
    ):
        npswin.load_run(folder)
    shutil.copy(run_of("segmentation").folder / "best.safetensors", folder)
    with pytest.raises(
        CheckpointError,
        match=r"best\.safetensors: it is of a run that differs in model\.architecture \(it is of upernet",
    ):
        npswin.load_run(folder)
    content = (run_of("classification").folder / "best.safetensors").read_bytes()
    (folder / "best.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"best\.safetensors: damaged"):
        npswin.load_run(folder)


def test_a_folder_that_is_no_run(folder, tmp_path):
    with pytest.raises(RunFolderError, match=r"missing: is no folder, expected that of a run$"):
        npswin.load_run(tmp_path / "missing")
    with pytest.raises(RunFolderError, match=r"best\.safetensors: is no folder.*; the run's folder is .*copy$"):
        npswin.load_run(folder / "best.safetensors")
    with pytest.raises(RunFolderError, match=r"is not a run's folder, it has no config\.json"):
        npswin.load_run(tmp_path)
