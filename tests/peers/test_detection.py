"""The parts of Mask R-CNN compared with torchvision's in float64: losses, every gradient, proposals and detections."""

import importlib.util

import numpy as np
import pytest

from npswin.layers import Layer
from npswin.models.detection.box_head import BoxHead
from npswin.models.detection.detections import DetectionLimits
from npswin.models.detection.fpn import FPN
from npswin.models.detection.losses import rpn_loss_backward, rpn_loss_forward
from npswin.models.detection.mask_head import MaskHead
from npswin.models.detection.proposals import ProposalLimits, propose
from npswin.models.detection.roi_head import RoIHead
from npswin.models.detection.roi_stage import RoIStage
from npswin.models.detection.rpn_head import RPNHead
from npswin.models.detection.samples import RoISamples, RPNRule, RPNSamples, StageRule
from tests.peers import detection as peer
from tests.peers.comparison import relative

TOLERANCE, DETECTION_TOLERANCE = 1e-11, 1e-9


class Parts(Layer):
    """The detector but for its backbone, with the peer's weights."""

    def __init__(self, case, expected):
        super().__init__()
        rng = np.random.default_rng(0)
        self.neck = FPN(peer.IN_CHANNELS, case.channels, rng, "float64")
        rule = RPNRule(case.rpn_box_loss, anchors_inside=False)
        self.rpn_head = RPNHead(case.channels, peer.STRIDES, 1, rule, rng, "float64")
        box_head = BoxHead(
            case.channels, 7, case.num_classes, case.convs, case.linears, case.width, False, rng, "float64"
        )
        mask_head = MaskHead(case.channels, case.num_classes, 4, rng, "float64")
        loss, weight = ("giou", 10.0) if case.convs else ("l1", 1.0)
        rule = StageRule(0.5, peer.DEVIATIONS, 1.0, loss, weight, low_quality=False)
        self.stage = RoIStage(box_head, mask_head, rule, peer.STRIDES[:-1], 1)
        self.roi_head = RoIHead([self.stage])
        for name in ("neck", "rpn_head", "roi_head"):
            self.add_child(name, getattr(self, name))
        state = {**self.params, **self.buffers}
        given = {name.removeprefix("params/"): x for name, x in expected.items() if name.startswith("params/")}
        assert set(given) == set(state)
        for name, value in state.items():
            value[...] = given[name]


def run(case, expected):
    """What npswin computes, by the names that the peer gives it."""
    model = Parts(case, expected)
    maps = [expected[f"maps/{level}"].transpose(0, 2, 3, 1).astype(np.float64) for level in range(4)]
    pyramid, neck_cache = model.neck.forward(maps)
    outputs, rpn_cache = model.rpn_head.forward(pyramid)
    places, is_object = expected["rpn/places"], expected["rpn/is_object"]
    images, anchors = np.divmod(places, outputs[0].shape[1])
    samples = RPNSamples(images, anchors, is_object, expected["rpn/deltas"], len(places))
    losses, loss_cache = rpn_loss_forward(outputs, samples, case.rpn_box_loss)
    rois = RoISamples(*(expected[f"roi/{name}"] for name in ("rois", "labels", "boxes", "masks")), None)
    stage_losses, _, stage_cache = model.stage.loss_forward(pyramid[:-1], rois)

    dpyramid = model.rpn_head.backward(rpn_loss_backward(loss_cache), rpn_cache)
    for level, dmap in enumerate(model.stage.loss_backward(stage_cache)):
        dpyramid[level] = dpyramid[level] + dmap
    dmaps = model.neck.backward(dpyramid, neck_cache)
    found = {f"losses/{name}": np.array(loss) for name, loss in (losses | stage_losses).items()}
    found |= {f"dmaps/{level}": dmap.transpose(0, 3, 1, 2) for level, dmap in enumerate(dmaps)}
    found |= {f"grads/{name}": gradient for name, gradient in model.grads.items()}
    return found | {f"after/{name}": value for name, value in model.buffers.items()}, detected(model, maps, expected)


def detected(model, maps, expected):
    """Proposals and detections of each image."""
    pyramid, sizes = model.neck(maps), expected["sizes"]
    limits = ProposalLimits(peer.BEFORE_NMS, peer.AFTER_NMS, 0.7)
    proposals = propose(model.rpn_head(pyramid), model.rpn_head.anchors(pyramid), sizes, limits)
    results = model.roi_head.detect(pyramid[:-1], proposals, sizes, DetectionLimits(0.05, 0.5, peer.DETECTIONS))
    found = {}
    for image, (boxes, one) in enumerate(zip(proposals, results, strict=True)):
        found |= {f"proposals/{image}": boxes, f"boxes/{image}": one.boxes, f"scores/{image}": one.scores}
        found |= {f"labels/{image}": one.labels, f"masks/{image}": one.mask_probabilities}
    return found


def assert_equal(case, expected):
    training, inference = run(case, expected)
    for found, tolerance in ((training, TOLERANCE), (inference, DETECTION_TOLERANCE)):
        kinds = {name.split("/")[0] for name in found}
        assert set(found) == {name for name in expected if name.split("/")[0] in kinds}
        errors = {name: relative(value, expected[name]) for name, value in found.items()}
        worst = max(errors, key=lambda name: errors[name])
        assert errors[worst] < tolerance, (worst, errors[worst])
    assert all(len(inference[f"boxes/{image}"]) for image in range(len(case.sizes)))


@pytest.mark.parametrize("case", peer.CASES, ids=lambda case: case.name)
def test_parity_with_torchvision(case):
    for module in ("torch", "torchvision"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (pip install 'npswin[bench-detect]')")
    assert_equal(case, peer.run(case))


@pytest.mark.parametrize("case", peer.CASES, ids=lambda case: case.name)
def test_parity_with_the_committed_results_of_torchvision(case):
    assert_equal(case, peer.read_golden(case))
