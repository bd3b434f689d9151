"""An example of a dense task as a command, with its smallest model on small images, in plain NumPy."""

import runpy
import sys
from pathlib import Path

import pytest

import npswin.data

pytest.importorskip("matplotlib")
pytest.importorskip("pycocotools")

REPOSITORY = Path(__file__).parents[2]
LOADERS = {"segment": "load_segmentation_scenes", "detect": "load_detection_scenes"}
LAST_LINES = {"segment": "mean IoU: ", "detect": "box AP "}


SMALL = ("--backend", "numpy", "--threads", "1", "--size", "32", "--batch-size", "2")


def run(monkeypatch, capsys, example, *arguments, options=SMALL):
    """Exit status, stdout and stderr of an example, in this process."""
    load = getattr(npswin.data, LOADERS[example])
    monkeypatch.setattr(npswin.data, LOADERS[example], lambda train: load(train=train, size=32, count=4))
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(sys, "argv", [f"examples/{example}.py", *options, *map(str, arguments)])
    before = npswin.get_backend()
    try:
        with pytest.raises(SystemExit) as end:
            runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        npswin.set_backend(before)
    monkeypatch.undo()
    return end.value.code, *capsys.readouterr()
