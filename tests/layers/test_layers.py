"""Properties of all layers: inference equals the forward pass, dtypes, accumulated gradients, errors, dropout."""

import numpy as np
import pytest

from tests.layers.drawn import LAYERS, make
from tests.ops.drawn import normal


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
class TestEveryLayer:
    def test_inference_equals_the_forward_pass(self, name, dtype):
        layer, x = make(name, dtype)
        np.testing.assert_array_equal(layer(x), layer.forward(x)[0])

    def test_dtype_is_kept(self, name, dtype):
        layer, x = make(name, dtype)
        y, cache = layer.forward(x)
        dx = layer.backward(y, cache)
        assert {y.dtype, dx.dtype, *(g.dtype for g in layer.grads.values())} == {np.dtype(dtype)}

    def test_backward_adds_and_zero_grad_clears(self, name, dtype):
        layer, x = make(name, dtype)
        y, cache = layer.forward(x)
        layer.backward(y, cache)
        once = {key: grad.copy() for key, grad in layer.grads.items()}
        layer.backward(y, cache)
        for key, grad in layer.grads.items():
            np.testing.assert_allclose(grad, 2 * once[key], rtol=1e-6)
        layer.zero_grad()
        assert not any(grad.any() for grad in layer.grads.values())

    def test_arguments_and_parameters_are_not_changed(self, name, dtype):
        layer, x = make(name, dtype)
        params = {key: value.copy() for key, value in layer.params.items()}
        given_x = x.copy()
        y, cache = layer.forward(x)
        dy = normal(3, *y.shape).astype(dtype)
        given_dy = dy.copy()
        layer.backward(dy, cache)
        np.testing.assert_array_equal(x, given_x)
        np.testing.assert_array_equal(dy, given_dy)
        for key, value in layer.params.items():
            np.testing.assert_array_equal(value, params[key])

    def test_two_forward_passes_may_come_before_the_backward_passes(self, name, dtype):
        layer, x = make(name, dtype)
        other = x[::-1].copy() + 1
        y, cache = layer.forward(x)
        expected = layer.backward(np.ones_like(y), cache)
        _, cache = layer.forward(x)
        other_y, other_cache = layer.forward(other)
        layer.backward(np.ones_like(other_y), other_cache)
        np.testing.assert_array_equal(layer.backward(np.ones_like(y), cache), expected)


@pytest.mark.parametrize("name", LAYERS)
def test_errors_name_the_layer_and_the_input(name):
    layer, x = make(name)
    bad = [x[..., :0], x[0, 0, 0], x.tolist()]
    if name != "mean_pool":
        bad += [x[:, :-1] if name == "patch_embed" else x[..., :1], x.astype("float32"), x.astype(int)]
    for wrong in bad:
        for call in (layer, layer.forward):
            with pytest.raises(ValueError, match=rf"^{type(layer).__name__}: x (has|is) .*, expected "):
                call(wrong)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("mlp", {"drop": 0.5}),
        ("window_attention", {"attn_drop": 0.5}),
        ("window_attention", {"proj_drop": 0.5}),
        ("swin_transformer_block", {"drop_path": 0.5}),
        ("position_embed", {"drop": 0.5}),
    ],
)
def test_dropout_needs_a_generator_and_is_reproducible(name, more):
    layer, x = make(name, **more)
    for wrong in (None, 3):
        with pytest.raises(ValueError, match=f"rng: got {wrong}, expected a numpy.random.Generator"):
            layer.forward(x, wrong)
    first, second, other = (layer.forward(x, np.random.default_rng(seed))[0] for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()
    assert (layer(x) != first).any()


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("mlp", {"drop": 0.5}),
        ("window_attention", {"attn_drop": 0.5, "proj_drop": 0.5}),
        ("swin_transformer_block", {"drop": 0.5, "attn_drop": 0.5, "drop_path": 0.5}),
        ("position_embed", {"drop": 0.5}),
    ],
)
def test_dropout_keeps_the_dtype(name, more):
    layer, x = make(name, "float32", **more)
    y, cache = layer.forward(x, np.random.default_rng(0))
    assert {y.dtype, layer.backward(y, cache).dtype} == {np.dtype("float32")}
