"""Detectors that choose their samples by a rule, so that two of them can be compared.

npswin and torchvision draw anchors and proposals to be trained on from different random numbers. By this rule, both
take the same ones: those in even distances among the candidates, which have the same order on both sides.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from npswin.detection import BACKGROUND
from npswin.types import Array


@contextmanager
def npswin_by_rule() -> Iterator[None]:
    """In this context npswin's detectors sample by the rule."""

    def sample_boxes(assigned: Array, count: int, positive_share: float, rng: Any) -> tuple[Array, Array]:
        return _choose(np.flatnonzero(assigned >= 0), np.flatnonzero(assigned == BACKGROUND), count, positive_share)

    with mock.patch("npswin.models.detection.sampling.sample_boxes", sample_boxes):
        yield


@contextmanager
def torchvision_by_rule(peer: Any) -> Iterator[None]:
    """In this context a `TorchvisionMaskRCNN` samples by the rule."""
    parts = (peer.rpn, peer.roi_heads)
    samplers = [part.fg_bg_sampler for part in parts]
    try:
        for part, sampler in zip(parts, samplers, strict=True):
            part.fg_bg_sampler = _RuleSampler(sampler.batch_size_per_image, sampler.positive_fraction)
        yield
    finally:
        for part, sampler in zip(parts, samplers, strict=True):
            part.fg_bg_sampler = sampler


class _RuleSampler:
    """In the place of torchvision's `BalancedPositiveNegativeSampler`."""

    def __init__(self, count: int, positive_share: float) -> None:
        self.count, self.positive_share = count, positive_share

    def __call__(self, labels: list[Any]) -> tuple[list[Any], list[Any]]:
        """Masks of positive and negative ones for each image, from labels: above 0, 0, or -1 for neither."""
        import torch

        masks: tuple[list[Any], list[Any]] = [], []
        for one in labels:
            candidates = (torch.where(chosen)[0].numpy() for chosen in (one > 0, one == 0))
            for side, places in zip(masks, _choose(*candidates, self.count, self.positive_share), strict=True):
                side.append(torch.zeros(len(one), dtype=torch.bool))
                side[-1][torch.from_numpy(places)] = True
        return masks


def _choose(positive: Array, negative: Array, count: int, positive_share: float) -> tuple[Array, Array]:
    positive = _some(positive, int(count * positive_share))
    return positive, _some(negative, count - len(positive))


def _some(places: Array, count: int) -> Array:
    return places if len(places) <= count else places[np.linspace(0, len(places) - 1, count).astype(np.int64)]
