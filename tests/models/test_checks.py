"""Errors of the model: wrong arguments, images, gradients and caches."""

import json

import numpy as np
import pytest

import npswin
from tests.models.tiny import TINY, tiny
from tests.ops.drawn import normal


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": (1, 3)}, r"num_heads\[1\]: got 3, expected a divisor of the width 8"),
        ({"num_heads": (1,)}, "num_heads: got .* expected one number for each stage"),
        ({"depths": (), "num_heads": ()}, "depths: got"),
        ({"depths": (2, 0)}, r"depths\[1\]: got 0"),
        ({"embed_dim": 0}, "embed_dim: got 0"),
        ({"window_size": -1}, "window_size: got -1"),
        ({"patch_size": 2.0}, "patch_size: got 2.0"),
        ({"img_size": (16, 16, 16)}, "img_size: got"),
        ({"img_size": None, "ape": True}, "img_size: got None"),
        ({"img_size": 0}, "img_size: got 0"),
        ({"dtype": "float16"}, "dtype: got 'float16', expected 'float32' or 'float64'"),
        ({"position_bias": "log"}, "position_bias: got 'log'"),
        ({"mask_value": 1.0}, "mask_value: got 1.0"),
        ({"mlp_ratio": 0}, "mlp_ratio: got 0"),
        ({"drop_rate": 1.5}, "drop_rate: got 1.5"),
        ({"drop_rate": "0.1"}, "drop_rate: got '0.1'"),
        ({"attn_drop_rate": None}, "attn_drop_rate: got None"),
        ({"mlp_ratio": float("nan")}, "mlp_ratio: got nan"),
        ({"mlp_ratio": "4"}, "mlp_ratio: got '4'"),
        ({"mask_value": "x"}, "mask_value: got 'x'"),
        ({"qkv_bias": "no"}, "qkv_bias: got 'no', expected True or False"),
        ({"depths": 2}, "depths: got 2, expected one number for each stage"),
        ({"img_size": [16]}, r"img_size: got \[16\]"),
        ({"img_size": 16.0}, "img_size: got 16.0"),
        ({"dtype": None}, "dtype: got None"),
        ({"drop_path_rate": -0.1}, "drop_path_rate: got -0.1"),
        ({"seed": -1}, "seed: got -1"),
        ({"head_dim": 0}, "head_dim: got 0"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        npswin.SwinTransformer(**{**TINY, **arguments})


def test_numpy_numbers_are_accepted_as_arguments(tmp_path):
    model = npswin.SwinTransformer(
        **{
            **TINY,
            "num_classes": np.int64(3),
            "img_size": np.array([16, 16]),
            "depths": np.array([2, 1]),
            "dtype": np.float32,
            "mlp_ratio": np.float32(2),
        }
    )
    model.save(tmp_path / "model.safetensors")
    assert json.loads(json.dumps(model.config)) == model.config
    assert model.config["img_size"] == [16, 16]


@pytest.mark.parametrize(
    "dlogits",
    [
        np.ones((2, 4)),
        np.ones((3, 2)),
        np.ones((2, 3), "float32"),
        np.ones((2, 3), int),
        [[1.0] * 3] * 2,
        np.float64(1),
    ],
)
def test_errors_name_the_gradient(dlogits):
    model = tiny()
    _, cache = model.forward(normal(0, 2, 3, 16, 16))
    with pytest.raises(ValueError, match=r"dlogits: got .* expected float64 of shape \(2, 3\)"):
        model.backward(dlogits, cache)
    _, cache = model.feature_maps_forward(normal(0, 2, 3, 16, 16))
    with pytest.raises(ValueError, match="dmaps: got 1 derivatives, expected 2"):
        model.feature_maps_backward([None], cache)
    with pytest.raises(ValueError, match=r"dmaps\[1\]: got float64 of shape \(2, 4, 8, 8\)"):
        model.feature_maps_backward([None, np.ones((2, 4, 8, 8))], cache)
    assert not any(gradient.any() for gradient in model.grads.values())


def test_a_cache_can_be_used_for_one_backward_pass():
    model = tiny()
    logits, cache = model.forward(normal(0, 2, 3, 16, 16))
    model.backward(np.ones_like(logits), cache)
    grads = {name: gradient.copy() for name, gradient in model.grads.items()}
    with pytest.raises(ValueError, match="cache: used up by an earlier backward pass"):
        model.backward(np.ones_like(logits), cache)
    assert all(gradient.any() and np.array_equal(gradient, grads[name]) for name, gradient in model.grads.items())
    maps, cache = model.feature_maps_forward(normal(0, 2, 3, 16, 16))
    dmaps = [None, np.ones_like(maps[1])]
    model.zero_grad()
    model.feature_maps_backward(dmaps, cache)
    with pytest.raises(ValueError, match="cache: used up by an earlier backward pass"):
        model.feature_maps_backward(dmaps, cache)
    assert len(maps) == 2


NAN = np.zeros((1, 3, 16, 16), "float32")
NAN[0, 2, 5, 7] = np.nan


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((3, 16, 16), "float32"), r"images: got shape \(3, 16, 16\), expected \(B, 3, H, W\)"),
        (np.zeros((3, 16, 16), "float32"), r"a batch of one: images\[None\]"),
        (np.zeros((16, 16, 3), "float32"), r"a batch of one: images.transpose\(2, 0, 1\)\[None\]"),
        (np.zeros((1, 16, 16, 3), "float32"), r"these are channels last: images.transpose\(0, 3, 1, 2\)"),
        (np.zeros((0, 3, 16, 16), "float32"), "nothing empty"),
        (np.zeros((1, 3, 0, 16), "float32"), "nothing empty"),
        (np.zeros((1, 3, 16, 16), "uint8"), "images: got dtype uint8, expected the model's float32"),
        (np.zeros((1, 3, 16, 16), "float64"), "images: got dtype float64, expected the model's float32"),
        ([[1.0]], r"images: got \[\[1.0\]\], expected an array of shape .*numpy.asarray"),
        (NAN, r"images: got nan at \(0, 2, 5, 7\)"),
    ],
)
def test_errors_name_the_images(images, message):
    model = npswin.SwinTransformer(**TINY)
    for call in (model, model.forward, model.feature_maps, model.feature_maps_forward, model.attention_maps):
        with pytest.raises(ValueError, match=message):
            call(images)


def test_each_backward_pass_takes_the_cache_of_its_own_forward_pass():
    model, other, images = tiny(), tiny(), normal(0, 2, 3, 16, 16)
    logits, cache = model.forward(images)
    maps, maps_cache = model.feature_maps_forward(images)
    dmaps = [None, np.ones_like(maps[1])]
    with pytest.raises(ValueError, match=r"^cache: got one from feature_maps_forward, expected .* forward of"):
        model.backward(logits, maps_cache)
    with pytest.raises(ValueError, match=r"^cache: got one from forward, expected .* feature_maps_forward of"):
        model.feature_maps_backward(dmaps, cache)
    for call, derivative, wrong in ((other.backward, logits, cache), (other.feature_maps_backward, dmaps, maps_cache)):
        with pytest.raises(ValueError, match=r"^cache: got one from .*forward of another SwinTransformer, expected"):
            call(derivative, wrong)
    for wrong in (None, (logits, [], [])):
        with pytest.raises(ValueError, match=r"^cache: got"):
            model.backward(logits, wrong)
    assert not any(gradient.any() for each in (model, other) for gradient in each.grads.values())
    model.backward(logits, cache)
    model.feature_maps_backward(dmaps, maps_cache)


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
@pytest.mark.parametrize(
    "arguments", [{}, {"patch_size": 1, "patch_norm": False}, {"norm_after_pool": True, "num_classes": 0}]
)
def test_what_the_caller_changes_between_the_passes_does_not_change_the_gradient(backend, arguments):
    if backend == "cpu":
        pytest.importorskip("numba")
    before = npswin.get_backend()
    npswin.set_backend(backend)
    try:
        model, images = tiny(**arguments), normal(0, 2, 3, 16, 16)
        _, cache = model.forward(images)
        dlogits = np.ones(cache.outputs[0][0])
        expected = [model.backward(dlogits, cache), *(gradient.copy() for gradient in model.grads.values())]
        model.zero_grad()
        mine = images.copy()
        logits, cache = model.forward(mine)
        mine[...], logits[...] = 7.0, -3.0
        found = [model.backward(dlogits, cache), *model.grads.values()]
        dlogits[...] = 5.0
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
        maps, cache = model.feature_maps_forward(images)
        dmaps = [np.ones_like(each) for each in maps]
        expected = model.feature_maps_backward(dmaps, cache)
        maps, cache = model.feature_maps_forward(images)
        for each in maps:
            each[...] = 7.0
        np.testing.assert_array_equal(model.feature_maps_backward(dmaps, cache), expected)
    finally:
        npswin.set_backend(before)


def feature_maps_backward(dmaps):
    model = tiny()
    return model.feature_maps_backward(dmaps, model.feature_maps_forward(normal(0, 1, 3, 8, 8))[1])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: npswin.create_model(None), "name"),
        (lambda: npswin.create_model(["swin"]), "name"),
        (lambda: npswin.list_models(None), "pattern"),
        (lambda: npswin.warmup(dtype="float16"), "dtype"),
        (lambda: npswin.warmup(training=1), "training"),
        (lambda: tiny().to(3), "device"),
        (lambda: tiny().forward(normal(0, 1, 3, 8, 8), rng=0), "rng"),
        (lambda: tiny().activations(None), "images"),
        (lambda: tiny().save(3), "path"),
        (lambda: tiny().flops(8).within(None), "name"),
        (lambda: feature_maps_backward(None), "dmaps"),
        (lambda: feature_maps_backward([None, [0.0]]), r"dmaps\[1\]"),
    ],
)
def test_errors_of_methods_name_the_argument(call, name):
    with pytest.raises(ValueError, match=f"^{name}: got "):
        call()
