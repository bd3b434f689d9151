"""A sample of `python -m tests.tools.fuzz_files`: mutated files are refused with a documented error, or read right."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import thorough

pytest.importorskip("resource")  # on Unix only
pytest.importorskip("filelock")
pytest.importorskip("PIL")
pytest.importorskip("pycocotools")
ROOT = Path(__file__).resolve().parents[1]
SEED = 7


def test_mutated_files(tmp_path):
    """In a process of its own, whose memory is measured."""
    command = [sys.executable, "-m", "tests.tools.fuzz_files", "--seed", str(SEED), "--corpus", str(tmp_path)]
    command += ["--seconds", "4"] if thorough.enabled else ["--count", "90"]
    environment = {**os.environ, "NPSWIN_BACKEND": "numpy"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr[-3000:]}"
    assert f"seed {SEED}: 0 findings" in done.stdout
