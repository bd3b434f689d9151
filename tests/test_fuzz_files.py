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


def test_a_tensor_under_the_name_of_its_container(tmp_path):
    """A dump is read right, and judged so, where a file is renamed to a module that returns the same tensor."""
    from tests.tools.fuzzing.doors.door import Sample
    from tests.tools.fuzzing.doors.dump import dump_door
    from tests.tools.fuzzing.workspace import Workspace

    (tmp_path / "files").mkdir()
    door = dump_door("npy")(tmp_path)
    seed = door.seeds[0]
    files = {name: content for name, content in seed.items() if name != "patch_embed.proj.npy"}
    files["layers.0.npy"] = seed["patch_embed.proj.npy"]
    Workspace(tmp_path / "files").place(files)
    assert door.read(Sample(tmp_path / "files", files, seed, False, 1)) == "read True False True []"
