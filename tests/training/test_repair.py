"""Damaged and foreign files of a run: each is refused by name before anything is changed; what can be is repaired."""

import json
import os
import shutil

import numpy as np
import pytest

from npswin.training import CheckpointError, RunFolderError
from npswin.weights import WeightFileError, load_tensors, save_tensors
from tests.training.tiny import tiny_trainer

pytestmark = pytest.mark.usefixtures("no_curves")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of six steps: the folder after the third, with a checkpoint at the second as well; and at its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("npswin.training.trainer.draw_curves", lambda *_: None)
        path = tmp_path_factory.mktemp("run")
        trainer = new_trainer(path / "stopped")
        patch.setattr(trainer, "_raise_if_signalled", stop_after(3, trainer))
        with pytest.raises(Stopped):
            trainer.fit()
        new_trainer(path / "finished").fit()
    return path


class Stopped(Exception):
    pass


def stopped_at_once():
    raise KeyboardInterrupt


def stop_after(step, trainer):
    def stop():
        if trainer._learner.step == step and trainer._unevaluated_record is None:
            raise Stopped

    return stop


def new_trainer(out, **changes):
    return tiny_trainer(out, **{"epochs": 2, "checkpoint_every": 2, **changes})


@pytest.fixture
def run(whole, tmp_path):
    shutil.copytree(whole / "stopped", tmp_path / "run")
    return tmp_path / "run"


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != ".lock"}


def assert_finished(run, whole, names=("metrics.jsonl", "last.safetensors", "best.safetensors")):
    for name in names:
        assert (run / name).read_bytes() == (whole / "finished" / name).read_bytes(), name


def test_the_checkpoint_before_the_last_is_kept(run, whole):
    steps = [
        json.loads(load_tensors(run / name)[1]["training"])["step"]
        for name in ("previous.safetensors", "last.safetensors")
    ]
    assert steps == [2, 3]
    new_trainer(run).fit(resume=True)
    assert_finished(run, whole)


def flip(path, position=-1):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def zero(path):
    data = bytearray(path.read_bytes())
    data[-512:-256] = bytes(256)
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def change_state(path, **changes):
    tensors, metadata = load_tensors(path)
    state = {**json.loads(metadata["training"]), **changes}
    state = {name: value for name, value in state.items() if value != "absent"}
    save_tensors(path, tensors, {**metadata, "training": json.dumps(state)})


def change_metadata(path, **changes):
    tensors, metadata = load_tensors(path)
    save_tensors(path, tensors, {**metadata, **changes})


def change_tensor(path, name, tensor):
    tensors, metadata = load_tensors(path)
    tensors[name] = tensor
    save_tensors(path, {name: tensor for name, tensor in tensors.items() if tensor is not None}, metadata)


def other_run(path):
    tensors, metadata = load_tensors(path)
    run = json.loads(metadata["run"])
    run["training"]["seed"] = 7
    save_tensors(path, tensors, {**metadata, "run": json.dumps(run)})


LAST = [
    (flip, "damaged: its bytes do not give the checksum"),
    (lambda path: flip(path, 300), "damaged"),
    (zero, "damaged: its bytes do not give the checksum"),
    (cut, "cut short or damaged"),
    (lambda path: path.write_bytes(b""), "is empty, .* a file that was never written"),
    (lambda path: path.write_bytes(bytes(9000)), "begins with 4096 zeros, .* did not get to the disk"),
    (other_run, r"it is of a run that differs in training\.seed \(it has 7, this one 0\)"),
    (lambda path: change_metadata(path, run="[1]"), r"its description of the run is \[1\]"),
    (lambda path: change_metadata(path, run="{"), "'run' in its metadata is not JSON"),
    (lambda path: change_metadata(path, training="[" * 5000), "'training' in its metadata is not JSON"),
    (lambda path: change_metadata(path, training="3"), "its state is 3, expected step, best_accuracy and pending"),
    (lambda path: change_state(path, step="3"), "step: got '3', expected an integer of at least 0 and at most 6"),
    (lambda path: change_state(path, step=None), "step: got None"),
    (lambda path: change_state(path, step=-1), "step: got -1"),
    (lambda path: change_state(path, step=7), "step: got 7"),
    (lambda path: change_state(path, step=3.0), r"step: got 3\.0"),
    (lambda path: change_state(path, step=4), "the optimizer has done 3 steps, the run 4"),
    (lambda path: change_state(path, step="absent"), "its state is {.*expected step"),
    (lambda path: change_state(path, best_accuracy=1.5), r"best_accuracy: got 1\.5"),
    (lambda path: change_state(path, pending={"step": 2}), "step: got 2, expected 3"),
    (lambda path: change_state(path, best_checksum=3), "best_checksum: got 3"),
    (lambda path: change_state(path, best_checksum=None), "best_checksum: got None"),
    (lambda path: change_state(path, metrics_crc32="absent"), "metrics_crc32: got None"),
    (
        lambda path: change_tensor(path, "training/optimizer.v.head.bias", np.full(3, np.nan, np.float32)),
        r"NaN or infinity: optimizer\.v\.head\.bias",
    ),
    (lambda path: change_state(path, pending=3), "expected an object with step"),
    (lambda path: change_state(path, metrics_crc32="x"), "metrics_crc32: got 'x'"),
    (lambda path: os.replace(path.with_name("best.safetensors"), path), "its metadata lacks 'training'"),
    (
        lambda path: change_tensor(path, "training/optimizer.m.head.bias", None),
        r"missing or unexpected: optimizer\.m\.head\.bias",
    ),
    (lambda path: change_tensor(path, "head.bias", np.zeros(4, np.float32)), r"another shape or dtype: head\.bias"),
    (lambda path: change_tensor(path, "head.bias", np.zeros(3)), r"another shape or dtype: head\.bias"),
    (lambda path: change_tensor(path, "head.bias", np.full(3, np.nan, np.float32)), r"NaN or infinity: head\.bias"),
    (lambda path: change_tensor(path, "x", np.zeros(10**6, np.int8)), r"it has \d+ numbers, the run's tensors have"),
]


@pytest.mark.parametrize(("damage", "message"), LAST, ids=[message[:40] for _, message in LAST])
def test_a_last_checkpoint_that_is_damaged_or_foreign(run, whole, damage, message):
    best = (run / "best.safetensors").read_bytes()
    damage(run / "last.safetensors")
    (run / "best.safetensors").write_bytes(best)
    before = contents(run)
    with pytest.raises(CheckpointError, match=message) as caught:
        new_trainer(run).fit(resume=True)
    assert isinstance(caught.value, RunFolderError)
    assert isinstance(caught.value, WeightFileError)
    text = str(caught.value)
    assert str(run / "last.safetensors") in text
    assert text.endswith("; --repair, or repair=True, goes on after step 2")
    assert len(text) < 1500
    assert contents(run) == before, "nothing is changed"
    new_trainer(run).fit(repair=True)
    assert_finished(run, whole)
    assert (run / "last.damaged.safetensors").read_bytes() == before["last.safetensors"]


def test_both_checkpoints_damaged(run):
    for name in ("last.safetensors", "previous.safetensors"):
        flip(run / name)
    before = contents(run)
    for repair in (False, True):
        with pytest.raises(CheckpointError, match=r"last\.safetensors: damaged: .* remove the checksum$"):
            new_trainer(run).fit(resume=True, repair=repair)
    assert contents(run) == before


def test_a_missing_last_checkpoint_where_files_cannot_be_linked(run, whole, monkeypatch):
    """There the old name is free for a moment; whoever is killed then goes on from the previous checkpoint."""

    def link(*_, **__):
        raise OSError

    monkeypatch.setattr(os, "link", link)
    os.replace(run / "last.safetensors", run / "previous.safetensors")
    new_trainer(run).fit(resume=True)
    assert_finished(run, whole)
    assert json.loads(load_tensors(run / "previous.safetensors")[1]["training"])["step"] == 4


def test_a_damaged_checkpoint_does_not_become_the_previous_one(run):
    """The run is stopped again before its next checkpoint."""
    flip(run / "last.safetensors")
    trainer = new_trainer(run)
    trainer._train_epoch = stopped_at_once
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(repair=True)
    for name in ("last.safetensors", "previous.safetensors"):
        assert json.loads(load_tensors(run / name)[1]["training"])["step"] == 2
    new_trainer(run).fit(resume=True)


METRICS = [
    (lambda path: path.unlink(), r"metrics\.jsonl: No such file"),
    (
        lambda path: path.write_bytes(b""),
        r"metrics\.jsonl: has 0 lines, but the checkpoint needs more",
    ),
    (cut, r"metrics\.jsonl: has 2 lines, but the checkpoint needs more"),
    (lambda path: flip(path, 1), r"metrics\.jsonl, line 1: not the record of a step"),
    (lambda path: flip(path, 40), r"metrics\.jsonl: its first 3 lines are not those"),
]


@pytest.mark.parametrize(("damage", "message"), METRICS, ids=[message[16:] for _, message in METRICS])
def test_damaged_metrics(run, whole, damage, message):
    damage(run / "metrics.jsonl")
    before = contents(run)
    with pytest.raises(RunFolderError, match=message) as caught:
        new_trainer(run).fit(resume=True)
    assert not isinstance(caught.value, CheckpointError)
    assert "; --repair, or repair=True, goes on after step" in str(caught.value)
    assert contents(run) == before
    new_trainer(run).fit(repair=True)
    assert_finished(run, whole, ["best.safetensors"])
    if "metrics.jsonl" in before:
        assert (run / "metrics.damaged.jsonl").read_bytes() == before["metrics.jsonl"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    good = [json.loads(line) for line in (whole / "finished" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    for line, wanted in zip(lines, good, strict=True):
        assert line == wanted or line.keys() == {"step", "epoch"} or message.endswith("those")


def test_metrics_damaged_after_the_previous_checkpoint_lose_nothing(run, whole):
    """The run goes on from that checkpoint, and does the later steps again."""
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run / "metrics.jsonl").write_bytes(b"".join(lines[:2]) + b"{\n")
    with pytest.raises(RunFolderError, match=r"line 3: .*goes on after step 2"):
        new_trainer(run).fit(resume=True)
    new_trainer(run).fit(repair=True)
    assert_finished(run, whole)


CONFIG = [
    (lambda path: path.unlink(), "No such file"),
    (cut, "cannot be read as JSON"),
    (lambda path: path.write_bytes(b"\xff"), "cannot be read as JSON"),
    (lambda path: path.write_text("[" * 10**5), "cannot be read as JSON"),
    (lambda path: path.write_text("[]"), "expected an object"),
]


@pytest.mark.parametrize(("damage", "message"), CONFIG, ids=[message for _, message in CONFIG])
def test_a_damaged_config(run, whole, damage, message):
    damage(run / "config.json")
    before = contents(run)
    with pytest.raises(RunFolderError, match=rf"config\.json: {message}.*; --repair, or repair=True, writes it anew"):
        new_trainer(run).fit(resume=True)
    assert contents(run) == before
    new_trainer(run).fit(repair=True)
    assert_finished(run, whole)
    assert (run / "config.json").read_bytes() == (whole / "finished" / "config.json").read_bytes()


@pytest.mark.parametrize("value", [3, [], {"training": 3}, {"training": {"epochs": [1] * 10**5}}])
def test_a_config_of_something_else(run, value):
    """It may be another run's, so it is not overwritten."""
    (run / "config.json").write_text(json.dumps(value))
    before = contents(run)
    for repair in (False, isinstance(value, dict)):
        with pytest.raises(RunFolderError) as caught:
            new_trainer(run).fit(resume=True, repair=repair)
        assert len(str(caught.value)) < 3000
    assert contents(run) == before


def only(path):
    """Other tensors, in a file without checksum and description."""
    pytest.importorskip("safetensors.numpy").save_file({"a": np.zeros(3)}, path)


def of_an_earlier_epoch(path):
    change_metadata(path, step="0")


BEST = [flip, cut, os.unlink, lambda path: flip(path, 60), only, of_an_earlier_epoch]
BEST += [lambda path: os.replace(path.with_name("last.safetensors"), path), lambda path: change_metadata(path, a="b")]
BEST += [lambda path: change_tensor(path, "head.bias", np.full(3, np.nan, np.float32))]


@pytest.mark.parametrize("damage", BEST)
def test_a_damaged_best_checkpoint(run, whole, damage):
    last = (run / "last.safetensors").read_bytes()
    damage(run / "best.safetensors")
    (run / "last.safetensors").write_bytes(last)
    with pytest.raises(CheckpointError, match=r"best\.safetensors: .*goes on without it until the next evaluation"):
        new_trainer(run).fit(resume=True)
    trainer = new_trainer(run)
    trainer._train_epoch = stopped_at_once
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(repair=True)
    assert not (run / "best.safetensors").exists()
    trainer = new_trainer(run)
    trainer.fit(resume=True)
    assert_finished(run, whole, ["metrics.jsonl"])
    assert trainer.best_accuracy is not None
    assert load_tensors(run / "best.safetensors")


NAMES = ["last.safetensors", "metrics.jsonl", "config.json", "best.safetensors"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "link", "large"])
def test_what_is_no_file_is_set_aside(run, name, kind):
    for _ in range(2):
        path = run / name
        path.unlink()
        if kind == "folder":
            (path / "inside").mkdir(parents=True)
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "link":
            (run.parent / "elsewhere").write_bytes(b"of another program")
            path.symlink_to(run.parent / "elsewhere")
        else:
            with open(path, "wb") as file:
                file.truncate(2**40)  # takes no space
        with pytest.raises(RunFolderError, match=rf"{name}[:,] ") as caught:
            new_trainer(run).fit(resume=True)
        assert len(str(caught.value)) < 1000
        new_trainer(run).fit(repair=True)
        assert path.is_file()
    if kind == "link":
        assert (run.parent / "elsewhere").read_bytes() == b"of another program"
    stem, suffix = name.split(".")
    for number in ("", 1):
        other = run / f"{stem}.damaged{number}.{suffix}"
        assert (other / "inside").is_dir() if kind == "folder" else os.path.lexists(other)


def test_checkpoints_on_another_disk(run, whole):
    """Links stay, and the previous checkpoint is a file of its own."""
    elsewhere = run.parent / "elsewhere.safetensors"
    shutil.move(run / "last.safetensors", elsewhere)
    (run / "last.safetensors").symlink_to(elsewhere)
    new_trainer(run).fit(resume=True)
    assert (run / "last.safetensors").is_symlink()
    assert_finished(run, whole)
    assert load_tensors(run / "previous.safetensors")[1] != load_tensors(elsewhere)[1]


def test_a_folder_in_place_of_the_previous_checkpoint(run, whole):
    (run / "previous.safetensors").unlink()
    (run / "previous.safetensors" / "inside").mkdir(parents=True)
    new_trainer(run).fit(resume=True)
    assert_finished(run, whole)
    assert (run / "previous.damaged.safetensors" / "inside").is_dir()


def test_metrics_of_another_run_are_not_taken_for_this_ones(run, whole, capsys):
    """Each of its lines could be right, so none of them can be told to be."""
    for path in ("metrics.jsonl", "previous.safetensors"):
        (run / path).unlink()
    new_trainer(run.with_name("other"), seed=7).fit()
    shutil.copy(run.with_name("other") / "metrics.jsonl", run)
    with pytest.raises(RunFolderError, match="its first 3 lines are not those"):
        new_trainer(run).fit(resume=True)
    new_trainer(run).fit(repair=True)
    assert "the records of 3 of 3 steps are lost" in capsys.readouterr().err
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert all(line.keys() == {"step", "epoch"} for line in lines[:3])
    assert_finished(run, whole, ["best.safetensors"])


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_no_metrics_file_at_the_first_checkpoint(tmp_path, kind):
    trainer = new_trainer(tmp_path / "run")
    trainer._train_epoch = stopped_at_once
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    path = tmp_path / "run" / "metrics.jsonl"
    path.unlink()
    {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "device": lambda: path.symlink_to("/dev/zero")}[kind]()
    with pytest.raises(RunFolderError, match=r"metrics\.jsonl: is a .*goes on after step 0"):
        new_trainer(tmp_path / "run").fit(resume=True)
    new_trainer(tmp_path / "run").fit(repair=True)


@pytest.mark.parametrize("change", ["moved", "removed", "written to"])
def test_a_folder_that_is_no_longer_the_runs(run, change):
    """Nothing is written into a folder that has taken its place, and the checkpoints in the moved one stay."""
    trainer = new_trainer(run)
    before = contents(run)

    def move_and_train():
        if change == "moved":
            run.rename(run.with_name("elsewhere"))
            shutil.copytree(run.with_name("elsewhere"), run)
        elif change == "removed":
            (run / "metrics.jsonl").unlink()
        else:
            with open(run / "metrics.jsonl", "ab") as file:
                file.write(b"{}\n")
        type(trainer)._train_epoch(trainer)

    trainer._train_epoch = move_and_train
    with pytest.raises(RunFolderError, match=r"metrics\.jsonl: was moved, removed or changed by another program"):
        trainer.fit(resume=True)
    for name in ("last.safetensors", "best.safetensors"):
        assert (run / name).read_bytes() == before[name]


def test_a_copy_of_links_keeps_its_lines(run, whole):
    copy = run.with_name("copy")
    copy.mkdir()
    for path in run.iterdir():
        os.link(path, copy / path.name)
    before = contents(copy)
    new_trainer(run).fit(resume=True)
    assert contents(copy) == before
    assert_finished(run, whole)


def test_a_relative_folder_stays_where_it_was(run, whole, monkeypatch):
    monkeypatch.chdir(run.parent)
    trainer = new_trainer("run")
    monkeypatch.chdir("/")
    trainer.fit(resume=True)
    assert_finished(run, whole)


def test_the_entry_of_a_long_list_that_differs_is_shown(run):
    config = json.loads((run / "config.json").read_text())
    config["class_names"][2] = "dazzling"
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunFolderError, match=r"class_names\[2\] \(it has 'dazzling', this one 'bright'\)"):
        new_trainer(run).fit(resume=True)


def test_checkpoints_of_older_versions(run, whole):
    """Without checksum, description of the run and checksum of the metrics."""
    safetensors = pytest.importorskip("safetensors.numpy")
    for path in run.glob("*.safetensors"):
        tensors, metadata = load_tensors(path)
        del metadata["run"]
        if "training" in metadata:
            state = json.loads(metadata["training"])
            del state["metrics_crc32"], state["best_checksum"]
            metadata["training"] = json.dumps(state)
        safetensors.save_file(tensors, path, metadata)
    new_trainer(run).fit(resume=True)
    assert_finished(run, whole)


def test_recipes_of_older_versions(run, whole):
    """Without the schedule, which was a cosine, and its fields."""
    config = json.loads((run / "config.json").read_text())
    for name in ("schedule", "decay_epochs", "warmup_steps"):
        del config["training"][name]
    (run / "config.json").write_text(json.dumps(config))
    change_metadata(run / "last.safetensors", run=json.dumps(config))
    new_trainer(run).fit(resume=True)
    assert_finished(run, whole)
    config["training"]["schedule"] = "poly"
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunFolderError, match=r"training\.schedule \(it has 'poly', this one 'cosine'\)"):
        new_trainer(run).fit(resume=True)


def test_a_checkpoint_that_lost_its_checksum(run):
    safetensors = pytest.importorskip("safetensors.numpy")
    tensors, metadata = load_tensors(run / "last.safetensors")
    safetensors.save_file(tensors, run / "last.safetensors", metadata)
    with pytest.raises(CheckpointError, match="its checksum is missing"):
        new_trainer(run).fit(resume=True)


def test_another_fit_after_the_folder_is_gone(tmp_path):
    trainer = new_trainer(tmp_path / "run", epochs=1)
    trainer.fit()
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(ValueError, match="fit: this trainer has done 3 steps already; make a new model"):
        trainer.fit()
    with pytest.raises(RunFolderError, match="no run to resume here"):
        trainer.fit(resume=True)
    (tmp_path / "run").mkdir()
    with pytest.raises(ValueError, match="has done 3 steps already"):
        trainer.fit(resume=True)
    assert not list((tmp_path / "run").iterdir())
