"""The trainer with a task that is no classification: its losses, its metric, its buffers, and that it resumes."""

import json
import shutil

import numpy as np
import pytest

from npswin.training import CheckpointError, NonFiniteError, RunFolderError, TrainConfig, Trainer, TrainingInterrupted
from npswin.training.gradients import batch_gradients
from npswin.training.learner import Learner
from npswin.training.tasks.metric import ACCURACY, LOSS
from npswin.weights import load_tensors, save_tensors
from tests.training.toy_task import Plane, PlaneTask, Points, plane_trainer, points

pytestmark = pytest.mark.usefixtures("no_curves")  # except in the fixture of the whole module, which draws them

FILES = ("metrics.jsonl", "last.safetensors", "best.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run without a stop, with its curves."""
    folder = tmp_path_factory.mktemp("plane")
    trainer = plane_trainer(folder, checkpoint_every=2)
    return folder, trainer, trainer.fit()


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of its folder."""
    return shutil.copytree(whole[0], tmp_path / "copy", ignore=shutil.ignore_patterns(".lock"))


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_records_have_the_names_of_the_task(whole, capsys):
    folder, trainer, result = whole
    found = records(folder)
    assert [*found[0]] == ["epoch", "step", "loss", "squares", "penalty", "lr", "gradient_norm"]
    assert [*found[-1]] == [*found[0], "test_error"]
    assert [one["step"] for one in found if "test_error" in one] == [3, 6, 9, 12]
    for one in found:
        assert one["loss"] == pytest.approx(one["squares"] + one["penalty"], rel=1e-12)
    assert result == trainer.task.evaluate(trainer.model, trainer.test_data, None, None, lambda _: None)
    assert (folder / "curves.png").stat().st_size > 10_000


def test_the_metric_is_shown(tmp_path, capsys):
    plane_trainer(tmp_path, epochs=1).fit()
    error = records(tmp_path)[-1]["test_error"]
    assert f", test root mean square {error:.3f} (points, 12 images)" in capsys.readouterr().err


def test_the_best_weights_have_the_lowest_error(tmp_path, monkeypatch):
    """With errors that fall and rise again."""
    errors = iter([3.0, 1.0, 2.0, 1.5])
    trainer = plane_trainer(tmp_path)
    monkeypatch.setattr(trainer.task, "evaluate", lambda *_: type("Result", (), {"error": next(errors)}))
    trainer.fit()
    assert trainer.best_metric == 1.0
    assert load_tensors(tmp_path / "best.safetensors")[1]["step"] == "6"
    state = json.loads(load_tensors(tmp_path / "last.safetensors")[1]["training"])
    assert state["best_error"] == 1.0


@pytest.mark.parametrize("step", [1, 3, 5])
@pytest.mark.parametrize("recipe", [{}, {"micro_batches": 3, "optimizer": "sgd", "lr": 0.02, "ema_decay": None}])
def test_stopped_and_resumed_bitwise_identically(tmp_path, step, recipe):
    plane_trainer(tmp_path / "whole", **recipe).fit()
    with pytest.raises(TrainingInterrupted, match=f"stopped after step {step} of 12"):
        plane_trainer(tmp_path / "run", stopped := PlaneTask(signal_at=step), **recipe).fit()
    assert not stopped.is_loading
    plane_trainer(tmp_path / "run", **recipe).fit(resume=True)
    for name in FILES:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


class TestBuffers:
    def test_they_are_in_all_checkpoints_as_they_were_at_their_step(self, whole, tmp_path):
        folder, trainer, _ = whole
        last, _ = load_tensors(folder / "last.safetensors")
        best, metadata = load_tensors(folder / "best.safetensors")
        assert last["count"] == 12
        assert last["count"].dtype == np.int64
        assert best["count"] == int(metadata["step"])
        np.testing.assert_array_equal(last["mean"], trainer.model.buffers["mean"])
        assert best.keys() == {"w", "b", "mean", "count"}

    def test_they_are_not_averaged(self, whole):
        names = {name for name in load_tensors(whole[0] / "last.safetensors")[0] if "ema" in name}
        assert names == {"training/ema.w", "training/ema.b"}

    @pytest.mark.parametrize("name", ["last.safetensors", "best.safetensors"])
    def test_a_checkpoint_without_one_is_refused(self, copied, name):
        tensors, metadata = load_tensors(copied / name)
        del tensors["mean"]
        checksum = save_tensors(copied / name, tensors, metadata)
        if name == "best.safetensors":  # which then is the file that the checkpoint names
            last, metadata = load_tensors(copied / "last.safetensors")
            state = json.dumps({**json.loads(metadata["training"]), "best_checksum": checksum})
            save_tensors(copied / "last.safetensors", last, {**metadata, "training": state})
        with pytest.raises(CheckpointError, match=rf"{name}: .*(unexpected: mean|not those of the model)"):
            plane_trainer(copied, checkpoint_every=2).fit(resume=True)

    def test_one_that_is_not_finite_stops_the_run(self, tmp_path):
        model = Plane()
        model.buffers["mean"][1] = np.nan
        with pytest.raises(NonFiniteError, match=r"NaN in the buffer mean: 1 of 3 entries"):
            plane_trainer(tmp_path, model=model).fit()


class TestResuming:
    def test_with_other_settings_is_refused(self, copied):
        with pytest.raises(RunFolderError, match=r"differs in task\.penalty \(it has 0\.1, this one 0\.2\)"):
            plane_trainer(copied, PlaneTask(penalty=0.2), checkpoint_every=2).fit(resume=True)

    def test_a_record_without_one_of_the_losses_is_damaged(self, copied):
        lines = (copied / "metrics.jsonl").read_text().splitlines(keepends=True)
        lines[1] = lines[1].replace('"penalty"', '"plenty"')
        (copied / "metrics.jsonl").write_text("".join(lines))
        with pytest.raises(RunFolderError, match=r"line 2: .*penalty: got None, expected a finite number"):
            plane_trainer(copied, checkpoint_every=2).fit(resume=True)

    def test_a_checkpoint_of_another_metric_is_refused(self, copied):
        tensors, metadata = load_tensors(copied / "last.safetensors")
        state = json.loads(metadata["training"])
        state["best_accuracy"] = state.pop("best_error")
        save_tensors(copied / "last.safetensors", tensors, {**metadata, "training": json.dumps(state)})
        with pytest.raises(CheckpointError, match=r"expected step, best_error and pending"):
            plane_trainer(copied, checkpoint_every=2).fit(resume=True)


@pytest.mark.parametrize("pieces", [2, 3, 8])
def test_micro_batches_are_weighted_by_their_size(pieces):
    """Points without a value do not count, so pieces of the same number of points have other weights."""
    data, task = points(8), PlaneTask(penalty=0.0)
    results = []
    for micro_batches in (1, pieces):
        model = Plane()
        losses = batch_gradients(task, model, Points(data.x), data.values, micro_batches, seed=3, loss_scale=2.0)
        results.append((losses["loss"], *model.grads["w"], *model.grads["b"]))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


def test_a_loss_that_is_not_finite_is_named():
    model = Plane()
    model.params["b"][0] = 1e200
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match=r"^the loss is inf$"):
        PlaneTask().forward_backward(model, Points(np.ones((1, 3))), [0.0], np.random.default_rng(0), 1.0)


def test_losses_of_a_step_and_their_check():
    learner = Learner(Plane(), TrainConfig(epochs=1), 3, PlaneTask())
    data = points(4)
    record = learner.train_step(Points(data.x), data.values, seed=0)
    with pytest.raises(NonFiniteError, match=r"the loss is .* and the norm"):
        learner.finish_step({**record, "penalty": np.nan})
    assert learner.step == 0


def test_data_of_which_no_task_is_known_need_one(tmp_path):
    with pytest.raises(ValueError, match=r"^train_data: got .*, expected an ImageDataset, a SegmentationDataset or"):
        Trainer(Plane(), points(8), points(4), TrainConfig(), tmp_path)
    with pytest.raises(ValueError, match=r"^task: got 3, expected a task"):
        plane_trainer(tmp_path, task=3)


def test_metrics():
    assert ACCURACY.record_name == "test_accuracy"
    assert (ACCURACY.shown(0.98765), LOSS.shown(0.98765)) == ("98.77 %", "0.988")
    assert ACCURACY.is_better(0.5, None)
    assert ACCURACY.is_better(0.6, 0.5)
    assert not ACCURACY.is_better(0.5, 0.5)
    assert LOSS.is_better(0.5, 0.6)
    assert not LOSS.is_better(0.5, 0.5)
