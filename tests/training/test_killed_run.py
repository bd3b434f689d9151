"""A run of detection whose processes are killed, which no handler of signals can prepare for.

`python -m tests.tools.soak --task detection` does this many times, at random moments.
"""

import os
import subprocess
import sys

import pytest

from tests.tools.soak import CHECKPOINT_EVERY, COMPARED, ROOT, first_step, recorded_steps, wait_for_steps

pytest.importorskip("matplotlib")
pytest.importorskip("pycocotools")

EPOCHS = 2  # of five steps
TRAIN = f"""
import sys
from pathlib import Path
from npswin.training import set_threads
from tests.tools.soak_runs import detection
set_threads(1)
detection(sys.argv[1], epochs={EPOCHS}).fit(resume=Path(sys.argv[1]).is_dir())
"""


def start(folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NPSWIN_BACKEND": "numpy", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(folder)], env=environment, stderr=subprocess.PIPE, text=True
    )


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    _, stderr = start(whole).communicate(timeout=120)
    for steps in (2, 7):  # before the first checkpoint and in the second epoch, between two steps or within one
        process = start(killed)
        wait_for_steps(process, killed, steps)
        process.kill()
        _, stderr = process.communicate(timeout=60)
        assert process.returncode < 0, stderr
        before = recorded_steps(killed)
        assert 5 * EPOCHS > before >= steps
    process = start(killed)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert 0 <= before - first_step(stderr) <= CHECKPOINT_EVERY
    for name in COMPARED:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
