"""Every fault's text is in its file; `python -m tests.tools.plant_faults` plants the faults."""

import ast

import pytest

from tests.tools.plant_faults import ALL, ROOT, planted, sample


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: f"{fault.file}: {fault.title}")
def test_the_fault_can_be_planted(fault):
    text = (ROOT / fault.file).read_text(encoding="utf-8")
    wrong = planted(text, fault)
    assert wrong != text
    if fault.file.endswith(".py"):
        assert ast.dump(ast.parse(wrong)) != ast.dump(ast.parse(text))


def test_there_are_at_least_forty_different_faults():
    assert len(ALL) >= 40
    assert len({(fault.file, fault.right, fault.wrong) for fault in ALL}) == len(ALL)


def test_a_sample_has_the_changed_files_and_some_others():
    changed = {"npswin/ops/softmax.py"}
    chosen = sample(ALL, changed, most=40, draw=5, seed=1)
    touched = [fault for fault in ALL if fault.file in changed]
    assert len(touched) >= 2
    assert set(touched) < set(chosen)
    assert len(chosen) == len(touched) + 5
    assert chosen == sample(ALL, changed, most=40, draw=5, seed=1) != sample(ALL, changed, most=40, draw=5, seed=2)
    assert len(sample(ALL, changed, most=1, draw=0, seed=1)) == 1
