"""Mean and deviation of a run: the training images' own, a checkpoint's, or given ones."""

import json

import numpy as np
import pytest

from npswin import Trainer, load_weights
from npswin.data import channel_statistics
from npswin.training import RunFolderError, read_normalization
from npswin.training.tasks.classification import ClassificationTask
from npswin.weights import WeightFileError, load_tensors, save_tensors
from tests.training.tiny import tiny_config, tiny_data, tiny_model, tiny_trainer

pytestmark = pytest.mark.usefixtures("no_curves")
GIVEN = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)


def _run(out, normalization, **overrides):
    data = tiny_data(seed=5), tiny_data(10, "test", seed=5)
    return Trainer(tiny_model(), *data, tiny_config(epochs=1, **overrides), out, normalization)


@pytest.fixture
def first(tmp_path):
    """The folder of a finished run on other images."""
    tiny_trainer(tmp_path / "first", epochs=1).fit()
    return tmp_path / "first"


@pytest.mark.parametrize("name", ["last", "previous", "best"])
def test_a_checkpoint_has_the_mean_and_deviation_of_its_run(first, name):
    assert read_normalization(first / f"{name}.safetensors") == channel_statistics(tiny_data().images)


def test_a_run_goes_on_with_those_of_a_checkpoint(first, tmp_path):
    wanted = channel_statistics(tiny_data().images)
    own = channel_statistics(tiny_data(seed=5).images)
    assert wanted != own
    run = _run(tmp_path / "second", first / "best.safetensors")
    load_weights(run.model, first / "best.safetensors")
    run.fit()
    assert (run.mean, run.std) == wanted
    assert json.loads((tmp_path / "second/config.json").read_text())["mean"] == list(wanted[0])
    assert read_normalization(tmp_path / "second/best.safetensors") == wanted  # for a third run
    other = _run(tmp_path / "other", None)
    load_weights(other.model, first / "best.safetensors")
    other.fit()
    assert (other.mean, other.std) == own
    one, two = (load_tensors(tmp_path / name / "last.safetensors")[0] for name in ("second", "other"))
    assert any((one[name] != two[name]).any() for name in one)


def test_a_pair_is_used_as_it_is(tmp_path):
    for pair in (GIVEN, [np.array(numbers) for numbers in GIVEN]):
        run = _run(tmp_path / "run", pair)
        assert (run.mean, run.std) == GIVEN


def test_with_given_ones_a_channel_may_be_constant(tmp_path):
    black = tiny_data()
    black.images[:, 1] = 0
    with pytest.raises(ValueError, match=r"^train_data: got one value everywhere in channel 1 .*normalization="):
        Trainer(tiny_model(), black, black, tiny_config(), tmp_path / "run").fit()
    assert not (tmp_path / "run").exists()
    Trainer(tiny_model(), black, black, tiny_config(epochs=1), tmp_path / "run", GIVEN).fit()


class TestResuming:
    def test_with_the_same_ones(self, first, tmp_path):
        path = first / "best.safetensors"
        _run(tmp_path / "run", path).fit()
        before = (tmp_path / "run/metrics.jsonl").read_bytes()
        _run(tmp_path / "run", path).fit(resume=True)
        assert (tmp_path / "run/metrics.jsonl").read_bytes() == before

    def test_with_its_own_checkpoint_where_the_first_one_is_gone(self, first, tmp_path):
        _run(tmp_path / "run", first / "best.safetensors").fit()
        (first / "best.safetensors").unlink()
        _run(tmp_path / "run", tmp_path / "run/last.safetensors").fit(resume=True)

    def test_without_any_it_goes_on_with_its_own(self, first, tmp_path):
        path, wanted = first / "best.safetensors", read_normalization(first / "best.safetensors")
        _run(tmp_path / "run", path).fit()
        before = (tmp_path / "run/config.json").read_bytes()
        run = _run(tmp_path / "run", None)
        run.fit(resume=True)
        assert (run.mean, run.std) == wanted
        assert (tmp_path / "run/config.json").read_bytes() == before

    def test_with_others_is_refused_with_a_hint(self, first, tmp_path):
        _run(tmp_path / "run", first / "best.safetensors").fit()
        match = r"differs in mean\[0\].*std\[0\].*normalization=, it goes on with its own"
        with pytest.raises(RunFolderError, match=match):
            _run(tmp_path / "run", GIVEN).fit(resume=True)

    def test_where_the_data_differ_there_is_no_such_hint(self, first):
        with pytest.raises(RunFolderError, match=r"differs in .*train_data\.crc32") as caught:
            _run(first, None).fit(resume=True)
        assert "normalization=" not in str(caught.value)


class TestWhenTheTrainingImagesAreRead:
    """Their mean and deviation are computed only where a run begins, and its folder can be used."""

    @pytest.fixture
    def count(self, monkeypatch):
        counted = []
        statistics = ClassificationTask.channel_statistics
        monkeypatch.setattr(
            ClassificationTask, "channel_statistics", lambda *given: counted.append(1) or statistics(*given)
        )
        return counted

    def test_not_for_a_folder_that_cannot_be_used(self, tmp_path, count):
        (tmp_path / "notes.txt").write_text("mine")
        for resume, message in ((False, "not empty"), (True, "no run to resume here")):
            with pytest.raises(RunFolderError, match=message):
                _run(tmp_path, None).fit(resume)
        (tmp_path / "file").write_text("")
        with pytest.raises(OSError, match=r"since .*file is no folder"):
            _run(tmp_path / "file/run", None).fit()
        assert not count

    @pytest.mark.parametrize("repair", [False, True])
    def test_once_for_a_run_and_not_to_resume_it(self, tmp_path, count, repair):
        _run(tmp_path / "run", None).fit()
        assert count == [1]
        before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
        if repair:
            (tmp_path / "run/last.safetensors").write_bytes(b"damaged")
        _run(tmp_path / "run", None).fit(True, repair)
        assert count == [1]
        assert (tmp_path / "run/config.json").read_bytes() == before["config.json"]
        assert (tmp_path / "run/metrics.jsonl").read_bytes() == before["metrics.jsonl"]


@pytest.mark.parametrize(
    ("metadata", "match"),
    [
        ({}, "its metadata lack mean and std; expected a checkpoint"),
        ({"mean": "[0.5, 0.5, 0.5]"}, "its metadata lack std"),
        ({"mean": "[0.5, 0.5, 0.5]", "std": "[0.5, 0.5"}, "cannot be read as JSON"),
        ({"mean": "[0.5, 0.5, 0.5]", "std": "[0.5, 0.5]"}, "damaged: std: got"),
        ({"mean": "[0.5, 0.5, 0.5]", "std": "[0.5, 0, 0.5]"}, "damaged: std: got"),
        ({"mean": '["a", 0.5, 0.5]', "std": "[0.5, 0.5, 0.5]"}, "damaged: mean: got"),
        ({"mean": "0.5", "std": "0.5"}, "damaged: mean: got"),
        ({"mean": "[]", "std": "[]"}, "damaged: mean: got"),
        ({"mean": "[0.5]", "std": "[0.5]"}, "has mean and deviation of 1 channels, the training images have 3"),
    ],
)
def test_a_file_without_them_is_refused(tmp_path, metadata, match):
    path = tmp_path / "weights.safetensors"
    save_tensors(path, {"a": np.zeros(2)}, metadata)
    with pytest.raises(WeightFileError, match=match) as caught:
        _run(tmp_path / "run", path)
    assert str(caught.value).startswith(str(path))
    assert not (tmp_path / "run").exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        _run(tmp_path / "run", tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (0.5, "normalization"),
        (GIVEN[0], "normalization"),
        ((0.5, 0.5), r"normalization\[0\]"),
        ((GIVEN[0][:2], GIVEN[1]), r"normalization\[0\]"),
        ((GIVEN[0], (0.5, 0.5, 0)), r"normalization\[1\]"),
        ((GIVEN[0], (0.5, 0.5, 1e-40)), r"normalization\[0\], normalization\[1\]"),
    ],
)
def test_errors_name_the_argument(tmp_path, given, name):
    with pytest.raises(ValueError, match=f"^{name}: got "):
        _run(tmp_path / "run", given)
