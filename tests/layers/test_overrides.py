"""What happens to a sub-layer that was overridden, replaced or patched, although a fused op takes its parameters."""

import numpy as np
import pytest

from npswin.layers import LayerNorm, Linear, Mlp, PatchMerging, SwinTransformerBlock, WindowAttention
from npswin.verify import gradcheck
from tests.layers.doubled import Doubled


class DoubledAttention(Doubled, WindowAttention):
    pass


class DoubledMlp(Doubled, Mlp):
    pass


def block(seed=0, **arguments):
    return SwinTransformerBlock(4, 2, 2, np.random.default_rng(seed), shift_size=1, dtype="float64", **arguments)


def copied(layer, kind, *args, **kwargs):
    """A layer of another class with the same parameters."""
    other = kind(*args, np.random.default_rng(1), **kwargs, dtype="float64")
    for name, param in other.params.items():
        param[...] = layer.params[name]
    return other


def doubled_branch(name, weight, bias):
    """A block whose branch is doubled by its last linear map, which the fused op does take."""
    plain = block()
    plain.params[f"{name}.{weight}"][...] *= 2
    plain.params[f"{name}.{bias}"][...] *= 2
    return plain


X = np.random.default_rng(2).standard_normal((2, 3, 5, 4))


def test_window_attention_that_is_overridden_is_called_by_its_block():
    own = block()
    own.add_child("attn", copied(own.attn, DoubledAttention, 4, 2, 2, shift_size=1))
    wanted = doubled_branch("attn", "proj.weight", "proj.bias")
    np.testing.assert_allclose(own(X), wanted(X), rtol=1e-12)
    np.testing.assert_allclose(own.forward(X)[0], wanted.forward(X)[0], rtol=1e-12)
    gradcheck(own, X)


def test_mlp_that_is_overridden_is_called_by_its_block():
    own = block()
    own.add_child("mlp", copied(own.mlp, DoubledMlp, 4, 16))
    wanted = doubled_branch("mlp", "fc2.weight", "fc2.bias")
    np.testing.assert_allclose(own(X), wanted(X), rtol=1e-12)
    gradcheck(own, X)


def test_layer_norm_that_is_patched_is_called_by_its_block(monkeypatch):
    forward = LayerNorm.forward
    fused = block()(X)
    calls = []

    def patched(self, x, rng=None):
        calls.append(self)
        return forward(self, x, rng)

    monkeypatch.setattr(LayerNorm, "forward", patched)
    own = block()
    np.testing.assert_allclose(own(X), fused, rtol=1e-12)
    assert calls == [own.norm1, own.norm2]


def test_a_block_called_layer_by_layer_drops_what_the_fused_one_drops():
    drops = {"drop": 0.3, "attn_drop": 0.2, "drop_path": 0.5}
    own, fused = block(**drops), block(**drops)
    own.add_child("attn", copied(own.attn, type("Own", (WindowAttention,), {"__call__": lambda self, x: None}), 4, 2, 2,
                                 shift_size=1, proj_drop=0.3, attn_drop=0.2))  # fmt: skip
    y, cache = own.forward(X, np.random.default_rng(3))
    wanted, fused_cache = fused.forward(X, np.random.default_rng(3))
    np.testing.assert_allclose(y, wanted, rtol=1e-12)
    np.testing.assert_allclose(own.backward(y, cache), fused.backward(y, fused_cache), rtol=1e-10)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (WindowAttention(4, 2, 2, np.random.default_rng(0), dtype="float64"), "qkv"),
        (WindowAttention(4, 2, 2, np.random.default_rng(0), dtype="float64"), "proj"),
        (Mlp(4, 8, np.random.default_rng(0), dtype="float64"), "fc1"),
        (Mlp(4, 8, np.random.default_rng(0), dtype="float64"), "fc2"),
        (PatchMerging(4, np.random.default_rng(0), dtype="float64"), "reduction"),
        (PatchMerging(4, np.random.default_rng(0), dtype="float64"), "norm"),
    ],
    ids=["window_attention-qkv", "window_attention-proj", "mlp-fc1", "mlp-fc2", "patch_merging-reduction",
         "patch_merging-norm"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["__call__", "forward", "backward"])
def test_what_a_fused_op_would_ignore_is_refused(layer, name, method):
    kind = LayerNorm if name == "norm" else Linear
    child = layer.children[name]
    own = (
        LayerNorm(child.dim, "float64")
        if kind is LayerNorm
        else Linear(4, 4, np.random.default_rng(0), dtype="float64")
    )
    layer.children[name] = own
    own.__class__ = type("Own", (kind,), {method: lambda self, *args: None})
    try:
        for call in (layer, layer.forward):
            with pytest.raises(TypeError, match=rf"{type(layer).__name__}: {name} is a Own .* would ignore"):
                call(X)
    finally:
        layer.children[name] = child
    layer(X)


def test_a_method_set_on_a_linear_layer_deep_inside_a_block_is_refused():
    own = block()
    own.attn.children["qkv"].forward = lambda x, rng=None: None
    with pytest.raises(TypeError, match="WindowAttention: qkv is a Linear with methods of its own"):
        own(X)


def test_a_sub_layer_is_replaced_by_assignment():
    own = block()
    own.mlp = copied(own.mlp, DoubledMlp, 4, 16)
    assert own.children["mlp"] is own.mlp
    np.testing.assert_allclose(own(X), doubled_branch("mlp", "fc2.weight", "fc2.bias")(X), rtol=1e-12)
