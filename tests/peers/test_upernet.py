"""UPerNet compared with transformers' in float64: logits, loss, buffers and every gradient."""

import importlib.util

import numpy as np
import pytest

from npswin.models.segmentation import UPerNet
from npswin.weights.load import model_tensors
from tests.peers.comparison import relative
from tests.peers.upernet import CASES, GOLDEN_CASES, read_golden, run

TOLERANCE = 1e-11


def compare(case, expected):
    """Errors by the name of what is compared."""
    model = UPerNet(**case.model)
    before = {name.removeprefix("before/"): value for name, value in expected.items() if name.startswith("before/")}
    state = model_tensors(model)
    assert set(before) == set(state)
    for name, value in state.items():
        value[...] = before[name]
    images, labels = expected["images"], expected["labels"]
    losses, cache = model.loss_forward(images, labels)
    dimages = model.loss_backward(cache)
    after = {name.removeprefix("after/"): value for name, value in expected.items() if name.startswith("after/")}
    grads = {name.removeprefix("grads/"): value for name, value in expected.items() if name.startswith("grads/")}
    assert set(after) == set(model.buffers)
    assert set(grads) == set(model.grads)
    largest = max(np.abs(value).max() for value in grads.values())
    found = {
        "loss": relative(np.array(sum(losses.values())), expected["loss"]),
        "dimages": relative(dimages, expected["dimages"]),
        "inference": relative(model(images).transpose(0, 3, 1, 2), expected["inference"]),
    }
    found |= {f"after/{name}": relative(value, after[name]) for name, value in model.buffers.items()}
    for name, value in model.grads.items():
        # A stage's norm adds its bias before a 1×1 convolution with batch norm: that derivative is 0 but for rounding.
        is_zero = np.abs(grads[name]).max() < 1e-14 * largest
        found[f"grads/{name}"] = np.abs(value).max() / largest if is_zero else relative(value, grads[name])
    return found


def assert_equal(case, expected):
    errors = compare(case, expected)
    worst = max(errors, key=lambda name: errors[name])
    assert errors[worst] < TOLERANCE, worst


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_parity_with_transformers(case):
    for module in ("torch", "transformers"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (pip install 'npswin[peers]')")
    assert_equal(case, run(case))


@pytest.mark.parametrize("case", GOLDEN_CASES, ids=lambda case: case.name)
def test_parity_with_the_committed_results_of_transformers(case):
    assert_equal(case, read_golden(case))
