"""Attention maps: compared with the plain definition, and with what the block makes of them."""

import numpy as np
import pytest

import npswin
from npswin.layers import WindowAttention
from npswin.models.block_maps import input_of, to_pixels, token_side
from npswin.ops.windows import window_tokens
from tests.models.tiny import images, model_of_four_blocks

# Map and window: windows that fit; padding in one direction, in the other, in both; a map smaller than a window.
SIZES = [(24, 12), (12, 16), (22, 18), (14, 26), (4, 10)]


def normed_input(model, x, block):
    """What the attention of a block gets."""
    place = [name for name, _ in model.trunk].index(block)
    return model.trunk[place][1].attn, model.trunk[place][1].norm1(input_of(model, x, place))


def plain_maps(attn, x):
    """The definition, token by token: no roll, no mask; the window grid is moved by the shift (section 3.2)."""
    batch, height, width, dim = x.shape
    side, shift, heads = attn.window_size, attn.shift_size, attn.num_heads
    padded = np.zeros((batch, -(-height // side) * side, -(-width // side) * side, dim))
    padded[:, :height, :width] = x
    weight, bias = attn.params["qkv.weight"], attn.params["qkv.bias"]
    q, k, _ = np.moveaxis((padded @ weight.T + bias).reshape(*padded.shape[:3], 3, heads, -1), 3, 0)
    table = attn.params["relative_position_bias_table"]
    maps = np.zeros((batch, heads, height, width, height, width))
    for row, column in np.ndindex(height, width):
        window = (row - shift) // side, (column - shift) // side
        keys = [
            (r, c) for r, c in np.ndindex(padded.shape[1:3]) if ((r - shift) // side, (c - shift) // side) == window
        ]
        rows, columns = np.array(keys).T
        scores = np.einsum("bhd,bnhd->bhn", q[:, row, column], k[:, rows, columns]) / np.sqrt(q.shape[-1])
        scores += table[(row - rows + side - 1) * (2 * side - 1) + column - columns + side - 1].T
        exponentials = np.exp(scores)
        probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
        inside = (rows < height) & (columns < width)
        maps[:, :, row, column, rows[inside], columns[inside]] = probabilities[..., inside]
    return maps


BLOCKS = ["layers.0.blocks.0", "layers.0.blocks.1", "layers.1.blocks.0", "layers.1.blocks.1"]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("size", SIZES)
def test_maps_are_those_of_the_plain_definition(size, block):
    model, x = model_of_four_blocks(), images(size)
    expected = plain_maps(*normed_input(model, x, block))
    found = npswin.attention_maps(model, x, block)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-38)
    number = BLOCKS.index(block)
    np.testing.assert_array_equal(npswin.attention_maps(model, x, number), found)
    np.testing.assert_array_equal(npswin.attention_maps(model, x, number - 4), found)
    for query in ((0, 0), (found.shape[2] - 1, found.shape[3] - 1), (found.shape[2] // 2, 1)):
        of_query = npswin.attention_maps(model, x, block, query=query)
        np.testing.assert_array_equal(of_query, found[:, :, *query])
        of_head = npswin.attention_maps(model, x, block, query=np.array(query), head=1)
        np.testing.assert_array_equal(of_head, found[:, 1, *query])
    np.testing.assert_array_equal(npswin.attention_maps(model, x, block, head=0), found[:, 0])


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mask_value", [-100.0, -np.inf])
def test_maps_are_probabilities(size, block, mask_value):
    """Each sums to 1 with the padding's share, and is zero outside the window and for masked pairs."""
    model, x = model_of_four_blocks(mask_value=mask_value), images(size)
    attn, normed = normed_input(model, x, block)
    maps = npswin.attention_maps(model, x, block)
    height, width = maps.shape[2:4]
    tokens = window_tokens(height, width, attn.window_size, attn.shift_size)
    sums, in_windows = maps.sum(axis=(4, 5)), attn.probabilities(normed)[0]
    assert (maps >= 0).all()
    of_padding = np.zeros_like(sums)
    for window, numbers in enumerate(tokens):
        rows, columns = np.divmod(numbers[numbers >= 0], width)
        shares = in_windows[:, window][..., numbers < 0].sum(axis=-1)
        of_padding[:, :, rows, columns] = shares[:, :, numbers >= 0]
        outside = np.ones((height, width), bool)
        outside[rows, columns] = False
        assert (maps[:, :, rows, columns][..., outside] == 0).all()
    np.testing.assert_allclose(sums + of_padding, 1, rtol=1e-12)
    if (tokens >= 0).all():
        np.testing.assert_allclose(sums, 1, rtol=1e-12)
    far = np.abs(np.subtract.outer(np.arange(height), np.arange(height))) >= attn.window_size
    masked = maps.transpose(0, 1, 3, 5, 2, 4)[..., far]  # of the same window through the shift alone
    assert (masked == 0).all() if mask_value == -np.inf else masked.max(initial=0) < 1e-40


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("size", SIZES)
def test_maps_reproduce_what_the_attention_returns(size, block):
    """Σ_j P_ij v_j over the map, and the padding's share times its v, which is the bias; then the projection."""
    model, x = model_of_four_blocks(), images(size)
    attn, normed = normed_input(model, x, block)
    maps = npswin.attention_maps(model, x, block)
    heads, params = attn.num_heads, attn.params
    inner = params["proj.weight"].shape[1]
    weight, v_padding = params["qkv.weight"][2 * inner :], params["qkv.bias"][2 * inner :]
    v = normed @ weight.T + v_padding
    v, v_padding = v.reshape(*v.shape[:3], heads, -1), v_padding.reshape(heads, 1, 1, -1)
    context = np.einsum("nhijkl,nklhd->nhijd", maps, v) + (1 - maps.sum(axis=(4, 5)))[..., None] * v_padding
    context = context.transpose(0, 2, 3, 1, 4).reshape(*normed.shape[:3], inner)
    found = context @ params["proj.weight"].T + params["proj.bias"]
    np.testing.assert_allclose(found, attn(normed), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("position_bias", ["shared", "full", "none"])
def test_other_position_biases(position_bias):
    model, x = model_of_four_blocks(position_bias=position_bias), images((22, 18))
    maps = npswin.attention_maps(model, x, BLOCKS[1])
    attn, normed = normed_input(model, x, BLOCKS[1])
    in_windows = attn.probabilities(normed)[0]
    np.testing.assert_array_equal(maps[:, :, 1:4, 1:4, 1:4, 1:4].reshape(2, 2, 9, 9), in_windows[:, 0])


def test_any_model_image_and_precision():
    model = npswin.create_model("swin_nano_patch2_window4_32", in_chans=5, ape=False)
    x = images((50, 38), 1, 5).astype(np.float32)
    maps = npswin.attention_maps(model, x, query=(2, 1))
    last = [layer for name, layer in model.trunk if "blocks" in name][-1]
    assert (maps.dtype, maps.shape[:2]) == (np.float32, (1, last.attn.num_heads))
    assert (npswin.attention_maps(model, x, 0, query=(24, 18)).sum(axis=(2, 3)) <= 1 + 1e-5).all()


class TestPixels:
    @pytest.mark.parametrize("block", [0, -1])
    def test_the_maps_are_interpolated_to_the_images(self, block):
        model, x = model_of_four_blocks(), images((22, 18))
        maps = npswin.attention_maps(model, x, block, query=(1, 2))
        found = npswin.attention_maps(model, x, block, query=(1, 2), pixels=True)
        assert found.shape == (2, maps.shape[1], 22, 18)
        np.testing.assert_array_equal(found, to_pixels(maps, 2 if block == 0 else 4, (22, 18)))
        assert found.min() >= 0
        assert found.max() <= maps.max()

    def test_the_side_of_a_token(self):
        model = model_of_four_blocks()
        places = [place for place, (name, _) in enumerate(model.trunk) if name in BLOCKS]
        assert [token_side(model, place) for place in places] == [2, 2, 4, 4]

    def test_linear_maps_stay_linear_and_ends_are_constant(self):
        rows, columns = np.mgrid[0:3, 0:4]
        found = to_pixels(2.0 * rows - columns, 4, (11, 16))
        y, x = (np.arange(11) + 0.5) / 4 - 0.5, (np.arange(16) + 0.5) / 4 - 0.5
        expected = 2 * np.clip(y, 0, 2)[:, None] - np.clip(x, 0, 3)
        np.testing.assert_allclose(found, expected, atol=1e-12)
        np.testing.assert_array_equal(to_pixels(np.full((2, 1, 1), 3.0), 8, (5, 7)), np.full((2, 5, 7), 3.0))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"model": None}, "model"),
        ({"images": np.zeros((1, 3, 12, 12), np.float32)}, "images"),
        ({"images": np.zeros((3, 12, 12))}, "images"),
        ({"block": "layers.0.block.1"}, "block"),
        ({"block": 4}, "block"),
        ({"block": 1.0}, "block"),
        ({"query": 3}, "query"),
        ({"query": (1, 2, 3)}, "query"),
        ({"query": (6, 0)}, r"query\[0\]"),
        ({"query": (0, -1)}, r"query\[1\]"),
        ({"head": 2}, "head"),
        ({"pixels": 1}, "pixels"),
        ({"images": np.zeros((1, 3, 600, 600))}, "query"),
    ],
)
def test_errors_name_the_argument(change, name):
    arguments = {"model": model_of_four_blocks(), "images": images((12, 12)), "block": 1}
    with pytest.raises(ValueError, match=f"^{name}: got "):
        npswin.attention_maps(**{**arguments, **change})


def test_an_own_attention_is_refused():
    class Own(WindowAttention):
        def __call__(self, x):
            return x

    model = model_of_four_blocks()
    model.trunk[1][1].attn = Own(4, 2, 3, np.random.default_rng(0), dtype="float64")
    with pytest.raises(ValueError, match=r"^block: got layers\.0\.blocks\.0, whose attention Own has methods"):
        npswin.attention_maps(model, images((12, 12)), 0)
    assert npswin.attention_maps(model, images((12, 12)), 1).shape == (2, 2, 6, 6, 6, 6)
