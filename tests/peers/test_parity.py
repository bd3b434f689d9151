"""Logits and every gradient against independent implementations in float64."""

import importlib.util

import pytest

from tests.peers.comparison import compare
from tests.peers.golden import GOLDEN_CASES, read_golden
from tests.peers.reference import CASES, SWIN_TRANSFORMER_PYTORCH_CASES, run

TOLERANCE = 1e-12
MODULES = {"transformers": ("torch", "transformers"), "swin-transformer-pytorch": ("torch", "swin_transformer_pytorch")}


@pytest.mark.parametrize("case", CASES + SWIN_TRANSFORMER_PYTORCH_CASES, ids=lambda case: f"{case.peer}: {case.name}")
def test_a_peer_that_runs_here(case):
    for module in MODULES[case.peer]:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (pip install 'npswin[peers]')")
    assert compare(case, run(case)).largest < TOLERANCE


@pytest.mark.parametrize("case", GOLDEN_CASES, ids=lambda case: f"{case.peer}: {case.name}")
def test_a_peers_results_as_committed(case):
    assert compare(case, read_golden(case)).largest < TOLERANCE
