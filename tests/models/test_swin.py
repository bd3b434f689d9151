"""The model: gradients, feature maps, attention maps, random seeds, saving and loading."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import npswin
from npswin.models import SWIN_TRANSFORMER_PYTORCH
from tests.gradient_errors import gradcheck_and_record
from tests.models.tiny import TINY, tiny
from tests.ops.drawn import SEEDS, normal
from tests.thorough import examples

CENTRAL_TOLERANCE = 2e-7


@st.composite
def variants(draw):
    """Arguments of a tiny model, and an image size that windows need not divide."""
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


@settings(max_examples=examples(40, 6))
@given(SEEDS, variants())
def test_gradients_of_every_variant_at_any_size(seed, drawn):
    arguments, (height, width) = drawn
    images = normal(seed, 2, 3, height, width)
    gradcheck_and_record(
        "SwinTransformer", tiny(**arguments), images, tolerance=CENTRAL_TOLERANCE, max_coordinates=5, directions=2
    )


@pytest.mark.thorough  # above, every tensor's derivatives along random directions
def test_every_single_derivative_of_one_model():
    gradcheck_and_record(
        "SwinTransformer", tiny(), normal(0, 1, 3, 9, 7), tolerance=CENTRAL_TOLERANCE, max_coordinates=1000
    )


class TestFeatures:
    @pytest.mark.parametrize("size", [(16, 16), (13, 18), (3, 5)])
    def test_a_map_for_each_stage(self, size):
        maps = tiny().feature_maps(normal(0, 2, 3, *size))
        rows, columns = -(-size[0] // 2), -(-size[1] // 2)
        assert [m.shape for m in maps] == [(2, 4, rows, columns), (2, 8, -(-rows // 2), -(-columns // 2))]

    def test_maps_in_training_are_the_same_and_have_correct_gradients(self):
        class AllMaps:
            """The maps as one array."""

            def __init__(self, model):
                self.model, self.params, self.grads = model, model.params, model.grads

            def forward(self, images):
                maps, cache = self.model.feature_maps_forward(images)
                return np.concatenate([m.ravel() for m in maps]), ([m.shape for m in maps], cache)

            def backward(self, dy, cache):
                shapes, cache = cache
                ends = np.cumsum([np.prod(shape) for shape in shapes])
                parts = np.split(dy, ends[:-1])
                return self.model.feature_maps_backward(
                    [part.reshape(s) for part, s in zip(parts, shapes, strict=True)], cache
                )

        model, images = tiny(), normal(0, 2, 3, 11, 8)
        for inference, training in zip(model.feature_maps(images), model.feature_maps_forward(images)[0], strict=True):
            np.testing.assert_array_equal(inference, training)
        model.children.pop("head")
        model.children.pop("norm")
        gradcheck_and_record("SwinTransformer.feature_maps", AllMaps(model), images, max_coordinates=20, directions=2)

    def test_a_loss_on_no_map_is_an_error(self):
        model = tiny()
        _, cache = model.feature_maps_forward(normal(0, 1, 3, 8, 8))
        with pytest.raises(ValueError, match="dmaps"):
            model.feature_maps_backward([None, None], cache)

    def test_a_model_without_head_gives_pooled_features(self):
        assert tiny(num_classes=0)(normal(0, 2, 3, 16, 16)).shape == (2, 8)

    def test_attention_maps_equal_the_probabilities_of_the_blocks(self):
        model, images = tiny(), normal(0, 2, 3, 16, 16)
        trunk, outputs = dict(model.trunk), dict(model.activations(images))
        found = {one["name"]: one["probabilities"] for one in model.attention_maps(images)}
        block = trunk["layers.0.blocks.1"]
        normed = block.norm1(outputs["layers.0.blocks.0"])
        np.testing.assert_array_equal(found["layers.0.blocks.1"], block.attn.probabilities(normed)[0])

    def test_swin_transformer_pytorch_masks_with_minus_infinity(self):
        small = {**TINY, **SWIN_TRANSFORMER_PYTORCH, "dtype": "float64", "head_dim": 4}
        for arguments, masked_to_zero in ((small, True), ({**TINY, "dtype": "float64"}, False)):
            shifted = npswin.SwinTransformer(**arguments).attention_maps(normal(0, 1, 3, 16, 16))[1]["probabilities"]
            assert shifted.min() < 1e-40
            assert (shifted.min() == 0) == masked_to_zero

    def test_attention_maps_are_distributions(self):
        model = tiny()
        found = model.attention_maps(normal(0, 2, 3, 16, 16))
        assert [(one["name"], one["shift_size"], one["window_size"]) for one in found] == [
            ("layers.0.blocks.0", 0, 3),
            ("layers.0.blocks.1", 1, 3),
            ("layers.1.blocks.0", 0, 3),
        ]
        assert found[1]["probabilities"].shape == (2, 9, 1, 9, 9)
        assert found[1]["grid"] == (3, 3)
        for one in found:
            np.testing.assert_allclose(one["probabilities"].sum(-1), 1)


class TestRandomness:
    def test_the_same_seed_gives_bitwise_identical_parameters(self):
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

    def test_the_seed_determines_the_dropout_of_forward(self):
        images = normal(0, 16, 3, 16, 16)
        first, same, other = (tiny(drop_path_rate=0.5, seed=seed).forward(images)[0] for seed in (3, 3, 4))
        np.testing.assert_array_equal(first, same)
        assert (first != other).any()

    def test_initial_loss_is_that_of_a_uniform_distribution(self):
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


def test_a_saved_model_loads_into_a_fresh_one(tmp_path):
    model, images = tiny(), normal(0, 2, 3, 16, 16)
    model.save(tmp_path / "model.safetensors")
    fresh = npswin.SwinTransformer(**{**model.config, "seed": 9})
    assert (fresh(images) != model(images)).any()
    npswin.load_weights(fresh, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(fresh(images), model(images))
