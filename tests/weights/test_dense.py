"""Weights of dense models: those of other projects give what these compute; parts, heads, and other models."""

import json
from pathlib import Path

import numpy as np
import pytest

from npswin import SwinTransformer
from npswin.weights import WeightMismatchError, load_weights, save_tensors
from npswin.weights.load import model_tensors
from tests.weights.dense_files import DETECTORS, SEGMENTERS, cascade, mask_rcnn, official, read, upernet
from tests.weights.dense_peers import BACKBONE, CLASSES
from tests.weights.golden_files import read as read_classifier

REAL = json.loads((Path(__file__).parent / "real_names.json").read_text())
NORMS = [f"backbone.norm{stage}.{kind}" for stage in range(2) for kind in ("weight", "bias")]
WRAPPERS = ("", "module.", "model.", "module.model.", "student.")


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def classifier(**arguments):
    return SwinTransformer(**{"img_size": 16, "num_classes": 5, **BACKBONE, "seed": 2, **arguments})


def copied(model):
    return {name: tensor.copy() for name, tensor in model_tensors(model).items()}


def assert_unchanged(model, before):
    after = model_tensors(model)
    assert all(np.array_equal(after[name], before[name]) for name in before)


class TestGolden:
    @pytest.mark.parametrize("before", WRAPPERS)
    @pytest.mark.parametrize("name", SEGMENTERS)
    def test_segmenters(self, tmp_path, name, before):
        golden = read(name)
        save_tensors(tmp_path / "w.safetensors", {before + key: one for key, one in golden.state.items()})
        report = load_weights(model := upernet(), tmp_path / "w.safetensors")
        assert (report.layout, report.prefix) == (SEGMENTERS[name], before)
        assert report.complete
        assert report.loaded == list(model_tensors(model))
        assert not report.own_parts
        close(model(golden.inputs["images"]), golden.outputs["logits"])

    @pytest.mark.parametrize("before", WRAPPERS)
    @pytest.mark.parametrize("name", DETECTORS)
    def test_detectors(self, name, before):
        golden = read(name)
        tensors = {before + key: one for key, one in golden.state.items()}
        is_torchvision = name == "dense_torchvision"
        report = load_weights(model := mask_rcnn(), tensors, strict=not is_torchvision)
        assert (report.layout, report.prefix) == (DETECTORS[name], before)
        assert report.missing == (NORMS if is_torchvision else [])  # torchvision's Swin has no norms of stages
        assert [*report.unexpected, *report.misshapen, *report.foreign] == []
        pyramid = model.neck([golden.inputs["map0"], golden.inputs["map1"]])
        for level, x in enumerate(pyramid):
            close(x, golden.outputs[f"pyramid{level}"])
        objectness, deltas = model.rpn_head([pyramid[0]])
        close(objectness.ravel(), golden.outputs["objectness"].ravel())
        close(deltas.ravel(), golden.outputs["moves"].ravel())
        stage = model.roi_head.stages[0]
        logits, deltas = stage.box_head(golden.inputs["box"])
        close(logits, golden.outputs["logits"])
        close(deltas.reshape(1, -1), golden.outputs["deltas"])
        close(stage.mask_head(golden.inputs["mask"]), golden.outputs["masks"])

    def test_the_backbone_of_torchvision(self):
        golden = read("dense_torchvision")
        load_weights(model := mask_rcnn(), golden.state, strict=False)
        body = {key.replace("backbone.body.", "features."): one for key, one in golden.state.items()}
        load_weights(plain := classifier(dtype="float64"), body, strict=False)
        for name, param in plain.params.items():
            if name.startswith(("layers.", "patch_embed.")):
                np.testing.assert_array_equal(model.params[f"backbone.{name}"], param)

    @pytest.mark.parametrize("make", [upernet, mask_rcnn, cascade])
    def test_what_is_saved_is_loaded(self, tmp_path, make):
        saved, model = make(seed=5), make()
        for place, buffer in enumerate(saved.buffers.values()):
            buffer[...] = place + 1
        saved.save(tmp_path / "w.safetensors")
        report = load_weights(model, tmp_path / "w.safetensors")
        assert (report.layout, report.prefix, report.complete) == ("official", "", True)
        assert_unchanged(model, copied(saved))

    def test_names_before_torchvision_0_13(self):
        golden = read("dense_torchvision")
        older = {}
        for key, one in golden.state.items():
            name = key.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
            for block in ("inner_blocks", "layer_blocks"):
                for level in range(2):
                    name = name.replace(f"fpn.{block}.{level}.0.", f"fpn.{block}.{level}.")
            for place in range(4):
                name = name.replace(f"mask_head.{place}.0.", f"mask_head.mask_fcn{place + 1}.")
            older[name] = one
        assert len(set(older) - set(golden.state)) == 2 * 9
        load_weights(new := mask_rcnn(), golden.state, strict=False)
        load_weights(old := mask_rcnn(), older, strict=False)
        assert_unchanged(old, copied(new))

    def test_an_average_beside_the_model(self):
        golden = read("dense_mmsegmentation")
        zeros = {f"ema.{key}": np.zeros_like(one) for key, one in golden.state.items()}
        both = zeros | {f"model.{key}": one for key, one in golden.state.items()}
        report = load_weights(model := upernet(), both)
        assert (report.prefix, report.copies) == ("model.", ("ema.",))
        assert "loaded is 'model.'; prefix='ema.' chooses another" in str(report)
        close(model(golden.inputs["images"]), golden.outputs["logits"])
        load_weights(model, both, prefix="ema")
        assert not any(param.any() for param in model.params.values())


def tensors_of(case):
    """Tensors with the names and shapes of a case of real_names.json."""
    rng = np.random.default_rng(len(case))
    shapes = REAL[case].items()
    return {
        name: np.array(7) if name.endswith("num_batches_tracked") else rng.standard_normal(shape)
        for name, shape in shapes
    }


@pytest.mark.parametrize(
    ("case", "make"),
    [
        ("mmdetection Cascade Mask R-CNN", cascade),
        ("mmdetection Cascade Mask R-CNN, linear", lambda: cascade(box_head="linear")),
        ("transformers UperNet of four stages", lambda: upernet(backbone=FOUR_STAGES)),
    ],
)
def test_real_names_are_all_of_the_model(case, make):
    report = load_weights(model := make(), tensors := tensors_of(case))
    assert len(report.loaded) == len(model_tensors(model))
    leftover = [name for name in tensors if "relative_position_index" not in name]
    tail = 2 if "transformers" in case else 0  # transformers has a norm behind the last stage, which nothing reads
    assert len(report.foreign) == tail
    queries = sum(".q_proj." in name for name in tensors)  # with keys and values they are one tensor
    assert len(leftover) == len(report.loaded) + tail + 2 * queries
    assert all(count == 7 for name, count in model.buffers.items() if name.endswith("tracked"))


FOUR_STAGES = {"depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1)}


def test_a_box_head_of_torchvision_with_convolutions():
    tensors = tensors_of("torchvision Mask R-CNN, convolutional")
    box = "roi_head.bbox_head.0."
    found = {name: one for name, one in load_all(cascade(), tensors).items() if name.startswith(box)}
    assert not found, "of the names of one stage none is a cascade's"
    report = load_weights(mask_rcnn(), tensors, strict=False, min_share=0)
    wanted = {f"roi_head.bbox_head.shared_convs.{place}.{kind}" for place in range(4) for kind in KINDS}
    assert {name for name in report.unexpected if "shared_convs" in name} == wanted
    assert report.misshapen == {}
    assert "roi_head.bbox_head.shared_fcs.1.weight" in report.missing


KINDS = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked")


def load_all(model, tensors):
    """What is loaded of the tensors, by name."""
    report = load_weights(model, tensors, strict=False, min_share=0)
    return {name: model_tensors(model)[name] for name in report.loaded}


class TestClassifierAsBackbone:
    """A classifier's weights as the beginning of a dense model."""

    @pytest.mark.parametrize("name", ["timm_older", "timm", "torchvision", "transformers_modules", "openmmlab"])
    @pytest.mark.parametrize("make", [upernet, mask_rcnn])
    def test_of_every_layout(self, tmp_path, make, name):
        golden = read_classifier(name)
        sizes = {key: golden.arguments[key] for key in BACKBONE if key in golden.arguments}
        backbone = {**sizes, "mlp_ratio": 4.0, "ape": golden.arguments.get("ape", False), "img_size": 16}
        model, alone = make(backbone=backbone), make(backbone=backbone).backbone
        before = copied(model)
        save_tensors(tmp_path / "w.safetensors", golden.state)
        report = load_weights(model, tmp_path / "w.safetensors", part="backbone")
        inside = load_weights(alone, tmp_path / "w.safetensors")
        load_weights(one := golden.model(), golden.state)
        own = [name for name in before if not name.startswith("backbone.")]
        for found, prefix, parts in ((report, "backbone.", NORMS + own), (inside, "", [n[9:] for n in NORMS])):
            assert found.complete
            assert found.own_parts == parts
            assert found.loaded == [prefix + name for name in one.params if not name.startswith(("norm.", "head."))]
            assert sorted(found.foreign) == ["head.bias", "head.weight", "norm.bias", "norm.weight"]
            assert {"norm (2 tensors)", "head (2 tensors)"} == set(str(found).partition("not loaded: ")[2].split(", "))
        assert "as they were: backbone.norm0, backbone.norm1, " in str(report)
        assert "as they were: norm0, norm1" in str(inside)
        for name, value in model_tensors(model).items():
            wanted = before[name] if name in report.own_parts else one.params[name.removeprefix("backbone.")]
            np.testing.assert_array_equal(value, wanted, err_msg=name)

    def test_tables_of_other_windows_are_resampled(self):
        model = upernet(backbone={"window_size": 3})
        report = load_weights(model, classifier().params, part="backbone")
        table = "backbone.layers.0.blocks.0.attn.relative_position_bias_table"
        assert report.resized[table] == ((9, 1), (25, 1))
        assert len(report.resized) == sum(name.endswith("_bias_table") for name in model.params) == 3

    def test_images_of_other_channels(self):
        model = upernet(backbone={"in_chans": 4})
        weight = "backbone.patch_embed.proj.weight"
        before = model.params[weight].copy()
        with pytest.raises(WeightMismatchError, match="images of 3 channels, the model takes 4"):
            load_weights(model, classifier().params, part="backbone")
        report = load_weights(model, classifier().params, part="backbone", input_channels="keep")
        assert report.own_input == [weight]
        np.testing.assert_array_equal(model.params[weight], before)
        report = load_weights(model, classifier().params, part="backbone", input_channels="adapt")
        assert list(report.adapted) == [weight]
        assert np.any(model.params[weight] != before)

    def test_an_absolute_embedding_is_resampled(self):
        model = upernet(backbone={"img_size": 20, "ape": True})
        report = load_weights(model, classifier(ape=True).params, part="backbone")
        assert report.resized == {"backbone.absolute_pos_embed": ((1, 64, 4), (1, 100, 4))}

    @pytest.mark.parametrize("strict", [True, False])
    def test_not_unless_it_is_asked_for(self, strict):
        model = upernet(backbone={"depths": (2, 1)})
        before = copied(model)
        with pytest.raises(WeightMismatchError) as caught:
            load_weights(model, classifier().params, strict, min_share=0.9)
        clause = "these weights are of a backbone or a classifier, the model is a UPerNet"
        assert f"the tensors: {clause} (part='backbone' loads the backbone alone); only " in str(caught.value)
        assert_unchanged(model, before)

    def test_the_backbone_of_a_dense_model_with_its_norms(self):
        tensors = official("dense_mmdetection")
        for model, arguments in ((upernet(), {"part": "backbone"}), (upernet().backbone, {})):
            report = load_weights(model, tensors, **arguments)
            assert report.complete
            prefix = "backbone." if arguments else ""
            own = {name: one for name, one in model_tensors(model).items() if name.startswith(prefix)}
            assert report.loaded == list(own)
            for name, value in own.items():
                np.testing.assert_array_equal(value, tensors["backbone." + name.removeprefix("backbone.")])

    def test_some_norms_are_missing(self):
        tensors = official("dense_mmdetection")
        del tensors["backbone.norm0.bias"]
        with pytest.raises(WeightMismatchError, match=r"\nmissing: norm0\.bias\n"):
            load_weights(upernet().backbone, tensors)

    def test_a_dense_models_backbone_for_a_classifier(self):
        report = load_weights(one := classifier(), tensors := official("dense_mmdetection"), strict=False)
        assert report.missing == ["norm.weight", "norm.bias", "head.weight", "head.bias"]
        assert report.unexpected == [name.removeprefix("backbone.") for name in NORMS]
        for name in report.loaded:
            np.testing.assert_array_equal(one.params[name], tensors[f"backbone.{name}"].astype(np.float32))

    def test_a_model_without_heads_has_no_such_part(self):
        for model in (classifier(), upernet().backbone):
            with pytest.raises(ValueError, match=r"^part: got 'backbone', expected 'all' for a model without param"):
                load_weights(model, classifier().params, part="backbone")


class TestClasses:
    """Layers whose outputs are of classes, and models of other classes."""

    MODELS = pytest.mark.parametrize(
        "make",
        [upernet, mask_rcnn, cascade, lambda **more: cascade(box_head="linear", **more), classifier],
        ids=["upernet", "mask_rcnn", "cascade", "cascade_linear", "classifier"],
    )

    @MODELS
    def test_they_are_those_whose_shape_depends_on_the_classes(self, make):
        model, other = make(), make(num_classes=CLASSES + 4)
        report = load_weights(model, copied(model), head="keep")
        differing = [name for name, param in model.params.items() if param.shape != other.params[name].shape]
        agnostic = [name for name in report.own_head if ".fc_reg." in name and len(model.params[name]) == 4]
        assert sorted(report.own_head) == sorted(differing + agnostic)
        assert report.complete

    @MODELS
    def test_they_are_kept(self, make):
        model, other = make(), make(num_classes=CLASSES + 4, seed=5)
        before = copied(model)
        with pytest.raises(WeightMismatchError, match="the heads differ: head='keep' leaves the model's own"):
            load_weights(model, copied(other))
        assert_unchanged(model, before)
        report = load_weights(model, model_tensors(other), head="keep")
        assert report.complete
        for name, value in model_tensors(model).items():
            wanted = before[name] if name in report.own_head else model_tensors(other)[name]
            np.testing.assert_array_equal(value, wanted)

    @MODELS
    def test_they_are_drawn_as_new_models_draw_them(self, make):
        """With many outputs, so that the deviation of the numbers is known to some percent."""
        model = make(num_classes=400)
        fresh = copied(model)
        for name in load_weights(model, copied(model), head="keep").own_head:
            model.params[name][...] = 9
        report = load_weights(model, fresh, head=np.random.default_rng(3))
        assert report.head_is_drawn
        assert report.complete
        assert report.own_head
        for name in report.own_head:
            value = model.params[name]
            if name.endswith(".bias"):
                assert not value.any()
            else:
                assert np.any(value != fresh[name])
                assert value.std() == pytest.approx(fresh[name].std(), rel=5 / np.sqrt(value.size))

    def test_torchvisions_classes_differ(self):
        tensors = read("dense_torchvision").state
        with pytest.raises(WeightMismatchError) as caught:
            load_weights(mask_rcnn(num_classes=CLASSES + 1), tensors)
        for line in ("fc_cls.weight is (4, 6), the model has (5, 6)", "fc_reg.bias is (12,), the model has (16,)"):
            assert f"misshapen: roi_head.bbox_head.{line}" in str(caught.value)


class TestBuffers:
    @pytest.mark.parametrize("kind", ["running_mean", "running_var"])
    def test_statistics_are_required(self, kind):
        tensors = official("dense_mmsegmentation")
        del tensors[f"decode_head.bottleneck.bn.{kind}"]
        with pytest.raises(WeightMismatchError, match=rf"\nmissing: decode_head\.bottleneck\.bn\.{kind}$"):
            load_weights(upernet(), tensors)

    def test_counts_are_not(self):
        tensors = {name: one for name, one in official("dense_mmsegmentation").items() if "num_batches" not in name}
        report = load_weights(model := upernet(), tensors)
        assert report.complete
        assert report.loaded == list(tensors)
        assert not any(one.any() for name, one in model.buffers.items() if "num_batches" in name)

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("running_var", np.full(4, np.nan), "running_var: 4 of 4 values are NaN"),
            ("num_batches_tracked", np.array(1.5), "num_batches_tracked: has dtype float64, expected integers"),
        ],
    )
    def test_their_values_are_checked(self, name, value, message):
        tensors = {**official("dense_mmsegmentation"), f"decode_head.bottleneck.bn.{name}": value}
        with pytest.raises(ValueError, match=message):
            load_weights(upernet(), tensors)


def backbone_alone():
    return {name: param for name, param in upernet().params.items() if name.startswith("backbone.")}


class TestOtherModels:
    @pytest.mark.parametrize(
        ("make", "other", "clause"),
        [
            (upernet, lambda: official("dense_mmdetection"), "a Mask R-CNN, the model is a UPerNet"),
            (mask_rcnn, lambda: official("dense_mmsegmentation"), "a UPerNet, the model is a Mask R-CNN"),
            (upernet, lambda: read("dense_torchvision").state, "a Mask R-CNN, the model is a UPerNet"),
            (cascade, lambda: official("dense_mmdetection"), "a Mask R-CNN, the model is a Cascade Mask R-CNN"),
            (mask_rcnn, lambda: cascade().params, "a Cascade Mask R-CNN, the model is a Mask R-CNN"),
            (
                upernet,
                lambda: {**backbone_alone(), "neck.0.weight": np.ones(2), "bbox_head.cls.bias": np.ones(2)},
                "a model with the parts neck, bbox_head, the model is a UPerNet",
            ),
        ],
    )
    @pytest.mark.parametrize("before", ["", "module."])
    def test_of_another_kind(self, make, other, clause, before):
        tensors = {before + name: tensor for name, tensor in other().items()}
        kept = copied(model := make())
        with pytest.raises(WeightMismatchError, match=f"^the tensors: these weights are of {clause} ") as caught:
            load_weights(model, tensors)
        assert "(part='backbone' loads the backbone alone)" in str(caught.value)
        assert len(str(caught.value)) < 15_000
        assert_unchanged(model, kept)
        assert load_weights(model, tensors, part="backbone", strict=False).loaded

    def test_of_another_size(self):
        with pytest.raises(WeightMismatchError) as caught:
            load_weights(upernet(), upernet(backbone={"depths": (1, 2), "embed_dim": 8}).params)
        sizes = "embed_dim 8, depths (1, 2); the model has embed_dim 4, depths (2, 1)"
        assert f"these weights are of a Swin Transformer with {sizes}; only " in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("prefix", ["", "backbone."])
    def test_swin_v2(self, prefix):
        tensors = {**upernet().params, f"{prefix}layers.0.blocks.0.attn.logit_scale": np.ones((1, 1, 1))}
        tensors = tensors if prefix else {name.removeprefix("backbone."): one for name, one in tensors.items()}
        with pytest.raises(WeightMismatchError, match=r"^the tensors: this is Swin V2"):
            load_weights(upernet(), tensors)

    def test_two_names_of_one_tensor(self):
        tensors = {**read("dense_torchvision").state, "neck.fpn_convs.0.conv.bias": np.ones(4)}
        with pytest.raises(ValueError, match=r"both .* and .* are neck\.fpn_convs\.0\.conv\.bias"):
            load_weights(mask_rcnn(), tensors, strict=False)

    @pytest.mark.parametrize("name", ["box_predictor.cls_score.bias", "mask_predictor.mask_fcn_logits.bias"])
    def test_a_number_in_place_of_classes(self, name):
        tensors = {**read("dense_torchvision").state, f"roi_heads.{name}": np.array(1.0)}
        with pytest.raises(ValueError, match=rf"roi_heads\.{name}: got shape \(\), expected an axis of classes"):
            load_weights(mask_rcnn(), tensors, strict=False)

    def test_other_parts_of_a_model_that_has_them_not(self):
        report = load_weights(upernet(auxiliary_channels=0), official("dense_mmsegmentation"))
        assert report.complete
        assert "other parts, not loaded: auxiliary_head (8 tensors)" in str(report)
        with pytest.raises(WeightMismatchError, match=r"\nunexpected: decode_head\.extra$"):
            load_weights(upernet(), {**official("dense_mmsegmentation"), "decode_head.extra": np.ones(2)})
