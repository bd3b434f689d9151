"""What losses that are sums over boxes or pixels have in common: a weight for each term, and one divisor."""

from typing import Any

from npswin.types import Array


def weighted_mean(losses: Array, weights: Array | None, divisor: float | None) -> tuple[Any, Any]:
    """L = (1/d) Σ w l.

    Args:
        losses: l, of any shape.
        weights: w of the same shape, or None for 1.
        divisor: d, or None for the number of losses, at least 1.

    Returns:
        L, which is 0 where there are no losses, and its derivatives ∂L/∂l = w / d, an array or one number for all.
    """
    divisor = max(losses.size, 1) if divisor is None else divisor
    if weights is None:
        return losses.sum() / divisor, 1 / divisor
    return (weights * losses).sum() / divisor, weights / divisor
