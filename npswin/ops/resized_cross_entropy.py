"""Cross-entropy of logits that are resized to the pixels which have the classes, as segmenters are trained."""

from typing import Any

from npswin.ops.arguments import Axes, integer
from npswin.ops.description import op
from npswin.ops.pixel_cross_entropy import LARGEST_LABEL, pixel_cross_entropy_backward, pixel_cross_entropy_forward
from npswin.ops.resize import resize_bilinear_backward, resize_bilinear_forward
from npswin.types import Array


@op(
    logits="B h w K",
    labels=Axes("B H W", integers=True),
    ignore_index=integer(at_least=0, at_most=LARGEST_LABEL),
)
def resized_cross_entropy_forward(logits: Array, labels: Array, ignore_index: int = 255) -> tuple[Any, Any]:
    """The mean cross-entropy over the pixels that are not ignored, of logits resized bilinearly to the labels' size.

    The resized logits, which are many times as large as all else in a segmenter's head, need not be in memory.

    Args:
        logits: (B, h, w, K).
        labels: (B, H, W), the class of each pixel from 0 to K − 1, or `ignore_index`, in any integer dtype.
        ignore_index: label of pixels that do not count.

    Returns:
        the loss, a scalar of the logits' dtype, and the cache for the backward pass.

    Raises:
        ValueError: a label is no class and not ignored; see `pixel_cross_entropy_forward`.

    Test: tests/ops/test_gradients.py::test_resized_cross_entropy
    """
    resized, resize_cache = resize_bilinear_forward(logits, labels.shape[1:])
    loss, loss_cache = pixel_cross_entropy_forward(resized, labels, ignore_index=ignore_index)
    return loss, (resize_cache, loss_cache)


def resized_cross_entropy_backward(dloss: Any, cache: Any) -> Array:
    """The backward functions of the two ops, in reverse order.

    Args:
        dloss: scalar, 1 for the loss itself.

    Returns:
        dlogits (B, h, w, K).
    """
    resize_cache, loss_cache = cache
    return resize_bilinear_backward(pixel_cross_entropy_backward(dloss, loss_cache), resize_cache)
