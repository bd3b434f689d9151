"""Logits and every gradient, compared with independent implementations in float64."""

import importlib.util

import pytest

from tests.peers.comparison import compare
from tests.peers.golden import GOLDEN_CASES, read_golden
from tests.peers.reference import CASES, SWIN_TRANSFORMER_PYTORCH_CASES, run

TOLERANCE = 1e-12
MODULES = {"transformers": ("torch", "transformers"), "swin-transformer-pytorch": ("torch", "swin_transformer_pytorch")}


@pytest.mark.parametrize("case", CASES + SWIN_TRANSFORMER_PYTORCH_CASES, ids=lambda case: f"{case.peer}: {case.name}")
def test_parity_with_an_installed_peer(case):
    for module in MODULES[case.peer]:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (pip install 'npswin[peers]')")
    assert compare(case, run(case)).largest < TOLERANCE


@pytest.mark.parametrize("case", GOLDEN_CASES, ids=lambda case: f"{case.peer}: {case.name}")
def test_parity_with_the_committed_results_of_a_peer(case):
    assert compare(case, read_golden(case)).largest < TOLERANCE
