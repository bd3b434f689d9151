"""What the two stages of a detector are trained on: some anchors, and some regions of interest (RoIs).

All of it is chosen, not computed by the network: no derivative goes through it. The arrays are on the host.
"""

from typing import NamedTuple, Protocol

from npswin.models.detection.boxes import Deviations
from npswin.types import Array


class Objects(Protocol):
    """The true objects of an image, such as `npswin.data.DetectionSample` has them.

    Attributes:
        boxes: (n, 4) float32 or float64, x₁, y₁, x₂, y₂, in pixels.
        labels: (n,) int64, 0 … K − 1.
        masks: (n, H, W) bool, at the image's size; or None where there are only boxes.
        crowd: (n,) bool, which objects are groups; they are not trained on.
    """

    @property
    def boxes(self) -> Array: ...
    @property
    def labels(self) -> Array: ...
    @property
    def masks(self) -> Array | None: ...
    @property
    def crowd(self) -> Array: ...


class TrueObjects(NamedTuple):
    """The objects of an image, checked; see `Objects`."""

    boxes: Array
    labels: Array
    masks: Array | None
    crowd: Array


class RPNRule(NamedTuple):
    """How the region proposal network is trained.

    Attributes:
        box_loss: "l1" or "smooth_l1".
        anchors_inside: whether those anchors alone take part that lie within their image.
    """

    box_loss: str
    anchors_inside: bool


class RPNSamples(NamedTuple):
    """S anchors of a batch, P of them positive: they have an object to find.

    Attributes:
        images: (S,), each anchor's image, as its place in the batch.
        anchors: (S,), their places among the N anchors of an image.
        is_object: (S,), 1 for positive anchors, 0 for the others.
        deltas: (P, 4), from each positive anchor to its object's box.
        divisor: of both losses: how many were sampled, where an image counts at least one positive and one negative.
    """

    images: Array
    anchors: Array
    is_object: Array
    deltas: Array
    divisor: int


class RoISamples(NamedTuple):
    """R RoIs of a batch, P of them positive.

    Attributes:
        rois: (R, 5), the image's place in the batch and x₁, y₁, x₂, y₂.
        labels: (R,), the class of each RoI's object, or K for the background.
        boxes: (P, 4), the true box of each positive RoI, in their order.
        masks: (P, M, M), the part of each positive RoI that is its object: 1 there, 0 elsewhere; (P, 0, 0) in a
            detector without masks.
        is_true_box: (R,) bool, whether a RoI is a true box itself, which was added to the proposals.
    """

    rois: Array
    labels: Array
    boxes: Array
    masks: Array
    is_true_box: Array


class StageRule(NamedTuple):
    """How a stage is trained.

    Attributes:
        iou_threshold: from which on a proposal is positive.
        deviations: of the deltas.
        loss_weight: factor on all losses of the stage.
        box_loss: "l1", "smooth_l1" or "giou".
        box_loss_weight: factor on the box loss.
        low_quality: whether each true box is also given to the proposal that fits it best, if by an IoU of at least
            the threshold.
    """

    iou_threshold: float
    deviations: Deviations
    loss_weight: float
    box_loss: str
    box_loss_weight: float
    low_quality: bool
