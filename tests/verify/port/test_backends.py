"""npswin's backends as ports: every layer's output and gradient is compared with the key."""

import numpy as np
import pytest

import npswin
from npswin.verify import compare, diagnose, trace
from tests.verify.keys import SCALE, random_model

NAMES = {"pool": "avgpool", "patch_embed": "patch_embed.norm"}


def dumped(model, images, labels):
    """The outputs and gradients of a model's layers in the backend that is set."""
    tensors, caches, x = {"input": images}, [], images
    layers = model.trunk + model.tail
    for name, layer in layers:
        x, cache = layer.forward(x)
        name = f"{name}.reduction" if name.endswith(".downsample") else NAMES.get(name, name)
        tensors[name] = x
        caches.append((name, layer, cache))
    loss, dx = npswin.cross_entropy(x, labels)
    tensors["loss"] = np.asarray(loss)
    model.zero_grad()
    for name, layer, cache in reversed(caches):
        tensors[f"grad/{name}"] = dx
        dx = layer.backward(dx, cache)
    tensors["grad/input"] = dx
    return tensors | {f"grad/{name}": gradient for name, gradient in model.grads.items()}


@pytest.fixture
def backend(request):
    before = npswin.get_backend()
    if request.param == "cpu":
        pytest.importorskip("numba")
    npswin.set_backend(request.param)
    yield request.param
    npswin.set_backend(before)


@pytest.mark.parametrize("backend", ["cpu", "numpy"], indirect=True)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "changes", [{}, {"img_size": (33, 26), "window_size": 4, "embed_dim": 16, "num_heads": (2, 4, 4)}]
)
def test_the_backends_agree_with_the_key(backend, dtype, changes):
    exact, model = random_model(1, **changes), random_model(1, dtype, **changes)
    size = exact.config["img_size"]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, *size), dtype=np.uint8)
    labels = np.array([0, 3])
    key = trace(exact, pixels, labels, normalization=SCALE)
    comparison = compare(key, dumped(model, key["input"].astype(dtype), labels))
    assert comparison.precision == dtype
    assert comparison.ok, str(comparison)
    assert {f"grad/{name}" for name in model.params} <= {row.name for row in comparison.rows}


@pytest.mark.parametrize("backend", ["cpu"], indirect=True)
def test_a_mistake_in_a_layer_is_found(backend):
    exact, model = random_model(1), random_model(1, "float32")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 10, 14), dtype=np.uint8)
    key = trace(exact, pixels, np.array([0, 3]), normalization=SCALE)
    block = dict(model.trunk)["layers.0.blocks.1"]
    block.attn.shift_size = 2
    diagnosis = diagnose(key, dumped(model, key["input"].astype(np.float32), np.array([0, 3])))
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["shift-size"], str(diagnosis)
