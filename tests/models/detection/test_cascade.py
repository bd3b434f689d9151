"""What goes from one stage of a cascade to the next, in training and in inference."""

import numpy as np

from npswin.models.detection.boxes import with_images
from npswin.models.detection.detections import best_boxes
from tests.models.detection.tiny import SIZES, images, objects, tiny


def recorded(function, calls):
    """The function, which adds the arguments and the result of each call to a list."""

    def call(*arguments):
        calls.append((arguments, function(*arguments)))
        return calls[-1][1]

    return call


def test_refined_boxes_are_the_next_proposals_but_for_true_boxes():
    model = tiny("cascade")
    drawn, refined = [], []
    for stage in model.roi_head.stages:
        stage.draw_samples = recorded(stage.draw_samples, drawn)
        stage.refine = recorded(stage.refine, refined)
    model.loss_forward(images(), SIZES, objects(), np.random.default_rng(0))
    assert (len(drawn), len(refined)) == (3, 2)
    for (_, samples), (arguments, rois), ((proposals, *_), _) in zip(drawn[:2], refined, drawn[1:], strict=True):
        assert arguments[0] is samples.rois
        np.testing.assert_array_equal(arguments[-1], samples.labels)
        assert samples.is_true_box.any()
        for image, boxes in enumerate(proposals):
            of_image = (rois[:, 0] == image) & ~samples.is_true_box
            np.testing.assert_array_equal(boxes, rois[of_image, 1:])


def test_inference_is_the_mean_of_the_stages():
    model = tiny("cascade of linear heads")
    head, limits = model.roi_head, model.detection_limits
    pyramid = model.neck(model.backbone(images()))[:-1]
    proposals = [np.array([[0, 0, 20, 20], [5, 3, 30, 22]], float), np.array([[4, 1, 20, 30]], float)]
    rois, stages = with_images(proposals), []
    for stage in head.stages:
        stages.append((rois, *stage.predict(pyramid, rois)))
        rois = stage.refine(*stages[-1], SIZES)
    exponentials = np.exp(sum(logits for _, logits, _ in stages) / 3)
    probabilities = (exponentials / exponentials.sum(axis=1, keepdims=True))[:, :3]
    found = head.detect(pyramid, proposals, SIZES, limits)
    for image, one in enumerate(found):
        of_image = rois[:, 0] == image
        boxes, scores, labels = best_boxes(rois[of_image, None, 1:], probabilities[of_image], limits)
        np.testing.assert_allclose(one.scores, scores, rtol=1e-12)
        np.testing.assert_allclose(one.boxes, boxes, rtol=1e-12)
        of_boxes = np.concatenate([np.full((len(boxes), 1), float(image)), boxes], axis=1)
        masks = np.mean([stage.predict_masks(pyramid, of_boxes, labels) for stage in head.stages], axis=0)
        np.testing.assert_allclose(one.mask_probabilities, masks, rtol=1e-12)
