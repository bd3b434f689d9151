"""Detectors in two stages: a region proposal network, then a closer look at each proposal (Ren et al. 2015)."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np

from npswin.checks import check_generator, check_scale
from npswin.layers import Layer
from npswin.layers.layer import keep, kept
from npswin.models.backbone import SwinBackbone
from npswin.models.checks import check_image_shape
from npswin.models.detection.checks import check_objects, check_sizes
from npswin.models.detection.detections import DetectionLimits, DetectorOutput
from npswin.models.detection.fpn import FPN
from npswin.models.detection.losses import rpn_loss_backward, rpn_loss_forward
from npswin.models.detection.proposals import ProposalLimits, propose
from npswin.models.detection.roi_head import RoIHead
from npswin.models.detection.rpn_head import RPNHead
from npswin.models.detection.samples import Objects
from npswin.models.saving import save_model
from npswin.types import Array


class TwoStageDetector(Layer):
    """images -> Swin -> norm of each stage's map -> FPN -> region proposals -> RoI heads -> objects.

        found = model(images, sizes)                                    inference: `DetectorOutput` of each image

        losses, cache = model.loss_forward(images, sizes, objects, rng)     a step of training
        model.zero_grad()
        model.loss_backward(cache)                                      adds to model.grads

    Images (B, c, H, W) of different sizes are padded on the right and below; `sizes` says what is image. Parameters
    have the names of mmdetection: backbone, neck, rpn_head, roi_head.

    Args:
        config: the arguments of the subclass, checked.
        backbone, neck, rpn_head, roi_head: the parts.

    Attributes:
        config: the arguments, as JSON can hold them.
        num_classes: K.
        rng: the generator that `loss_forward` uses when it is given none.
    """

    def __init__(
        self, config: Mapping[str, Any], backbone: SwinBackbone, neck: FPN, rpn_head: RPNHead, roi_head: RoIHead
    ) -> None:
        super().__init__()
        self.config = dict(config)
        self.num_classes, self.in_chans = config["num_classes"], config["backbone"]["in_chans"]
        self.dtype = np.dtype(config["dtype"])
        self.rng = np.random.default_rng([config["seed"], 1])
        self.backbone, self.neck, self.rpn_head, self.roi_head = backbone, neck, rpn_head, roi_head
        for name, part in (("backbone", backbone), ("neck", neck), ("rpn_head", rpn_head), ("roi_head", roi_head)):
            self.add_child(name, part)
        proposals = config["proposals"]
        of_both = proposals if isinstance(proposals, list) else [proposals] * 2  # of training and of inference
        self.training_proposals, self.inference_proposals = (
            ProposalLimits(of_a_level, of_all, 0.7)
            for of_a_level, of_all in zip(config["proposals_a_level"], of_both, strict=True)
        )
        self.detection_limits = DetectionLimits(config["score_threshold"], 0.5, config["detections"])

    def extra_repr(self) -> str:
        """The classes, the dtype and the number of parameters."""
        parameters = sum(param.size for param in self.params.values())
        return f"num_classes={self.num_classes}, dtype={self.dtype.name!r}, {parameters:,} parameters"

    @property
    def loss_names(self) -> tuple[str, ...]:
        """The names of the losses of `loss_forward`, as in mmdetection."""
        return ("loss_rpn_cls", "loss_rpn_bbox", *self.roi_head.loss_names)

    def detect(self, images: Array, sizes: Array | None = None) -> list[DetectorOutput]:
        """The objects in each image; nothing is dropped, nothing is kept.

        Args:
            images: (B, c, H, W).
            sizes: (B, 2) integers, height and width of each image without its padding; None where there is none.
        """
        check_image_shape(images, self.in_chans, "images")
        sizes = check_sizes(sizes, images)
        pyramid = self.neck(self.backbone(images))
        outputs = self.rpn_head(pyramid)
        proposals = propose(outputs, self.rpn_head.anchors(pyramid), sizes, self.inference_proposals)
        return self.roi_head.detect(pyramid[:-1], proposals, sizes, self.detection_limits)

    def __call__(self, images: Array, sizes: Array | None = None) -> list[DetectorOutput]:  # type: ignore[override]
        """See `detect`."""
        return self.detect(images, sizes)

    def loss_forward(
        self, images: Array, sizes: Array | None, objects: Sequence[Objects], rng: np.random.Generator | None = None
    ) -> tuple[dict[str, Any], Any]:
        """The losses of a batch.

        Args:
            images: (B, c, H, W).
            sizes: as for `detect`.
            objects: the true objects of each image, with masks unless the model is without them.
            rng: draws what is dropped and which anchors and proposals are sampled; the model's own generator where
                it is None.

        Returns:
            The losses by the names in `loss_names`; the loss is their sum. And the cache for `loss_backward`.
        """
        rng = self.rng if rng is None else check_generator("rng", rng)
        check_image_shape(images, self.in_chans, "images")
        sizes = check_sizes(sizes, images)
        true_objects = check_objects(objects, sizes, self.num_classes, self.dtype, self.roi_head.finds_masks)
        maps, backbone_cache = self.backbone.forward(images, rng)
        pyramid, neck_cache = self.neck.forward(maps)
        outputs, rpn_cache = self.rpn_head.forward(pyramid)
        samples = self.rpn_head.draw_samples(pyramid, true_objects, sizes, rng)
        rpn_losses, loss_cache = rpn_loss_forward(outputs, samples, self.rpn_head.rule.box_loss)
        proposals = propose(outputs, self.rpn_head.anchors(pyramid), sizes, self.training_proposals)
        roi_losses, roi_cache = self.roi_head.loss_forward(pyramid[:-1], proposals, true_objects, sizes, rng)
        caches = backbone_cache, neck_cache, (loss_cache, rpn_cache), roi_cache
        return {**rpn_losses, **roi_losses}, keep(self, (), caches, "loss_forward")

    def loss_backward(self, cache: Any, scale: float = 1.0) -> Array:
        """The derivative of the sum of the losses by the images; adds to `grads`.

        A map of the pyramid goes to the region proposal network and to the RoI heads: the two derivatives are added.
        Boxes that go from one to the other are constants.

        Args:
            cache: from `loss_forward`; used up.
            scale: factor on the derivative.

        Returns:
            dimages (B, c, H, W).
        """
        backbone_cache, neck_cache, (loss_cache, rpn_cache), roi_cache = kept(self, cache, "loss_forward").content
        scale = check_scale(scale, self.dtype)
        dpyramid = self.rpn_head.backward(rpn_loss_backward(loss_cache, scale), rpn_cache)
        for level, dmap in enumerate(self.roi_head.loss_backward(roi_cache, scale)):
            dpyramid[level] = dpyramid[level] + dmap
        return self.backbone.backward(self.neck.backward(dpyramid, neck_cache), backbone_cache)

    def save(self, path: str | PathLike[str]) -> None:
        """Write parameters and buffers to a safetensors file, with `config` in its metadata.

        Raises:
            ValueError: this is no path.
            OSError: the file could not be written.
        """
        save_model(self, path)
