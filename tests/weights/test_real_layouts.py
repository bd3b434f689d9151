"""Files as people have them: each is loaded whole, or refused by a word that helps.

The names and shapes in real_names.json are of the other projects' own modules (`make_real_names.py`). Files of training
programs, which hold a model below a prefix beside other parts, are put together here.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from npswin import SwinTransformer
from npswin.weights import WeightMismatchError, load_weights, save_tensors
from tests.weights.golden_files import read

REAL = json.loads((Path(__file__).parent / "real_names.json").read_text())
HEAD = ["head.weight", "head.bias"]
NORM = ["norm.weight", "norm.bias"]


def state(case):
    """Tensors with the names and shapes of a case."""
    rng = np.random.default_rng(len(case))
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in REAL[case].items()}


def model(patch_size=2):
    """A model of the size of those in real_names.json."""
    return SwinTransformer(16, patch_size, 3, 5, 8, (2, 1), (1, 2), window_size=2, seed=1)


# Case of a backbone: the layout, the prefix, what a classifier has and the file lacks, and parts of other models.
BACKBONES = {
    "timm features_only": ("timm", "", NORM + HEAD, set()),
    "transformers SwinModel": ("transformers", "", HEAD, set()),
    "transformers SimMIM": ("transformers", "", HEAD, {"decoder"}),
    "transformers SwinBackbone": ("transformers", "", HEAD, set()),
    "transformers UperNet": ("transformers", "backbone.", HEAD, {"decode_head", "auxiliary_head"}),
    "transformers Donut": ("transformers", "", NORM + HEAD, set()),
    "mmpretrain backbone": ("openmmlab", "", HEAD, set()),
    "mmdetection backbone": ("openmmlab", "", NORM + HEAD, set()),
}


# In test_dense.py.
DENSE = {
    "mmdetection Cascade Mask R-CNN",
    "mmdetection Cascade Mask R-CNN, linear",
    "torchvision Mask R-CNN, convolutional",
    "transformers UperNet of four stages",
}


@pytest.mark.parametrize("case", BACKBONES)
def test_the_backbone_is_loaded_whole(case):
    layout, prefix, missing, foreign = BACKBONES[case]
    report = load_weights(own := model(), state(case), strict=False)
    assert (report.layout, report.prefix) == (layout, prefix)
    assert report.missing == missing
    assert not report.misshapen
    assert {key.split(".")[0] for key in report.foreign} == foreign
    fresh = model()
    assert all(np.any(own.params[name] != fresh.params[name]) for name in report.loaded)
    with pytest.raises(WeightMismatchError, match=r"missing: head\.weight|head='keep'"):
        load_weights(model(), state(case))


# What training programs put before the model's names, and what is there beside it.
PREFIXES = {
    "official, compiled": ("_orig_mod.", "", []),
    "DataParallel": ("module.", "module.", []),
    "FSDP": ("_fsdp_wrapped_module.", "", []),
    "Lightning": ("model.", "model.", ["criterion.weight"]),
    "Lightning with a net, compiled": ("net._orig_mod.", "net.", ["train_acc.total"]),
    "SimMIM": ("encoder.", "encoder.", ["decoder.0.weight", "decoder.0.bias"]),
    "Swin-Unet": ("swin_unet.", "swin_unet.", ["outc.weight"]),
    "detectron2": ("backbone.bottom_up.", "backbone.bottom_up.", ["backbone.fpn_lateral2.weight", "roi_heads.box.fc"]),
    "Grounding DINO": ("module.backbone.0.", "module.backbone.0.", ["module.transformer.layers.0.weight"]),
    "CLIP-like": ("visual.trunk.", "visual.trunk.", ["logit_scale", "text.transformer.resblocks.0.ln_1.weight"]),
    "MaskFormer": ("model.pixel_level_module.encoder.", "model.pixel_level_module.encoder.", ["class_predictor.bias"]),
    "an encoder and its decoder": ("encoder.", "encoder.", [f"decoder.layers.0.blocks.0.norm1.{i}" for i in "ab"]),
    "an own name": ("my_swin.", "my_swin.", ["my_fc.weight"]),
}
GOLDEN = ("timm_older", "timm", "torchvision", "transformers_hub", "transformers_modules", "openmmlab", "unfold_full")


@pytest.mark.parametrize("layout", GOLDEN)
@pytest.mark.parametrize("case", PREFIXES)
def test_below_a_prefix_beside_other_parts(tmp_path, case, layout):
    before, prefix, others = PREFIXES[case]
    golden = read(layout)
    path = tmp_path / "weights.safetensors"
    save_tensors(
        path, {before + key: one for key, one in golden.state.items()} | {other: np.ones(2) for other in others}
    )
    report = load_weights(own := golden.model(seed=1), path)
    assert report.prefix == prefix
    assert sorted(report.foreign) == sorted(others)
    np.testing.assert_allclose(own(golden.images), golden.logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        ("model.", "model_ema.", 0),
        ("model_ema.module.", "model.module.", 1),
        ("student.backbone.", "teacher.backbone.", 1),
        ("teacher.", "student.", 0),
        ("encoder.", "encoder_k.", 0),
        ("ema_model.net.", "net.", 1),
    ],
)
def test_of_two_copies_one_is_taken_and_prefix_chooses(first, second, taken):
    golden = read("timm_older")
    zeros = {key: 0 * tensor for key, tensor in golden.state.items()}
    parts = [golden.state, zeros] if taken == 0 else [zeros, golden.state]
    both = {first + key: one for key, one in parts[0].items()} | {second + key: one for key, one in parts[1].items()}
    report = load_weights(own := golden.model(), both)
    prefixes = [first, second]
    assert report.prefix == prefixes[taken]
    assert report.copies == (prefixes[1 - taken],)
    assert f"prefix='{prefixes[1 - taken]}' chooses another" in str(report)
    np.testing.assert_allclose(own(golden.images), golden.logits, rtol=0, atol=1e-12)
    chosen = load_weights(own, both, prefix=prefixes[1 - taken])
    assert chosen.prefix == prefixes[1 - taken]
    assert not own.params["head.weight"].any()


def test_of_two_models_the_one_that_fits_is_taken():
    """A distilled model beside its larger teacher, which has more names."""
    golden = read("timm_older")
    larger = SwinTransformer(16, 2, 3, 5, 16, (2, 6), (2, 4), window_size=2).params
    both = {f"teacher.{key}": one for key, one in larger.items()}
    both |= {f"student.{key}": one for key, one in golden.state.items()}
    report = load_weights(own := golden.model(seed=1), both)
    assert report.prefix == "student."
    assert len(report.foreign) == len(larger)
    np.testing.assert_allclose(own(golden.images), golden.logits, rtol=0, atol=1e-12)


def dense(prefix, norms):
    """The official repositories' file of a detector: a backbone with norms of stages, no final norm, other parts."""
    golden = read("timm_older")
    backbone = {prefix + key: one for key, one in golden.state.items() if not key.startswith(("head.", "norm."))}
    return golden, backbone | {prefix + name: np.ones(8) for name in norms} | {"neck.lateral.weight": np.ones(2)}


@pytest.mark.parametrize("prefix", ["backbone.", "module.backbone."])
def test_norms_of_stages_are_no_classifiers(prefix):
    norms = [f"norm{stage}.{kind}" for stage in range(2) for kind in ("weight", "bias")]
    golden, tensors = dense(prefix, norms)
    report = load_weights(golden.model(), tensors, strict=False)
    assert report.missing == NORM + HEAD
    assert report.unexpected == norms
    assert report.foreign == ["neck.lateral.weight"]
    assert "norms of stages' outputs, for dense tasks" in str(report)
    assert "neck (1 tensor)" in str(report)


def test_the_last_norm_of_mmpretrain_is_the_models_and_several_are_none():
    golden = read("openmmlab")
    more = {**golden.state, "backbone.norm0.weight": np.ones(8), "backbone.norm0.bias": np.ones(8)}
    first = {key.replace("backbone.norm1.", "backbone.norm0."): one for key, one in golden.state.items()}
    for tensors in (more, first):
        report = load_weights(golden.model(), tensors, strict=False)
        assert report.missing == NORM
        assert sorted(report.unexpected) == sorted(key for key in tensors if key.startswith("backbone.norm"))


# Case: what the message says.
REFUSED = {
    "timm Swin V2": "this is Swin V2",
    "timm Swin V2 CR": "this is Swin V2",
    "transformers Swin V2": "this is Swin V2",
    "torchvision Swin V2": "this is Swin V2",
    "mmpretrain Swin V2": "this is Swin V2",
    "torchvision Video Swin": "this is Video Swin",
    "transformers Swin2SR": "this is Swin V2|this is SwinIR or Swin2SR",
    "timm ViT": "this is a Vision Transformer",
    "timm BEiT": "this is BEiT",
    "timm DINOv2": "this is a Vision Transformer",
    "transformers ViT": "this is a Vision Transformer",
    "transformers DINOv2": "this is a Vision Transformer",
    "torchvision ViT": "this is a Vision Transformer",
    "timm ResNet": "this is a ResNet",
    "torchvision ResNet": "this is a ResNet",
    "transformers ResNet": "this is a ResNet",
    "timm ConvNeXt": "this is ConvNeXt",
    "timm FocalNet": "this is FocalNet",
    "timm EfficientNet": "this is a convolutional network",
    "transformers BERT": "this is a language model",
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("case", REFUSED)
def test_another_models_weights_are_refused_in_a_sentence(case, strict):
    assert set(REFUSED) | set(BACKBONES) | DENSE == set(REAL)
    _refused(state(case), REFUSED[case], strict)


def _refused(tensors, message, strict=False):
    own = model()
    before = {name: param.copy() for name, param in own.params.items()}
    with pytest.raises(WeightMismatchError, match=f"the tensors: {message}") as caught:
        load_weights(own, tensors, strict)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert all(np.array_equal(own.params[name], before[name]) for name in before)


@pytest.mark.parametrize("prefix", ["", "model.", "backbone."])
@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("layers.0.blocks.0.attn.logit_scale", (1, 1, 1), "this is Swin V2"),
        ("layers.0.blocks.0.attn.cpb_mlp.0.weight", (512, 2), "this is Swin V2"),
        ("layers.0.blocks.1.attn.q_bias", (8,), "this is Swin V2"),
        ("layers.1.blocks.0.mlp._moe_layer.experts.batched_fc1_w", (8, 8, 8), "this is Swin-MoE"),
        ("layers.0.residual_group.blocks.0.norm1.weight", (8,), "this is SwinIR"),
        ("patch_embed.proj.weight", (8, 3, 2, 4, 4), "this is Video Swin"),
    ],
)
def test_relatives_of_the_official_code(prefix, name, shape, message):
    """V2 as the official code names it, and others that share most names."""
    tensors = {**model().params, name: np.ones(shape, np.float32)}
    _refused({prefix + key: tensor for key, tensor in tensors.items()}, message)


def test_swin_unetr():
    names = ("patch_embed.proj.weight", "layers1.0.blocks.0.attn.qkv.weight", "layers1.0.blocks.0.mlp.linear1.weight")
    _refused({f"swinViT.{name}": np.ones(2) for name in names}, "this is SwinUNETR")


def test_a_model_of_another_size_is_told_by_its_arguments():
    other = SwinTransformer(16, 2, 3, 5, 16, (1, 2), (2, 2), window_size=2).params
    for strict in (True, False):
        with pytest.raises(WeightMismatchError) as caught:
            load_weights(model(), other, strict)
        message = str(caught.value)
        assert "embed_dim 16, depths (1, 2), num_heads (2, 2); the model has embed_dim 8, depths (2, 1)" in message
        assert "\n" not in message


def test_a_head_alone_is_not_told_to_be_a_model_without_stages():
    head = {name: param for name, param in model().params.items() if name.startswith(("norm.", "head."))}
    with pytest.raises(WeightMismatchError, match="not this model's; only 4 of the model's"):
        load_weights(model(), head, strict=False)
    assert str(load_weights(model(), head, strict=False, min_share=0)).splitlines()[1] == "loaded: 4 tensors"
