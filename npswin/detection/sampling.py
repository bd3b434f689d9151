"""Which boxes the losses of a detector are computed for (Ren et al. 2015, section 3.1.3)."""

from typing import Any

import numpy as np

from npswin.checks import check_array, check_generator, check_integer, check_number, describe
from npswin.detection.assignment import BACKGROUND
from npswin.types import Array


def sample_boxes(assigned: Array, count: int, positive_share: float, rng: Any) -> tuple[Array, Array]:
    """Some of the boxes that have a true box, at most a share of all that are drawn, and of those on the background.

    Without replacement, and each as likely as another, as mmdetection's RandomSampler draws them. Where there are fewer
    with a true box than their share, more on the background take their places.

    Args:
        assigned: (n,), as `assign_boxes` returns it.
        count: of boxes in all; fewer are drawn where there are not so many.
        positive_share: of those with a true box, rounded down to a whole number.
        rng: the source of randomness.

    Returns:
        indices of those with a true box, and of those on the background, each rising.

    Raises:
        ValueError: an argument is not as described.
    """
    if check_array("assigned", assigned).ndim != 1 or assigned.dtype.kind != "i":
        raise ValueError(f"assigned: got {describe(assigned)}, expected integers (n,)")
    count = check_integer("count", count, 0)
    share = check_number("positive_share", positive_share, at_least=0, at_most=1)
    positive = _some(np.flatnonzero(assigned >= 0), int(count * share), check_generator("rng", rng))
    negative = _some(np.flatnonzero(assigned == BACKGROUND), count - len(positive), rng)
    return positive, negative


def _some(indices: Array, count: int, rng: Any) -> Array:
    return indices if len(indices) <= count else np.sort(rng.choice(indices, count, replace=False))


def add_true_boxes(boxes: Array, assigned: Array, true_boxes: Array, crowd: Array | None = None) -> tuple[Array, Array]:
    """The true boxes before the proposals, each its own true box, so that there are good ones from the start.

    Args:
        boxes: (n, 4), proposals.
        assigned: (n,), as `assign_boxes` returns it.
        true_boxes: (m, 4), of which crowds are left out.
        crowd: (m,) bool, or None for no crowds.

    Returns:
        boxes (m' + n, 4) and which true box belongs to each (m' + n,), where m' is the number of those added.
    """
    added = np.arange(len(true_boxes)) if crowd is None else np.flatnonzero(~crowd)
    return np.concatenate([true_boxes[added], boxes]), np.concatenate([added, assigned])
