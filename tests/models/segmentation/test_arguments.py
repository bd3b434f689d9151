"""Wrong arguments of UPerNet are refused, by their name."""

import numpy as np
import pytest

from npswin.models import UPerNet

BACKBONE = {"embed_dim": 4, "depths": (1, 1), "num_heads": (1, 1), "window_size": 2, "patch_size": 2}
IMAGES, LABELS = np.ones((2, 3, 8, 8), np.float32), np.zeros((2, 8, 8), np.int64)


def make(**more):
    return UPerNet(3, BACKBONE, **{"channels": 4, "auxiliary_channels": 3, "pool_scales": (1, 2), **more})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pool_scales": 2}, "pool_scales: got 2, expected a list of sizes"),
        ({"pool_scales": ()}, "pool_scales: got"),
        ({"pool_scales": (1, 0)}, r"pool_scales\[1\]: got 0"),
        ({"auxiliary_weight": 1e300}, "auxiliary_weight: got 1e"),
    ],
)
def test_a_model(arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, LABELS[:, :4, :4], r"labels: got int64 of shape \(2, 4, 4\), expected integers of shape \(2, 8, 8\)"),
        (IMAGES, LABELS.astype(float), "labels: got float64"),
        (IMAGES, LABELS + 3, "labels: got 3, expected 0 to 2"),
        (IMAGES[:, :2], LABELS, "images: got shape"),
        (IMAGES[:1], LABELS[:1], "images: got 1 image, expected two or more in training"),
    ],
)
def test_losses(images, labels, message):
    with pytest.raises(ValueError, match=message):
        make().loss_forward(images, labels)


def test_one_image_is_enough_for_means_that_are_not_trained_or_not_there():
    make(pool_scales=(2,)).forward(IMAGES[:1])
    frozen = make()
    frozen.decode_head.pyramid.convs[0].bn.frozen = True
    frozen.forward(IMAGES[:1])


@pytest.mark.parametrize("change", [lambda dlogits: dlogits[0], lambda dlogits: dlogits[:1], lambda dlogits: None])
def test_derivatives(change):
    model = make()
    logits, cache = model.forward(IMAGES)
    with pytest.raises(ValueError, match=r"dlogits: got .*, expected a list of 2 derivatives"):
        model.backward(change(logits), cache)


@pytest.mark.parametrize("scale", ["1", None, float("nan"), 1e300, True])
def test_a_factor_on_the_derivative(scale):
    model = make()
    with pytest.raises(ValueError, match="scale: got"):
        model.loss_backward(model.loss_forward(IMAGES, LABELS)[1], scale)
