"""A whole run: its files, and that a stopped and resumed run is bitwise identical."""

import copy
import json
import math
import os
import signal
import sys

import numpy as np
import pytest

from npswin import create_model, load_weights
from npswin.data import batch_rng
from npswin.training import NonFiniteError, Trainer, TrainingInterrupted, evaluate, trainer
from npswin.training.tasks import classification
from npswin.weights import load_tensors
from tests.thorough import some
from tests.training.tiny import tiny_config, tiny_data, tiny_model, tiny_trainer

pytestmark = pytest.mark.usefixtures("no_curves")  # except in the fixture of the whole module, which draws them


def _metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def _assert_same_run(folder, other):
    assert (folder / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    for name in ("last.safetensors", "best.safetensors"):
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run without a stop: its folder, its trainer, its result."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run = tiny_trainer(folder, checkpoint_every=2)
    return folder, run, run.fit()


def test_the_files_of_a_run(whole):
    folder, _, _ = whole
    names = {path.name for path in folder.iterdir()} - {".lock"}
    checkpoints = {"last.safetensors", "previous.safetensors", "best.safetensors"}
    assert names == {"config.json", "metrics.jsonl", "curves.png"} | checkpoints
    config = json.loads((folder / "config.json").read_text())
    assert config["training"] == tiny_config(checkpoint_every=2).as_dict()
    assert config["model"] == tiny_model().config
    assert config["train_data"]["name"] == "tiny"


def test_one_line_a_step(whole):
    folder, _, result = whole
    records = _metrics(folder)
    assert [record["step"] for record in records] == list(range(1, 10))
    assert [record["epoch"] for record in records] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert all(np.isfinite([record["loss"], record["lr"], record["gradient_norm"]]).all() for record in records)
    evaluated = [record["step"] for record in records if "test_accuracy" in record]
    assert evaluated == [3, 6, 9]
    assert (records[-1]["test_accuracy"], records[-1]["test_loss"]) == (result.accuracy, result.loss)


def test_the_rates_are_those_of_the_schedule(whole):
    """Two steps of warm-up, then the cosine without its end."""
    cosine = [3e-3 * (1 + math.cos(math.pi * step / 7)) / 2 for step in range(7)]
    assert [record["lr"] for record in _metrics(whole[0])] == pytest.approx([1e-3, 2e-3, *cosine], rel=1e-12)


def test_the_model_is_left_with_the_weights_that_were_evaluated(whole):
    _, run, result = whole
    assert evaluate(run.model, run.test_data, run.mean, run.std) == result


def test_checkpoints_load_as_weights(whole):
    folder, run, _ = whole
    model = tiny_model(seed=5)
    assert load_weights(model, folder / "last.safetensors").complete
    assert load_weights(model, folder / "best.safetensors").complete
    tensors, metadata = load_tensors(folder / "best.safetensors")
    assert tensors.keys() == model.params.keys()
    assert json.loads(metadata["config"]) == run.model.config
    assert json.loads(metadata["mean"]) == list(run.mean)
    best = evaluate(model, run.test_data, run.mean, run.std).accuracy
    assert best == run.best_accuracy == max(record.get("test_accuracy", 0) for record in _metrics(folder))


def test_accuracy_rises(tmp_path):
    data, test = tiny_data(96), tiny_data(60, "test")
    config = tiny_config(epochs=6, lr=1e-2, mixup=0.0)
    result = Trainer(tiny_model(drop_path_rate=0.0), data, test, config, tmp_path).fit()
    assert result.accuracy > 0.9


def test_the_same_call_gives_the_same_run(whole, tmp_path):
    tiny_trainer(tmp_path, checkpoint_every=2).fit()
    _assert_same_run(tmp_path, whole[0])


def test_each_step_of_each_epoch_draws_anew(tmp_path, monkeypatch):
    draws = []

    def augment(*arguments):
        draws.append(copy.deepcopy(arguments[-1]).integers(2**63))
        return original(*arguments)

    original = classification.augment
    monkeypatch.setattr(classification, "augment", augment)
    for seed in (0, 1):
        tiny_trainer(tmp_path / str(seed), seed=seed).fit()
    steps = [(seed, epoch, step) for seed in (0, 1) for epoch in range(3) for step in range(3)]
    assert draws == [batch_rng(*step).integers(2**63) for step in steps]
    assert len(set(draws)) == 18


@pytest.mark.parametrize(
    "overrides", [{}, {"optimizer": "sgd", "ema_decay": None}, {"micro_batches": 3, "clip_norm": None}]
)
@pytest.mark.parametrize("step", [1, 3, 5])
@pytest.mark.parametrize("number", some([signal.SIGINT, signal.SIGTERM], {signal.SIGTERM}))
def test_stopped_and_resumed_bitwise_identically(tmp_path, monkeypatch, number, step, overrides):
    """Step 3 ends an epoch, the others are in the middle of one."""
    tiny_trainer(tmp_path / "whole", **overrides).fit()
    _signal_in_step(monkeypatch, step, number)
    with pytest.raises(TrainingInterrupted, match=f"stopped after step {step} of 9") as caught:
        tiny_trainer(tmp_path / "run", **overrides).fit()
    monkeypatch.undo()
    assert caught.value.signal_number == number
    assert json.loads(load_tensors(tmp_path / "run" / "last.safetensors")[1]["training"])["step"] == step
    tiny_trainer(tmp_path / "run", **overrides).fit(resume=True)
    _assert_same_run(tmp_path / "run", tmp_path / "whole")


def _signal_in_step(monkeypatch, step, number):
    steps = []

    def augment(*arguments):
        steps.append(None)
        if len(steps) == step:
            os.kill(os.getpid(), number)
        return original(*arguments)

    original = classification.augment
    monkeypatch.setattr(classification, "augment", augment)


def test_stopped_while_evaluating(whole, tmp_path, monkeypatch):
    def interrupted(*arguments, **keywords):
        os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments, **keywords)

    original = classification.evaluate
    monkeypatch.setattr(classification, "evaluate", interrupted)
    with pytest.raises(TrainingInterrupted, match="stopped after step 3 of 9"):
        tiny_trainer(tmp_path, checkpoint_every=2).fit()
    monkeypatch.undo()
    assert len(_metrics(tmp_path)) == 2  # the third line waits for its evaluation
    tiny_trainer(tmp_path, checkpoint_every=2).fit(resume=True)
    _assert_same_run(tmp_path, whole[0])


def test_crashed_and_resumed_bitwise_identically(whole, tmp_path, monkeypatch):
    """After a second Ctrl-C nothing is saved. The metrics then have more steps than the checkpoint, and are cut."""
    _signal_in_step(monkeypatch, 6, signal.SIGINT)
    monkeypatch.setattr(trainer.StopSignals, "_handle", signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        tiny_trainer(tmp_path, checkpoint_every=2).fit()
    monkeypatch.undo()
    assert len(_metrics(tmp_path)) == 5
    assert json.loads(load_tensors(tmp_path / "last.safetensors")[1]["training"])["step"] == 4
    tiny_trainer(tmp_path, checkpoint_every=2).fit(resume=True)
    _assert_same_run(tmp_path, whole[0])


def test_resuming_a_finished_run_evaluates_it(whole):
    folder, _, result = whole
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert tiny_trainer(folder, checkpoint_every=2).fit(resume=True) == result
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_non_finite_weights_stop_the_run_and_keep_the_checkpoint(tmp_path, monkeypatch):
    steps = []

    def augment(*arguments):
        steps.append(None)
        if len(steps) == 5:
            run.model.params["layers.0.blocks.1.norm1.weight"][2] = np.nan
        return original(*arguments)

    original = classification.augment
    monkeypatch.setattr(classification, "augment", augment)
    run = tiny_trainer(tmp_path)
    message = r"after step 4: NaN in parameter layers\.0\.blocks\.1\.norm1\.weight: 1 of 8 entries; .*last\.safetensors"
    with pytest.raises(NonFiniteError, match=message):
        run.fit()
    tensors, _ = load_tensors(tmp_path / "last.safetensors")
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())
    assert len(_metrics(tmp_path)) == 4


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"num_classes": 4}, r"^train_data: has 3 classes, the model has 4 \(its num_classes\)"),
        ({"in_chans": 1}, r"^train_data: has 3 channels, the model takes 1 \(its in_chans\)"),
    ],
)
def test_a_model_that_does_not_fit_the_data(tmp_path, overrides, message):
    with pytest.raises(ValueError, match=message):
        tiny_trainer(tmp_path, tiny_model(**overrides))
    assert not list(tmp_path.iterdir())


def test_a_batch_larger_than_the_data(tmp_path):
    result = tiny_trainer(tmp_path, batch_size=1000, micro_batches=2, epochs=2).fit()
    assert [record["step"] for record in _metrics(tmp_path)] == [1, 2]
    assert result.images == 10


def test_a_named_configuration_trains(tmp_path):
    model = create_model("swin_nano_patch2_window4_32", num_classes=3, img_size=8, embed_dim=8)
    assert Trainer(model, tiny_data(), tiny_data(10, "test"), tiny_config(epochs=1), tmp_path).fit().images == 10


def test_too_little_memory_is_reported_with_a_remedy(tmp_path, monkeypatch):
    run = tiny_trainer(tmp_path / "run", checkpoint_every=1)
    train_step, steps = run._learner.train_step, []

    def out_of_memory(*args, **kwargs):
        if len(steps) == 2:
            raise MemoryError("Unable to allocate 1.00 TiB")
        steps.append(train_step(*args, **kwargs))
        return steps[-1]

    monkeypatch.setattr(run._learner, "train_step", out_of_memory)
    with pytest.raises(
        RuntimeError, match=r"after step 2: too little memory for batches of 8 images.*1\.00 TiB.*batch_"
    ):
        run.fit()
    assert tiny_trainer(tmp_path / "run", checkpoint_every=1).fit(resume=True).images == 10


def test_without_matplotlib_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'npswin\[train\]'"):
        tiny_trainer(tmp_path / "run").fit()
    assert not (tmp_path / "run").exists()


def test_images_that_cannot_be_normalized_are_refused_before_a_folder_is_made(tmp_path):
    black = tiny_data()
    black.images[...] = 0
    with pytest.raises(ValueError, match=r"^train_data: .*channel 0, 1, 2 .*expected no channel to be constant"):
        Trainer(tiny_model(), black, tiny_data(10, "test"), tiny_config(), tmp_path / "run").fit()
    assert not (tmp_path / "run").exists()
