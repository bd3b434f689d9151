"""The tests of `tests/ops/test_boxes.py` on a GPU, and what is different there."""

import inspect

import numpy as np
import pytest

from npswin.devices import to_gpu, to_host
from tests.ops import test_boxes

TESTS = {
    name: function
    for name, function in vars(test_boxes).items()
    if name.startswith("test_") and inspect.signature(function).parameters.keys() == {"backend"}
}


class FromHost:
    """A backend that takes NumPy's arrays and returns them."""

    def __init__(self, backend):
        self.backend = backend

    def __getattr__(self, name):
        function = getattr(self.backend, name)

        def call(*args, **kwargs):
            results = function(*map(_to_gpu, args), **{name: _to_gpu(value) for name, value in kwargs.items()})
            return tuple(map(_to_host, results)) if isinstance(results, tuple) else _to_host(results)

        return call


def _to_gpu(value):
    return to_gpu(value) if isinstance(value, np.ndarray) else value


def _to_host(value):
    return to_host(value) if hasattr(value, "shape") and hasattr(value, "get") else value


@pytest.mark.parametrize("name", sorted(TESTS))
def test_as_on_the_cpu(cuda, name):
    TESTS[name](FromHost(cuda))


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_of_a_constant_a_roi_is_the_share_of_it_on_the_map(cuda, sampling_ratio):
    test_boxes.test_of_a_constant_a_roi_is_the_share_of_it_on_the_map(FromHost(cuda), sampling_ratio)


def test_a_label_that_is_no_class_gives_nan(cuda):
    backend, logits = FromHost(cuda), np.zeros((4, 3))
    loss, cache = backend.pixel_cross_entropy_forward(logits, np.array([0, 3, 255, -1]))
    assert np.isnan(loss)
    dlogits = backend.pixel_cross_entropy_backward(1.0, cache)
    np.testing.assert_array_equal(np.isnan(dlogits), np.array([False, True, False, True])[:, None].repeat(3, axis=1))
