"""The derivative of each detector's loss by its images and by every parameter, compared with central differences."""

import numpy as np
import pytest

from tests.gradient_errors import gradcheck_and_record
from tests.models.detection.tiny import KINDS, SIZES, images, objects, tiny

# A step so short that hardly any of the many ReLUs bends within it.
TOLERANCE, STEP = 1e-6, 3e-7


class Loss:
    """The sum of a detector's losses as a function of the images, on samples that do not change with its predictions.

    The derivative through which anchors and proposals are sampled is left out, as it is in the backward pass.

    Args:
        model: the detector.
        objects: the true ones of each image.
    """

    def __init__(self, model, objects):
        self.model, self.objects = model, objects
        self.params, self.drawn = model.params, []
        for part in (model.rpn_head, *model.roi_head.stages):
            part.draw_samples = self._drawn_once(part.draw_samples)

    @property
    def grads(self):
        return self.model.grads

    def _drawn_once(self, draw):
        kept = []

        def draw_samples(*arguments):
            if not kept:
                kept.append(draw(*arguments))
                self.drawn.append(kept[0])
            return kept[0]

        return draw_samples

    def forward(self, images):
        losses, cache = self.model.loss_forward(images, SIZES, self.objects, np.random.default_rng(2))
        self.losses = losses
        return np.array([sum(losses.values())]), cache

    def backward(self, dy, cache):
        return self.model.loss_backward(cache, dy[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("counts", [(2, 1), (0, 0)])
def test_gradients(kind, counts):
    loss = Loss(tiny(kind), objects(counts))
    gradcheck_and_record(kind, loss, images(), tolerance=TOLERANCE, along="joint", directions=2, step=STEP)
    rpn, *stages = loss.drawn
    found = sum(counts) > 0
    assert (rpn.is_object.sum() > 0) == found
    assert all((len(stage.boxes) > 0) == found for stage in stages)
    assert all((value > 0) == (found or name.endswith("cls")) for name, value in loss.losses.items())
