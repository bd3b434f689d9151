"""The benchmark of mistakes that were listed without sight of the catalogue: its port without a mistake is correct."""

import re
from importlib import import_module

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed (pip install 'npswin[peers]')")

from benchmarks.blind.judge import SIZES, Problem
from benchmarks.blind.mistakes import THEMES, all_mistakes, is_mistake
from benchmarks.blind.table import main

MISTAKES = all_mistakes()


@pytest.fixture(scope="module")
def problem():
    return Problem(seed=0)


@pytest.mark.parametrize("seed", range(len(SIZES)))
def test_the_port_without_a_mistake_agrees_everywhere(seed):
    problem = Problem(seed)
    diagnosis = problem.diagnose(problem.correct, seconds=60)
    assert diagnosis.ok, diagnosis.comparison
    assert set(problem.key.shapes) - set(problem.correct) - set(problem.key.sources) == set()


@pytest.mark.parametrize("name", ["blue-first", "softmax-of-queries", "query-gradient-not-scaled"])
def test_a_mistake_is_detected_where_it_is_made_and_named(problem, name):
    verdict = problem.judge(name, MISTAKES[name], seconds=60)
    assert verdict.detected
    assert verdict.first == MISTAKES[name].born
    assert verdict.cause == "named", verdict.causes


def test_every_mistake_has_a_sentence_a_place_and_a_pattern(problem):
    for name, mistake in MISTAKES.items():
        assert mistake.__doc__, name
        assert mistake.born in problem.key.shapes, name
        assert not re.search(mistake.cause, ""), name


def test_no_two_mistakes_have_the_same_identifier():
    modules = [import_module(f"benchmarks.blind.{theme}") for theme in THEMES]
    defined = [value for module in modules for value in vars(module).values() if is_mistake(value, module.__name__)]
    assert len(defined) == len(MISTAKES) >= 120


def test_the_verdicts_in_a_file_can_be_judged_again(tmp_path, capsys):
    file = tmp_path / "verdicts.json"
    assert main(["--sample", "2", "--seed", "4", "--seconds", "5", "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert main(["--judge-again", str(file)]) == 0
    assert capsys.readouterr().out in printed
