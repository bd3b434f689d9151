"""The detectors: configurations, names of parameters, inference, saving, errors, and a run of training."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

from npswin.models.configs import model_of_config
from npswin.models.detection import CascadeMaskRCNN, MaskRCNN
from npswin.models.detection.configs import CASCADE_MASK_RCNN_CONFIGS, MASK_RCNN_CONFIGS
from tests.models.detection.tiny import BACKBONE, KINDS, SIZES, images, objects, tiny
from tests.thorough import some

COUNTS = [  # Tables 2a and 2b of Liu et al. 2021
    (MaskRCNN, MASK_RCNN_CONFIGS["mask_rcnn_swin_tiny"], 48),
    (MaskRCNN, MASK_RCNN_CONFIGS["mask_rcnn_swin_small"], 69),
    (CascadeMaskRCNN, CASCADE_MASK_RCNN_CONFIGS["cascade_mask_rcnn_swin_tiny"], 86),
    (CascadeMaskRCNN, CASCADE_MASK_RCNN_CONFIGS["cascade_mask_rcnn_swin_small"], 107),
    (CascadeMaskRCNN, CASCADE_MASK_RCNN_CONFIGS["cascade_mask_rcnn_swin_base"], 145),
]


@pytest.mark.parametrize(("cls", "config", "millions"), some(COUNTS, lambda case: False))
def test_parameter_counts_equal_the_papers(cls, config, millions):
    assert round(sum(param.size for param in cls(**config).params.values()) / 1e6) == millions


PRESETS = [(MaskRCNN, config) for name, config in MASK_RCNN_CONFIGS.items() if "nano" not in name]
PRESETS += [(CascadeMaskRCNN, config) for config in CASCADE_MASK_RCNN_CONFIGS.values()]


@pytest.mark.parametrize(
    ("cls", "config"), [*PRESETS, (MaskRCNN, {"num_classes": 3}), (CascadeMaskRCNN, {"num_classes": 3})]
)
def test_region_proposals_are_trained_as_in_the_official_configurations(cls, config):
    """Those of mask_rcnn_swin_fpn.py and cascade_mask_rcnn_swin_fpn.py."""
    model = cls(**{**config, "backbone": BACKBONE, "channels": 2, "width": 2})
    rule, in_training = (("l1", False), 1000) if cls is MaskRCNN else (("smooth_l1", True), 2000)
    assert model.rpn_head.rule == rule
    assert model.rpn_head.samples == 256
    assert model.training_proposals == (2000, in_training, 0.7)
    assert model.inference_proposals == (1000, 1000, 0.7)


def test_a_cascade_is_trained_by_the_arguments():
    model = tiny("cascade", proposals=30, rpn_box_loss="l1", anchors_inside=False)
    assert model.rpn_head.rule == ("l1", False)
    assert model.training_proposals.after_nms == model.inference_proposals.after_nms == 30
    losses = {}
    for kind in ("l1", "smooth_l1"):
        model = tiny("cascade", rpn_box_loss=kind)
        found, _ = model.loss_forward(images(), SIZES, objects(), np.random.default_rng(0))
        losses[kind] = float(found["loss_rpn_bbox"])
    assert losses["smooth_l1"] < losses["l1"]


def test_a_cascade_saved_without_these_arguments_is_loaded():
    config = tiny("cascade").config
    older = {name: value for name, value in config.items() if name not in ("rpn_box_loss", "anchors_inside")}
    model = model_of_config(older)
    assert model.config == config
    assert model.training_proposals.after_nms == model.inference_proposals.after_nms == 20


@pytest.mark.parametrize("kind", ["cascade", "cascade of linear heads"])
def test_images_in_which_no_anchor_lies_are_no_error(kind):
    model = tiny(kind, anchor_scale=40)
    losses, cache = model.loss_forward(images(), SIZES, objects(), np.random.default_rng(0))
    model.loss_backward(cache)
    assert losses["loss_rpn_cls"] == losses["loss_rpn_bbox"] == 0
    assert not any(gradient.any() for name, gradient in model.grads.items() if name.startswith("rpn_head"))
    assert model.grads["roi_head.bbox_head.0.fc_cls.weight"].any()


def test_parameters_have_the_official_names():
    names = [name for name in tiny("mask_rcnn").params if not name.startswith("backbone")]
    both = ("weight", "bias")
    levels = [
        f"neck.{kind}.{level}.conv.{own}"
        for level in range(4)
        for kind in ("lateral_convs", "fpn_convs")
        for own in both
    ]
    layers = [
        *("rpn_head.rpn_conv", "rpn_head.rpn_cls", "rpn_head.rpn_reg"),
        *("roi_head.bbox_head.shared_fcs.0", "roi_head.bbox_head.shared_fcs.1"),
        *("roi_head.bbox_head.fc_cls", "roi_head.bbox_head.fc_reg"),
        *(f"roi_head.mask_head.convs.{place}.conv" for place in range(4)),
        *("roi_head.mask_head.upsample", "roi_head.mask_head.conv_logits"),
    ]
    assert names == levels + [f"{layer}.{own}" for layer in layers for own in both]
    cascade = tiny("cascade")
    heads = [f"roi_head.bbox_head.{stage}.shared_convs.{place}" for stage in range(3) for place in range(4)]
    assert {f"{head}.conv.weight" for head in heads} | {f"{head}.bn.bias" for head in heads} <= set(cascade.params)
    assert {f"{head}.bn.running_mean" for head in heads} <= set(cascade.buffers)
    assert "roi_head.mask_head.2.conv_logits.weight" in cascade.params
    assert cascade.params["roi_head.bbox_head.1.fc_reg.weight"].shape == (12, 5)
    assert tiny("cascade of linear heads").params["roi_head.bbox_head.1.fc_reg.weight"].shape == (4, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_detections_lie_in_their_images(kind):
    model, batch = tiny(kind), images()
    found = model(batch, SIZES)
    for one, (height, width) in zip(found, SIZES, strict=True):
        count = len(one.scores)
        assert 0 < count <= 10
        assert (one.boxes >= 0).all()
        assert (one.boxes <= (width, height, width, height)).all()
        assert (one.scores[:-1] >= one.scores[1:]).all()
        assert one.scores[-1] > 0.05
        assert set(one.labels) <= {0, 1, 2}
        assert one.mask_probabilities.shape == (count, 28, 28)
        assert one.masks().shape == (count, height, width)
    whole = model.detect(batch)
    assert [one.size for one in whole] == [(33, 34)] * 2


def test_a_model_that_finds_nothing_returns_no_boxes():
    found = tiny("cascade", score_threshold=0.999)(images())
    assert [one.boxes.shape for one in found] == [(0, 4)] * 2
    assert [one.masks().shape for one in found] == [(0, 33, 34)] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bits(kind):
    results = []
    for seed in (0, 0, 1):
        model = tiny(kind)
        losses, cache = model.loss_forward(images(), SIZES, objects(), np.random.default_rng(seed))
        dimages = model.loss_backward(cache)
        results.append((losses, dimages, model.grads))
    (losses, dimages, grads), again, other = results
    assert tuple(losses) == model.loss_names
    assert losses == again[0] != other[0]
    np.testing.assert_array_equal(dimages, again[1])
    assert all(np.array_equal(gradient, again[2][name]) for name, gradient in grads.items())


def test_the_scale_multiplies_every_gradient():
    grads = []
    for scale in (1.0, 0.25):
        model = tiny("cascade")
        _, cache = model.loss_forward(images(), SIZES, objects(), np.random.default_rng(0))
        dimages = model.loss_backward(cache, scale)
        grads.append({"images": dimages, **model.grads})
    for name, gradient in grads[0].items():
        np.testing.assert_allclose(grads[1][name], gradient / 4, rtol=1e-9, atol=1e-12)


def test_without_objects_boxes_and_masks_have_no_gradient():
    model = tiny("mask_rcnn")
    losses, cache = model.loss_forward(images(), SIZES, objects((0, 0)), np.random.default_rng(0))
    model.loss_backward(cache)
    assert losses["loss_mask"] == losses["loss_bbox"] == losses["loss_rpn_bbox"] == 0
    for name, gradient in model.grads.items():
        if name.startswith(("rpn_head", "roi_head")):
            assert gradient.any() != any(part in name for part in ("rpn_reg", "fc_reg", "mask_head")), name


def test_the_loss_of_a_model_that_diverged_is_nan():
    model = tiny("cascade")
    for name in ("rpn_head.rpn_cls.weight", "roi_head.bbox_head.0.fc_reg.weight"):
        model.params[name][...] = np.nan
    losses, cache = model.loss_forward(images(), SIZES, objects(), np.random.default_rng(0))
    assert np.isnan(losses["loss_rpn_cls"])
    assert np.isnan(losses["s0.loss_bbox"])
    assert np.isnan(model.loss_backward(cache)).any()


def test_a_model_is_saved_with_what_it_is_made_from(tmp_path):
    model = tiny("cascade")
    model.save(tmp_path / "model.safetensors")
    saved = load_file(tmp_path / "model.safetensors")
    assert set(saved) == {*model.params, *model.buffers}
    for name, value in {**model.params, **model.buffers}.items():
        np.testing.assert_array_equal(saved[name], value)
    arguments = {name: value for name, value in json.loads(json.dumps(model.config)).items() if name != "architecture"}
    assert CascadeMaskRCNN(**arguments).config == model.config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": [[26, 34]]}, "sizes: got int64 of shape"),
        ({"sizes": [[26, 35], [33, 21]]}, "sizes: got"),
        ({"objects": []}, "objects: got 0, expected"),
        ({"labels": np.array([0, 3])}, r"objects\[0\].labels: got 3, expected 0 to 2"),
        ({"boxes": np.full((2, 4), np.nan)}, r"objects\[0\].boxes: got corners that are not finite"),
        ({"labels": [0, 1]}, r"objects\[0\].labels: got \[0, 1\], expected int64"),
        ({"crowd": np.zeros(2)}, r"objects\[0\].crowd: got float64 of shape \(2,\), expected bool"),
        ({"objects": [None, None]}, r"objects\[0\]: got None, expected objects"),
        ({"masks": None}, r"objects\[0\].masks: got None"),
        ({"masks": np.zeros((2, 33, 34), bool)}, r"objects\[0\].masks: got bool of shape"),
    ],
)
def test_wrong_objects_are_refused(changes, message):
    sizes, given = np.array(changes.get("sizes", SIZES)), changes.get("objects", objects())
    if "objects" not in changes:
        parts = {name: value for name, value in changes.items() if name not in ("sizes", "objects")}
        given[0] = SimpleNamespace(**{**vars(given[0]), **parts})
    with pytest.raises(ValueError, match=message):
        tiny("mask_rcnn").loss_forward(images(), sizes, given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes: got 0"),
        ({"proposals_a_level": 5}, "proposals_a_level: got 5, expected two sizes"),
        ({"proposals_a_level": (5, 0)}, r"proposals_a_level\[1\]: got 0"),
        ({"proposals": 0}, "proposals: got 0"),
        ({"proposals": (5, 4, 3)}, r"proposals: got \(5, 4, 3\), expected two sizes, for training and for inference"),
        ({"proposals": (5, 0.5)}, r"proposals\[1\]: got 0.5"),
        ({"rpn_box_loss": "giou"}, "rpn_box_loss: got 'giou', expected one of 'l1', 'smooth_l1'"),
        ({"anchors_inside": 0}, "anchors_inside: got 0, expected True or False"),
        ({"anchor_scale": 0}, "anchor_scale: got 0"),
        ({"score_threshold": 1}, "score_threshold: got 1"),
        ({"box_head": "dense"}, "box_head: got 'dense'"),
        ({"backbone": {"embed": 5}}, "backbone: got 'embed'"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        CascadeMaskRCNN(**{"num_classes": 3, "backbone": BACKBONE, **arguments})
