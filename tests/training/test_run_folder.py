"""A run's folder: which ones are refused, and writes that fail."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from npswin.training import RunFolderError, checkpoint, run_folder
from npswin.training.checkpoint import differences
from npswin.weights import files, load_tensors
from tests.training.tiny import FileSizeLimit, tiny_trainer

ROOT = Path(__file__).resolve().parents[2]
resource = pytest.importorskip("resource")  # on Unix only
pytestmark = pytest.mark.usefixtures("no_curves")


def _names(folder):
    return sorted(path.name for path in Path(folder).iterdir() if path.name != ".lock")


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=r"not empty; choose another folder \(--out, or out=\)$"):
        tiny_trainer(tmp_path).fit()
    assert _names(tmp_path) == ["notes.txt"]


def test_a_finished_run_is_not_overwritten(tmp_path):
    tiny_trainer(tmp_path, epochs=1).fit()
    before = (tmp_path / "last.safetensors").read_bytes()
    with pytest.raises(RunFolderError, match="not empty"):
        tiny_trainer(tmp_path, epochs=1).fit()
    assert (tmp_path / "last.safetensors").read_bytes() == before


def test_nothing_to_resume(tmp_path):
    with pytest.raises(RunFolderError, match="no run to resume here"):
        tiny_trainer(tmp_path / "nowhere").fit(resume=True)
    assert not (tmp_path / "nowhere").exists()


def test_a_path_through_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(OSError, match="file"):
            tiny_trainer(out).fit()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that even root cannot write to")
def test_a_file_system_that_is_read_only():
    with pytest.raises(OSError, match="/proc"):
        tiny_trainer("/proc/self/run").fit()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_that_is_read_only(tmp_path, resume):
    out = tmp_path / "run"
    out.mkdir()
    if resume:
        tiny_trainer(out, epochs=1).fit()
    out.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            tiny_trainer(out, epochs=1).fit(resume)
    finally:
        out.chmod(0o700)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lr": 0.5}, "training.lr (it has 0.003, this one 0.5)"),
        ({"seed": 7}, "training.seed (it has 0, this one 7)"),
        ({"ema_decay": None}, "training.ema_decay (it has 0.9, this one None)"),
    ],
)
def test_another_recipe(tmp_path, change, field):
    tiny_trainer(tmp_path, epochs=1).fit()
    metrics = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(RunFolderError) as caught:
        tiny_trainer(tmp_path, **{"epochs": 1, **change}).fit(resume=True)
    assert field in str(caught.value)
    assert (tmp_path / "metrics.jsonl").read_bytes() == metrics


def test_of_many_differences_the_most_telling_ones_are_said(tmp_path):
    tiny_trainer(tmp_path, epochs=1).fit()
    recipe = {"lr": 0.5, "weight_decay": 0.5, "clip_norm": 2.0, "batch_size": 3, "min_lr": 0.1, "flip": True}
    trainer = tiny_trainer(tmp_path, epochs=1, seed=7, **recipe)
    trainer.model.config["mlp_ratio"] = 3.0
    object.__setattr__(trainer.train_data, "name", "other")
    with pytest.raises(RunFolderError) as caught:
        trainer.fit(resume=True)
    found = str(caught.value).split("differs in ")[1].split("; ")
    assert [one.split(" ")[0] for one in found[:2]] == ["train_data.name", "model.mlp_ratio"]
    assert all(one.startswith("training.") for one in found[2:5])
    assert re.fullmatch(r"and \d more", found[5])


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (["a", "b", "c"], ["a", "x", "c"], "names[1] (it has 'b', this one 'x')"),
        (["a", "b"], ["a", "b", "c"], "names[2] (it has nothing, this one 'c')"),
        (["a", "b", "c"], ["b", "c"], "names[0] (it has 'a', this one 'b')"),
        (["a"], None, "names (it has ['a'], this one None)"),
    ],
)
def test_of_lists_the_first_difference_is_said(old, new, text):
    assert differences({"names": old}, {"names": new}) == [text]


def test_of_long_texts_what_differs_is_said():
    long = "x" * 300
    (text,) = differences({"name": f"{long}one{long}"}, {"name": f"{long}other{long}"})
    assert re.search(r"^name \(it has \.\.\. x+onex.*, this one \.\.\. x+otherx.*\)$", text)
    assert len(text) < 300


def test_of_another_architecture_nothing_else_is_said():
    old, new = (
        {"model": {"architecture": name, "channels": size}} for name, size in (("mask_rcnn", 1), ("upernet", 2))
    )
    assert differences(old, new) == ["model.architecture (it is of mask_rcnn, this one of upernet)"]
    assert differences({"model": {}}, new) == ["model.architecture (it is of a classifier, this one of upernet)"]


def test_what_follows_from_another_number_of_epochs_is_not_said(tmp_path):
    tiny_trainer(tmp_path, epochs=5, warmup_epochs=1.0).fit()
    for epochs, warmup, said in ((4, 0.8, "training.epochs"), (5, 0.8, "training.warmup_epochs")):
        with pytest.raises(RunFolderError) as caught:
            tiny_trainer(tmp_path, epochs=epochs, warmup_epochs=warmup).fit(resume=True)
        assert re.findall(r"training\.\w+", str(caught.value)) == [said]


def test_other_data(tmp_path):
    tiny_trainer(tmp_path, epochs=1).fit()
    trainer = tiny_trainer(tmp_path / "other", epochs=1)
    images = trainer.train_data.images
    images[3, 0, 0, 0] ^= 1
    other = type(trainer)(trainer.model, trainer.train_data, trainer.test_data, trainer.config, tmp_path)
    with pytest.raises(RunFolderError, match=r"differs .* train_data\.crc32"):
        other.fit(resume=True)


def test_a_disk_too_small_for_a_checkpoint_is_found_before_training(tmp_path):
    """No file may grow beyond 3,000 bytes: config.json fits, a checkpoint does not."""
    out = tmp_path / "run"
    with FileSizeLimit(3000), pytest.raises(OSError, match=r"last\.safetensors"):
        tiny_trainer(out).fit()
    assert _names(out) == ["config.json", "metrics.jsonl"]
    assert (out / "metrics.jsonl").read_bytes() == b""
    tiny_trainer(out, epochs=1).fit()


class Killed(BaseException):
    """Stands for a kill: nothing is cleaned up after it."""


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("write", range(4))  # config.json, last.safetensors, and two that come later
def test_a_run_that_was_killed_early_begins_again_or_goes_on(tmp_path, monkeypatch, write, resume):
    out, writes = tmp_path / "run", []

    def write_atomically(path, write_contents, **options):
        if len(writes) == write:
            path.with_name(f".{path.name}.1-1.partial").write_bytes(b"half of")
            raise Killed
        writes.append(path)
        whole(path, write_contents, **options)

    whole = run_folder.write_atomically
    for module in (run_folder, files):
        monkeypatch.setattr(module, "write_atomically", write_atomically)
    with pytest.raises(Killed):
        tiny_trainer(out, checkpoint_every=2).fit()
    monkeypatch.undo()
    has_checkpoint = (out / "last.safetensors").exists()
    assert has_checkpoint == (write >= 2)
    if has_checkpoint and not resume:
        with pytest.raises(RunFolderError, match="not empty; resume"):
            tiny_trainer(out, checkpoint_every=2).fit()
        return
    tiny_trainer(out, checkpoint_every=2).fit(resume)
    tiny_trainer(tmp_path / "whole", checkpoint_every=2).fit()
    assert not list(out.glob(".*.partial"))
    for name in ("metrics.jsonl", "last.safetensors", "best.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("config.json", '{"architectures": ["SwinForImageClassification"]}'),
        ("config.json", "{"),
        ("metrics.jsonl", "{}\n"),
        (".hidden", ""),
        (".notes.txt.1-1.partial", ""),
    ],
)
def test_what_no_run_has_begun_is_left_alone(tmp_path, name, contents, resume):
    (tmp_path / name).write_text(contents)
    with pytest.raises(RunFolderError, match=r"not empty|no run to resume"):
        tiny_trainer(tmp_path).fit(resume)
    assert _names(tmp_path) == [name]
    assert (tmp_path / name).read_text() == contents


@pytest.mark.parametrize("resume", [False, True])
def test_two_processes_in_one_folder(tmp_path, resume):
    program = f"""
import sys
from npswin.training.metrics_file import RecordNames
from npswin.training.run_folder import RunFolder
names = RecordNames(("loss",), ("test_loss", "test_accuracy"))
folder = RunFolder({str(tmp_path)!r}, {{"training": 1, "model": 1, "train_data": 1}}, 1, names)
folder.{"_acquire_lock()" if resume else "create()"}
print("locked", flush=True)
sys.stdin.read()
"""
    if resume:
        tiny_trainer(tmp_path, epochs=1).fit()
    before = {name: (tmp_path / name).read_bytes() for name in _names(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(RunFolderError, match="another process is training in this folder"):
            tiny_trainer(tmp_path, epochs=1).fit(resume)
        other.kill()
    if resume:
        assert {name: (tmp_path / name).read_bytes() for name in _names(tmp_path)} == before
    tiny_trainer(tmp_path, epochs=1).fit(resume)  # the lock ended with its process


def test_a_disk_that_fills_up_during_training(tmp_path, monkeypatch):
    """The previous checkpoint stays unchanged, and the run resumed from it gives the same metrics."""
    written = []

    def save_tensors(path, tensors, metadata):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "cannot write the file: No space left on device", str(path))
        written.append(path)
        return whole(path, tensors, metadata)

    whole = checkpoint.save_tensors
    monkeypatch.setattr(checkpoint, "save_tensors", save_tensors)
    with pytest.raises(OSError, match=r"No space left on device.*best\.safetensors"):
        tiny_trainer(tmp_path / "run", checkpoint_every=2).fit()
    monkeypatch.undo()
    _, metadata = load_tensors(tmp_path / "run" / "last.safetensors")
    assert json.loads(metadata["training"])["step"] == 2
    tiny_trainer(tmp_path / "run", checkpoint_every=2).fit(resume=True)
    tiny_trainer(tmp_path / "whole", checkpoint_every=2).fit()
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()
