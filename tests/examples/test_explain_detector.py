"""The example that shows a detector's steps, on runs that have learned nothing."""

import re
import runpy
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import npswin.data
from npswin.models import CascadeMaskRCNN, MaskRCNN
from npswin.training import DetectionTask, TrainConfig, Trainer
from tests.models.detection.tiny import BACKBONE

pytest.importorskip("filelock")
pytest.importorskip("matplotlib")
pytest.importorskip("pycocotools")
pytest.importorskip("PIL")

from tests.examples.dense_files import LAYOUTS
from tests.training.prediction.runs import THINGS, finished_run, objects

EXAMPLE = Path(__file__).parents[2] / "examples/explain_detector.py"


@pytest.fixture(autouse=True, scope="module")
def plain_numpy():
    """The backend that compiles nothing."""
    before = npswin.get_backend()
    npswin.set_backend("numpy")
    yield
    npswin.set_backend(before)


# Which model, whether it finds masks, and what is added to its logit of the first class.
RUNS = {
    "masks": (MaskRCNN, True, 4),
    "boxes": (MaskRCNN, False, 4),
    "nothing": (MaskRCNN, True, 0),
    "cascade": (CascadeMaskRCNN, True, 4),
}


@pytest.fixture(scope="module")
def run_of(plain_numpy, tmp_path_factory):
    """A function that returns the folder of a run."""
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = make_run(*RUNS[kind], tmp_path_factory.mktemp(kind))
        return made[kind]

    return get


def make_run(detector, masks, logit, folder):
    """The folder of a run that has learned nothing, whose model finds the first class where its logit is high."""
    limits = {"rpn_samples": 16, "roi_samples": 16, "proposals_a_level": (40, 10), "proposals": 40}
    backbone = {**BACKBONE, "drop_path_rate": 0.0}
    model = detector(len(THINGS), backbone, channels=8, width=16, **limits, masks=masks)
    for name, value in model.params.items():
        if name.endswith("fc_cls.bias"):
            value[0] = logit
    task = DetectionTask((32,), longer=48, test_shorter=32, masks=masks)
    recipe = TrainConfig(epochs=1, batch_size=2, lr=1e-12, warmup_epochs=0.0)
    with mock.patch("npswin.training.trainer.draw_curves"):
        Trainer(model, objects(2, masks, 0), objects(1, masks, 1), recipe, folder, task=task).fit()
    return folder


@pytest.fixture
def explain(monkeypatch, capsys, tmp_path):
    """Runs the example in an empty folder, on images of `objects`; returns status, output, errors and variables."""

    def run(*arguments, has_masks=True):
        monkeypatch.setattr(npswin.data, "load_detection_scenes", lambda train: objects(5, has_masks, 1))
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), "--backend", "numpy", "--threads", "1", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(EXAMPLE), run_name="__main__")
        return end.value.code, *capsys.readouterr()

    monkeypatch.chdir(tmp_path)
    return run


@pytest.fixture
def figures(monkeypatch):
    """The titles of all axes of each picture that is written."""
    written = []
    save = npswin.training.pictures.style.save_figure

    def remember(figure, path):
        written.append([axes.get_title() for axes in figure.axes])
        save(figure, path)

    monkeypatch.setattr(npswin.training.pictures.style, "save_figure", remember)
    return written


@pytest.mark.parametrize(("kind", "rows"), [("masks", 2), ("boxes", 1), ("nothing", 0), ("cascade", 2)])
def test_a_picture_has_the_steps_and_what_is_found(run_of, explain, figures, tmp_path, kind, rows):
    status, stdout, stderr = explain(run_of(kind), "--out", "a.png", "--index", 3, has_masks=kind != "boxes")
    assert status == 0, stderr
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    said = re.fullmatch(r"a\.png: image 3 of objects, ((\d+) objects found with a score of at least 50 %)\n", stdout)
    ((*steps, found), below), count = (figures[0][:6], figures[0][6:]), int(said[2])
    assert (count > 0) == (rows > 0)
    assert found == f"found: {count} objects with a score of at least 50 %"
    starts = ("image", "anchors: ", "sampled anchors: ", "proposals: the ", "sampled RoIs: ")
    assert all(title.startswith(start) for title, start in zip(steps, starts, strict=True)), steps
    assert len(below) == rows * min(4, count)
    assert "" not in below
    assert sum(title == "its mask: 28×28 probabilities" for title in below) == (len(below) // 2 if rows == 2 else 0)


def test_samples_are_drawn_from_the_proposals_of_training(run_of, explain, monkeypatch):
    folder, drawn = run_of("nothing"), []
    draw = npswin.models.detection.roi_stage.draw_roi_samples
    monkeypatch.setattr(
        npswin.models.detection.roi_stage,
        "draw_roi_samples",
        lambda proposals, *rest: drawn.append(len(proposals[0])) or draw(proposals, *rest),
    )
    model = npswin.load_run(folder).model
    assert (model.training_proposals.before_nms, model.inference_proposals.before_nms) == (40, 10)
    with mock.patch("npswin.models.detection.proposals.dispatch.nms", lambda boxes, *_: np.arange(len(boxes))):
        explain(folder)
    assert drawn == [40]


def test_classes_and_masks_of_other_data(run_of, explain, tmp_path):
    for path, content in LAYOUTS["COCO with boxes alone"][1]().items():
        (tmp_path / "coco" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "coco" / path).write_bytes(content)
    status, _, stderr = explain(run_of("nothing"), "--data-dir", "coco")
    expected = "the data set has the classes dark, bright; expected those of the run, thing, other thing"
    assert (status, stderr) == (2, f"explain_detector.py: error: --data-dir: {expected}\n")
    status, _, stderr = explain(run_of("nothing"), has_masks=False)
    assert (status, "--data-dir: has boxes without masks, expected masks" in stderr) == (2, True), stderr


def test_damaged_data_are_left_out_by_an_option(run_of, explain, tmp_path):
    for path, content in LAYOUTS["Pascal VOC"][1]().items():
        changed = content.replace(b"dark", THINGS[0].encode()).replace(b"bright", THINGS[1].encode())
        (tmp_path / "voc" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "voc" / path).write_bytes(changed)
    (tmp_path / "voc/JPEGImages/val_1.jpg").unlink()
    status, _, stderr = explain(run_of("boxes"), "--data-dir", "voc")
    assert (status, "1 × missing file" in stderr) == (2, True), stderr
    status, stdout, stderr = explain(run_of("boxes"), "--data-dir", "voc", "--repair-data")
    assert status == 0, stderr
    assert stderr.startswith("explain_detector.py: warning: voc: 1 finding: 1 × missing file")
    assert stdout.startswith("detector.png: image 0 of ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--index", 5), "--index: got 5, expected an integer of at least 0 and at most 4"),
        (("--index", -1), "--index: got -1"),
        (("--out", "none/a.png"), "--out: none is no folder, expected one that exists"),
        (("--out", "."), "--out: got ., expected the name of a picture, which ends with .png"),
        (("--out", "a.xyz"), "--out: got a.xyz, expected the name of a picture, which ends with .png"),
        (("--out", "folder.png"), "--out: folder.png is a folder, expected the name of a picture"),
        (("--backend", "tpu"), "backend: got 'tpu'"),
        (("--threads", 0), "threads: got 0"),
        (("--data-dir", "none"), "none: is no folder"),
    ],
)
def test_errors_are_one_line_before_anything_is_computed(run_of, explain, tmp_path, arguments, message):
    folder = run_of("nothing")  # trained and evaluated now, if no test before did it
    (tmp_path / "folder.png").mkdir()
    with mock.patch("npswin.models.MaskRCNN.detect", side_effect=AssertionError):
        status, _, stderr = explain(folder, *arguments)
    assert (status, stderr.count("\n")) == (2, 1), stderr
    assert stderr.startswith("explain_detector.py: error: ")
    assert message in stderr
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_a_run_of_another_task(explain, plain_numpy, tmp_path):
    folder = finished_run("classification", tmp_path).folder
    assert explain(folder)[:3:2] == (2, f"explain_detector.py: error: {folder}: is not a run of a detector\n")
