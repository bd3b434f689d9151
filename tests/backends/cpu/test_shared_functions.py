"""Functions of which there is one copy for all kernels: how they are called, cached on disk, and loaded."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from npswin.backends.cpu.machine.compilation import inner_function, shared_function, specialized_function

ROOT = Path(__file__).resolve().parents[2]

MODULE = """
from npswin.backends.cpu.machine.compilation import cached, shared_function

@shared_function
def halve(x):
    return x / 2

@shared_function
def quarter(x):
    return halve(halve(x))

@cached
def fill(out, number):
    for i in range(out.size):
        out[i] = quarter(number)
"""

PROGRAM = """
import numpy as np
import module
out = np.zeros(3)
module.fill(out, 6.0)
found = [sum(function.stats.cache_hits.values()) for function in (module.fill, module.quarter, module.halve)]
print(out[2], *found)
"""


@pytest.fixture
def fill(tmp_path):
    """Runs PROGRAM in a fresh Python; returns its result and which of its three functions were found on disk."""
    (tmp_path / "module.py").write_text(MODULE, encoding="utf-8")
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
    }

    def run():
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        number, *found = result.stdout.split()
        return float(number), [bool(int(hits)) for hits in found]

    return run


def test_code_from_disk_finds_the_functions_that_it_calls(fill):
    assert fill() == (1.5, [False, False, False])
    assert fill() == (1.5, [True, True, True])


@pytest.mark.parametrize("missing", ["halve", "quarter"])
def test_a_function_whose_code_is_gone_is_compiled_again(missing, fill, tmp_path):
    fill()
    files = list((tmp_path / "cache").rglob(f"*.{missing}-*"))
    assert files
    for file in files:
        file.unlink()
    assert fill() == (1.5, [True, missing != "quarter", missing != "halve"])


def test_damaged_code_is_compiled_again(fill, tmp_path):
    fill()
    for file in (tmp_path / "cache").rglob("*.code"):
        file.write_bytes(file.read_bytes()[:-1])
    assert fill() == (1.5, [False, False, False])
    assert fill() == (1.5, [True, True, True])


@shared_function
def _at(pair):
    return pair[0][pair[1]]


@specialized_function
def _at_literal(pair):
    return pair[0][pair[1]]


@inner_function
def _sum_of_two(x, place):
    return _at((x, 0)) + _at((x, place)) + _at_literal((x, 0)) + _at_literal((x, place))


def test_literal_numbers_make_a_copy_only_where_that_is_asked_for():
    assert _sum_of_two(np.array([1.0, 10.0]), 1) == 22
    assert len(_at.overloads) == 1
    assert len(_at_literal.overloads) == 2
