"""`giou_loss`."""

from typing import Any

from npswin.backends.cuda.weighted_loss import derivatives, weighted_sum
from npswin.ops.giou_loss import LEAST_AREA


def giou_loss_forward(boxes: Any, targets: Any, weights: Any = None, divisor: float | None = None) -> tuple[Any, Any]:
    """See `npswin.ops.giou_loss_forward`."""
    return weighted_sum("giou_loss", boxes, targets, weights, divisor, LEAST_AREA, entries=4)


def giou_loss_backward(dloss: Any, cache: Any) -> Any:
    """See `npswin.ops.giou_loss_backward`."""
    return derivatives("giou_loss", dloss, cache)
