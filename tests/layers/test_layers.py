"""Properties of all layers: inference equals the forward pass, dtypes, accumulated gradients, errors, dropout."""

import numpy as np
import pytest

from npswin.layers import LayerNorm, Linear, Mlp, PositionEmbed, SwinTransformerBlock, WindowAttention
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
            with pytest.raises(ValueError, match=rf"^{type(layer).__name__}: x: got .*, expected "):
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
        with pytest.raises(ValueError, match=f"rng: got {wrong}, expected a .*numpy.random"):
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


@pytest.mark.parametrize("name", LAYERS)
def test_the_cache_of_another_layer_is_refused(name):
    layer, x = make(name)
    y, cache = layer.forward(x)
    _, others = make(name)[0].forward(x)
    with pytest.raises(ValueError, match=rf"^cache: got one from forward of another {type(layer).__name__}, expected"):
        layer.backward(y, others)
    for wrong in (None, (), cache.content):
        with pytest.raises(
            ValueError, match=rf"^cache: got .* expected one from forward of this {type(layer).__name__}"
        ):
            layer.backward(y, wrong)
    assert not any(grad.any() for grad in layer.grads.values())
    layer.backward(y, cache)


@pytest.mark.parametrize("name", LAYERS)
def test_errors_name_the_derivative_and_the_generator(name):
    layer, x = make(name)
    y, cache = layer.forward(x)
    for wrong in (None, y[:1], y.astype("float32"), y.tolist(), np.ma.array(y), y[..., None]):
        with pytest.raises(ValueError, match=r"^dy: got .*, expected float64 of shape \("):
            layer.backward(wrong, cache)
    for wrong in (0, np.random.RandomState(0), "rng"):
        with pytest.raises(ValueError, match=r"^rng: got .*, expected a generator"):
            layer.forward(x, wrong)


def add_to_its_own_part(block):
    block.mlp.add_child("block", block)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda rng: Linear(-1, 2, rng), "in_features"),
        (lambda rng: Linear(2, True, rng), "out_features"),
        (lambda rng: Linear(2, 2, 0), "rng"),
        (lambda rng: Linear(2, 2, rng, bias=1), "bias"),
        (lambda rng: Linear(2, 2, rng, dtype="float16"), "dtype"),
        (lambda rng: LayerNorm(2.0), "dim"),
        (lambda rng: Mlp(4, 0, rng), "hidden_dim"),
        (lambda rng: SwinTransformerBlock(4, 2, 2, rng, mlp_ratio=0.1), "mlp_ratio"),
        (lambda rng: WindowAttention(4, 2, 2, rng, mask_value=np.nan), "mask_value"),
        (lambda rng: PositionEmbed(4, 3, rng, 0.0), "grid"),
        (lambda rng: Linear(2, 2, rng).add_child("x", None), "layer"),
        (lambda rng: Linear(2, 2, rng).accumulate(("weight",), [np.ones(2)]), "gradients"),
        (lambda rng: Linear(2, 2, rng).accumulate(("other",), [np.ones(2)]), "gradients"),
        (lambda rng: Linear(2, 2, rng).accumulate(("bias",), [np.ones(2, int)]), "gradients"),
        (lambda rng: Linear(2, 2, rng).accumulate(("bias",), [np.ones(2, np.float64)]), "gradients"),
        (lambda rng: Linear(2, 2, rng).add_parameter("scale", np.array([1e300]), "float32"), "value"),
        (lambda rng: add_to_its_own_part(SwinTransformerBlock(4, 2, 2, rng)), "layer"),
    ],
)
def test_errors_of_constructors_name_the_argument(call, name):
    with pytest.raises(ValueError, match=f"^{name}: got "):
        call(np.random.default_rng(0))


def test_numpy_numbers_are_numbers():
    block = SwinTransformerBlock(np.int64(4), np.int8(2), np.array(2), np.random.default_rng(0), drop=np.float32(0.25))
    assert type(block.dim) is int
    assert block.mlp.drop == 0.25
