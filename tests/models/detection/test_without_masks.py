"""Detectors that find boxes alone."""

import numpy as np
import pytest

from tests.gradient_errors import gradcheck_and_record
from tests.models.detection.test_gradients import STEP, TOLERANCE, Loss
from tests.models.detection.tiny import SIZES, images, objects, tiny


def boxes_alone():
    """Objects without masks."""
    found = objects()
    for one in found:
        one.masks = None
    return found


@pytest.mark.parametrize("kind", ["mask_rcnn", "cascade"])
def test_other_losses_are_those_of_the_model_with_masks(kind):
    with_masks, model = tiny(kind), tiny(kind, masks=False)
    assert not [name for name in model.params if "mask_head" in name]
    for name, value in model.params.items():
        value[...] = with_masks.params[name]
    losses, _ = model.loss_forward(images(), SIZES, boxes_alone(), np.random.default_rng(0))
    expected, _ = with_masks.loss_forward(images(), SIZES, objects(), np.random.default_rng(0))
    assert losses == {name: loss for name, loss in expected.items() if "mask" not in name}
    assert tuple(losses) == model.loss_names


def test_gradients():
    loss = Loss(tiny("mask_rcnn", masks=False), boxes_alone())
    gradcheck_and_record("faster_rcnn", loss, images(), tolerance=TOLERANCE, along="joint", directions=2, step=STEP)


def test_what_is_found_has_no_masks():
    with_masks, model = tiny("mask_rcnn"), tiny("mask_rcnn", masks=False)
    for name, value in model.params.items():
        value[...] = with_masks.params[name]
    for found, expected in zip(model(images(), SIZES), with_masks(images(), SIZES), strict=True):
        assert len(found.boxes)
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        with pytest.raises(ValueError, match="masks: these are boxes alone"):
            found.masks()


def test_masks_are_needed_unless_the_model_is_without_them():
    with pytest.raises(ValueError, match=r"objects\[0\]\.masks: got None, expected masks"):
        tiny("mask_rcnn").loss_forward(images(), SIZES, boxes_alone(), np.random.default_rng(0))
