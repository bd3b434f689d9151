"""npswin predict."""

import json
import math
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import npswin
from npswin import backends
from npswin.cli import main
from npswin.data import Detections
from npswin.training.prediction.files import DetectionFiles
from tests.training.prediction.runs import KINDS


@pytest.fixture
def predict(capsys):
    """A function that runs the command; it returns the exit status, and the lines of stdout and stderr."""

    def run(*arguments):
        threads = backends.thread_count()
        try:
            code = main(["predict", *map(str, arguments), "--backend", "numpy", "--threads", "1"])
        finally:
            backends.set_thread_count(threads)
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


THRESHOLD = ("--threshold", "0.01")
FEW_OR_MANY = {"classification": ("--top", "1"), "masks": THRESHOLD, "boxes": THRESHOLD}
EXPECTED = {
    "classification": {"pictures", "predictions.json"},
    "segmentation": {"annotations", "classes.txt", "pictures", "predictions.json"},
    "masks": {"images.json", "pictures", "predictions.json"},
    "boxes": {"images.json", "pictures", "predictions.json"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_writes_a_folder_and_a_line_for_each_image(run_of, tmp_path, predict, kind):
    finished, out = run_of(kind), tmp_path / "new" / "out"
    images = [finished.images / "1.png", finished.images / "0.png"]
    code, lines, errors = predict(finished.folder, *images, "--out", out, *FEW_OR_MANY.get(kind, ()))
    assert (code, errors) == (0, [])
    assert {path.name for path in out.iterdir()} == EXPECTED[kind]
    assert [path.name for path in sorted((out / "pictures").iterdir())] == ["0.png", "1.png"]
    weights = finished.folder / "best.safetensors"
    assert lines.pop(0) == f"predicting 2 images with {weights}"
    if kind == "classification":
        assert lines.pop(0) == "images are resized to 8×8 pixels, the model's size"
    assert [line.partition(": ")[0] for line in lines] == [*map(str, images), str(out)]
    names = finished.trainer.train_data.class_names
    assert all(any(name in line for name in names) for line in lines[:2])
    assert lines[2] == f"{out}: 2 of 2 images, by {weights}"


def test_images_that_cannot_be_read_do_not_stop_the_others(run_of, tmp_path, predict):
    finished, out = run_of("masks"), tmp_path / "out"
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    images = [tmp_path / "broken.png", finished.images / "0.png", tmp_path / "text.png", finished.images / "1.png"]
    code, lines, errors = predict(finished.folder, *images, "--out", out)
    assert code == 1
    assert errors == [
        f"npswin predict: {tmp_path}/{name}.png: is not an image of the formats BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP"
        for name in ("broken", "text")
    ]
    assert lines[-1].startswith(f"{out}: 2 of 4 images")
    found = json.loads((out / "images.json").read_text())["images"]
    assert [one["id"] for one in found] == [2, 4]
    assert {one["image_id"] for one in json.loads((out / "predictions.json").read_text())} == {2, 4}
    assert predict(finished.folder, tmp_path / "text.png", "--out", tmp_path / "other")[0] == 1
    assert not (tmp_path / "other").exists()


def test_nothing_above_the_threshold(run_of, tmp_path, predict):
    finished = run_of("boxes")
    arguments = finished.folder, finished.images / "0.png", "--out"
    _, lines, _ = predict(*arguments, tmp_path / "out", "--threshold", 0.9995)
    assert lines.pop(0).startswith("predicting 1 image with ")
    assert lines[0].endswith("0.png: nothing with a score of at least 99.95 %")
    highest, threshold = re.fullmatch(
        r"the highest score of all is ([0-9.]+) %: --threshold ([0-9.]+) .*", lines[1]
    ).groups()
    scores = [one["score"] for one in json.loads((tmp_path / "out" / "predictions.json").read_text())]
    assert float(threshold) == pytest.approx(float(highest) / 100) == math.floor(100 * max(scores)) / 100
    _, lines, _ = predict(*arguments, tmp_path / "more", "--threshold", threshold)
    assert len(lines) == 3
    assert "nothing" not in lines[1]


@pytest.mark.parametrize(
    ("score", "line"),
    [
        (0.4967, "the highest score of all is 49 %: --threshold 0.49 draws more"),
        (0.00321, "the highest score of all is 0.3 %: --threshold 0.003 draws more"),
        (
            None,
            "nothing was found in any image, and no --threshold draws more: the model keeps no score of 5 % or less "
            "(its score_threshold)",
        ),
        (0.5, ""),
    ],
)
def test_from_which_score_on_something_is_drawn(run_of, tmp_path, score, line):
    finished = run_of("boxes")
    count = 0 if score is None else 2
    scores = np.array([0.001, score][:count], np.float32)
    found = Detections(np.tile(np.array([1.0, 1, 5, 5], np.float32), (count, 1)), np.zeros(count, np.int64), scores)
    path = finished.images / "0.png"
    folder = DetectionFiles(tmp_path / "out", npswin.load_run(finished.folder), [path])
    assert folder.closing_line() == ""
    folder.add(path, np.zeros((3, 8, 8), np.uint8), found)
    assert folder.closing_line() == line


def test_a_missing_file_ends_it_before_anything_is_done(run_of, tmp_path, predict, monkeypatch):
    finished = run_of("classification")
    monkeypatch.setattr("npswin.cli.predict.load_run", None)  # no model is made
    images = [finished.images / "0.png", tmp_path / "tpyo.png", tmp_path / "photso"]
    code, lines, errors = predict(finished.folder, *images, "--out", tmp_path / "out")
    assert (code, lines) == (2, [])
    assert errors == [
        f"npswin predict: {images[1]}, {images[2]}: no such file or folder, expected images or folders with images"
    ]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "run", "a.png", "--out", "out", "--weight", "last"],
        ["predict", "run", "a.png", "--out", "out", "--thraeds", "1"],
        ["golden", "key", "--back"],
        ["--vers"],
    ],
)
def test_unknown_and_abbreviated_options_come_with_the_usage_of_their_command(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error, command = capsys.readouterr().err, f"npswin {arguments[0]}" if len(arguments) > 1 else "npswin"
    assert error.startswith(f"usage: {command} ")
    assert re.search(f"\n{command}: error: .*(unrecognized arguments|required)", error)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}", "{image}", "--out", "{tmp}/out"], "{tmp}: is not a run's folder, it has no config.json; expected"),
        (["{run}", "{tmp}/empty", "--out", "{tmp}/out"], "{tmp}/empty: has no image; expected names that end with"),
        (["{run}", "{image}", "--out", "{tmp}"], "{tmp}: not empty; choose another folder, new or empty"),
        (["{run}", "{image}", "--out", "{image}"], "{image}: is no folder; choose another folder, new or empty"),
    ],
)
def test_errors_are_one_line(run_of, tmp_path, predict, arguments, message):
    finished = run_of("segmentation")
    (tmp_path / "empty").mkdir()
    values = {"tmp": tmp_path, "run": finished.folder, "image": finished.images / "0.png"}
    code, lines, errors = predict(*[one.format(**values) for one in arguments])
    assert (code, lines) == (2, [])
    assert len(errors) == 1
    assert errors[0].startswith(f"npswin predict: {message.format(**values)}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "option", "value", "message"),
    [
        ("classification", "top", "0", "got 0, expected an integer of at least 1"),
        ("boxes", "threshold", "2", "got 2.0, expected a number in"),
        ("boxes", "top", "3", "got 3, expected none: it is for the run of a classifier"),
        ("segmentation", "top", "3", "got 3, expected none: it is for the run of a classifier"),
        ("classification", "threshold", "0.5", "got 0.5, expected none: it is for the run of a detector"),
    ],
)
def test_an_option_that_does_not_fit_is_named(run_of, tmp_path, predict, kind, option, value, message):
    finished = run_of(kind)
    arguments = finished.folder, finished.images / "0.png", "--out", tmp_path / "out", f"--{option}", value
    code, lines, errors = predict(*arguments)
    assert (code, lines, len(errors)) == (2, [], 1)
    assert errors[0].startswith(f"npswin predict: {option}: {message}")
    assert not (tmp_path / "out").exists()


def test_a_missing_library_is_one_line(run_of, tmp_path, predict, monkeypatch):
    finished = run_of("segmentation")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, _, errors = predict(finished.folder, finished.images, "--out", tmp_path / "out")
    assert (code, errors) == (2, ["npswin predict: matplotlib is not installed; pip install 'npswin[train]'"])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="on Unix only")
def test_ctrl_c_leaves_whole_files(run_of, tmp_path):
    """After the second image; the third one's picture is begun."""
    finished, out = run_of("masks"), tmp_path / "out"
    program = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell ignores in what it runs in the background
from npswin.training.prediction import files
from npswin.cli import main
draw, drawn = files.draw_detections, []
def draw_and_stop(images, found, names, path, **options):
    drawn.append(path)
    if len(drawn) == 3:
        from npswin.files import write_atomically
        def write(file):
            file.write(b"half a picture")
            os.kill(os.getpid(), signal.SIGINT)
        write_atomically(path, write)
    draw(images, found, names, path, **options)
files.draw_detections = draw_and_stop
sys.exit(main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", program, "predict", finished.folder, finished.images, "--out", out]
    done = subprocess.run(
        [*map(str, command), "--threads", "1"],
        env={**os.environ, "NPSWIN_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == "npswin: stopped"
    assert sorted(os.listdir(out)) == ["images.json", "pictures", "predictions.json"]
    assert sorted(os.listdir(out / "pictures")) == ["0.png", "1.png"]
    found = json.loads((out / "images.json").read_text())["images"]
    assert [one["id"] for one in found] == [1, 2]
    assert {one["image_id"] for one in json.loads((out / "predictions.json").read_text())} == {1, 2}
