"""The layer SwinTransformerBlock."""

import numpy as np
import pytest

from npswin import layers
from tests.layers.drawn import make


@pytest.mark.parametrize("zeroed", ["attn.proj", "mlp.fc2"])
def test_drop_path_of_a_swin_transformer_block_drops_whole_images_in_either_branch_and_rescales(zeroed):
    layer, x = make("swin_transformer_block", drop_path=0.75)
    x = np.repeat(x[:1], 64, axis=0)
    for name in (f"{zeroed}.weight", f"{zeroed}.bias"):
        layer.params[name][...] = 0
    branch = layer.forward(x, np.random.default_rng(0))[0] - x
    whole = layer(x)[0] - x[0]
    with_branch = [index for index in range(64) if branch[index].any()]
    assert 4 < len(with_branch) < 32
    for index in with_branch:
        np.testing.assert_allclose(branch[index], 4 * whole, rtol=1e-12, atol=1e-13)


def test_drop_path_of_a_swin_transformer_block_is_drawn_for_each_branch():
    layer, x = make("swin_transformer_block", drop_path=0.5)
    x = np.repeat(x[:1], 64, axis=0)
    with_branch = []
    for zeroed in ("attn.proj", "mlp.fc2"):
        params = {name: layer.params[f"{zeroed}.{name}"].copy() for name in ("weight", "bias")}
        for name in params:
            layer.params[f"{zeroed}.{name}"][...] = 0
        branch = layer.forward(x, np.random.default_rng(0))[0] - x
        with_branch.append([index for index in range(64) if branch[index].any()])
        for name, value in params.items():
            layer.params[f"{zeroed}.{name}"][...] = value
    assert with_branch[0] != with_branch[1]


def test_a_replaced_sub_layer_of_a_swin_transformer_block_is_the_one_that_computes():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 4, 4, 8)).astype(np.float32)
    block = layers.SwinTransformerBlock(8, 2, 2, rng)
    before = block(x)
    block.add_child("mlp", layers.Mlp(8, 16, rng))
    assert not np.array_equal(block(x), before)
    y, cache = block.forward(x)
    block.backward(y, cache)
    assert all(grad.any() for name, grad in block.grads.items() if name.startswith("mlp."))
