"""Models captured as lists of jobs."""

import gc
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor, wait
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import npswin
from npswin.backends import cpu, dispatch
from npswin.backends.cpu.machine import threads as threads_module
from npswin.backends.cpu.machine.captured import Captured
from npswin.backends.cpu.machine.job_board import BUSY, COMING, JOB
from npswin.backends.cpu.machine.threads import run_parallel
from tests.backends.cpu.settings import cpu_settings
from tests.backends.cpu.test_threads import fail_in_one_part
from tests.models.test_swin import variants
from tests.models.tiny import images, tiny
from tests.thorough import examples


@pytest.fixture(autouse=True)
def _cpu_backend():
    before = npswin.get_backend()
    npswin.set_backend("cpu")
    yield
    npswin.set_backend(before)


def drawn(seed, like):
    """Other images of this shape and dtype."""
    return np.random.default_rng(seed).standard_normal(like.shape).astype(like.dtype)


def change_parameters(model):
    """All of them, in place."""
    for value in model.params.values():
        value *= 1.25
        value += 0.125


@settings(max_examples=examples(60, 12))
@given(variants(), st.sampled_from(["float32", "float64"]), st.integers(1, 3), st.integers(1, 3), st.data())
def test_a_captured_model_equals_the_model_also_after_its_parameters_changed(variant, dtype, batch, threads, data):
    arguments, size = variant
    model = tiny(**{**arguments, "dtype": dtype, "num_classes": data.draw(st.sampled_from([0, 3]))})
    first = images(size, batch).astype(dtype)
    with cpu_settings(threads):
        infer = npswin.capture(model, first)
        for seed in range(2):
            other = drawn(seed, first)
            assert infer(other).tobytes() == model(other).tobytes()
        before = infer(first)
        change_parameters(model)
        assert infer(first).tobytes() == model(first).tobytes()
    assert infer(first).tobytes() != before.tobytes()


@pytest.mark.parametrize("name", ["swin_nano_patch2_window4_32", "swin_tiny_patch2_window4_32"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_captured_configuration_equals_the_model(name, threads):
    """Their maps of few tokens are split by heads and by rows of the weights."""
    model = npswin.create_model(name)
    size = model.config["img_size"]
    first = images((size, size), 1).astype(np.float32)
    with cpu_settings(threads):
        infer = npswin.capture(model, first)
        for _ in range(3):
            assert infer(first).tobytes() == model(first).tobytes()


def test_a_result_is_a_new_array():
    model, first = tiny(), images((16, 16))
    infer = npswin.capture(model, first)
    result = infer(first)
    before = result.copy()
    infer(first + 1)
    np.testing.assert_array_equal(result, before)


def test_examples_are_not_changed_and_may_lie_in_memory_in_any_way():
    model = tiny()
    first = np.asfortranarray(images((16, 16)))[:, :, ::-1]
    first.flags.writeable = False
    before = first.copy()
    infer = npswin.capture(model, first)
    np.testing.assert_array_equal(infer(first), model(first))
    np.testing.assert_array_equal(first, before)


def test_a_function_of_several_arrays_is_captured():
    rng = np.random.default_rng(0)
    x, weight, bias = rng.standard_normal((5, 7)), rng.standard_normal((3, 7)), rng.standard_normal(3)
    linear = npswin.capture(dispatch.linear, x, weight, bias)
    np.testing.assert_array_equal(linear(x + 1, -weight, 2 * bias), dispatch.linear(x + 1, -weight, 2 * bias))


def test_other_models_garbage_and_threads_in_between_change_nothing():
    model, other, first = tiny(), tiny(embed_dim=12, num_heads=(2, 3)), images((16, 16))
    with cpu_settings(2):
        infer = npswin.capture(model, first)
        wanted = [model(first * k).tobytes() for k in range(8)]

        def call(k):
            other.forward(images((30, 30), 4))
            gc.collect()
            return infer(first * k).tobytes()

        assert [call(k) for k in range(8)] == wanted
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(call, range(8))) == wanted


def test_threads_that_call_a_recording_take_turns():
    model, first = tiny(), images((16, 16))
    infer = npswin.capture(model, first)
    with ThreadPoolExecutor(1) as pool:
        with infer._lock:
            call = pool.submit(infer, first)
            assert wait([call], 0.1).not_done
        assert call.result().tobytes() == model(first).tobytes()


def test_jobs_have_working_memory_that_no_other_jobs_use():
    model, first = tiny(), images((16, 16))
    infer = npswin.capture(model, first)
    model(first)
    for array in threads_module._local.working_memory.arrays.values():
        assert not any(array.ctypes.data in job.words for job in infer._recording.jobs)


def test_memory_is_reused_within_a_recording():
    def function(x):
        for _ in range(10):
            x = dispatch.relu(x)
        return x

    x = np.ones(1000)
    infer = npswin.capture(function, x)
    addresses = {job.words[place] for job in infer._recording.jobs for place in np.flatnonzero(job.words > 1 << 20)}
    assert len(infer._recording.jobs) == 10
    assert len(addresses) <= 5  # the kernel's input and working memory, and a few results in turn
    np.testing.assert_array_equal(infer(x), x)


def test_the_model_may_be_gone():
    model, first = tiny(), images((16, 16))
    infer, wanted = npswin.capture(model, first), model(first)
    del model
    gc.collect()
    filled = [np.full(size, np.nan) for size in range(1, 3000)]
    np.testing.assert_array_equal(infer(first), wanted, err_msg=str(len(filled)))


@pytest.mark.parametrize("recorded_with", [1, 2, 3])
def test_after_a_change_of_the_number_of_threads_results_keep_their_bits(recorded_with):
    model, first = npswin.create_model("swin_nano_patch2_window4_32"), images((32, 32), 2).astype(np.float32)
    with cpu_settings(recorded_with):
        infer, wanted = npswin.capture(model, first), model(first)
    for threads in (3, 1, 2, 5):
        with cpu_settings(threads):
            assert infer(first).tobytes() == wanted.tobytes()


@pytest.mark.parametrize(("recorded_with", "threads"), [(2, 3), (3, 2)])
def test_jobs_are_not_shared_where_memory_is_for_fewer_threads_or_the_board_for_fewer_parts(recorded_with, threads):
    x = np.random.default_rng(0).standard_normal((2, 100_000))
    with cpu_settings(recorded_with):
        infer = npswin.capture(dispatch.relu, x)
        infer(x)
        assert threads_module._team.board[JOB] > 0
    with cpu_settings(threads):
        np.testing.assert_array_equal(infer(x), dispatch.relu(x))
        shared = threads_module._team.board[JOB]
        np.testing.assert_array_equal(infer(x), dispatch.relu(x))
        assert threads_module._team.board[JOB] == shared + 1  # that of dispatch.relu


def test_the_threads_share_the_jobs_and_nothing_is_announced_afterwards():
    model, first = npswin.create_model("swin_nano_patch2_window4_32"), images((32, 32), 2).astype(np.float32)
    with cpu_settings(2):
        infer, wanted, board = npswin.capture(model, first), model(first), threads_module._team.board
        shared = sum(job.parts > 1 for job in infer._recording.jobs)
        before = board[JOB]
        infer(first)
        assert shared > 10
        assert board[JOB] == board[COMING] == before + shared
        board[BUSY] = 1  # another thread's job
        assert infer(first).tobytes() == wanted.tobytes()
        assert board[JOB] == board[COMING] == before + shared
        board[BUSY] = 0


def test_arrays_of_other_shapes_and_dtypes_are_refused():
    model, first = tiny(), images((16, 16))
    infer = npswin.capture(model, first)
    with pytest.raises(
        ValueError, match=r"array 0: got float64 of shape \(3, 3, 16, 16\), expected float64 of shape \(2,"
    ):
        infer(images((16, 16), 3))
    with pytest.raises(ValueError, match="array 0: got float32"):
        infer(first.astype(np.float32))
    with pytest.raises(ValueError, match="array 0: got list"):
        infer(first.tolist())
    with pytest.raises(ValueError, match="got 2 arrays, expected 1"):
        infer(first, first)


def test_what_cannot_be_captured_is_refused():
    model, first = tiny(), images((16, 16))
    with pytest.raises(ValueError, match="examples: number 1 is a list, expected an array"):
        npswin.capture(model, first, [1.0])
    with pytest.raises(ValueError, match="examples: got none"):
        npswin.capture(model)
    with pytest.raises(ValueError, match=r"function: returned .*, expected an array"):
        npswin.capture(model.feature_maps, first)
    npswin.set_backend("numpy")
    with pytest.raises(ValueError, match="the backend 'numpy' has no kernels to record"):
        npswin.capture(model, first)


PARAMETER = np.ones(4)
SEEN = []


def by_numpy_before(x):
    return dispatch.relu(x * PARAMETER)


def by_numpy_after(x):
    return dispatch.relu(x) * PARAMETER


def by_numpy_in_place(x):
    y = dispatch.relu(x)
    y += PARAMETER
    return y


def a_parameter_by_numpy(x):
    """Its value now is as good as recorded; the next one is not."""
    return dispatch.linear(x, np.eye(4), PARAMETER + 1)


def a_parameter_alone(x):
    return PARAMETER * 2


def a_number_of_an_array(x):
    return dispatch.layer_norm(x, PARAMETER, PARAMETER, eps=float(abs(x).max()))


def an_op_that_is_missing(x):
    with mock.patch.object(dispatch, "_backend", "numpy"):
        return dispatch.relu(x)


def another_array_each_time(x):
    SEEN.append(np.full(4, len(SEEN) % 2 + 1.0))
    return dispatch.linear(x, np.eye(4), SEEN[-1])


@pytest.mark.parametrize(
    "function",
    [
        *(by_numpy_before, by_numpy_after, by_numpy_in_place, a_parameter_by_numpy, a_number_of_an_array),
        *(an_op_that_is_missing, another_array_each_time, a_parameter_alone),
    ],
)
def test_a_function_that_computes_outside_the_kernels_is_refused(function):
    with pytest.raises(ValueError, match="function: it computes something outside the cpu backend's kernels"):
        npswin.capture(function, np.random.default_rng(0).standard_normal((2, 3, 5, 4)))


RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "layer",
    [
        npswin.layers.Mlp(4, 8, RNG, dtype="float64"),
        npswin.layers.WindowAttention(4, 2, 2, RNG, dtype="float64"),
        npswin.layers.BatchNorm2d(4, "float64"),
    ],
)
def test_layers_that_need_more_than_kernels_are_refused(layer):
    with pytest.raises(ValueError, match="function: it computes something outside the cpu backend's kernels"):
        npswin.capture(layer, images((4, 4))[..., :4])


def test_a_resized_map_is_captured():
    x = np.random.default_rng(0).standard_normal((2, 5, 6, 3))
    for resize in (dispatch.resize_bilinear, dispatch.resize_bicubic, dispatch.resize_nearest):
        np.testing.assert_array_equal(
            npswin.capture(lambda x, to=resize: to(x, (7, 4)), x)(2 * x), resize(2 * x, (7, 4))
        )


def test_a_convolution_that_decides_by_its_numbers_is_refused():
    x, weight = np.ones((1, 32, 32, 64), np.float32), np.ones((64, 64, 3, 3), np.float32)
    with pytest.raises(ValueError, match="function: the algorithm of a convolution of 3×3 depends on its numbers"):
        npswin.capture(lambda x: dispatch.conv2d(x, weight, None, 1, 1), x)


def test_a_capture_that_fails_is_ended():
    def fails(x):
        raise KeyError("in the middle")

    with pytest.raises(KeyError, match="in the middle"):
        npswin.capture(fails, images((16, 16)))
    assert threads_module._local.recording is None
    model, first = tiny(), images((16, 16))
    assert model(first).tobytes() == npswin.capture(model, first)(first).tobytes()


def test_a_part_that_fails_is_reported_and_the_recording_goes_on():
    done = np.zeros(3, bool)

    def function(failing):
        run_parallel(fail_in_one_part, 3, 0, np.dtype(np.float32), 5, done)
        y = cpu.relu_forward(failing)[0]
        run_parallel(fail_in_one_part, 3, 0, np.dtype(np.float32), 5, done)
        return y

    with cpu_settings(3):
        infer = Captured(function, np.ones(4))
        words = infer._recording.jobs[-1].words
        (place,) = np.flatnonzero(words == 5)
        words[place] = 1
        with pytest.raises(RuntimeError, match="fail_in_one_part: a part of it raised an exception"):
            infer(np.ones(4))
        words[place] = 5
        np.testing.assert_array_equal(infer(np.ones(4)), np.ones(4))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_a_recording_of_its_own():
    model, first = tiny(), images((16, 16))
    with cpu_settings(3):
        infer = npswin.capture(model, first)
        wanted = infer(first).tobytes()

        def compute():
            assert infer(first).tobytes() == wanted

        child = multiprocessing.get_context("fork").Process(target=compute, daemon=True)
        with infer._lock:
            child.start()
        assert infer(first + 1).tobytes() == model(first + 1).tobytes()
        child.join(60)
        assert child.exitcode == 0
