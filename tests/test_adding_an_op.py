"""docs/adding_an_op.md is true: its code is applied to a copy of the repository, step by step, and tested there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "adding_an_op.md"
BLOCK = re.compile(r"<!-- (new file|change): (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)


def blocks(text):
    """(kind, path, code) of each marked block."""
    return BLOCK.findall(text)


def sections():
    """The page's numbered sections."""
    return re.split(r"^## (?=\d)", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]


def apply(kind, path, code, root):
    """Write a new file, or make a change whose context occurs once."""
    file = root / path
    if kind == "new file":
        assert not file.exists(), path
        file.write_text(code, encoding="utf-8")
        return
    lines = code.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path}: {old!r} occurs {text.count(old)} times"
    file.write_text(text.replace(old, new), encoding="utf-8")


def copy_of_repository(folder):
    ignored = shutil.ignore_patterns(".*", "__pycache__", "runs", "*.egg-info", "images")
    shutil.copytree(ROOT, folder, ignore=ignored)
    return folder


def run(root, *command, **environment):
    """Exit status and output of a command in the copy."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "", **environment}
    result = subprocess.run(
        [sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    return result.returncode, result.stdout + result.stderr


def pytest_in(root, *arguments, **environment):
    return run(root, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", *arguments, **environment)


def test_every_step_can_be_made(tmp_path):
    """All changes fit the files as they are, in order, and the result imports."""
    root = copy_of_repository(tmp_path / "copy")
    for section in sections():
        assert blocks(section), section[:40]
        for block in blocks(section):
            apply(*block, root)
    code, printed = run(
        root,
        "-c",
        "from npswin import backends, ops; from npswin.verify.graph import operations; import numpy as np;"
        "print(ops.__file__, backends.missing_ops('cuda'), operations.SILU.name, ops.silu_forward(np.ones(1))[0])",
    )
    assert code == 0, printed
    assert str(root) in printed
    assert "silu_" not in printed
    assert "silu [0.73105858]" in printed


@pytest.mark.thorough
def test_every_step_does_what_the_page_says(tmp_path):
    root = copy_of_repository(tmp_path / "copy")
    steps = sections()
    for section in steps[:2]:
        for block in blocks(section):
            apply(*block, root)
    code, printed = pytest_in(root, "-k", "silu", "tests/ops")
    assert code == 0, printed
    # after the definition and its gradient check, the list and the drawn arguments are all that is missing
    code, printed = pytest_in(root, "tests/ops", "tests/backends/test_missing_ops.py", "tests/test_structure.py")
    failed = re.findall(r"^FAILED (\S+)", printed, re.MULTILINE)
    module = "tests/backends/test_missing_ops.py"
    assert failed == [
        f"{module}::test_the_ops_that_a_backend_lacks_are_listed[cpu]",
        f"{module}::test_the_ops_that_a_backend_lacks_are_listed[cuda]",
        f"{module}::test_every_op_has_drawn_arguments",
    ], printed
    for section in steps[2:]:
        for block in blocks(section):
            apply(*block, root)
        code, printed = pytest_in(root, "-k", "silu or missing or lacks or structure", "tests/backends", "tests/ops")
        assert code == 0, printed
    code, printed = run(root, "-m", "tests.tools.plant_faults", "silu")
    assert code == 0, printed
    assert "2 of 2 faults caught" in printed
