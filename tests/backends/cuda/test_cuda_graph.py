"""Models as CUDA graphs."""

import numpy as np
import pytest

import npswin
from npswin.devices import short_dtype, to_gpu, to_host
from tests.training.tiny import tiny_model


def images(seed, dtype=np.float32, count=3):
    return to_gpu(np.random.default_rng(seed).standard_normal((count, 3, 8, 8)).astype(dtype))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("variant", [{}, {"ape": True, "window_size": 3, "img_size": None}])
def test_a_captured_model_says_what_the_model_says(cuda, dtype, variant):
    if variant:
        variant = {**variant, "img_size": 10}
    model = tiny_model(**variant).to("cuda")
    dtype = np.dtype(np.float32) if dtype == "float32" else short_dtype(dtype)
    infer = npswin.capture(model, images(0, dtype))
    for seed in (1, 2):
        np.testing.assert_array_equal(to_host(infer(images(seed, dtype))), to_host(model(images(seed, dtype))))
    first = infer(images(1, dtype))
    before = to_host(first).copy()
    infer(images(2, dtype))
    np.testing.assert_array_equal(to_host(first), before)


def test_a_graph_sees_parameters_that_change_in_place(cuda):
    model = tiny_model().to("cuda")
    infer = npswin.capture(model, images(0))
    before = to_host(infer(images(1)))
    model.params["head.bias"][...] = 1.0
    after = to_host(infer(images(1)))
    np.testing.assert_array_equal(after, to_host(model(images(1))))
    assert (before != after).all()


def test_other_arrays_are_refused(cuda):
    model = tiny_model().to("cuda")
    infer = npswin.capture(model, images(0))
    with pytest.raises(
        ValueError, match=r"array 0: got float32 of shape \(2, 3, 8, 8\), expected float32 of shape \(3,"
    ):
        infer(images(0, count=2))
    with pytest.raises(ValueError, match="array 0: got float64"):
        infer(images(0, np.float64))
    with pytest.raises(ValueError, match="on the GPU"):
        infer(to_host(images(0)))
    with pytest.raises(ValueError, match="got 0 arrays, expected 1"):
        infer()
    with pytest.raises(ValueError, match="number 0 is a ndarray, expected an array on the GPU"):
        npswin.capture(model, np.ones((3, 3, 8, 8), np.float32))


def test_what_fails_while_it_is_recorded_leaves_no_recording(cuda):
    def fails(x):
        fails.calls += 1
        if fails.calls == 2:
            raise KeyError("in the middle")
        return x

    fails.calls = 0
    with pytest.raises(KeyError):
        npswin.capture(fails, images(0))
    model = tiny_model().to("cuda")
    assert np.isfinite(to_host(model(images(0)))).all()
