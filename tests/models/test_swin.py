"""The model: gradients of small ones, its shapes, its windows, its randomness, its errors."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import npswin
from npswin.models import CONFIGS, OTHER_READING
from tests.ops.drawn import SEEDS, normal
from tests.reached import checked

CENTRAL_TOLERANCE = 2e-7
TINY = {
    "img_size": 16,
    "patch_size": 2,
    "embed_dim": 4,
    "depths": (2, 1),
    "num_heads": (1, 2),
    "window_size": 3,
    "num_classes": 3,
}


def tiny(**more):
    """A model of some hundred parameters in float64, all drawn so that no term vanishes."""
    model = npswin.SwinTransformer(**{**TINY, "mlp_ratio": 1.5, "drop_path_rate": 0.0, "dtype": "float64", **more})
    rng = np.random.default_rng(7)
    for name, value in model.params.items():
        value[...] = rng.standard_normal(value.shape) * 0.5 + ("norm" in name and name.endswith("weight"))
    return model


@st.composite
def variants(draw):
    """Arguments of a tiny model, and a size of images that may fit nothing."""
    arguments = {
        "position_bias": draw(st.sampled_from(["per_head", "shared", "full", "none"])),
        "head_dim": draw(st.sampled_from([None, 3])),
        "qkv_bias": draw(st.booleans()),
        "ape": draw(st.booleans()),
        "patch_norm": draw(st.booleans()),
        "merge_norm": draw(st.booleans()),
        "merge_bias": draw(st.booleans()),
        "norm_after_pool": draw(st.booleans()),
        "mask_value": draw(st.sampled_from([-100.0, float("-inf")])),
        "window_size": draw(st.integers(2, 4)),
        "drop_rate": draw(st.sampled_from([0.0, 0.3])),
        "attn_drop_rate": draw(st.sampled_from([0.0, 0.3])),
        "drop_path_rate": draw(st.sampled_from([0.0, 0.5])),
    }
    return arguments, (draw(st.integers(1, 17)), draw(st.integers(1, 17)))


@settings(max_examples=40)
@given(SEEDS, variants())
def test_gradients_of_every_variant_at_any_size(seed, drawn):
    arguments, (height, width) = drawn
    images = normal(seed, 2, 3, height, width)
    checked("SwinTransformer", tiny(**arguments), images, tolerance=CENTRAL_TOLERANCE, max_coordinates=5, directions=2)


def test_every_single_derivative_of_one_model():
    checked("SwinTransformer", tiny(), normal(0, 1, 3, 9, 7), tolerance=CENTRAL_TOLERANCE, max_coordinates=1000)


@pytest.mark.parametrize("name", [name for name in CONFIGS if name.startswith(("swin_tiny", "swin_nano", "swin_mini"))])
def test_the_other_reading_is_reachable_from_a_configuration(name):
    model = npswin.create_model(name, **{**OTHER_READING, "num_classes": 3})
    assert "layers.0.downsample.reduction.bias" in model.params
    assert "patch_embed.norm.weight" not in model.params
    assert model.params["layers.0.blocks.0.attn.relative_position_bias_table"].shape[1] == 1


class TestConfigurations:
    def test_parameter_counts_are_the_papers(self):
        # Table 1a: 29, 50 and 88 million parameters. Swin-T by hand: 28,288,354.
        counts = {
            name: sum(value.size for value in npswin.create_model(name).params.values())
            for name in (f"swin_{size}_patch4_window7_224" for size in ("tiny", "small", "base"))
        }
        assert list(counts.values()) == [28_288_354, 49_606_258, 87_768_224]

    @pytest.mark.parametrize(
        ("name", "embed_dim", "heads", "depth", "window_size", "img_size", "drop_path_rate", "classes"),
        [
            ("swin_tiny_patch4_window7_224", 96, 3, 6, 7, 224, 0.2, 1000),
            ("swin_small_patch4_window7_224", 96, 3, 18, 7, 224, 0.3, 1000),
            ("swin_base_patch4_window7_224", 128, 4, 18, 7, 224, 0.5, 1000),
            ("swin_base_patch4_window12_384", 128, 4, 18, 12, 384, 0.5, 1000),
            ("swin_large_patch4_window7_224", 192, 6, 18, 7, 224, 0.2, 1000),
            ("swin_large_patch4_window12_384", 192, 6, 18, 12, 384, 0.2, 1000),
            ("swin_tiny_patch4_window7_224_22k", 96, 3, 6, 7, 224, 0.1, 21841),
            ("swin_small_patch4_window7_224_22k", 96, 3, 18, 7, 224, 0.2, 21841),
            ("swin_base_patch4_window7_224_22k", 128, 4, 18, 7, 224, 0.2, 21841),
            ("swin_base_patch4_window12_384_22k", 128, 4, 18, 12, 384, 0.2, 21841),
            ("swin_large_patch4_window7_224_22k", 192, 6, 18, 7, 224, 0.2, 21841),
            ("swin_large_patch4_window12_384_22k", 192, 6, 18, 12, 384, 0.2, 21841),
        ],
    )
    def test_official_configurations(
        self, name, embed_dim, heads, depth, window_size, img_size, drop_path_rate, classes
    ):
        assert CONFIGS[name] == {
            "embed_dim": embed_dim,
            "depths": (2, 2, depth, 2),
            "num_heads": (heads, 2 * heads, 4 * heads, 8 * heads),
            "patch_size": 4,
            "window_size": window_size,
            "img_size": img_size,
            "drop_path_rate": drop_path_rate,
            "num_classes": classes,
        }

    def test_official_names(self):
        params = npswin.create_model("swin_tiny_patch4_window7_224").params
        assert params["layers.0.blocks.1.attn.relative_position_bias_table"].shape == (169, 3)
        assert params["layers.2.blocks.5.mlp.fc1.weight"].shape == (1536, 384)
        assert params["layers.2.downsample.reduction.weight"].shape == (768, 1536)
        assert params["patch_embed.proj.weight"].shape == (96, 3, 4, 4)
        assert "layers.3.downsample.norm.weight" not in params

    @pytest.mark.parametrize(
        ("name", "classes"), [("swin_base_patch4_window7_224_22k", 21841), ("swin_mini_patch2_window4_32", 10)]
    )
    def test_class_counts(self, name, classes):
        assert npswin.create_model(name, depths=(1,), num_heads=(1,), embed_dim=8).params["head.bias"].shape == (
            classes,
        )

    def test_windows_shrink_to_small_maps_at_construction_only(self):
        model = npswin.create_model("swin_tiny_patch4_window7_224", img_size=112, depths=(2, 2, 2, 2))
        windows = {
            name: (layer.attn.window_size, layer.attn.shift_size) for name, layer in model.trunk if "blocks.1" in name
        }
        assert list(windows.values()) == [(7, 3), (7, 3), (7, 0), (4, 0)]
        free = npswin.create_model("swin_tiny_patch4_window7_224", img_size=None)
        assert all(layer.attn.window_size == 7 for name, layer in free.trunk if "blocks" in name)
        assert dict(free.trunk)["layers.3.blocks.1"].attn.shift_size == 3

    @pytest.mark.parametrize(
        ("img_size", "window_size", "shift_size"),
        [((24, 64), 3, 0), ((64, 24), 3, 0), ((28, 64), 4, 0), ((64, 28), 4, 0), ((40, 64), 4, 2), ((64, 40), 4, 2)],
    )
    def test_the_shorter_side_decides(self, img_size, window_size, shift_size):
        # The last stage's maps are 3×8, 8×3, 4×8, 8×4, 5×8, 8×5; the window's side is 4.
        model = npswin.SwinTransformer(
            img_size=img_size, patch_size=4, window_size=4, embed_dim=8, depths=(2, 2), num_heads=(1, 1)
        )
        last = dict(model.trunk)["layers.1.blocks.1"].attn
        assert (last.window_size, last.shift_size) == (window_size, shift_size)

    def test_drop_path_grows_linearly(self):
        model = npswin.create_model("swin_tiny_patch4_window7_224", drop_path_rate=0.22)
        rates = [layer.drop_path for name, layer in model.trunk if "blocks" in name]
        np.testing.assert_allclose(rates, np.arange(12) * 0.02)

    def test_rates_reach_their_layers(self):
        model = tiny(drop_rate=0.1, attn_drop_rate=0.2, drop_path_rate=0.3)
        trunk = dict(model.trunk)
        assert trunk["pos_drop"].drop == 0.1
        blocks = [layer for name, layer in model.trunk if "blocks" in name]
        assert {(block.attn.proj_drop, block.attn.attn_drop, block.mlp.drop) for block in blocks} == {(0.1, 0.2, 0.1)}
        assert [block.drop_path for block in blocks] == pytest.approx([0, 0.15, 0.3])

    def test_unknown_name(self):
        with pytest.raises(ValueError, match="name: got 'swin_huge', expected one of swin_tiny_patch4_window7_224"):
            npswin.create_model("swin_huge")


class TestFeatures:
    @pytest.mark.parametrize("size", [(16, 16), (13, 18), (3, 5)])
    def test_a_map_for_each_stage(self, size):
        maps = tiny().forward_features(normal(0, 2, 3, *size))
        rows, columns = -(-size[0] // 2), -(-size[1] // 2)
        assert [m.shape for m in maps] == [(2, 4, rows, columns), (2, 8, -(-rows // 2), -(-columns // 2))]

    def test_maps_of_training_are_the_same_and_their_gradients_right(self):
        class AllMaps:
            """The maps side by side, as a dense task reads them."""

            def __init__(self, model):
                self.model, self.params, self.grads = model, model.params, model.grads

            def forward(self, images):
                maps, cache = self.model.features(images)
                return np.concatenate([m.ravel() for m in maps]), ([m.shape for m in maps], cache)

            def backward(self, dy, cache):
                shapes, cache = cache
                ends = np.cumsum([np.prod(shape) for shape in shapes])
                parts = np.split(dy, ends[:-1])
                return self.model.features_backward(
                    [part.reshape(s) for part, s in zip(parts, shapes, strict=True)], cache
                )

        model, images = tiny(), normal(0, 2, 3, 11, 8)
        for inference, training in zip(model.forward_features(images), model.features(images)[0], strict=True):
            np.testing.assert_array_equal(inference, training)
        model.children.pop("head")
        model.children.pop("norm")
        checked("SwinTransformer.features", AllMaps(model), images, max_coordinates=20, directions=2)

    def test_a_loss_on_no_map_is_an_error(self):
        model = tiny()
        _, cache = model.features(normal(0, 1, 3, 8, 8))
        with pytest.raises(ValueError, match="dmaps"):
            model.features_backward([None, None], cache)

    def test_a_model_without_head_gives_pooled_features(self):
        assert tiny(num_classes=0)(normal(0, 2, 3, 16, 16)).shape == (2, 8)

    def test_attention_maps_are_those_of_the_blocks(self):
        model, images = tiny(), normal(0, 2, 3, 16, 16)
        trunk, outputs = dict(model.trunk), dict(model.activations(images))
        found = {one["name"]: one["probabilities"] for one in model.attention_maps(images)}
        block = trunk["layers.0.blocks.1"]
        normed = block.norm1(outputs["layers.0.blocks.0"])
        np.testing.assert_array_equal(found["layers.0.blocks.1"], block.attn.probabilities(normed)[0])

    def test_the_other_reading_masks_wholly(self):
        small = {**TINY, **OTHER_READING, "dtype": "float64", "head_dim": 4}
        for arguments, silent in ((small, True), ({**TINY, "dtype": "float64"}, False)):
            shifted = npswin.SwinTransformer(**arguments).attention_maps(normal(0, 1, 3, 16, 16))[1]["probabilities"]
            assert shifted.min() < 1e-40
            assert (shifted.min() == 0) == silent

    def test_attention_maps_are_distributions(self):
        model = tiny()
        found = model.attention_maps(normal(0, 2, 3, 16, 16))
        assert [(one["name"], one["shift"], one["window_size"]) for one in found] == [
            ("layers.0.blocks.0", 0, 3),
            ("layers.0.blocks.1", 1, 3),
            ("layers.1.blocks.0", 0, 3),
        ]
        assert found[1]["probabilities"].shape == (2, 9, 1, 9, 9)
        assert found[1]["grid"] == (3, 3)
        for one in found:
            np.testing.assert_allclose(one["probabilities"].sum(-1), 1)


class TestRandomness:
    def test_same_seed_same_bits(self):
        first, second = (npswin.SwinTransformer(**{**TINY, "seed": 3}) for _ in range(2))
        for name, value in first.params.items():
            np.testing.assert_array_equal(value, second.params[name])
        other = npswin.SwinTransformer(**{**TINY, "seed": 4})
        assert (other.params["head.weight"] != first.params["head.weight"]).any()

    def test_forward_drops_inference_does_not(self):
        model = tiny(drop_path_rate=0.9)
        images = normal(0, 4, 3, 16, 16)
        np.testing.assert_array_equal(model(images), model(images))
        assert (model.forward(images)[0] != model.forward(images)[0]).any()
        first, second = (model.forward(images, np.random.default_rng(1))[0] for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_the_seed_decides_on_what_forward_drops(self):
        images = normal(0, 16, 3, 16, 16)
        first, same, other = (tiny(drop_path_rate=0.5, seed=seed).forward(images)[0] for seed in (3, 3, 4))
        np.testing.assert_array_equal(first, same)
        assert (first != other).any()

    def test_initial_loss_is_that_of_ignorance(self):
        model = npswin.create_model("swin_nano_patch2_window4_32")
        images = normal(0, 16, 3, 32, 32).astype("float32")
        loss, _ = npswin.cross_entropy(model(images), np.arange(16) % 10)
        assert abs(loss - np.log(10)) < 0.1


def test_activations_name_every_step_and_end_with_the_logits():
    model, images = tiny(drop_rate=0.1, ape=True), normal(0, 2, 3, 16, 16)
    names = [name for name, _ in model.activations(images)]
    assert names == [
        "patch_embed",
        "pos_drop",
        "layers.0.blocks.0",
        "layers.0.blocks.1",
        "layers.0.downsample",
        "layers.1.blocks.0",
        "norm",
        "pool",
        "head",
    ]
    *_, (_, logits) = model.activations(images)
    np.testing.assert_array_equal(logits, model(images))


def test_the_configuration_survives_json():
    model = tiny(mask_value=float("-inf"), img_size=(16, 12))
    again = npswin.SwinTransformer(**json.loads(json.dumps(model.config)))
    assert again.config == model.config
    assert {name: value.shape for name, value in again.params.items()} == {
        name: value.shape for name, value in model.params.items()
    }
    assert again.trunk[1][1].attn.mask_value == float("-inf")


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
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        npswin.SwinTransformer(**{**TINY, **arguments})


def test_numpy_numbers_are_as_good_as_pythons(tmp_path):
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
def test_bad_derivatives_are_named(dlogits):
    model = tiny()
    _, cache = model.forward(normal(0, 2, 3, 16, 16))
    with pytest.raises(ValueError, match=r"dlogits: got .* expected float64 of shape \(2, 3\)"):
        model.backward(dlogits, cache)
    _, cache = model.features(normal(0, 2, 3, 16, 16))
    with pytest.raises(ValueError, match="dmaps: got 1 derivatives, expected 2"):
        model.features_backward([None], cache)
    with pytest.raises(ValueError, match=r"dmaps\[1\]: got float64 of shape \(2, 4, 8, 8\)"):
        model.features_backward([None, np.ones((2, 4, 8, 8))], cache)
    assert not any(gradient.any() for gradient in model.grads.values())


NAN = np.zeros((1, 3, 16, 16), "float32")
NAN[0, 2, 5, 7] = np.nan


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((3, 16, 16), "float32"), r"images: got shape \(3, 16, 16\), expected \(B, 3, H, W\)"),
        (np.zeros((1, 16, 16, 3), "float32"), "images: got shape"),
        (np.zeros((0, 3, 16, 16), "float32"), "nothing empty"),
        (np.zeros((1, 3, 0, 16), "float32"), "nothing empty"),
        (np.zeros((1, 3, 16, 16), "uint8"), "images: got dtype uint8, expected the model's float32"),
        (np.zeros((1, 3, 16, 16), "float64"), "images: got dtype float64, expected the model's float32"),
        ([[1.0]], "images: got list"),
        (NAN, r"images: got nan at \(0, 2, 5, 7\)"),
    ],
)
def test_bad_images_are_named(images, message):
    model = npswin.SwinTransformer(**TINY)
    for call in (model, model.forward, model.forward_features, model.features, model.attention_maps):
        with pytest.raises(ValueError, match=message):
            call(images)


def test_a_saved_model_loads_into_a_fresh_one(tmp_path):
    model, images = tiny(), normal(0, 2, 3, 16, 16)
    model.save(tmp_path / "model.safetensors")
    fresh = npswin.SwinTransformer(**{**model.config, "seed": 9})
    assert (fresh(images) != model(images)).any()
    npswin.load_weights(fresh, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(fresh(images), model(images))
