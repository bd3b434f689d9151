"""`resized_cross_entropy`: the two ops one after the other."""

from typing import Any

from npswin.backends.cuda.pixel_cross_entropy import pixel_cross_entropy_backward, pixel_cross_entropy_forward
from npswin.backends.cuda.resize import resize_bilinear_backward, resize_bilinear_forward


def resized_cross_entropy_forward(logits: Any, labels: Any, ignore_index: int = 255) -> tuple[Any, Any]:
    """See `npswin.ops.resized_cross_entropy_forward`."""
    resized, resize_cache = resize_bilinear_forward(logits, labels.shape[1:])
    loss, loss_cache = pixel_cross_entropy_forward(resized, labels, ignore_index=ignore_index)
    return loss, (resize_cache, loss_cache)


def resized_cross_entropy_backward(dloss: Any, cache: Any) -> Any:
    """See `npswin.ops.resized_cross_entropy_backward`."""
    resize_cache, loss_cache = cache
    return resize_bilinear_backward(pixel_cross_entropy_backward(dloss, loss_cache), resize_cache)
