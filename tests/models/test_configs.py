"""The named configurations, and how the constructor applies its arguments."""

import json

import numpy as np
import pytest

import npswin
from npswin.models import CONFIGS, SWIN_TRANSFORMER_PYTORCH
from npswin.models.configs import model_of_config
from tests.models.detection.tiny import KINDS
from tests.models.detection.tiny import tiny as tiny_detector
from tests.models.segmentation.tiny import tiny as tiny_segmenter
from tests.models.tiny import tiny


@pytest.mark.parametrize("name", [name for name in CONFIGS if name.startswith(("swin_tiny", "swin_nano", "swin_mini"))])
def test_swin_transformer_pytorch_can_be_applied_to_a_configuration(name):
    model = npswin.create_model(name, **{**SWIN_TRANSFORMER_PYTORCH, "num_classes": 3})
    assert "layers.0.downsample.reduction.bias" in model.params
    assert "patch_embed.norm.weight" not in model.params
    assert model.params["layers.0.blocks.0.attn.relative_position_bias_table"].shape[1] == 1


class TestConfigurations:
    def test_parameter_counts_equal_the_papers(self):
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
    def test_the_shorter_side_determines_window_and_shift(self, img_size, window_size, shift_size):
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

    def test_dropout_rates_are_passed_to_the_layers(self):
        model = tiny(drop_rate=0.1, attn_drop_rate=0.2, drop_path_rate=0.3)
        trunk = dict(model.trunk)
        assert trunk["pos_drop"].drop == 0.1
        blocks = [layer for name, layer in model.trunk if "blocks" in name]
        assert {(block.attn.proj_drop, block.attn.attn_drop, block.mlp.drop) for block in blocks} == {(0.1, 0.2, 0.1)}
        assert [block.drop_path for block in blocks] == pytest.approx([0, 0.15, 0.3])

    def test_names_are_listed_by_a_pattern(self):
        assert set(CONFIGS) < set(npswin.list_models())
        assert npswin.list_models() == sorted(npswin.list_models())
        assert {one.split("_")[0] for one in npswin.list_models()} >= {"swin", "upernet"}
        assert npswin.list_models("swin_base*384") == ["swin_base_patch4_window12_384"]
        assert npswin.list_models("swin_tiny*") == [
            "swin_tiny_patch2_window4_32",
            "swin_tiny_patch4_window7_224",
            "swin_tiny_patch4_window7_224_22k",
        ]
        assert npswin.list_models("*TINY*") == npswin.list_models("tiny") == []

    def test_unknown_name(self):
        with pytest.raises(ValueError, match="name: got 'swin_huge', expected one of swin_tiny_patch4_window7_224"):
            npswin.create_model("swin_huge")
        with pytest.raises(ValueError, match="did you mean 'swin_tiny_patch4_window7_224' or "):
            npswin.create_model("swin_tiny")

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("swin_tny_patch4_window7_224", r"; did you mean 'swin_tiny_patch4_window7_224' or "),
            ("swin-nano-patch2-window4-32", r"; did you mean 'swin_nano_patch2_window4_32'"),
            ("resnet50", r"cascade_mask_rcnn_swin_\w+$"),
            (7, r"cascade_mask_rcnn_swin_\w+$"),
        ],
    )
    def test_names_like_the_one_that_was_mistyped_are_suggested(self, name, hint):
        with pytest.raises(ValueError, match=hint):
            npswin.create_model(name)


class TestModelOfItsConfig:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: tiny(mask_value=float("-inf"), head_dim=3),
            tiny_segmenter,
            *(lambda kind=kind: tiny_detector(kind, masks=False) for kind in KINDS),
        ],
    )
    def test_it_is_the_same_model(self, make):
        model = make()
        again = model_of_config(json.loads(json.dumps(model.config)))
        assert type(again) is type(model)
        assert again.config == model.config
        assert {name: value.shape for name, value in again.params.items()} == {
            name: value.shape for name, value in model.params.items()
        }

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({"architecture": "detr"}, "architecture: got 'detr', expected one of 'upernet', 'mask_rcnn', 'casc"),
            ({"architecture": 3, "num_classes": 2}, "architecture: got 3"),
            ({"architecture": "upernet"}, "num_classes: is missing"),
            ({"architecture": "mask_rcnn", "num_classes": 2, "depth": 1}, "'depth': expected arguments of MaskRCNN"),
            ({"channels": 8}, "'channels': expected arguments of SwinTransformer"),
            ({"depths": (2,)}, "num_heads: got"),
        ],
    )
    def test_what_does_not_fit(self, config, message):
        with pytest.raises(ValueError, match=message):
            model_of_config(config)
