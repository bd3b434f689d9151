"""The dense models that benchmarks compare npswin with compute what npswin computes, from the same weights.

Skipped without PyTorch, transformers and torchvision. Where samples are drawn at random, both sides choose them by the
same rule instead.
"""

import numpy as np
import pytest

import npswin
from npswin.data import DetectionSample
from npswin.weights.load import model_tensors
from tests.peers.comparison import relative

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from benchmarks.peers.carried_weights import carry_weights, official_tensors  # noqa: E402
from benchmarks.peers.same_samples import npswin_by_rule, torchvision_by_rule  # noqa: E402

TOLERANCE = 1e-9
BACKBONE = {"embed_dim": 12, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 3, 4), "window_size": 4, "drop_path_rate": 0.0}


def redraw(model, seed=1):
    """Weights that are large enough for every term to count."""
    rng = np.random.default_rng(seed)
    for name, value in model_tensors(model).items():
        if "num_batches" not in name:
            value += 0.1 * rng.random(value.shape) if "running" in name else 0.05 * rng.standard_normal(value.shape)
    return model


def gradients(model, peer):
    """The peer's gradients by npswin's names."""
    found = {name: value.grad.numpy() for name, value in peer.named_parameters() if value.grad is not None}
    return official_tensors(model, found)


def assert_equal_gradients(model, peer):
    found, largest = gradients(model, peer), max(np.abs(value).max() for value in model.grads.values())
    assert set(found) == set(model.grads)
    worst = {name: np.abs(found[name] - value).max() / largest for name, value in model.grads.items()}
    assert max(worst.values()) < TOLERANCE, max(worst, key=lambda name: worst[name])


@pytest.mark.parametrize("patch_size", [4, 2])
def test_upernet(patch_size):
    from benchmarks.peers.upernet import build_upernet, segment

    backbone = {**BACKBONE, "patch_size": patch_size}
    arguments = {"num_classes": 5, "channels": 16, "auxiliary_channels": 8, "dropout": 0.0, "dtype": "float64"}
    model = redraw(npswin.create_model("upernet_swin_nano", backbone=backbone, **arguments))
    peer = build_upernet(model.config)
    names = carry_weights(model, peer)
    assert set(names.values()) == set(model.params)
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((2, 3, 61, 90)), rng.integers(0, 5, (2, 61, 90))
    labels[rng.random(labels.shape) < 0.1] = 255
    found = segment(peer.eval(), torch.from_numpy(images)).numpy()
    assert relative(found.transpose(0, 2, 3, 1), model(images)) < TOLERANCE
    losses, cache = model.loss_forward(images, labels)
    model.loss_backward(cache)
    loss = peer.train()(torch.from_numpy(images), labels=torch.from_numpy(labels)).loss
    loss.backward()
    assert relative(loss.detach().numpy(), np.array(sum(losses.values()))) < TOLERANCE
    assert_equal_gradients(model, peer)


def test_upernet_drops_channels_before_the_classifiers():
    from benchmarks.peers.upernet import build_upernet

    peer = build_upernet(npswin.create_model("upernet_swin_nano", channels=2000, dropout=0.3).config)
    seen = []
    peer.decode_head.classifier.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    for is_training in (True, False):
        peer.decode_head.train(is_training).classifier(torch.ones(2, 2000, 3, 3))
    dropped, whole = seen
    assert dropped.amax(dim=(2, 3)).eq(dropped.amin(dim=(2, 3))).all()
    assert abs(float(dropped.eq(0).double().mean()) - 0.3) < 0.03
    assert whole.eq(1).all()


def scene(rng, height, width, count, classes):
    """Ellipses in an image of noise."""
    y, x = np.mgrid[:height, :width]
    boxes, masks = np.zeros((count, 4)), np.zeros((count, height, width), bool)
    for place in range(count):
        w, h = rng.uniform(0.15, 0.6, 2) * (width, height)
        left, top = rng.uniform(0, 1, 2) * (width - w, height - h)
        boxes[place] = left, top, left + w, top + h
        masks[place] = ((x - left - w / 2) / w) ** 2 + ((y - top - h / 2) / h) ** 2 < 0.25
    crowd = np.zeros(count, bool)
    crowd[2:3] = True
    return DetectionSample(np.zeros((3, height, width), np.uint8), boxes, rng.integers(0, classes, count), masks, crowd)


@pytest.mark.parametrize(("patch_size", "masks"), [(4, True), (2, False)])
def test_mask_rcnn(patch_size, masks):
    pytest.importorskip("torchvision")
    from benchmarks.peers.mask_rcnn import TorchvisionMaskRCNN, as_targets

    model = npswin.create_model(
        "mask_rcnn_swin_nano",
        num_classes=4,
        channels=16,
        width=24,
        masks=masks,
        score_threshold=0.1,
        dtype="float64",
        backbone={**BACKBONE, "patch_size": patch_size},
    )
    redraw(model)
    peer = TorchvisionMaskRCNN(model.config)
    assert set(carry_weights(model, peer).values()) == set(model.params)
    rng, sizes = np.random.default_rng(0), np.array([[150, 170], [128, 192]])
    images = np.zeros((2, 3, 160, 192))
    for image, (height, width) in zip(images, sizes, strict=True):
        image[:, :height, :width] = rng.standard_normal((3, height, width))
    found = model.detect(images, sizes)
    with torch.inference_mode():
        expected = peer.eval()(torch.from_numpy(images), sizes)
    for mine, theirs in zip(found, expected, strict=True):
        assert len(mine.boxes) == 20
        np.testing.assert_array_equal(mine.labels, theirs["labels"].numpy() - 1)
        assert relative(mine.boxes, theirs["boxes"].numpy()) < TOLERANCE
        assert relative(mine.scores, theirs["scores"].numpy()) < TOLERANCE
        if masks:
            assert relative(mine.mask_probabilities, theirs["masks"].numpy()[:, 0]) < TOLERANCE
    objects = [scene(rng, *size, count, 4) for size, count in zip(sizes, (7, 0), strict=True)]
    with npswin_by_rule(), torchvision_by_rule(peer):
        losses, cache = model.loss_forward(images, sizes, objects)
        terms = peer.train()(torch.from_numpy(images), sizes, as_targets(objects, sizes, torch.float64))
    model.loss_backward(cache)
    sum(terms.values()).backward()
    assert list(terms) == list(losses)
    for name, loss in losses.items():
        assert loss > 0, name
        assert relative(terms[name].detach().numpy(), np.array(loss)) < TOLERANCE, name
    assert_equal_gradients(model, peer)
