"""watch: modules of PyTorch and JAX, recorded and compared with the key."""

import numpy as np
import pytest

import npswin
from npswin.verify import compare, diagnose, trace, watch
from npswin.weights import load_weights
from tests.verify.keys import SCALE


def swin_in_transformers(dtype, seed=0, **changes):
    """transformers' Swin with random weights, a npswin model with the same, and images of a batch."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    arguments = {"patch_size": 2, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 4], "window_size": 3}
    changes = {"attn_implementation": "sdpa"} | changes
    config = transformers.SwinConfig(**arguments, image_size=24, num_labels=5, mlp_ratio=2.0, **changes)
    torch.manual_seed(seed)
    module = transformers.SwinForImageClassification(config).double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * (0.5 if parameter.ndim < 2 else 0.3)).copy_(parameter.float())
    model = npswin.SwinTransformer(
        **arguments, img_size=24, num_classes=5, mlp_ratio=2.0, dtype="float64", drop_path_rate=0.0
    )
    load_weights(model, {name: value.numpy() for name, value in module.state_dict().items()})
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 3, 20, 22), dtype=np.uint8)
    return module.to(getattr(torch, dtype)), model, pixels


def recording_of(module, images, labels):
    """The recording of a forward and backward pass of transformers' Swin."""
    import torch

    x = torch.tensor(images).to(next(module.parameters()).dtype).requires_grad_()
    with watch(module) as recording:
        logits = module(x, always_partition=True).logits
        torch.nn.functional.cross_entropy(
            logits.float() if x.dtype == torch.bfloat16 else logits, torch.tensor(labels)
        ).backward()
    recording.tensors["grad/input"] = np.asarray(x.grad.float() if x.dtype == torch.bfloat16 else x.grad)
    return recording


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_transformers_agrees_forward_and_backward(dtype):
    module, model, pixels = swin_in_transformers(dtype)
    labels = np.array([3, 0])
    key = trace(model, pixels, labels, normalization=SCALE)
    comparison = compare(key, recording_of(module, key["input"], labels).tensors)
    assert comparison.precision == dtype
    assert comparison.ok, str(comparison)
    names = {row.name for row in comparison.rows}
    gradients = {f"grad/{name}" for name in model.params}
    assert gradients <= names  # every parameter's gradient
    for part in (
        "patch_embed.proj",
        "layers.0.blocks.1.attn.qkv",
        "layers.1.blocks.0.mlp.act",
        "layers.0.blocks.1",
        "avgpool",
        "head",
    ):
        assert {part, f"grad/{part}"} <= names


@pytest.mark.parametrize(
    ("break_it", "cause", "place"),
    [
        (lambda m: setattr(_block(m), "shift_size", 2), "shift-size", "layers.0.blocks.1"),
        (lambda m: setattr(_block(m).layernorm_before, "eps", 1e-3), "norm-eps", "layers.0.blocks.1.norm1"),
        (lambda m: setattr(_block(m).mlp, "activation_fn", _tanh_gelu()), "gelu-tanh", "layers.0.blocks.1.mlp.act"),
        (lambda m: _transpose(_block(m).attention.o_proj), "weight-transposed", "layers.0.blocks.1.attn.proj"),
        (lambda m: _zero(_block(m).mlp.fc1.bias), "linear-bias-missing", "layers.0.blocks.1.mlp.fc1"),
    ],
)
def test_a_mistake_in_transformers_is_found(break_it, cause, place):
    module, model, pixels = swin_in_transformers("float32")
    labels = np.array([3, 0])
    key = trace(model, pixels, labels, normalization=SCALE)
    break_it(module)
    diagnosis = diagnose(key, recording_of(module, key["input"], labels).tensors)
    assert diagnosis.causes, str(diagnosis)
    found = diagnosis.causes[0]
    assert found.hypothesis.name == cause
    assert found.hypothesis.place.startswith(place)


def _block(module):
    return module.swin.encoder.layers[0].blocks[1]


def _tanh_gelu():
    import torch

    return torch.nn.GELU(approximate="tanh")


def _transpose(linear):
    import torch

    with torch.no_grad():
        linear.weight.copy_(linear.weight.T.clone())


def _zero(parameter):
    import torch

    with torch.no_grad():
        parameter.zero_()


def test_names_given_by_the_user_in_torch():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.GELU(), torch.nn.Linear(4, 2))
    x = torch.ones(2, 3)
    with watch(module, {"0": "mlp.fc1", "2": "mlp.fc2"}) as recording:
        module(x).sum().backward()
    names = {"mlp.fc1", "mlp.fc2"}
    parameters = {f"grad/{name}.{part}" for name in names for part in ("weight", "bias")}
    assert set(recording.tensors) == names | {f"grad/{name}" for name in names} | parameters
    assert np.array_equal(recording.tensors["grad/mlp.fc2"], np.ones((2, 2)))
    assert not module[0]._forward_hooks


def test_gradients_of_earlier_passes_are_left_out():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(2, 1))
    module(torch.ones(1, 2)).sum().backward()
    with watch(module) as recording:
        module(torch.ones(1, 2)).sum().backward()
    assert np.array_equal(recording.tensors["grad/0.weight"], np.ones((1, 2)))


def test_a_tensor_that_is_changed_in_place_is_recorded_before():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.ReLU(inplace=True))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
    with watch(module) as recording:
        module(torch.ones(1, 2)).sum().backward()
    assert np.array_equal(recording.tensors["0"], [[1, -1]])
    assert np.array_equal(recording.tensors["1"], [[1, 0]])
    assert np.array_equal(recording.tensors["grad/0"], [[1, 0]])


def test_the_last_of_two_passes_is_recorded():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(1, 1))
    with watch(module) as recording:
        module(torch.ones(1, 1)).sum().backward()
        (3 * module(torch.zeros(1, 1))).sum().backward()
    assert np.array_equal(recording.tensors["0"], module[0].bias.detach().numpy()[None])
    assert np.array_equal(recording.tensors["grad/0"], [[3]])


def test_parameters_gradients_are_those_of_the_passes_inside():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(2, 1))
    (1e6 * module(torch.ones(1, 2))).sum().backward()
    with watch(module) as recording:
        module(torch.ones(1, 2))
    assert "grad/0.weight" not in recording.tensors
    with watch(module) as recording:
        (module(torch.ones(1, 2)) / 3).sum().backward()
    assert np.array_equal(recording.tensors["grad/0.weight"], np.full((1, 2), np.float32(1) / np.float32(3)))
    with watch(module) as recording:
        module.zero_grad()
        for _ in range(2):
            module(torch.ones(1, 2)).sum().backward()
    assert np.array_equal(recording.tensors["grad/0.weight"], [[2, 2]])


def test_the_gradient_is_that_of_the_recorded_call():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(1, 1))
    with watch(module) as recording:
        (module(torch.ones(1, 1)) + 3 * module(torch.zeros(1, 1))).sum().backward()
    assert np.array_equal(recording.tensors["grad/0"], [[3]])


def test_hooks_are_removed():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(1, 1))
    with watch(module) as recording:
        y = module(torch.ones(1, 1))
    y.sum().backward()
    assert list(recording.tensors) == ["0"]

    def fail(path):
        raise KeyError(path)

    with pytest.raises(KeyError), watch(module, fail):
        pass
    assert not module[0]._forward_hooks
    with pytest.warns(UserWarning, match="no module to be recorded was called"), watch(module):
        pass


def test_flax_linen():
    linen, jax = pytest.importorskip("flax.linen"), pytest.importorskip("jax")

    class Mlp(linen.Module):
        @linen.compact
        def __call__(self, x):
            return linen.Dense(2, name="fc2")(linen.gelu(linen.Dense(4, name="fc1")(x)))

    module, x = Mlp(), jax.numpy.ones((2, 3))
    variables = module.init(jax.random.key(0), x)
    with watch(module, {"fc1": "mlp.fc1", "fc2": "mlp.fc2"}) as recording:
        y = module.apply(variables, x)
    assert set(recording.tensors) == {"mlp.fc1", "mlp.fc2"}
    assert np.array_equal(recording.tensors["mlp.fc2"], np.asarray(y))
    assert np.array_equal(jax.numpy.asarray(y), module.apply(variables, x))
    with watch(module) as recording:
        gradients = jax.grad(lambda variables: module.apply(variables, x).sum())(variables)["params"]
    assert np.array_equal(recording.tensors["grad/fc2"], np.ones((2, 2)))
    np.testing.assert_allclose(recording.tensors["grad/fc1"].sum(axis=0), gradients["fc1"]["bias"], rtol=1e-5)
    with pytest.raises(TypeError, match="call the module without jit"), watch(module):
        jax.jit(module.apply)(variables, x)


def test_flax_nnx():
    nnx, jax = pytest.importorskip("flax.nnx"), pytest.importorskip("jax")

    class Mlp(nnx.Module):
        def __init__(self, rngs):
            self.fc1, self.fc2 = nnx.Linear(3, 4, rngs=rngs), nnx.Linear(4, 2, rngs=rngs)

        def __call__(self, x):
            return self.fc2(nnx.gelu(self.fc1(x)))

    module, before = Mlp(nnx.Rngs(0)), nnx.Linear.__call__
    with watch(module) as recording:
        y = module(jax.numpy.ones((2, 3)))
    assert set(recording.tensors) == {"fc1", "fc2"}
    assert np.array_equal(recording.tensors["fc2"], np.asarray(y))
    assert nnx.Linear.__call__ is before
    with watch(module) as recording:
        gradients = nnx.grad(lambda module: module(jax.numpy.ones((2, 3))).sum())(module)
    np.testing.assert_allclose(recording.tensors["grad/fc1"].sum(axis=0), gradients["fc1"]["bias"][...], rtol=1e-5)


def test_parts_of_an_nnx_module_that_inherit_their_call_or_have_none():
    nnx, jax = pytest.importorskip("flax.nnx"), pytest.importorskip("jax")

    class Own(nnx.Linear):
        pass

    class Holder(nnx.Module):
        def __init__(self, rngs):
            self.fc = nnx.Linear(2, 2, rngs=rngs)

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.a, self.h, self.l = Own(2, 2, rngs=rngs), Holder(rngs), nnx.List([nnx.Linear(2, 2, rngs=rngs)])

        def __call__(self, x):
            return self.l[0](self.h.fc(self.a(x))) + 3 * self.h.fc(x)

    module = Net(nnx.Rngs(0))
    with watch(module) as recording:
        jax.grad(lambda x: module(x).sum())(jax.numpy.ones((1, 2)))
    assert {"a", "h.fc", "l.0", "grad/h.fc"} <= set(recording.tensors), set(recording.tensors)
    assert np.array_equal(recording.tensors["grad/h.fc"], [[3, 3]])  # of the last call, which is recorded


def test_equinox():
    eqx, jax = pytest.importorskip("equinox"), pytest.importorskip("jax")

    class Mlp(eqx.Module):
        fc1: eqx.nn.Linear
        fc2: eqx.nn.Linear

        def __init__(self, key):
            self.fc1, self.fc2 = eqx.nn.Linear(3, 4, key=key), eqx.nn.Linear(4, 2, key=key)

        def __call__(self, x):
            return self.fc2(jax.nn.gelu(self.fc1(x)))

    module, before = Mlp(jax.random.key(0)), eqx.nn.Linear.__call__
    with watch(module) as recording:
        y = module(jax.numpy.ones(3))
    assert set(recording.tensors) == {"fc1", "fc2"}
    assert np.array_equal(recording.tensors["fc2"], np.asarray(y))
    assert eqx.nn.Linear.__call__ is before


def test_a_batch_and_its_gradient_in_equinox():
    """As usual in equinox: the module takes one example, jax.vmap the batch."""
    eqx, jax = pytest.importorskip("equinox"), pytest.importorskip("jax")
    module = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (5, 3))
    with watch(module) as recording:
        gradient = jax.grad(lambda x: (jax.vmap(module)(x) ** 2).sum())(x)
    hidden = np.asarray(x) @ np.asarray(module.layers[0].weight).T + np.asarray(module.layers[0].bias)
    np.testing.assert_allclose(recording.tensors["layers.0"], hidden, rtol=1e-5)
    np.testing.assert_allclose(recording.tensors["grad/layers.1"], 2 * recording.tensors["layers.1"], rtol=1e-5)
    np.testing.assert_allclose(
        recording.tensors["grad/layers.0"] @ np.asarray(module.layers[0].weight), gradient, rtol=1e-4
    )


def test_gradients_of_an_equinox_modules_weights():
    """The derivative is by the module, so that a copy of it is called."""
    eqx, jax = pytest.importorskip("equinox"), pytest.importorskip("jax")
    module, x = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0)), jax.numpy.ones((5, 3))
    with watch(module) as recording:
        gradients = eqx.filter_grad(lambda module: jax.vmap(module)(x).sum())(module)
    recording.tensors["grad/layers.0.bias"] = np.asarray(gradients.layers[0].bias)
    np.testing.assert_allclose(
        recording.tensors["grad/layers.0"].sum(axis=0), recording.tensors["grad/layers.0.bias"], rtol=1e-5
    )


def test_the_error_for_another_object():
    with pytest.raises(ValueError, match="expected a PyTorch or JAX module"):
        watch(3)


def test_a_recording_can_be_saved(tmp_path):
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(2, 1))
    with watch(module) as recording:
        module(torch.ones(1, 2))
    recording.tensors["head"] = np.ones((2, 3), np.float32)
    recording.save(tmp_path / "dump.safetensors")
    assert npswin.weights.load_tensors(tmp_path / "dump.safetensors")[0]["head"].shape == (2, 3)
