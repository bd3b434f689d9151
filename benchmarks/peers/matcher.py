"""mmdetection's assignment of true boxes, in torchvision's `Matcher`."""

import torch
from torchvision.models.detection._utils import Matcher


class MaxIoUMatcher(Matcher):
    """A true box also gets the boxes that overlap it most, if by enough; the last true box that does so wins.

    torchvision gives such boxes to the true box that *they* overlap most, by however little.

    Args:
        high, low: thresholds of positive and negative boxes.
        least: overlap from which on a true box gets the boxes that overlap it most.
    """

    def __init__(self, high: float, low: float, least: float) -> None:
        super().__init__(high, low, allow_low_quality_matches=True)
        self.least = least

    def set_low_quality_matches_(
        self, matches: torch.Tensor, all_matches: torch.Tensor, match_quality_matrix: torch.Tensor
    ) -> None:
        """Change `matches` accordingly."""
        for index, overlaps in enumerate(match_quality_matrix):
            best = overlaps.max()
            if best >= self.least:
                matches[overlaps == best] = index

    def assign(self, overlaps: torch.Tensor) -> torch.Tensor:
        """The true box of each box, or a negative number, from IoUs (m, n); there may be no true box, and no box."""
        if not overlaps.numel():
            return torch.full((overlaps.shape[1],), self.BELOW_LOW_THRESHOLD)
        return self(overlaps)
