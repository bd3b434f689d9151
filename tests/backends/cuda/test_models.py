"""Models and training on a GPU, or on `fake_cupy`: the same numbers as on the CPU, and errors."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import npswin
from npswin import backends, devices
from npswin.backends.cuda.fused import attention as fused_attention
from npswin.devices import on_gpu, to_gpu, to_host
from npswin.layers import SwinTransformerBlock
from npswin.training import (
    Ema,
    NonFiniteError,
    TrainConfig,
    Trainer,
    compute_gradients,
    draw_attention,
    draw_predictions,
    evaluate,
)
from npswin.training import trainer as trainer_module
from npswin.training.gpu.loss_scale import LossScale
from npswin.weights import load_tensors
from tests.thorough import some
from tests.training.tiny import tiny_config, tiny_data, tiny_model, tiny_trainer


@pytest.fixture(autouse=True)
def _no_curves(monkeypatch):
    monkeypatch.setattr(trainer_module, "draw_curves", lambda *_: None)


RNG = np.random.default_rng
VARIANTS = [
    {},
    {"ape": True, "position_bias": "shared"},
    {"position_bias": "full", "qkv_bias": False, "img_size": None},
    {"position_bias": "none", "norm_after_pool": True, "patch_norm": False},
    {"drop_rate": 0.2, "attn_drop_rate": 0.2, "drop_path_rate": 0.5},
]


def small_model(**overrides):
    """Two stages, with a shift and padding."""
    stages = {"depths": (2, 1), "num_heads": (2, 3), "embed_dim": 12, "window_size": 3, "img_size": 14}
    return tiny_model(**{**stages, "dtype": "float64", **overrides})


def batch(model, count=3, side=14):
    rng = RNG(0)
    return rng.standard_normal((count, 3, side, side)).astype(model.dtype), rng.integers(3, size=count)


def trained(model, images, labels, scale=1.0):
    """Logits, loss, dx and gradients as NumPy arrays, and the parameters after a step."""
    logits, cache = model.forward(images, rng=RNG(1))
    loss, dlogits = npswin.cross_entropy(logits, labels, label_smoothing=0.1, scale=scale)
    dx = model.backward(dlogits, cache)
    gradients = {name: to_host(grad) / grad.dtype.type(scale) for name, grad in model.grads.items()}
    npswin.AdamW(model, lr=1e-2).step()
    return {"logits": to_host(logits), "loss": float(loss), "dx": to_host(dx), **gradients}, model.params


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_training_step_on_a_gpu_equals_one_on_the_cpu(cuda, variant):
    model = small_model(**variant)
    images, labels = batch(model)
    wanted, wanted_params = trained(small_model(**variant), images, labels)
    assert model.to("cuda") is model
    found, params = trained(model, to_gpu(images), labels)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-12, err_msg=name)
    for name, param in wanted_params.items():
        assert on_gpu(params[name])
        np.testing.assert_allclose(to_host(params[name]), param, rtol=1e-7, atol=1e-7, err_msg=name)


@pytest.mark.parametrize(("dtype", "limit"), some([("bfloat16", 3e-2), ("float16", 5e-3)], {("bfloat16", 3e-2)}))
def test_maps_of_16_bits_leave_parameters_and_gradients_in_float32(cuda, dtype, limit):
    images, labels = batch(small_model(dtype="float32"))
    wanted, _ = trained(small_model(dtype="float32"), images, labels)
    model = small_model(dtype="float32").to("cuda")
    short = to_gpu(images).astype(devices.half_dtype(dtype))
    found, params = trained(model, short, labels, scale=1024.0)
    assert found["logits"].dtype == found["dx"].dtype == devices.half_dtype(dtype)
    for name, param in params.items():
        assert param.dtype == found[name].dtype == np.float32, name
        error = np.linalg.norm(found[name] - wanted[name]) / np.linalg.norm(wanted[name])
        assert error < limit, name


def test_a_model_moves_to_the_gpu_and_back_unchanged(cuda):
    model = tiny_model()
    before = {name: param.copy() for name, param in model.params.items()}
    images, _ = batch(model, side=8)
    logits = model(images)
    model.to("cuda").to("cuda").to("cpu")
    for name, param in model.params.items():
        assert isinstance(param, np.ndarray)
        np.testing.assert_array_equal(param, before[name])
    np.testing.assert_array_equal(model(images), logits)


def test_gradients_move_with_the_model(cuda):
    model = tiny_model()
    images, labels = batch(model, side=8)
    compute_gradients(model, images, labels)
    before = {name: grad.copy() for name, grad in model.grads.items()}
    model.to("cuda")
    for name, grad in model.grads.items():
        np.testing.assert_array_equal(to_host(grad), before[name])


def test_weight_files_do_not_depend_on_the_device(cuda, tmp_path):
    on_cpu, gpu_model = tiny_model(seed=1), tiny_model(seed=2).to("cuda")
    on_cpu.save(tmp_path / "cpu.safetensors")
    assert npswin.load_weights(gpu_model, tmp_path / "cpu.safetensors").complete
    gpu_model.save(tmp_path / "gpu.safetensors")
    assert (tmp_path / "gpu.safetensors").read_bytes().endswith((tmp_path / "cpu.safetensors").read_bytes()[-4000:])


def test_feature_maps_and_attention_maps_on_a_gpu(cuda):
    model = small_model()
    images, _ = batch(model)
    features, attention_maps = model.feature_maps(images), model.attention_maps(images)
    model.to("cuda")
    for wanted, found in zip(features, model.feature_maps(to_gpu(images)), strict=True):
        np.testing.assert_allclose(to_host(found), wanted, rtol=1e-10, atol=1e-12)
    for wanted, found in zip(attention_maps, model.attention_maps(to_gpu(images)), strict=True):
        np.testing.assert_allclose(to_host(found["probabilities"]), wanted["probabilities"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (11, np.uint16)])
def test_a_run_on_other_channels_and_bits_is_the_same_on_a_gpu(cuda, tmp_path, monkeypatch, channels, dtype):
    monkeypatch.setattr("npswin.training.trainer.draw_curves", lambda *_: None)
    data = [tiny_data(count, split, 0, channels, dtype) for count, split in ((24, "train"), (10, "test"))]
    results = []
    for device in ("cpu", "cuda"):
        model = tiny_model(in_chans=channels, dtype="float64", drop_path_rate=0.0).to(device)
        config = tiny_config(epochs=1, crop_padding=0, flip=False, mixup=0.0)
        results.append(Trainer(model, *data, config, tmp_path / device).fit().loss)
    assert results[1] == pytest.approx(results[0], rel=1e-9)


def test_maps_of_a_block_on_a_gpu(cuda):
    model = small_model()
    images, _ = batch(model)
    arguments = [{"block": number, "pixels": pixels} for number in (0, -1) for pixels in (False, True)]
    attention = [npswin.attention_maps(model, images, query=(1, 2), **one) for one in arguments]
    cams = [npswin.grad_cam(model, images, [1, 0, 2], **one) for one in arguments]
    model.to("cuda")
    on_gpu_images = to_gpu(images)
    for one, wanted_attention, wanted_cam in zip(arguments, attention, cams, strict=True):
        found = npswin.attention_maps(model, on_gpu_images, query=(1, 2), **one)
        np.testing.assert_allclose(found, wanted_attention, rtol=1e-9, atol=1e-12)
        found = npswin.grad_cam(model, on_gpu_images, [1, 0, 2], **one)
        np.testing.assert_allclose(found, wanted_cam, rtol=1e-8, atol=1e-12)


def test_dropout_masks_may_be_drawn_on_the_gpu(cuda):
    library = devices.cupy().random
    model = tiny_model(drop_rate=0.3, attn_drop_rate=0.3).to("cuda")
    images = to_gpu(batch(model, side=8)[0])
    draws = [to_host(model.forward(images, rng=library.Generator(library.Philox4x3210(seed)))[0]) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


@pytest.mark.parametrize("pieces", [2, 3])
def test_micro_batches_on_a_gpu_give_the_same_gradients(cuda, pieces):
    model = small_model(drop_path_rate=0.5, drop_rate=0.2).to("cuda")
    images, labels = batch(model, count=5)
    compute_gradients(model, to_gpu(images), labels, seed=3)
    whole = {name: to_host(grad).copy() for name, grad in model.grads.items()}
    compute_gradients(model, to_gpu(images), labels, seed=3, micro_batches=pieces)
    for name, grad in model.grads.items():
        np.testing.assert_allclose(to_host(grad), whole[name], rtol=1e-8, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("precision", some(["full", "tf32", "bfloat16", "float16"], {"float16"}))
def test_training_on_a_gpu(cuda, tmp_path, precision):
    data = tiny_data(), tiny_data(10, "test")
    model = tiny_model().to("cuda")
    run = Trainer(model, *data, tiny_config(precision=precision), tmp_path / "gpu")
    run.fit()
    assert not npswin.allow_tf32(False)  # restored
    tiny_trainer(tmp_path / "cpu").fit()
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / place / "metrics.jsonl").read_text().splitlines()]
        for place in ("gpu", "cpu")
    ]
    np.testing.assert_allclose(losses[0][0], losses[1][0], rtol=0.2)  # masks are drawn by another generator
    assert losses[0][-1] < losses[0][0]
    draw_predictions(model, data[1], run.mean, run.std, tmp_path / "predictions.png")
    draw_attention(model, data[1], run.mean, run.std, tmp_path / "attention.png")


@pytest.mark.parametrize("to", ["cpu", "cuda"])
def test_a_run_can_be_resumed_on_another_device(cuda, tmp_path, to):
    first, second = ("cpu", "cuda") if to == "cuda" else ("cuda", "cpu")
    precision = {"cpu": "full", "cuda": "float16"}
    data = tiny_data(), tiny_data(10, "test")

    def trainer(device):
        config = tiny_config(precision=precision[device], optimizer="sgd" if to == "cpu" else "adamw")
        return Trainer(tiny_model().to(device), *data, config, tmp_path / "run")

    begun = trainer(first)
    begun._run = lambda: begun._train_epoch() or begun._finish_epoch()
    begun.fit()
    result = trainer(second).fit(resume=True)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 10))
    assert result.images == 10


def test_the_loss_scale_is_halved_until_nothing_overflows(cuda, tmp_path):
    run = Trainer(
        tiny_model().to("cuda"), tiny_data(), tiny_data(10, "test"), tiny_config(precision="float16"), tmp_path / "run"
    )
    learner = run._learner
    learner.loss_scale.value = 2.0**24
    images, labels = batch(tiny_model(), side=8)
    record = learner.train_step(to_gpu(images).astype(np.float16), labels, seed=0)
    assert np.isfinite(float(record["gradient_norm"]))
    assert 1 < learner.loss_scale.value < 2.0**24
    assert np.log2(learner.loss_scale.value) % 1 == 0


@pytest.mark.parametrize("precision", ["full", "float16"])
def test_a_step_with_nan_changes_nothing_and_is_an_error(cuda, tmp_path, precision):
    run = Trainer(
        tiny_model().to("cuda"), tiny_data(), tiny_data(10, "test"), tiny_config(precision=precision), tmp_path / "run"
    )
    images, labels = batch(tiny_model(), side=8)
    images[1, 2, 3, 4] = np.nan
    params = run.model.params
    before = {name: to_host(param).copy() for name, param in params.items()}
    dtype = devices.half_dtype("float16") if precision == "float16" else np.float32
    with pytest.raises(NonFiniteError, match="the loss is nan and the norm of all gradients nan"):
        run._learner.finish_step(run._learner.train_step(to_gpu(images).astype(dtype), labels, seed=0))
    for name, param in params.items():
        np.testing.assert_array_equal(to_host(param), before[name])


def test_nan_in_an_epoch_is_an_error_that_names_the_parameter(cuda, tmp_path):
    run = Trainer(tiny_model().to("cuda"), tiny_data(), tiny_data(10, "test"), tiny_config(), tmp_path / "run")
    run.model.params["head.bias"][...] = np.nan
    with pytest.raises(NonFiniteError, match=r"NaN in parameter head.bias.*last.safetensors"):
        run.fit()


def test_the_loss_scale_grows_after_many_good_steps():
    scale = LossScale(adapts=True)
    first = scale.value
    for _ in range(2000):
        scale.count_good_step()
    assert (scale.value, scale.good_steps) == (2 * first, 0)
    other = LossScale(adapts=True)
    other.load_state(scale.state())
    assert other.value == scale.value
    assert LossScale(adapts=False).state() == {}


def test_arrays_on_the_wrong_device_are_refused(cuda):
    model = tiny_model()
    images, _ = batch(model, side=8)
    with pytest.raises(ValueError, match=r"images: got an array on 'cuda', expected 'cpu'.*x\.get\(\)"):
        model(to_gpu(images))
    logits, cache = model.forward(images, rng=RNG(0))
    with pytest.raises(ValueError, match=r"dlogits.*on 'cpu'"):
        model.backward(to_gpu(np.ones_like(logits)), cache)
    model.to("cuda")
    with pytest.raises(ValueError, match=r"images: got an array on 'cpu', expected 'cuda'.*cupy\.asarray\(x\)"):
        model(images)
    with pytest.raises(ValueError, match="got dtype float64, expected the model's float32"):
        model(to_gpu(images.astype(np.float64)))
    block = SwinTransformerBlock(4, 2, 2, RNG(0)).to("cuda")
    with pytest.raises(ValueError, match="SwinTransformerBlock: x: got an array on 'cpu'"):
        block(np.ones((1, 2, 2, 4), np.float32))


def test_maps_of_16_bits_need_float32_parameters_on_a_gpu(cuda):
    images, _ = batch(tiny_model(), side=8)
    with pytest.raises(ValueError, match="got dtype float16, expected the model's float64"):
        tiny_model(dtype="float64").to("cuda")(to_gpu(images).astype(np.float16))
    with pytest.raises(ValueError, match="dtype float16"):
        tiny_model()(images.astype(np.float16))


def test_unknown_devices_are_refused():
    with pytest.raises(ValueError, match="device: got 'tpu', expected one of 'cpu', 'cuda'"):
        tiny_model().to("tpu")
    with pytest.raises(ValueError, match=r"backend: got 'cuda'.*model\.to\('cuda'\)"):
        npswin.set_backend("cuda")


@pytest.mark.parametrize("precision", ["tf32", "float16"])
def test_other_precisions_need_a_gpu(tmp_path, precision):
    with pytest.raises(ValueError, match=rf"precision: got '{precision}'.*model\.to\('cuda'\)"):
        tiny_trainer(tmp_path / "run", precision=precision)
    with pytest.raises(ValueError, match="precision: got 'half', expected one of 'full', 'tf32'"):
        TrainConfig(precision="half")


class _Missing:
    """CuPy's runtime without a driver (count None) or without a GPU (count 0)."""

    class CUDARuntimeError(RuntimeError):
        pass

    def __init__(self, count):
        self.count = count

    def getDeviceCount(self):
        if self.count is None:
            raise self.CUDARuntimeError("cudaErrorInsufficientDriver")
        return self.count


@pytest.mark.parametrize(
    ("count", "message"), [(None, "no NVIDIA GPU with a working driver"), (0, "there is no NVIDIA GPU")]
)
def test_no_driver_and_no_gpu_are_errors(monkeypatch, count, message):
    runtime = _Missing(count)
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime), ndarray=np.memmap)
    cupy.random = SimpleNamespace(Generator=_Missing)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    devices.cupy.cache_clear()
    model = tiny_model()
    with pytest.raises(RuntimeError, match=message):
        model.to("cuda")
    assert all(isinstance(param, np.ndarray) for param in model.params.values())


def test_no_cupy_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    devices.cupy.cache_clear()
    with pytest.raises(RuntimeError, match=r"no CuPy.*npswin\[cuda12\].*npswin\[cuda13\]"):
        tiny_model().to("cuda")


def test_too_little_memory_is_an_error(cuda, monkeypatch):
    class Full(MemoryError):
        pass

    def full(_):
        raise Full("out of memory allocating 1,000 bytes")

    monkeypatch.setattr(devices.cupy().cuda.memory, "OutOfMemoryError", Full)
    monkeypatch.setattr(devices.cupy(), "asarray", full)
    model = tiny_model()
    with pytest.raises(RuntimeError, match=r"too little memory for the parameters.*1,000 bytes"):
        model.to("cuda")
    assert all(isinstance(param, np.ndarray) for param in model.params.values())


def test_ops_on_arrays_in_host_memory_stay_there(cuda):
    x = np.ones((2, 3), np.float32)
    assert isinstance(backends.dispatch.gelu(x), np.ndarray)
    assert isinstance(backends.dispatch.global_norm([x]), float)
    assert on_gpu(backends.dispatch.global_norm([to_gpu(x)]))
    assert on_gpu(backends.dispatch.gelu(to_gpu(x)))


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_an_optimizer_and_an_average_from_before_the_model_moved_are_refused(cuda, device):
    model = tiny_model().to("cpu" if device == "cuda" else "cuda")
    optimizer, average = npswin.AdamW(model), Ema(model, 0.9)
    model.to(device)
    with pytest.raises(ValueError, match=r"other arrays than when the optimizer was made; do model.to\(...\) before"):
        optimizer.step()
    with pytest.raises(ValueError, match="other arrays than when the average was made"):
        average.update(1)


def test_weights_that_are_not_finite_are_not_saved(cuda, tmp_path):
    run = Trainer(
        tiny_model().to("cuda"), tiny_data(), tiny_data(10, "test"), tiny_config(checkpoint_every=1), tmp_path / "run"
    )
    train_step = run._learner.train_step

    def train_and_set_inf(*args, **kwargs):
        record = train_step(*args, **kwargs)
        run.model.params["head.bias"][...] = np.inf
        return record

    run._learner.train_step = train_and_set_inf
    with pytest.raises(NonFiniteError, match=r"Inf in the updated parameter head.bias.*is from before"):
        run.fit()
    tensors, _ = load_tensors(tmp_path / "run" / "last.safetensors")
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())


def test_an_evaluation_that_overflows_is_an_error(cuda):
    model = tiny_model().to("cuda")
    model.params["head.weight"][...] = np.inf
    with pytest.raises(NonFiniteError):
        evaluate(model, tiny_data(10, "test"), (0.5,) * 3, (1e-3,) * 3)


@pytest.mark.parametrize("precision", ["full", "bfloat16"])
def test_tf32_is_used_with_float32_only(cuda, precision):
    model = tiny_model().to("cuda")
    images = to_gpu(batch(model, side=8)[0])
    npswin.allow_tf32(True)
    try:
        model(images if precision == "full" else images.astype(devices.half_dtype(precision)))
    finally:
        npswin.allow_tf32(False)


def test_window_attention_is_not_fused_if_a_window_exceeds_shared_memory(cuda, monkeypatch):
    model, images = small_model(), batch(small_model())[0]
    wanted = model(images)
    monkeypatch.setattr(fused_attention, "max_shared_memory", lambda: 100)
    found = model.to("cuda")(to_gpu(images))
    np.testing.assert_allclose(to_host(found), wanted, rtol=1e-9)
