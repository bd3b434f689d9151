"""Models and training steps captured as CUDA graphs."""

import gc
import weakref

import numpy as np
import pytest

import npswin
from npswin import devices
from npswin.backends import dispatch
from npswin.backends.cuda.runtime import constants
from npswin.devices import half_dtype, to_gpu, to_host
from npswin.training import SegmentationTask, TrainConfig, compute_gradients
from npswin.training.gpu.captured_step import CapturedSteps, StepScalars
from npswin.training.learner import Learner
from npswin.training.tasks.classification import ClassificationTask
from tests.training.tiny import tiny_model


def images(seed, dtype=np.float32, count=3):
    return to_gpu(np.random.default_rng(seed).standard_normal((count, 3, 8, 8)).astype(dtype))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("variant", [{}, {"ape": True, "window_size": 3, "img_size": None}])
def test_a_captured_model_equals_the_model(cuda, dtype, variant):
    if variant:
        variant = {**variant, "img_size": 10}
    model = tiny_model(**variant).to("cuda")
    dtype = np.dtype(np.float32) if dtype == "float32" else half_dtype(dtype)
    infer = npswin.capture(model, images(0, dtype))
    for seed in (1, 2):
        np.testing.assert_array_equal(to_host(infer(images(seed, dtype))), to_host(model(images(seed, dtype))))
    first = infer(images(1, dtype))
    before = to_host(first).copy()
    infer(images(2, dtype))
    np.testing.assert_array_equal(to_host(first), before)


def test_a_graph_uses_parameters_that_change_in_place(cuda):
    model = tiny_model().to("cuda")
    infer = npswin.capture(model, images(0))
    before = to_host(infer(images(1)))
    model.params["head.bias"][...] = 1.0
    after = to_host(infer(images(1)))
    np.testing.assert_array_equal(after, to_host(model(images(1))))
    assert (before != after).all()


def test_arrays_of_other_shapes_dtypes_and_devices_are_refused(cuda):
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
        npswin.capture(lambda x, y: y, np.ones(3), images(0))
    with pytest.raises(ValueError, match="got an array on 'cpu', expected 'cuda', where the parameters are"):
        npswin.capture(model, to_host(images(0)))


def test_a_capture_that_fails_is_ended(cuda):
    def fails(x):
        fails.calls += 1
        if fails.calls == 2:
            raise KeyError("in the middle")
        return x

    fails.calls = 0
    with pytest.raises(KeyError, match="in the middle"):
        npswin.capture(fails, images(0))
    model = tiny_model().to("cuda")
    assert np.isfinite(to_host(model(images(0)))).all()


def recorded(model, label_smoothing=0.0):
    """Captured steps that update nothing and return the norm of the gradients."""
    task = ClassificationTask(TrainConfig(label_smoothing=label_smoothing))
    return CapturedSteps(task, model, lambda rates: dispatch.global_norm(model.grads.values()) / rates.loss_scale)


def rates(loss_scale=1.0):
    return StepScalars(1e-3, 1, loss_scale, 0.9)


def test_captured_gradients_equal_those_of_the_step(cuda, capsys):
    model, labels = tiny_model(dtype="float64", drop_path_rate=0.0).to("cuda"), np.array([0, 2, 1])
    captured = recorded(model, 0.1)
    for seed in (1, 2, 1):
        given = labels if seed == 1 else to_gpu(labels)
        loss, norm = map(float, captured.run(images(seed, np.float64), given, seed, rates(4.0)))
        found = {name: to_host(grad).copy() for name, grad in model.grads.items()}
        wanted = float(compute_gradients(model, images(seed, np.float64), labels, 0.1, 1, seed, 4.0))
        assert loss == pytest.approx(wanted, rel=1e-12)
        assert 4 * norm == pytest.approx(np.sqrt(sum((grad**2).sum() for grad in found.values())), rel=1e-12)
        for name, grad in model.grads.items():
            np.testing.assert_allclose(found[name], to_host(grad), rtol=1e-9, atol=1e-13, err_msg=name)
    assert not capsys.readouterr().err


def loss_of(captured, seed):
    return float(captured.run(images(0), np.zeros(3, int), seed, rates())[0])


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_seed_determines_the_dropout_of_a_captured_step(cuda, capsys, dropout):
    """Attention with dropout uses CuPy's matrix products, which cannot be captured."""
    model = tiny_model(drop_path_rate=0.5, drop_rate=dropout, attn_drop_rate=dropout).to("cuda")
    captured, other = recorded(model), recorded(model)
    first, second, third = (loss_of(captured, seed) for seed in (1, 2, 1))
    assert first == third != second
    assert np.isfinite([first, second]).all()
    assert loss_of(other, 2) == second
    assert ("no CUDA graph" in capsys.readouterr().err) == (dropout > 0)


def test_a_task_that_cannot_be_captured_is_reported(cuda, capsys):
    assert Learner(tiny_model().to("cuda"), TrainConfig(), 2, SegmentationTask())._captured is None
    assert "no CUDA graph for this task" in capsys.readouterr().err
    assert Learner(tiny_model().to("cuda"), TrainConfig(), 2, ClassificationTask(TrainConfig()))._captured is not None
    assert not capsys.readouterr().err


def test_a_constant_that_is_first_needed_during_a_capture_is_refused(cuda):
    def late(x):
        late.calls += 1
        return x * 1 if late.calls == 1 else x * constants.constant(np.ones, 3)

    late.calls = 0
    with pytest.raises(RuntimeError, match=r"ones of \(3,\) is first used in the middle of a recording"):
        npswin.capture(late, images(0))


def test_each_shape_of_a_batch_has_its_own_graph(cuda):
    model = tiny_model(dtype="float64").to("cuda")
    captured = recorded(model)
    for count in (3, 2, 3):
        captured.run(images(0, np.float64, count), np.zeros(count, int), 0, rates())
        found = to_host(model.grads["head.weight"]).copy()
        compute_gradients(model, images(0, np.float64, count), np.zeros(count, int), 0.0, 1, 0)
        np.testing.assert_allclose(found, to_host(model.grads["head.weight"]), rtol=1e-9)


def test_an_update_that_is_called_before_the_capture_gets_nan_as_rates(cuda):
    model, seen = tiny_model().to("cuda"), []

    def update(given):
        if not seen:  # the first call, which is not captured
            seen.append(float(given.loss_scale))
        return given.lr * 1

    loss_of(CapturedSteps(ClassificationTask(TrainConfig()), model, update), 0)
    assert np.isnan(seen)


def learner(optimizer, device="cuda", micro_batches=1):
    model = tiny_model(dtype="float64", drop_path_rate=0.0).to(device)
    switches = {"warmup_epochs": 1, "clip_norm": 0.1, "ema_decay": 0.9, "lr": 1e-2, "epochs": 4}
    config = TrainConfig(optimizer=optimizer, micro_batches=micro_batches, **switches)
    return Learner(model, config, 2, ClassificationTask(config))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_captured_steps_equal_steps_on_the_cpu(cuda, optimizer, capsys):
    """Rates, clipping, update and average change from step to step, though the step is captured once."""
    on_gpu, on_cpu, in_pieces = learner(optimizer), learner(optimizer, "cpu"), learner(optimizer, micro_batches=2)
    for step in range(5):
        labels = np.array([0, 2, 1])
        batch = images(step, np.float64)
        record, wanted = on_gpu.train_step(batch, labels, step), on_cpu.train_step(to_host(batch), labels, step)
        in_pieces.train_step(batch, labels, step)
        assert {name: float(value) for name, value in record.items()} == pytest.approx(wanted, rel=1e-9)
    for other in (on_gpu, in_pieces):
        for name, param in on_cpu.model.params.items():
            np.testing.assert_allclose(to_host(other.model.params[name]), param, rtol=1e-8, atol=1e-9, err_msg=name)
        for name, average in on_cpu.ema.average.items():
            np.testing.assert_allclose(to_host(other.ema.average[name]), average, rtol=1e-8, atol=1e-9, err_msg=name)
    assert on_gpu.optimizer.steps == on_cpu.optimizer.steps == 5
    assert "no CUDA graph" not in capsys.readouterr().err


def test_where_capture_is_not_supported_steps_run_uncaptured_with_a_message(cuda, monkeypatch, capsys):
    def refuse(self):
        raise RuntimeError("cudaErrorStreamCaptureUnsupported")

    model = tiny_model().to("cuda")
    wanted = [loss_of(recorded(model), seed) for seed in (0, 0)]
    monkeypatch.setattr(devices.cupy().cuda.Stream, "begin_capture", refuse)
    captured = recorded(model)
    assert [loss_of(captured, seed) for seed in (0, 0)] == pytest.approx(wanted)
    assert capsys.readouterr().err == (
        "no CUDA graph, the kernels of a step are launched one by one: cudaErrorStreamCaptureUnsupported\n"
    )


def test_a_graph_keeps_its_constants_alive(cuda):
    """If they were freed when the cache drops them, their memory would be reused."""
    model = tiny_model().to("cuda")
    infer = npswin.capture(model, images(0))
    references = [weakref.ref(array) for array in infer._constants]
    assert references
    constants._cached.cache_clear()
    gc.collect()
    assert all(one() is not None for one in references)
    del infer
    gc.collect()
    assert all(one() is None for one in references)


def test_each_gpu_has_its_own_constants(cuda, monkeypatch):
    def make(number):
        return np.array([number])

    first = constants.constant(make, 3)
    assert constants.constant(make, 3) is first
    monkeypatch.setattr(devices.cupy().cuda.runtime, "getDevice", lambda: 1)
    assert constants.constant(make, 3) is not first
