"""The constraints file with the lowest declared versions."""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / ".ci" / "minimum_versions.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("minimum_versions", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_requirement_has_a_lowest_version_and_extras_include_extras(script):
    extras = tomllib.loads(script.PYPROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(script.minimum_versions([])) == {"numpy", "scipy", "safetensors", "tqdm"}
    assert {"numba", "matplotlib", "pytest", "numpy"} <= set(script.minimum_versions(["test"]))
    assert set(script.minimum_versions(["test"])) < set(script.minimum_versions(list(extras)))


def test_the_highest_of_several_bounds_counts(script, tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "a"\ndependencies = ["b[c]>=1.9", "d==2.0"]\n'
        '[project.optional-dependencies]\ne = ["b>=1.10,<3; sys_platform == \'linux\'", "a[f,g]"]\n'
        'f = ["h>= 4"]\ng = ["a[e]"]\nbad = ["i"]\n'
    )
    found = script.minimum_versions(["e"], tmp_path / "pyproject.toml")
    assert found == {"b": "1.10", "d": "2.0", "h": "4"}
    for extra, message in (("bad", "no lower bound: 'i'"), ("none", "no such extra: none; there are e, f, g, bad")):
        with pytest.raises(SystemExit, match=message):
            script.minimum_versions([extra], tmp_path / "pyproject.toml")


def test_it_prints_constraints():
    command = [sys.executable, str(SCRIPT), "cpu"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines == sorted(lines)
    assert {line.partition("==")[0] for line in lines} == {"numba", "numpy", "safetensors", "scipy", "tqdm"}
