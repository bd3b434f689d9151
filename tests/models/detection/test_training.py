"""A small detector learns to find drawn objects."""

from types import SimpleNamespace

import numpy as np

from npswin.models.detection import MaskRCNN
from npswin.training import AdamW

SIDE, STEPS = 48, 40


def draw_batch(rng, batch=2):
    """Images of noise with a bright and a dark rectangle each, of classes 0 and 1."""
    images, objects = 0.2 * rng.standard_normal((batch, 3, SIDE, SIDE), np.float32), []
    for image in images:
        boxes, masks = [], np.zeros((2, SIDE, SIDE), bool)
        for label, left in enumerate((0, SIDE // 2)):
            width, height = rng.integers(16, SIDE // 2 + 1), rng.integers(16, SIDE)
            x, y = left + rng.integers(0, SIDE // 2 - width + 1), rng.integers(0, SIDE - height)
            masks[label, y : y + height, x : x + width] = True
            image[:, masks[label]] += 2 - 4 * label
            boxes.append((x, y, x + width, y + height))
        boxes = np.array(boxes, np.float32)
        objects.append(SimpleNamespace(boxes=boxes, labels=np.arange(2), masks=masks, crowd=np.zeros(2, bool)))
    return images, objects


def test_the_losses_fall():
    backbone = {"embed_dim": 8, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 4, 8), "window_size": 4}
    limits = {"rpn_samples": 32, "roi_samples": 16, "proposals_a_level": (30, 20), "proposals": 20, "detections": 5}
    model = MaskRCNN(2, {**backbone, "drop_path_rate": 0.0}, channels=16, width=32, **limits)
    optimizer, rng, history = AdamW(model, lr=3e-3), np.random.default_rng(0), []
    images, objects = draw_batch(rng)
    for _ in range(STEPS):
        losses, cache = model.loss_forward(images, None, objects, rng)
        model.zero_grad()
        model.loss_backward(cache)
        optimizer.step()
        history.append(losses)
    first, last = (
        {name: np.mean([one[name] for one in part]) for name in losses} for part in (history[:3], history[-3:])
    )
    del first["loss_bbox"], last["loss_bbox"]  # which grows at first: the better the proposals, the more are positive
    assert all(last[name] < 0.8 * first[name] for name in first), (first, last)
