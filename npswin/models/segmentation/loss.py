"""The loss of semantic segmentation."""

from typing import Any

from npswin.backends import dispatch
from npswin.types import Array

IGNORED = 255  # label of pixels that do not count


def segmentation_loss(logits: Array, labels: Array, weight: float = 1.0) -> tuple[Any, Array]:
    """The mean cross-entropy over the labelled pixels, of logits that are resized to them.

    Args:
        logits: (B, h, w, K), resized bilinearly to (B, H, W, K).
        labels: (B, H, W) integers, 0 … K − 1, or 255 for a pixel that does not count.
        weight: factor on the loss.

    Returns:
        The loss in nats, times the weight, and its derivative by the logits, (B, h, w, K).
    """
    resized, resize_cache = dispatch.resize_bilinear_forward(logits, labels.shape[1:])
    loss, cache = dispatch.pixel_cross_entropy_forward(resized, labels)
    dresized = dispatch.pixel_cross_entropy_backward(loss.dtype.type(weight), cache)
    return weight * loss, dispatch.resize_bilinear_backward(dresized, resize_cache)
