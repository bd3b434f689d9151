"""Single faults in detectors: see `tests/tools/faults.py`."""

from tests.tools.faults import faults

HEADS, LOSSES, ROIS, PROPOSALS, SAMPLING, CASCADE, GRADIENTS = (
    (f"tests/models/detection/test_{name}.py",)
    for name in ("heads", "losses", "rois", "proposals", "sampling", "cascade", "gradients")
)
SCALE = ("tests/models/detection/test_detectors.py", "-k", "scale")
OFFICIAL = ("tests/models/detection/test_detectors.py", "-k", "official_configurations")
PEERS = ("tests/peers/test_detection.py",)

DETECTOR_FAULTS = [
    *faults(
        "models/detection/fpn.py",
        HEADS,
        (
            "the way down is left out of the derivative",
            "= dlaterals[level] + dispatch.resize_nearest_backward",
            "= dlaterals[level] + 0 * dispatch.resize_nearest_backward",
        ),
        ("the coarsest map has no derivative", "douts[-1] + dispatch.max", "douts[-1] + 0 * dispatch.max"),
    ),
    *faults(
        "models/detection/rpn_head.py",
        HEADS,
        ("the deltas have no derivative", "_cache) + self.regressor.backward", "_cache) + 0 * self.regressor.backward"),
        ("all levels read the derivatives of the first one", "            start = stop\n", ""),
    ),
    *faults(
        "models/detection/roi_pooling.py",
        (*ROIS, *PEERS),
        ("the finest level is for boxes of 112 pixels", "14 * strides[0]", "28 * strides[0]"),
        ("the level is rounded", "np.floor(np.log2", "np.round(np.log2"),
        ("one derivative for all levels", "dfeatures[places], cache)", "dfeatures[places] * 0, cache)"),
    ),
    *faults(
        "models/detection/box_head.py",
        HEADS,
        ("places before channels", "x.transpose(0, 3, 1, 2).reshape", "x.reshape"),
        ("the deltas have no derivative", "dx = dx + self.regressor.backward", "dx = dx + 0 * self.regressor.backward"),
    ),
    *faults(
        "models/detection/mask_head.py",
        HEADS,
        ("no ReLU in the derivative", "dispatch.relu_backward(dx, relu_cache)", "dx"),
    ),
    *faults(
        "models/detection/losses.py",
        LOSSES,
        (
            "box loss of anchors over the positive ones",
            "targets, samples.divisor, RPN_BETA",
            "targets, 1, RPN_BETA",
        ),
        (
            "box loss over the positive RoIs",
            "deltas[places], targets, count, BOX_BETA",
            "deltas[places], targets, max(len(positive), 1), BOX_BETA",
        ),
        (
            "the smooth L1 loss of anchors is that of RoIs",
            "RPN_BETA, BOX_BETA = 1 / 9, 1.0",
            "RPN_BETA, BOX_BETA = 1.0, 1.0",
        ),
        ("all box losses are L1", 'if kind == "l1":\n', "if True:\n"),
        (
            "the smooth L1 loss has the derivative of L1",
            'dispatch.l1_loss_backward if kind == "l1" else',
            "dispatch.l1_loss_backward if True else",
        ),
        (
            "masks of the first class",
            "slice(None), to_device_of(labels, logits)",
            "slice(None), to_device_of(0 * labels, logits)",
        ),
        (
            "the weight of GIoU is no factor of its derivative",
            "np.full_like(box_loss, scale * weight)",
            "np.full_like(box_loss, scale)",
        ),
    ),
    *faults(
        "models/detection/boxes.py",
        ROIS,
        ("boxes reach beyond the image", "return np.clip(decoded, 0,", "return np.clip(decoded, None,"),
        ("height and width exchanged", "sizes[..., [1, 0, 1, 0]]", "sizes[..., [0, 1, 0, 1]]"),
    ),
    *faults(
        "models/detection/proposals.py",
        PROPOSALS,
        ("boxes of other levels are suppressed", "limits.iou_threshold, levels)", "limits.iou_threshold)"),
        ("the anchors of the first level for all", "start + np.argsort", "np.argsort"),
        ("boxes beside the image are proposals", "inside = have_area(boxes)", "inside = boxes[:, 0] >= 0"),
    ),
    *faults(
        "models/detection/sampling.py",
        SAMPLING,
        ("an image without positive anchors counts less", "max(len(positive), 1)", "len(positive)"),
        (
            "half of the RoIs are positive",
            "POSITIVE_ANCHORS, POSITIVE_PROPOSALS = 0.5, 0.25",
            "POSITIVE_ANCHORS, POSITIVE_PROPOSALS = 0.5, 0.5",
        ),
    ),
    *faults(
        "models/detection/roi_stage.py",
        GRADIENTS,
        (
            "the stage's weight is no factor of its derivative",
            "scale = scale * self.rule.loss_weight",
            "scale = scale * 1",
        ),
        ("masks have no derivative by the maps", "[a + b for a, b in", "[a + 0 * b for a, b in"),
    ),
    *faults(
        "models/detection/roi_head.py",
        CASCADE,
        ("true boxes go to the next stage", "                rois = rois[~samples.is_true_box]\n", ""),
        ("the logits of the last stage", "sum(all_logits) / len(all_logits)", "all_logits[-1]"),
        ("the masks of the last stage", "sum(of_stages) / len(of_stages)", "of_stages[-1]"),
    ),
    *faults(
        "models/detection/detections.py",
        ROIS,
        ("boxes of other classes are suppressed", "limits.iou_threshold, labels)", "limits.iou_threshold)"),
        ("boxes beside the image are found", "inside = have_area(chosen)", "inside = chosen[:, 0] >= 0"),
    ),
    *faults(
        "models/detection/two_stage.py",
        GRADIENTS,
        ("the RoI heads have no derivative by the maps", "dpyramid[level] + dmap", "dpyramid[level]"),
    ),
    *faults(
        "models/detection/rpn_head.py",
        SAMPLING,
        ("anchors in the padding of an image are ignored", "-(-sizes // coarsest) * coarsest", "sizes"),
        ("all anchors take part", "if self.rule.anchors_inside:", "if False:"),
    ),
    *faults(
        "models/detection/cascade_mask_rcnn.py",
        OFFICIAL,
        ("anchors of a cascade reach over the border", "anchors_inside: bool = True", "anchors_inside: bool = False"),
        ("the anchors of a cascade learn by L1", 'rpn_box_loss: str = "smooth_l1"', 'rpn_box_loss: str = "l1"'),
        ("as many proposals as of Mask R-CNN", "int | Sequence[int] = (2000, 1000)", "int | Sequence[int] = 1000"),
    ),
    *faults(
        "models/detection/two_stage.py",
        OFFICIAL,
        (
            "as many proposals in inference as in training",
            "proposals if isinstance(proposals, list)",
            "[proposals[0]] * 2 if isinstance(proposals, list)",
        ),
    ),
    *faults(
        "models/detection/roi_stage.py",
        ROIS,
        ("the true class is not used", "np.where(labels == background, likely, labels)", "likely"),
    ),
    *faults(
        "models/detection/two_stage.py",
        SCALE,
        (
            "the scale is left out for the region proposals",
            "rpn_loss_backward(loss_cache, scale)",
            "rpn_loss_backward(loss_cache)",
        ),
    ),
]
