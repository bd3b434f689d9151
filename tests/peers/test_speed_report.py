"""Measurements in fresh processes where a peer fails: it is left out, and the others' figures remain."""

import pytest

from benchmarks.peers import fresh
from benchmarks.peers.processes import WorkerError
from benchmarks.peers.report import Measurements, markdown
from benchmarks.peers.rounds import Settings
from benchmarks.peers.workloads import WORKLOADS

ANSWERS = {
    "memory": {"bytes": 300 * 2**20, "after_imports": 200 * 2**20},
    "first-step": {"seconds": 2.0, "with_imports": 3.0, "later_step": 1.0},
}


def test_a_peer_that_fails_is_left_out(monkeypatch, tmp_path):
    failing = {"pytorch"}

    def ask(workload, competitor, do, *rest, **environment):
        if competitor in failing:
            raise WorkerError("RuntimeError: out of memory")
        return ANSWERS[do]

    monkeypatch.setattr(fresh, "_ask", ask)
    settings, workload = Settings(1, 1, 0.1, ("sdpa",), tmp_path), WORKLOADS[0]
    competitors = ["npswin", "pytorch"]
    found = Measurements(settings, False, {}, {}, {}, workload)
    found.memory.append((workload, fresh.measure_memory(workload, competitors, settings, {}, 2)))
    found.first_step = fresh.measure_first_step(workload, competitors, settings, {}, 2)
    lines = markdown(found).splitlines()
    assert "| npswin | 300 |  | 200 |  |" in lines
    assert "| npswin | 2.0 | 3.0 | 2.0 | 3.0 |" in lines
    assert f"- left out: PyTorch in the memory of {workload.full_title}: RuntimeError: out of memory" in lines
    assert "- left out: PyTorch in the first step: RuntimeError: out of memory" in lines
    failing.add("npswin")
    with pytest.raises(WorkerError, match="out of memory"):
        fresh.measure_memory(workload, competitors, settings, {}, 2)
